"""Verify a sealed tree: files, log, signatures, and the verdict that follows from the records; all from its bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from ..core.gates.policy import PACKAGED, VerificationPolicy
from ..core.gates.ruling import Ruling, red
from ..core.strict import NotStrict, parse_object
from ..evidence.artifacts import LOCK
from ..evidence.chain import Unverifiable
from ..evidence.dsse import BadEnvelope, opened
from ..evidence.exhibits import remembering
from ..evidence.files import Unreadable, knowing, normal, read_bytes, sha256
from ..evidence.keys import Verifier
from ..evidence.note import BadNote, Checkpoint, open_checkpoint, origin_of
from ..evidence.statements import (
    CERTIFICATION,
    CERTIFICATION_FILE,
    FILES,
    STATEMENT,
    SUMMARY,
    SUMMARY_FILE,
    TEST_RESULT,
    TEST_RESULT_FILE,
    Certification,
    Statement,
    Summary,
    as_predicate,
)
from ..evidence.sums import CHECKPOINT, LOG, SEAL, SUMS, BadSums, digests, read_sums, walk
from ..evidence.tlog import BadLog, Log, against, read_log
from .again import judge_again
from .attest import Judgement, certification, place_of, summary, test_result
from .evidence import MATRIX_FOLDER, Evidence, read_evidence
from .matrix_files import REPORT_FILE

_CP, _LOG = f"{SEAL}/{CHECKPOINT}", f"{SEAL}/{LOG}"
_TYPES = {TEST_RESULT_FILE: TEST_RESULT, CERTIFICATION_FILE: CERTIFICATION, SUMMARY_FILE: SUMMARY}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the verifier expects; None: whatever the tree says."""

    commit: str | None = None
    release: str | None = None
    profile: str | None = None
    pin: Checkpoint | None = None
    """The head of the log that was kept elsewhere."""
    policy: VerificationPolicy = PACKAGED


@dataclass(slots=True)
class Verification:
    """What was found. `rulings` are red, and their subjects are files; none, and the tree is whole and green."""

    root: Path
    verifier: Verifier
    wanted: Wanted
    rulings: tuple[Ruling, ...] = ()
    seal: dict[str, bytes] = field(default_factory=dict)
    """The bytes of the seal's own files, by name; of one that can't be read none."""
    actual: dict[str, tuple[str, int] | Unreadable] = field(default_factory=dict)
    """Digest and size of each file of the tree, or why it can't be read."""
    head: Checkpoint | None = None
    same: bool = False
    """If the files are those that `SHA256SUMS` lists."""
    log: Log = field(default_factory=Log)
    statements: dict[str, Statement] = field(default_factory=dict)
    """File → what its envelope holds; only what the key has signed."""
    certification: Certification | None = None
    """What follows from the tree, whatever a signature says."""

    @property
    def sums(self) -> dict[str, str]:
        """Digests of the files that can be read."""
        return {name: found[0] for name, found in self.actual.items() if isinstance(found, tuple)}

    @property
    def sums_digest(self) -> str:
        """Of the bytes of `SHA256SUMS`."""
        return sha256(self.seal.get(SUMS, b""))


def verify(root: Path, verifier: Verifier, wanted: Wanted | None = None) -> Verification:
    """Verify the sealed tree at `root` with a public key that one had before.

    Raises `Unverifiable` if there is nothing that could be verified: no folder, or no seal in it.
    """
    if not root.is_dir():
        raise Unverifiable(f"there is no tree: {root} is no folder", hint="name the folder that was sealed")
    if not (root / SUMS).exists() and not (root / SEAL).exists():
        raise Unverifiable(
            f"there is no seal: {root} has no {SUMS} and no folder {SEAL}", hint="seal it with `pytest-dpone seal`"
        )
    found = Verification(root, verifier, wanted or Wanted())
    # All steps are taken, so that one finding does not hide another one.
    rulings = [ruling for step in STEPS for ruling in step(found)]
    found.rulings = tuple(dict.fromkeys(rulings))
    return found


def _seal_files(found: Verification) -> Iterator[Ruling]:
    """The files of the seal: all of them, and nothing beside them."""
    names = (SUMS, _CP, _LOG, *(f"{SEAL}/{name}" for name in FILES))
    for name in names:
        try:
            found.seal[name] = read_bytes(found.root / name)
        except Unreadable as error:
            yield red(name, "seal_unreadable", f"{name} {error}")
    for name in (SEAL, *names):
        if (found.root / name).is_symlink():
            yield red(name, "seal_link", f"{name} is a link, and no file of this tree")
    folder = found.root / SEAL
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        name = f"{SEAL}/{path.name}"
        empty = path.name == LOCK and path.is_file() and path.stat().st_size == 0
        if name not in names and not empty:
            yield red(name, "seal_stranger", f"{name} is no file of a seal")


def _tree_files(found: Verification) -> Iterator[Ruling]:
    """The files of the tree are those that `SHA256SUMS` lists, byte by byte."""
    names, problems = walk(found.root)
    found.actual.update(digests(found.root, names))
    for problem in problems:
        yield red(problem.subject, problem.code, problem.text)
    try:
        listed = read_sums(found.seal.get(SUMS, b""))
    except BadSums as error:
        yield red(SUMS, "sums", f"{SUMS} {error}")
        return
    for name, digest in listed.items():
        actual = found.actual.get(name)
        if actual is None:
            yield red(name, "file_missing", f"{name} is missing")
        elif isinstance(actual, Unreadable) or actual[0] != digest:
            why = actual if isinstance(actual, Unreadable) else "was changed since it was sealed"
            yield red(name, "file_changed", f"{name} {why}")
    found.same = not problems and found.sums == listed
    for name in found.actual:
        if name not in listed:
            yield red(name, "file_added", f"{name} was added since the tree was sealed")


def _log(found: Verification) -> Iterator[Ruling]:
    """The log is the one that its checkpoint was signed over, and goes on from the one that was kept elsewhere."""
    try:
        found.head = open_checkpoint(found.seal.get(_CP, b""), found.verifier)
    except BadNote as error:
        yield red(_CP, "checkpoint", f"{_CP} {error}")
    try:
        found.log = read_log(found.seal.get(_LOG, b"\n"))
    except BadLog as error:
        yield red(_LOG, "log", f"{_LOG} {error}")
    if found.head is not None:
        if problem := against(found.log, found.head):
            yield red(_LOG, "log_changed", f"{_LOG} {problem}")
        elif found.log.size != found.head.size:
            yield red(_LOG, "log_added", f"{_LOG} has entries that {_CP} does not cover")
    pin = found.wanted.pin
    if pin is not None and (problem := against(found.log, pin)):
        yield red(_LOG, "pin", f"{_LOG} {problem}, by the checkpoint that was kept: older, or another log")


def _entry(found: Verification) -> Iterator[Ruling]:
    """The last entry is this tree's: at its place, of these sums, of these envelopes."""
    try:
        entry = found.log.head()
    except BadLog as error:
        yield red(_LOG, "entry", f"{_LOG} {error}")
        return
    if entry.index != found.log.size - 1:
        yield red(_LOG, "entry_place", f"{_LOG}: its last entry says that it is entry {entry.index}")
    if entry.sums != found.sums_digest:
        yield red(SUMS, "entry_sums", f"{SUMS} is not the one that the last entry of {_LOG} names")
    for name in FILES:
        if entry.statements.get(name) != sha256(found.seal.get(f"{SEAL}/{name}", b"")):
            path = f"{SEAL}/{name}"
            yield red(path, "entry_statement", f"{path} is not the one that the last entry of {_LOG} names")


def _signatures(found: Verification) -> Iterator[Ruling]:
    """Each envelope is signed by the key, and is a statement of its type about these sums."""
    for name, kind in _TYPES.items():
        path = f"{SEAL}/{name}"
        try:
            payload = opened(found.seal.get(path, b""), found.verifier)
            parse_object(payload)
            statement = Statement.model_validate_json(payload, strict=True)
        except BadEnvelope as error:
            yield red(path, "signature", f"{path} {error}")
            continue
        except (NotStrict, ValidationError):
            yield red(path, "statement", f"{path} holds no in-toto statement ({STATEMENT})")
            continue
        found.statements[name] = statement
        if statement.predicate_type != kind:
            yield red(path, "predicate_type", f"{path} holds a predicate of another type than {kind}")
        subjects = [(row.name, row.digest) for row in statement.subject]
        if subjects != [(SUMS, {"sha256": found.sums_digest})]:
            yield red(path, "subject", f"{path} is not about this {SUMS}")


def _verdict(found: Verification) -> Iterator[Ruling]:
    """What follows from the records, by the gates; and that the statements say just that."""
    known = {normal(found.root / name): row for name, row in found.actual.items() if isinstance(row, tuple)}
    with remembering(), knowing(known):
        try:
            evidence = read_evidence(found.root)
        except Unverifiable as error:
            yield red(f"{MATRIX_FOLDER}/{REPORT_FILE}", "report", error.fact)
            return
        rulings = judge_again(evidence, found.wanted.policy)
    yield from rulings
    yield from _expected(found, evidence)
    said = list(_said(found, Judgement(evidence, found.wanted.policy, rulings, found.sums)))
    # Of another tree than the sealed one they say something else anyway: the files are what there is to tell.
    if found.same:
        yield from said


def _said(found: Verification, judgement: Judgement) -> Iterator[Ruling]:
    before = found.log.roots[max(found.log.size - 1, 0)]
    place = place_of(origin_of(found.verifier), max(found.log.size - 1, 0), before)
    found.certification = certification(judgement, place)
    inputs = {name: sha256(found.seal.get(f"{SEAL}/{name}", b"")) for name in (TEST_RESULT_FILE, CERTIFICATION_FILE)}
    told = found.statements.get(SUMMARY_FILE)
    time, version = _from_summary(told.predicate if told is not None else {})
    expected = {
        TEST_RESULT_FILE: as_predicate(test_result(judgement)),
        CERTIFICATION_FILE: as_predicate(found.certification),
        SUMMARY_FILE: as_predicate(summary(judgement, inputs, time=time, version=version)),
    }
    for name, statement in found.statements.items():
        path = f"{SEAL}/{name}"
        for key in sorted({*expected[name], *statement.predicate}):
            if statement.predicate.get(key) != expected[name].get(key):
                yield red(path, f"says_{key}", f"{path} says something else under {key} than follows from the tree")


def _from_summary(predicate: Mapping[str, object]) -> tuple[str, str]:
    """When a summary was made and by which version: nothing else can tell."""
    try:
        told = Summary.model_validate_json(json.dumps(predicate), strict=True)
    except ValidationError:
        return "", ""
    return told.time_verified, told.verifier.version.get("pytest-dpone", "")


def _expected(found: Verification, evidence: Evidence) -> Iterator[Ruling]:
    """The commit, release and profile that the verifier asks for."""
    path, wanted = evidence.report_path, found.wanted
    commit = evidence.source.commit
    if wanted.commit is not None and commit != wanted.commit:
        yield red(path, "another_commit", f"{path} is of the commit {commit}, not {wanted.commit}")
    if wanted.release is not None and evidence.report.release != wanted.release:
        yield red(path, "another_release", f"{path} is of the release {evidence.report.release}, not {wanted.release}")
    if wanted.profile is not None and evidence.report.profile != wanted.profile:
        yield red(path, "another_profile", f"{path} is of the profile {evidence.report.profile}, not {wanted.profile}")


STEPS: tuple[Callable[[Verification], Iterator[Ruling]], ...] = (
    _seal_files,
    _tree_files,
    _log,
    _entry,
    _signatures,
    _verdict,
)
"""Everything that is verified, in the order in which it is told."""
