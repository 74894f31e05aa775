"""Secrets in what is sealed: every spelling is found, the place is told, and the secret is not."""

from __future__ import annotations

import base64
import json
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dpone.core.gates.policy import PACKAGED
from pytest_dpone.evidence.leaks import SHORTEST, line_of, needles
from pytest_dpone.run.sealing import Refused, seal

from .sabotage import OURS
from .trees import write_tree

SECRET = "p@ss w0rd/9+x\"ü'"
PLACES = {
    "raw": SECRET.encode(),
    "URL-quoted": quote(SECRET, safe="").encode(),
    "URL-quoted, small": quote(SECRET, safe="").lower().encode(),
    "URL-quoted, plus": quote_plus(SECRET).encode(),
    "URL-quoted, slash": quote(SECRET).encode(),
    "JSON": json.dumps({"a": SECRET}).encode(),
    "JSON, UTF-8": json.dumps({"a": SECRET}, ensure_ascii=False).encode(),
    "HTML": escape(SECRET).encode(),
    "HTML, quotes": escape(SECRET, quote=False).encode(),
    **{f"Base64 after {n}": base64.b64encode(b"u" * n + SECRET.encode() + b"@host") for n in range(6)},
    "Base64 for URLs": base64.urlsafe_b64encode(SECRET.encode() + b"?"),
}


@pytest.mark.parametrize(
    "name", ["PGPASSWORD", "MY_TOKEN", "AWS_SECRET_ACCESS_KEY", "api_key", "DB_PWD", "GITHUB_PAT", "SIGNING_KEY"]
)
def test_a_telling_variable_is_a_secret(name: str) -> None:
    assert [leak.what for leak in needles({name: SECRET}).find(b"x" + SECRET.encode())] == [f"the secret of {name}"]


@pytest.mark.parametrize("name", ["HOME", "PWD", "OLDPWD", "PATH", "AWS_TOKEN_FILE", "SSL_KEY_PATH"])
def test_another_variable_is_none(name: str) -> None:
    assert list(needles({name: "/some/where"}).find(b"/some/where")) == []


@pytest.mark.parametrize("how", PLACES)
def test_every_spelling_is_found(how: str) -> None:
    for environ in ({"PGPASSWORD": SECRET}, {"DPONE_POSTGRES_URL": f"postgresql://u:{quote(SECRET, safe='')}@h/db"}):
        (name,) = environ
        found = list(needles(environ).find(b"\n line " + PLACES[how]))
        assert found, (environ, how)
        assert all(leak.what.startswith(f"the secret of {name}") for leak in found)
        assert list(needles(environ).find(b"p@ss w0rd is no secret")) == []


@given(st.binary(min_size=SHORTEST, max_size=40), st.binary(max_size=7), st.binary(max_size=7))
def test_base64_is_found_wherever_it_begins(secret: bytes, before: bytes, after: bytes) -> None:
    text = secret.decode("utf-8", "surrogateescape")
    known = needles({"TOKEN": text})
    assert list(known.find(base64.b64encode(before + secret + after)))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("AKIAABCDEFGHIJKLMNOP", "an AWS access key"),
        ("ASIAABCDEFGHIJKLMNOP", "an AWS session key"),
        *((f"gh{kind}_{'a1' * 18}", "a GitHub token") for kind in "pousr"),
        ("github_pat_" + "A" * 22, "a GitHub token"),
        ("glpat-" + "a" * 20, "a GitLab token"),
        ("xoxb-123456789012-abc", "a Slack token"),
        ("AIza" + "a" * 35, "a Google API key"),
        ("sk_live_" + "a" * 16, "a Stripe key"),
        ("pypi-AgE" + "a" * 16, "a PyPI token"),
        ("npm_" + "a" * 36, "an npm token"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "a JSON Web Token"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("-----BEGIN PRIVATE KEY-----", "a private key"),
        ("postgresql://u:hunter22@h/db", "an address with a password"),
    ],
)
def test_known_shapes_are_found_without_any_variable(text: str, what: str) -> None:
    (leak,) = needles({}).find(f"some text\nAKIA ghp_ :// {text}\n".encode())
    assert what in leak.what
    assert line_of(f"some text\nAKIA ghp_ :// {text}\n".encode(), leak.offset)[0] == 2


@pytest.mark.parametrize(
    "text",
    [
        "scheme://user:password@host:port",
        "postgresql://u:***@h/db",
        "https://example.com/a:b@c",
        "AKIA",
        "AKIAabcdefghijklmnop",
        "-----BEGIN CERTIFICATE-----",
        "eyJhbGciOiJIUzI1NiJ9",
        "ghp_short",
    ],
)
def test_what_only_looks_a_little_like_it_is_none(text: str) -> None:
    assert list(needles({}).find(text.encode())) == []


def test_short_values_are_not_looked_for_and_that_is_told() -> None:
    known = needles({"MY_TOKEN": "abc", "PGPASSWORD": ""})
    assert (known.count, known.short) == (0, ("MY_TOKEN",))


@pytest.mark.parametrize("file", ["matrix/log.txt", "report.html", "evidence-chain/entries/note"])
@pytest.mark.parametrize("how", ["raw", "JSON", "Base64 after 1"])
def test_a_tree_with_a_secret_is_not_sealed(file: str, how: str, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree")
    with (root / file).open("ab") as stream:
        stream.write(b"\nfirst\n" + PLACES[how])
    lines = (root / file).read_bytes().count(b"\n") + 1
    with pytest.raises(Refused) as told:
        seal(root, signer=OURS, policy=PACKAGED, needles=needles({"PGPASSWORD": SECRET}), time="", version="")
    text = str(told.value)
    assert f"{file}, line {lines}, byte " in text
    assert "the secret of PGPASSWORD" in text
    for spelling in PLACES.values():
        assert spelling.decode() not in text
    assert not (root / "SHA256SUMS").exists()
    assert not (root / "seal").exists()


def test_a_name_that_is_a_secret_is_not_told(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree")
    (root / "matrix" / "canary-7f3").write_text("")
    with pytest.raises(Refused, match="a name below 1 folders holds the secret of PGPASSWORD") as told:
        seal(root, signer=OURS, policy=PACKAGED, needles=needles({"PGPASSWORD": "canary-7f3"}), time="", version="")
    assert "canary" not in str(told.value)
    assert "canary" not in repr(needles({"PGPASSWORD": "canary-7f3"}))
