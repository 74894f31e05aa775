"""Signatures, roots and statements against what others publish: CT's roots, Go's note, in-toto's example, OpenSSL."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess
from pathlib import Path

import jsonschema
import pytest

from pytest_dpone.core.gates.merkle import leaf_hash, roots
from pytest_dpone.errors import ArtifactError, MissingExtra, UsageError
from pytest_dpone.evidence import dsse, keys, note
from pytest_dpone.evidence.keys import Signer, generate, public_path, read_signer, read_verifier
from pytest_dpone.evidence.statements import Statement, TestResult, as_predicate, statement

# The leaves and roots of the tests of Certificate Transparency's reference implementation.
CT_LEAVES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
CT_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
# The example of Go's package golang.org/x/mod/sumdb/note.
GO_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_NAME = "PeterNeumann"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    f"{GO_TEXT}\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE"
    "6RyyBwJnAM=\n"
)
# The test vector of RFC 8032, 7.1, test 2.
RFC8032_SEED = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
RFC8032_PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
RFC8032_SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
# The example of the specification of in-toto's predicate test-result v0.1.
IN_TOTO = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"digest": {"gitCommit": "d20ace7968ba43c0219f62d71334c1095bab1602"}}],
    "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
    "predicate": {
        "result": "PASSED",
        "configuration": [
            {
                "name": ".github/workflows/ci.yml",
                "downloadLocation": "https://github.com/in-toto/in-toto/blob/d20ace7968ba43c0219f62d71334c1095bab1602/.github/workflows/ci.yml",
                "digest": {"gitBlob": "ebe4add40f63c3c98bc9b32ff1e736f04120b023"},
            }
        ],
        "url": "https://github.com/in-toto/in-toto/actions/runs/4425592351",
        "passedTests": ["build (3.7, ubuntu-latest, py)", "build (3.x, ubuntu-latest, lint)"],
        "warnedTests": [],
        "failedTests": [],
    },
}
# What that specification and the one of Statement v1 say, as a schema.
DIGESTS = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string", "minLength": 1}}
DESCRIPTOR = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "uri": {"type": "string"}, "digest": DIGESTS},
    "anyOf": [{"required": ["uri"]}, {"required": ["digest"]}, {"required": ["content"]}],
}
NAMES = {"type": "array", "items": {"type": "string"}}
IN_TOTO_SCHEMA = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {"type": "array", "minItems": 1, "items": {**DESCRIPTOR, "required": ["digest"]}},
        "predicateType": {"const": "https://in-toto.io/attestation/test-result/v0.1"},
        "predicate": {
            "type": "object",
            "required": ["result", "configuration"],
            "properties": {
                "result": {"enum": ["PASSED", "WARNED", "FAILED"]},
                "configuration": {"type": "array", "items": DESCRIPTOR},
                "url": {"type": "string"},
                **dict.fromkeys(("passedTests", "warnedTests", "failedTests"), NAMES),
            },
        },
    },
}


def signer_of(seed: bytes) -> Signer:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Signer(Ed25519PrivateKey.from_private_bytes(seed))


SIGNER = signer_of(bytes.fromhex(RFC8032_SEED))


def test_roots_are_those_of_certificate_transparency() -> None:
    leaves = [leaf_hash(bytes.fromhex(text)) for text in CT_LEAVES]
    assert tuple(roots(leaves)[1:]) == CT_ROOTS
    assert roots([])[0] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_signatures_are_those_of_rfc_8032() -> None:
    assert SIGNER.verifier.raw.hex() == RFC8032_PUBLIC
    assert SIGNER.sign(b"\x72").hex() == RFC8032_SIGNATURE
    assert SIGNER.verifier.verifies(bytes.fromhex(RFC8032_SIGNATURE), b"\x72")
    assert not SIGNER.verifier.verifies(bytes.fromhex(RFC8032_SIGNATURE), b"\x73")


def test_a_note_is_that_of_go_byte_by_byte() -> None:
    signer = signer_of(base64.b64decode(GO_SEED)[1:])
    assert note.signed_note(GO_TEXT, GO_NAME, signer) == GO_NOTE
    assert note.verifier_key(GO_NAME, signer.verifier) == GO_KEY
    assert note.open_note(GO_NOTE, GO_NAME, signer.verifier) == GO_TEXT


def test_a_checkpoint_has_the_form_of_the_specification() -> None:
    root = "0abb146298c63e4d9de8de9b2eb1ae6f" * 2
    text = note.signed_checkpoint(20852163, root, SIGNER)
    origin = note.origin_of(SIGNER.verifier)
    assert text.split("\n")[:4] == [origin, "20852163", base64.b64encode(bytes.fromhex(root)).decode(), ""]
    assert note.open_checkpoint(text.encode(), SIGNER.verifier) == note.Checkpoint(origin, 20852163, root)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("\u2014", "-"), "has a line among its signatures that is none"),
        (lambda text: text.replace("\n3\n", "\n4\n"), "has a signature that does not fit"),
        (lambda text: f"{text}x", "is no signed note"),
        (lambda text: text.rpartition("\n\n")[0], "is no signed note"),
        (lambda text: text.replace("\n3\n", "\n3\t\n"), "holds control characters"),
        (lambda text: text.replace("\u2014 pytest", "\u2014 other"), "is not signed by the given key"),
        (lambda text: text[:-2] + "\n", "holds what is no Base64"),
        (lambda text: text + "\u2014 other.example AAAAAAAA\n" * 1000, "is too long"),
    ],
)
def test_a_checkpoint_that_was_changed_is_none(change, words: str) -> None:  # type: ignore[no-untyped-def]
    text = note.signed_checkpoint(3, "ab" * 32, SIGNER)
    assert change(text) != text
    with pytest.raises(note.BadNote, match=words):
        note.open_checkpoint(change(text).encode(), SIGNER.verifier)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{origin}\n03\n{root}\n", "is no checkpoint"),
        ("{origin}\n+3\n{root}\n", "is no checkpoint"),
        ("{origin}\n3 \n{root}\n", "is no checkpoint"),
        ("{origin}\n3\n{root}\nmore\n", "is no checkpoint"),
        ("other.example/log\n3\n{root}\n", "is the checkpoint of another log"),
        ("{origin}\n3\nAAAA\n", "has no root that is a SHA-256"),
    ],
)
def test_what_the_key_has_signed_must_still_be_a_checkpoint(text: str, words: str) -> None:
    origin, root = note.origin_of(SIGNER.verifier), base64.b64encode(bytes(32)).decode()
    signed = note.signed_note(text.format(origin=origin, root=root), origin, SIGNER)
    with pytest.raises(note.BadNote, match=words):
        note.open_checkpoint(signed.encode(), SIGNER.verifier)


def test_signatures_of_other_keys_are_left_aside() -> None:
    text = note.signed_checkpoint(3, "ab" * 32, SIGNER)
    other = signer_of(bytes(32))
    body = text.rpartition("\n\n")[0] + "\n"
    witnessed = text + note.signed_note(body, "witness.example", other).rpartition("\n\n")[2]
    assert note.open_checkpoint(witnessed.encode(), SIGNER.verifier).size == 3
    with pytest.raises(note.BadNote, match="is not signed by the given key"):
        note.open_checkpoint(witnessed.encode(), other.verifier)


def test_the_encoding_before_signing_is_that_of_the_specification() -> None:
    # The example of DSSE's protocol.
    assert dsse.pae(b"hello world", "http://example.com/HelloWorld") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_securesystemslib_verifies_our_envelope_and_we_verify_its() -> None:
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import CryptoSigner, SSlibKey

    payload = b'{"a":1}'
    ours = dsse.sealed(payload, SIGNER)
    public = load_der_public_key(SIGNER.verifier.der)
    key = SSlibKey.from_crypto(public, keyid=SIGNER.verifier.keyid)  # type: ignore[arg-type]
    assert list(Envelope.from_dict(json.loads(ours)).verify([key], 1)) == [SIGNER.verifier.keyid]
    broken = json.loads(ours)
    broken["payload"] = base64.b64encode(b'{"a":2}').decode()
    with pytest.raises(VerificationError):
        Envelope.from_dict(broken).verify([key], 1)
    envelope = Envelope(payload, dsse.PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(SIGNER._key))
    theirs = json.dumps(envelope.to_dict()).encode()
    assert dsse.opened(theirs, SIGNER.verifier) == payload


def test_openssl_verifies_our_envelope(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    envelope = json.loads(dsse.sealed(b'{"a":1}', SIGNER))
    public = SIGNER._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "pub").write_bytes(public)
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    kind = envelope["payloadType"]
    for payload, status in ((b'{"a":1}', 0), (b'{"a":2}', 1)):
        # Put together by hand, and not by the code that signed it.
        (tmp_path / "signed").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
        words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "pub", "-rawin", "-in", "signed"]
        done = subprocess.run([*words, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == status, done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.update(payload="e30="), "is not signed by the given key"),
        (lambda e: e.update(payload="e30=\n"), "holds what is no Base64"),
        (lambda e: e.update(payloadType="text/plain"), "holds another type of payload"),
        (lambda e: e.update(signatures=[]), "is not signed by the given key"),
        (lambda e: e.update(signatures={}), "is not signed by the given key"),
        (lambda e: e.pop("signatures"), "is no DSSE envelope"),
        (lambda e: e["signatures"][0].update(sig=5), "is not signed by the given key"),
    ],
)
def test_an_envelope_that_was_changed_is_none(change, words: str) -> None:  # type: ignore[no-untyped-def]
    envelope = json.loads(dsse.sealed(b'{"a":1}', SIGNER))
    change(envelope)
    with pytest.raises(dsse.BadEnvelope, match=words):
        dsse.opened(json.dumps(envelope).encode(), SIGNER.verifier)


def test_another_type_of_payload_is_no_statement_although_it_is_signed() -> None:
    with pytest.raises(dsse.BadEnvelope, match="holds another type of payload"):
        dsse.opened(dsse.sealed(b"{}", SIGNER, "application/vnd.other+json"), SIGNER.verifier)


def test_the_example_of_in_toto_is_read_and_ours_is_of_its_form() -> None:
    jsonschema.validate(IN_TOTO, IN_TOTO_SCHEMA)
    read = Statement.model_validate_json(json.dumps(IN_TOTO), strict=True)
    result = TestResult.model_validate_json(json.dumps(read.predicate), strict=True)
    assert (result.result, len(result.passed_tests), result.url) == ("PASSED", 2, IN_TOTO["predicate"]["url"])  # type: ignore[index]
    assert result.configuration[0].digest == {"gitBlob": "ebe4add40f63c3c98bc9b32ff1e736f04120b023"}
    told = {name for name in IN_TOTO["predicate"] if name != "configuration"}  # type: ignore[attr-defined]
    assert {name: as_predicate(result)[name] for name in told} == {name: IN_TOTO["predicate"][name] for name in told}  # type: ignore[index]
    ours = json.loads(statement(str(IN_TOTO["predicateType"]), result, sums="ab" * 32))
    jsonschema.validate(ours, IN_TOTO_SCHEMA)
    for name in ("result", "configuration"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(
                {**ours, "predicate": {k: v for k, v in ours["predicate"].items() if k != name}}, IN_TOTO_SCHEMA
            )


def test_a_key_is_its_owner_s_alone_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    verifier = generate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_signer(path).verifier == read_verifier(public_path(path)) == verifier
    assert len(verifier.keyid) == 64
    content = path.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        generate(path)
    public_path(path).unlink()
    with pytest.raises(UsageError, match=f"{path} exists already"):
        generate(path)
    assert path.read_bytes() == content
    assert not public_path(path).exists()
    path.unlink()
    public_path(path).symlink_to("elsewhere")
    with pytest.raises(UsageError, match=r"key\.pub exists already"):
        generate(path)
    assert not path.exists()
    with pytest.raises(ArtifactError, match="can't be written: No such file or directory"):
        generate(tmp_path / "none" / "key")


def test_a_key_that_is_none_is_told_and_not_shown(tmp_path: Path) -> None:
    path, text = tmp_path / "key", "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n"
    path.write_text(text)
    for read in (read_signer, read_verifier):
        with pytest.raises(UsageError) as told:
            read(path)
        assert "canary" not in str(told.value)
        with pytest.raises(UsageError, match="is missing"):
            read(tmp_path / "none")
    good = tmp_path / "good"
    generate(good)
    good.chmod(0o640)
    with pytest.raises(UsageError, match="others may read the private key"):
        read_signer(good)
    with pytest.raises(UsageError, match="is no private key"):
        read_signer(public_path(good))
    with pytest.raises(UsageError, match="is no public key"):
        read_verifier(good)
    assert "Ed25519" not in repr(read_signer_of(good))


def read_signer_of(path: Path) -> Signer:
    path.chmod(0o600)
    return read_signer(path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = generate_private_key(SECP256R1())
    (tmp_path / "private").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "public").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(UsageError, match="is no Ed25519 key"):
        read_signer(tmp_path / "private")
    with pytest.raises(UsageError, match="is no Ed25519 key"):
        read_verifier(tmp_path / "public")


def test_without_the_library_the_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str, *, extra: str) -> object:
        raise MissingExtra(module.partition(".")[0], extra=extra)

    monkeypatch.setattr(keys, "require", absent)
    for call in (generate, read_signer, read_verifier):
        with pytest.raises(MissingExtra, match=r"pip install 'pytest-dpone\[sign\]'"):
            call(tmp_path / "key")
