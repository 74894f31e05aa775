"""Sealed trees broken on purpose: what an attacker does, the file that must be named, and the code of the finding."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

from pytest_dpone.core.gates.bundle import BundleFacts
from pytest_dpone.core.gates.documents import RELEASE_PACK, compose, content_sha256
from pytest_dpone.core.gates.policy import PACKAGED, VerificationPolicy
from pytest_dpone.core.gates.ruling import Ruling
from pytest_dpone.core.strict import indented
from pytest_dpone.evidence import tlog
from pytest_dpone.evidence.dsse import PAYLOAD_TYPE, sealed
from pytest_dpone.evidence.exhibits import remembering
from pytest_dpone.evidence.files import sha256
from pytest_dpone.evidence.keys import Signer
from pytest_dpone.evidence.leaks import needles
from pytest_dpone.evidence.note import origin_of, signed_note
from pytest_dpone.evidence.statements import CERTIFICATION_FILE, FILES, SUMMARY_FILE, TEST_RESULT_FILE
from pytest_dpone.run import again, verification
from pytest_dpone.run.evidence import read_evidence
from pytest_dpone.run.sealing import Seal, seal
from pytest_dpone.run.verification import Wanted

from .trees import COMMIT, RELEASE, write_tree

REPORT = "matrix/certification_report.json"
CASE = "matrix/postgres_to_postgres__full_refresh__behavior.json"
OTHER = "matrix/postgres_to_postgres__incremental_merge__behavior.json"
MARKERS = "service_markers.json"
LOG, CHECKPOINT, SUMS = "seal/log.jsonl", "seal/checkpoint", "SHA256SUMS"
CERT, RESULT, SUMMARY = (f"seal/{name}" for name in (CERTIFICATION_FILE, TEST_RESULT_FILE, SUMMARY_FILE))


def new_signer(number: int) -> Signer:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Signer(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


SCANDIR = os.scandir
OURS, THEIRS = new_signer(1), new_signer(2)


def seal_it(
    root: Path, *, log: Path | None = None, signer: Signer = OURS, time: str = "2026-01-01T00:00:00Z", **more: object
) -> Seal:
    return seal(
        root,
        signer=signer,
        policy=PACKAGED,
        needles=needles({}),
        time=time,
        version="0.1.0",
        log_folder=log,
        **more,  # type: ignore[arg-type]
    )


@dataclass
class Broken:
    """A tree that may be changed, beside earlier ones of the same log, and what the verifier asks for."""

    root: Path
    earlier: Path
    """The same project's tree of the release before, sealed into the same log."""
    wanted: Wanted = field(default_factory=Wanted)
    denied: str = ""
    """A folder that the system does not let us read: root may read everything, so it is pretended."""

    def path(self, name: str) -> Path:
        return self.root / name

    def verify(self) -> tuple[Ruling, ...]:
        with patch.object(os, "scandir", self._scandir):
            return verification.verify(self.root, OURS.verifier, self.wanted).rulings

    def _scandir(self, folder: Path | str = ".") -> object:
        if self.denied and Path(folder) == self.path(self.denied):
            raise PermissionError(13, "Permission denied")
        return SCANDIR(folder)

    def again(self, policy: VerificationPolicy = PACKAGED) -> tuple[Ruling, ...]:
        with remembering():
            return again.judge_again(read_evidence(self.root), policy)

    # What somebody with the key can do as well.

    def entries(self) -> list[bytes]:
        return self.path(LOG).read_bytes().splitlines()

    def relog(self, lines: Iterable[bytes], *, signer: Signer = OURS) -> None:
        tlog.put(self.path("seal"), tlog.Log(tuple(lines)), signer)

    def reenter(self, **facts: object) -> None:
        """Change the last entry, and sign the log again."""
        *before, last = self.entries()
        entry = {**json.loads(last), **facts}
        self.relog([*before, json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()])

    def restate(self, name: str, change: Callable[[dict], object], *, kind: str = PAYLOAD_TYPE) -> None:  # type: ignore[type-arg]
        """Change a statement, and sign it and the log again."""
        envelope = json.loads(self.path(name).read_bytes())
        payload = json.loads(base64.b64decode(envelope["payload"]))
        payload = change(payload) or payload
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.path(name).write_bytes(sealed(data, OURS, kind))
        self.reenter(statements={n: sha256(self.path(f"seal/{n}").read_bytes()) for n in FILES})

    def edit(self, name: str, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
        """Change a document, with its digest of itself, as whoever knows the form does."""
        data = json.loads(self.path(name).read_bytes())
        change(data)
        self.path(name).write_bytes(indented({**data, "content_sha256": content_sha256(data)}))


@dataclass(frozen=True)
class Sabotage:
    """One way to break a tree; `words` are in the finding's text."""

    name: str
    do: Callable[[Broken], object]
    file: str
    code: str
    words: str = ""

    def found(self, rulings: Iterable[Ruling]) -> bool:
        """If the finding that it must lead to is among these."""
        return any((r.subject, r.code) == (self.file, self.code) and self.words in r.text for r in rulings)


def make(folder: Path) -> tuple[Path, Path]:
    """Two trees sealed into one log: the release before, and the one that is broken."""
    log = folder / "log"
    earlier = write_tree(folder / "earlier", release="v1.2.2", run_id="r0")
    seal_it(earlier, log=log)
    root = write_tree(folder / "tree")
    seal_it(root, log=log)
    return root, earlier


def copy_of(golden: tuple[Path, Path], folder: Path) -> Broken:
    shutil.copytree(golden[0], folder, symlinks=True)
    return Broken(folder, golden[1])


def put(b: Broken, name: str, content: bytes) -> None:
    b.path(name).write_bytes(content)


def swap(b: Broken, one: str, other: str) -> None:
    first, second = b.path(one).read_bytes(), b.path(other).read_bytes()
    put(b, one, second)
    put(b, other, first)


def link(b: Broken, name: str) -> None:
    target = b.root.parent / f"{b.root.name}-target"
    shutil.move(b.path(name), target)
    b.path(name).symlink_to(target)


def lines(b: Broken, name: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
    put(b, name, b"".join(line + b"\n" for line in change(b.path(name).read_bytes().splitlines())))


def older(b: Broken) -> None:
    """The whole tree of the release before, in place of the new one."""
    pin = tlog.read_pin(b.path(CHECKPOINT), OURS.verifier)
    shutil.rmtree(b.root)
    shutil.copytree(b.earlier, b.root)
    b.wanted = replace(b.wanted, pin=pin)


def forked(b: Broken) -> None:
    """Another log of the same key that is as long."""
    pin = tlog.read_pin(b.path(CHECKPOINT), OURS.verifier)
    b.relog([b"{}", b.entries()[-1]])
    b.wanted = replace(b.wanted, pin=pin)


def note_of(b: Broken, text: str, *, origin: str | None = None) -> None:
    name = origin_of(OURS.verifier)
    root = base64.b64encode(bytes(32)).decode()
    put(b, CHECKPOINT, signed_note(text.format(origin=origin or name, root=root), name, OURS).encode())


def want(**facts: object) -> Callable[[Broken], None]:
    def do(b: Broken) -> None:
        b.wanted = replace(b.wanted, **facts)  # type: ignore[arg-type]

    return do


def predicate(change: Callable[[dict], object]) -> Callable[[dict], None]:  # type: ignore[type-arg]
    def do(payload: dict) -> None:  # type: ignore[type-arg]
        change(payload["predicate"])

    return do


def of(name: str, change: Callable[[dict], object], **more: str) -> Callable[[Broken], None]:  # type: ignore[type-arg]
    return lambda b: b.restate(name, change, **more)


def resum(change: Callable[[str], str]) -> Callable[[Broken], None]:
    """Other sums, which the key holder has signed."""

    def do(b: Broken) -> None:
        text = change(b.path(SUMS).read_text())
        put(b, SUMS, text.encode("utf-8", "surrogateescape"))
        b.reenter(sums=sha256(b.path(SUMS).read_bytes()))

    return do


INTEGRITY: tuple[Sabotage, ...] = (
    # Without a key: files.
    Sabotage("a byte is flipped", lambda b: put(b, CASE, b.path(CASE).read_bytes()[:-2] + b"]\n"), CASE, "file_changed"),
    Sabotage("a file is deleted", lambda b: b.path(MARKERS).unlink(), MARKERS, "file_missing"),
    Sabotage("a file is added", lambda b: put(b, "matrix/more.txt", b"x"), "matrix/more.txt", "file_added"),
    Sabotage("a hidden file is added", lambda b: put(b, ".more", b"x"), ".more", "file_added"),
    Sabotage("a lock is filled", lambda b: put(b, "matrix/.lock", b"x"), "matrix/.lock", "file_added"),
    Sabotage("a file is cut", lambda b: put(b, "report.html", b.path("report.html").read_bytes()[:-1]), "report.html", "file_changed"),
    Sabotage("two files are swapped", lambda b: swap(b, CASE, OTHER), OTHER, "file_changed"),
    Sabotage("a file is a link", lambda b: link(b, CASE), CASE, "no_file"),
    Sabotage("a folder is a link", lambda b: link(b, "matrix"), "matrix", "no_file"),
    Sabotage("a folder can't be read", lambda b: setattr(b, "denied", "matrix"), "matrix", "unreadable", "Permission denied"),
    Sabotage("a pipe is added", lambda b: os.mkfifo(b.path("pipe")), "pipe", "no_file"),
    Sabotage("a name has a control character", lambda b: put(b, "a\x1bb", b""), "a\x1bb", "name"),
    Sabotage("a name is not UTF-8", lambda b: os.close(os.open(os.fsencode(b.root) + b"/\xff", os.O_CREAT)), "\\udcff", "name"),
    Sabotage("a name is no NFC", lambda b: put(b, "e\u0301", b""), "e\u0301", "name"),
    Sabotage("a name differs by case", lambda b: put(b, "Service_Markers.json", b""), MARKERS, "same_name"),
    # Without a key: the seal.
    *(
        Sabotage(f"{name} is deleted", lambda b, name=name: b.path(name).unlink(), name, "seal_unreadable")
        for name in (SUMS, LOG, CHECKPOINT, CERT, RESULT, SUMMARY)
    ),
    Sabotage("the seal is a link", lambda b: link(b, "seal"), "seal", "seal_link"),
    Sabotage("the sums are a link", lambda b: link(b, SUMS), SUMS, "seal_link"),
    Sabotage("the seal's folder has a stranger", lambda b: put(b, "seal/x", b""), "seal/x", "seal_stranger"),
    Sabotage("the sums are cut", lambda b: lines(b, SUMS, lambda rows: rows[:-1]), SUMS, "entry_sums"),
    Sabotage("a line of the sums is no line", lambda b: put(b, SUMS, b"x\n"), SUMS, "sums", "has no digest and name in line 1"),
    Sabotage("the sums are empty", lambda b: put(b, SUMS, b""), SUMS, "sums", "lists no file"),
    Sabotage("the sums are no text", lambda b: put(b, SUMS, b"\xff"), SUMS, "sums", "is not UTF-8"),
    Sabotage("the sums are in another order", lambda b: lines(b, SUMS, lambda rows: rows[::-1]), SUMS, "sums", "out of order"),
    Sabotage("a line of the sums is doubled", resum(lambda t: t + t.splitlines()[-1] + "\n"), SUMS, "sums", "doubled"),
    Sabotage("an envelope is of the release before", lambda b: put(b, CERT, (b.earlier / CERT).read_bytes()), CERT, "entry_statement"),
    Sabotage("two envelopes are swapped", lambda b: swap(b, CERT, RESULT), CERT, "entry_statement"),
    Sabotage("an envelope is none", lambda b: put(b, CERT, b"{}"), CERT, "signature", "is no DSSE envelope"),
    Sabotage("an envelope is no JSON", lambda b: put(b, CERT, b"x"), CERT, "signature", "is no DSSE envelope"),
    Sabotage("an envelope is of another key", lambda b: put(b, CERT, sealed(b"{}", THEIRS)), CERT, "signature", "is not signed"),
    Sabotage("an envelope is no Base64", lambda b: put(b, CERT, b.path(CERT).read_bytes().replace(b'"payload":"', b'"payload":"*')), CERT, "signature", "is no Base64"),
    # Without a key: the log.
    Sabotage("the log lost its last entry", lambda b: lines(b, LOG, lambda rows: rows[:-1]), LOG, "log_changed", "it was cut"),
    Sabotage("the log lost its first entry", lambda b: lines(b, LOG, lambda rows: rows[1:]), LOG, "log_changed", "it was cut"),
    Sabotage("the log's entries are swapped", lambda b: lines(b, LOG, lambda rows: rows[::-1]), LOG, "log_changed", "another log"),
    Sabotage("an entry is replayed", lambda b: lines(b, LOG, lambda rows: [*rows, rows[0]]), LOG, "log_added"),
    Sabotage("the log is cut inside of a line", lambda b: put(b, LOG, b.path(LOG).read_bytes()[:-1]), LOG, "log", "it was cut"),
    Sabotage("the log is no text", lambda b: put(b, LOG, b"\xff\n"), LOG, "log", "is not UTF-8"),
    Sabotage("the checkpoint is that before", lambda b: put(b, CHECKPOINT, (b.earlier / CHECKPOINT).read_bytes()), LOG, "log_added"),
    Sabotage("the checkpoint is of another key", lambda b: b.relog(b.entries(), signer=THEIRS), CHECKPOINT, "checkpoint", "is not signed by the given key"),
    Sabotage("the checkpoint is no text", lambda b: put(b, CHECKPOINT, b"\xff"), CHECKPOINT, "checkpoint", "is not UTF-8"),
    Sabotage("the checkpoint is no note", lambda b: put(b, CHECKPOINT, b"x"), CHECKPOINT, "checkpoint", "is no signed note"),
    Sabotage("the checkpoint is long", lambda b: put(b, CHECKPOINT, b.path(CHECKPOINT).read_bytes() + "\u2014 o AAAA\n".encode() * 3000), CHECKPOINT, "checkpoint", "is too long"),
    Sabotage("the checkpoint has a bell", lambda b: put(b, CHECKPOINT, b.path(CHECKPOINT).read_bytes() + "\u2014 o\x07 AAAA\n".encode()), CHECKPOINT, "checkpoint", "control characters"),
    Sabotage("the checkpoint has a line that is none", lambda b: put(b, CHECKPOINT, b.path(CHECKPOINT).read_bytes() + b"x\n"), CHECKPOINT, "checkpoint", "a line among its signatures"),
    Sabotage("the checkpoint's text was changed", lambda b: put(b, CHECKPOINT, b.path(CHECKPOINT).read_bytes().replace(b"\n2\n", b"\n1\n")), CHECKPOINT, "checkpoint", "a signature that does not fit"),
    Sabotage("a signature is spelled in another way", lambda b: put(b, CHECKPOINT, b.path(CHECKPOINT).read_bytes()[:-2] + b"\n"), CHECKPOINT, "checkpoint", "is no Base64"),
    # Replays: whole trees, and what the verifier asks for.
    Sabotage("the tree is that of the release before", older, LOG, "pin", "it was cut"),
    Sabotage("the log is another one", forked, LOG, "pin", "it is another log"),
    Sabotage("another commit is asked for", want(commit="0" * 40), REPORT, "another_commit", COMMIT),
    Sabotage("another release is asked for", want(release="v1.2.4"), REPORT, "another_release", RELEASE),
    Sabotage("another profile is asked for", want(profile="vendor_live"), REPORT, "another_profile"),
    Sabotage("another policy is asked for", want(policy=VerificationPolicy(required_cases=("x_to_y__cdc",))), CERT, "says_profile"),
    # With the key: what is signed must still be true.
    Sabotage("a name leads out of the tree", resum(lambda t: f"{t}{'0' * 64}  ../x\n"), SUMS, "sums", "leads out of the tree"),
    Sabotage("a name is absolute", resum(lambda t: f"{t}{'0' * 64}  /x\n"), SUMS, "sums", "leads out of the tree"),
    Sabotage("a name has a backslash", resum(lambda t: f"{t}{'0' * 64}  a\\b\n"), SUMS, "sums", "a backslash"),
    Sabotage("a checkpoint has no size", lambda b: note_of(b, "{origin}\n02\n{root}\n"), CHECKPOINT, "checkpoint", "is no checkpoint"),
    Sabotage("a checkpoint is of another log", lambda b: note_of(b, "{origin}\n2\n{root}\n", origin="x"), CHECKPOINT, "checkpoint", "of another log"),
    Sabotage("a checkpoint has a short root", lambda b: note_of(b, "{origin}\n2\nAAAA\n"), CHECKPOINT, "checkpoint", "no root that is a SHA-256"),
    Sabotage("the log has no entry", lambda b: b.relog([]), LOG, "entry", "has no entry"),
    Sabotage("the last entry is no JSON", lambda b: b.relog([b"x"]), LOG, "entry", "not strict JSON"),
    Sabotage("the last entry is malformed", lambda b: b.reenter(more=1), LOG, "entry", "malformed"),
    Sabotage("the last entry is of another place", lambda b: b.relog(b.entries()[1:]), LOG, "entry_place"),
    Sabotage("the last entry is of other sums", lambda b: b.reenter(sums="0" * 64), SUMS, "entry_sums"),
    Sabotage("a statement is about other sums", of(CERT, lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)), CERT, "subject"),
    Sabotage("a statement is about more", of(RESULT, lambda s: s["subject"].append({"name": "x", "digest": {"sha256": "0" * 64}})), RESULT, "subject"),
    Sabotage("a statement has another type", of(CERT, lambda s: s.update(predicateType="https://example.com/dry-run")), CERT, "predicate_type"),
    Sabotage("a statement is none", of(CERT, lambda s: s.update(_type="x")), CERT, "statement"),
    Sabotage("a payload is no JSON", of(CERT, lambda s: b"x"), CERT, "statement"),  # type: ignore[dict-item]
    Sabotage("a payload is of another type", of(CERT, lambda s: None, kind="text/plain"), CERT, "signature", "another type of payload"),
    Sabotage("a statement says another place", of(CERT, predicate(lambda p: p["chain"].update(index=7))), CERT, "says_chain"),
    Sabotage("a statement says another commit", of(CERT, predicate(lambda p: p["source"].update(commit="0" * 40))), CERT, "says_source"),
    Sabotage("a statement says another scope", of(CERT, predicate(lambda p: p["scope"].update(planned=1))), CERT, "says_scope"),
    Sabotage("a statement says more", of(CERT, predicate(lambda p: p.update(more=1))), CERT, "says_more"),
    Sabotage("a statement leaves out", of(SUMMARY, predicate(lambda p: p.pop("inputAttestations"))), SUMMARY, "says_inputAttestations"),
    Sabotage("a test result says more tests", of(RESULT, predicate(lambda p: p["passedTests"].append("x"))), RESULT, "says_passedTests"),
    Sabotage("a summary says another policy", of(SUMMARY, predicate(lambda p: p["policy"].update(uri="x"))), SUMMARY, "says_policy"),
    Sabotage("a summary says another level", of(SUMMARY, predicate(lambda p: p["verifiedLevels"].append("SLSA_BUILD_LEVEL_3"))), SUMMARY, "says_verifiedLevels"),
    Sabotage("the report can't be read", lambda b: put(b, REPORT, b"x"), REPORT, "report"),
)  # fmt: skip
"""What `verify` must see."""


def untwin(b: Broken) -> None:
    put(b, MARKERS.replace(".json", ".md"), b"# All is well\n")


def source_of(b: Broken, **facts: object) -> None:
    b.edit(REPORT, lambda d: d.update(source={**d["source"], **facts}))


def record(change: Callable[[dict], object]) -> Callable[[Broken], None]:  # type: ignore[type-arg]
    return lambda b: b.edit(CASE, lambda d: change(d["record"]))


def document(name: str, change: Callable[[dict], object]) -> Callable[[Broken], None]:  # type: ignore[type-arg]
    return lambda b: b.edit(name, change)


def repacked(b: Broken) -> None:
    """A release pack that asks for no more than state and reconciliation, and says all that follows from that."""
    data = json.loads(b.path(PACK).read_bytes())
    live = json.loads(b.path("live-state-reconciliation/live_state_reconciliation.json").read_bytes())
    facts = {**live["facts"], "release": RELEASE}
    for row in facts["exhibits"]:
        row["path"] = f"../{Path(row['path']).name}"
    put(b, PACK, indented(compose(RELEASE_PACK, BundleFacts.model_validate(facts), again._stamp(data))))


RUNTIME, STATE = "observability/runtime_metrics.json", "state_evidence.json"
BENCHMARK, PERFORMANCE = (
    "benchmark-slo/benchmark_slo_gate.json",
    "performance-certification/performance_certification.json",
)
PACK, CHECKLIST = "release-evidence/release_evidence_pack.json", "pre-release/pre_release_checklist.json"
CHAIN, INDEX = "evidence-chain/evidence_chain_index.json", "artifact-index/artifact_index.json"

JUDGEMENT: tuple[Sabotage, ...] = (
    Sabotage("a case's document is gone", lambda b: b.path(CASE).unlink(), CASE, "document", "is missing"),
    Sabotage("a case is of another run", document(CASE, lambda d: d.update(run_id="r9")), CASE, "document", "of another run"),
    Sabotage("a case was edited", lambda b: put(b, CASE, b.path(CASE).read_bytes().replace(b'"seed": 1', b'"seed": 2')), CASE, "document", "was edited"),
    Sabotage("a case that nobody planned", lambda b: shutil.copy(b.path(CASE), b.path("matrix/x__behavior.json")), "matrix/x__behavior.json", "not_reported"),
    Sabotage("the report is red", document(REPORT, lambda d: d.update(passed=False)), REPORT, "contradicts_itself"),
    Sabotage("the report plans more", document(REPORT, lambda d: d.update(matrix_size=3)), REPORT, "reduced"),
    Sabotage("the report says other rows", document(REPORT, lambda d: d["cases"][0].update(rows=10**6)), REPORT, "another_row"),
    Sabotage("the report says real services", document(REPORT, lambda d: d["services"][0].update(version="99")), REPORT, "other_services"),
    Sabotage("metrics are malformed", document(RUNTIME, lambda d: d["facts"]["totals"].update(rows="x")), RUNTIME, "not_told"),
    Sabotage("the index is not the one in the chain", document(INDEX, lambda d: d["facts"]["files"][0].update(link="")), INDEX, "not_chained"),
    Sabotage("the report says other mishaps", document(REPORT, lambda d: d["mishaps"].update(kills=9)), REPORT, "other_mishaps"),
    Sabotage("the records say emulated", record(lambda r: r["services"][0].update(fidelity="emulated")), REPORT, "blocker_left_out", "fidelity_emulated"),
    Sabotage("the head of a case says another release", document(CASE, lambda d: d.update(release="v9.9.9")), CASE, "another_release"),
    Sabotage("the head of a case says another profile", document(CASE, lambda d: d.update(profile="vendor_live")), CASE, "another_profile"),
    Sabotage("a gate is of another run", document(MARKERS, lambda d: d.update(run_id="r9")), MARKERS, "another_run_id"),
    Sabotage("a gate is of another commit", document(RUNTIME, lambda d: d["source"].update(commit="0" * 40)), RUNTIME, "another_source"),
    Sabotage("markers are gone", lambda b: b.path(MARKERS).unlink(), MARKERS, "missing", "real_local needs it"),
    Sabotage("the release pack is gone", lambda b: b.path(PACK).unlink(), PACK, "missing", "real_local needs it"),
    Sabotage("a gate was edited", lambda b: put(b, MARKERS, b.path(MARKERS).read_bytes().replace(b'"passed": 8', b'"passed": 9')), MARKERS, "edited"),
    Sabotage("a gate says another verdict", document(STATE, lambda d: d.update(blockers=["x.y"])), STATE, "contradicts_itself"),
    Sabotage("a gate is typed", lambda b: put(b, STATE, b'{"passed": true, "checks": 5}'), STATE, "measured_elsewhere", "elsewhere"),
    Sabotage("a gate is of a command", document(STATE, lambda d: d.update(origin="command")), STATE, "measured_elsewhere", "by hand"),
    Sabotage("metrics are better", document(RUNTIME, lambda d: d["facts"]["totals"].update(rows=10**9)), RUNTIME, "not_from_records"),
    Sabotage("state has more checks", document(STATE, lambda d: d["facts"]["rows"][0].update(checks=99)), STATE, "not_from_records"),
    Sabotage("the benchmark has other metrics", document(BENCHMARK, lambda d: d["facts"]["metrics"].update(rows=10**9)), BENCHMARK, "not_from_records"),
    Sabotage("the performance has other metrics", document(PERFORMANCE, lambda d: d["facts"]["metrics"].update(rows=10**9)), PERFORMANCE, "not_from_records"),
    Sabotage("a required case is said to have passed", document("scope_lock.json", lambda d: d["facts"]["cases"].update(x="passed")), "scope_lock.json", "not_from_records"),
    Sabotage("the scope is smaller", document("scope_lock.json", lambda d: d["facts"]["cases"].popitem()), "scope_lock.json", "not_from_records"),
    Sabotage("another source is bound", document("source_binding.json", lambda d: [d["facts"][end]["tree"].update(commit="0" * 40) for end in ("start", "end")]), "source_binding.json", "binds_another"),
    Sabotage("the source was changed during the run", document("source_binding.json", lambda d: d["facts"]["end"]["tree"]["tracked"].update(digest="e" * 64)), "source_binding.json", "contradicts_itself"),
    Sabotage("the release pack is of other artifacts", document(PACK, lambda d: d["facts"]["exhibits"][0].update(path="../x.json")), PACK, "not_from_records"),
    Sabotage("the release pack is of another kind", repacked, PACK, "contradicts_itself", "the facts of another pack"),
    Sabotage("the release pack leaves something out", document(PACK, lambda d: d["facts"]["exhibits"].pop()), PACK, "red", "missing"),
    Sabotage("an indexed file changed", lambda b: put(b, "junit.xml", b"x") or put(b, "report.html", b"x"), "report.html", "changed"),
    Sabotage("the chain lost an entry", lambda b: b.path("evidence-chain/entries/000000.json").unlink(), "evidence-chain", "removed"),
    Sabotage("the chain is gone inside", lambda b: [shutil.rmtree(b.path("evidence-chain")), b.path(CHAIN).parent.mkdir(), b.path(CHAIN).symlink_to("x")], CHAIN, "missing"),
    Sabotage("a twin says something else", untwin, "service_markers.md", "another_twin"),
    Sabotage("a case's twin says something else", lambda b: put(b, CASE.replace(".json", ".md"), b"x"), CASE.replace(".json", ".md"), "another_twin"),
    Sabotage("the report's twin says something else", lambda b: put(b, REPORT.replace(".json", ".md"), b"x"), REPORT.replace(".json", ".md"), "another_twin"),
    Sabotage("a twin is gone", lambda b: b.path("service_markers.md").unlink(), "service_markers.md", "twin_unreadable"),
    Sabotage("exported metrics are better", lambda b: put(b, RUNTIME.replace(".json", ".prom"), b"x"), RUNTIME.replace(".json", ".prom"), "another_twin"),
    Sabotage("exported lines are better", lambda b: put(b, RUNTIME.replace(".json", ".otlp.jsonl"), b"x"), RUNTIME.replace(".json", ".otlp.jsonl"), "another_twin"),
    Sabotage("the commit is not known", lambda b: source_of(b, commit=None), REPORT, "commit_unknown"),
    Sabotage("the tree was dirty", lambda b: source_of(b, dirty=True), REPORT, "dirty"),
    Sabotage("nobody knows if it was dirty", lambda b: source_of(b, dirty=None), REPORT, "dirty"),
)  # fmt: skip
"""What the judgement of the records must see, whoever has signed them."""

NOTHING: Callable[[Broken], object] = lambda b: None  # noqa: E731
ASKED: tuple[tuple[str, Callable[[Broken], object], VerificationPolicy, str, str], ...] = (
    ("a profile", NOTHING, VerificationPolicy(profiles=("vendor_live",)), REPORT, "profile_refused"),
    ("a case", NOTHING, VerificationPolicy(required_cases=("postgres_to_postgres__cdc",)), REPORT, "case_required"),
    ("a scope lock", NOTHING, VerificationPolicy(scope_lock="a" * 64), REPORT, "another_scope"),
    ("an artifact", NOTHING, VerificationPolicy(required_artifacts=("sbom.json",)), "sbom.json", "artifact_required"),
    ("a bound", NOTHING, VerificationPolicy.model_validate({"objectives": {"rows": {"max": 1}}}), RUNTIME, "objective"),
    (
        "real services",
        document(REPORT, lambda d: d.update(accepted_fidelity=["emulated"])),
        VerificationPolicy(accept_fidelity=("engine",)),
        REPORT,
        "fidelity_refused",
    ),
)
"""What a policy asks for, how a tree comes to lack it, the policy, and the finding."""
