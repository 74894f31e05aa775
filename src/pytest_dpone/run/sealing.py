"""Seal a tree: judge it again, refuse what must not get out, and sign what it says; the checkpoint is written last."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..core.gates.policy import VerificationPolicy
from ..core.gates.ruling import Ruling
from ..errors import ArtifactError, DponeError, UsageError
from ..evidence.artifacts import LOCK, check_writable, held, hold, write_text
from ..evidence.dsse import sealed
from ..evidence.exhibits import remembering
from ..evidence.files import Unreadable, read_bytes, sha256
from ..evidence.keys import Signer
from ..evidence.leaks import Needles, line_of
from ..evidence.note import Checkpoint, origin_of
from ..evidence.statements import (
    CERTIFICATION,
    CERTIFICATION_FILE,
    FILES,
    SUMMARY,
    SUMMARY_FILE,
    TEST_RESULT,
    TEST_RESULT_FILE,
    statement,
)
from ..evidence.sums import CHECKPOINT, LOG, SEAL, SUMS, sums_text, walk
from ..evidence.tlog import Log, Sealed, against, kept_log, put
from .again import judge_again, unfinished
from .attest import Judgement, certification, place_of, summary, test_result
from .evidence import MATRIX_FOLDER, check_is_tree, read_evidence

LOCK_SECONDS = 60.0
"""How long a writer waits for another one at the log."""
_TOLD = 20
_TEMPORARY = re.compile(r"\..+-[a-z0-9_]{8}|\.try-[a-z0-9_]{8}")
"""Names of files that were being written when their writer died."""


class Refused(DponeError):
    """A tree that must not be sealed: it is not whole, or holds secrets."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What was sealed: the judgement, the checkpoint to keep elsewhere, and what was not looked for."""

    judgement: Judgement
    checkpoint: str
    size: int
    """Entries of the log."""
    notes: tuple[str, ...] = ()


def seal(
    root: Path,
    *,
    signer: Signer,
    policy: VerificationPolicy,
    needles: Needles,
    time: str,
    version: str,
    log_folder: Path | None = None,
    pin: Checkpoint | None = None,
) -> Seal:
    """Seal the tree at `root`, and append to the log in `log_folder`, by default the tree's own.

    `time` is this moment (RFC 3339, UTC). Raises `Refused`, `Unverifiable` if there is no run's tree, `UsageError`,
    and `ArtifactError` if something can't be written, or if the log is not whole.
    """
    log_folder = _log_folder(root, log_folder)
    check_is_tree(root)
    with ExitStack() as stack:
        for folder in (root, root / MATRIX_FOLDER):
            handle = hold(folder)
            if handle is None:
                raise Refused(f"another process is writing to {folder}", hint="wait for the end of the run or seal")
            stack.callback(os.close, handle)
        _clear(root)
        names = _whole(root)
        evidence = read_evidence(root)
        if missing := unfinished(evidence):
            told = "; ".join(missing[:_TOLD])
            raise Refused(f"the run that wrote {root} did not come to its end: {told}", hint="run it again")
        sums = _clean(root, names, needles)
        with remembering():
            rulings = judge_again(evidence, policy)
        judgement = Judgement(evidence, policy, rulings, sums)
        check_writable(log_folder)
        stack.enter_context(held(log_folder, seconds=LOCK_SECONDS))
        log = kept_log(log_folder, signer.verifier)
        if pin is not None and (problem := against(log, pin)):
            raise ArtifactError(f"{log_folder / LOG} {problem}", hint="find out who has changed the log")
        entry = _write(root, judgement, log, signer, time=time, version=version)
        grown = Log((*log.lines, entry.line()))
        note = put(log_folder, grown, signer)
        if log_folder != root / SEAL:
            note = put(root / SEAL, grown, signer)
    notes = tuple(f"not looked for: the value of {name}, which is too short" for name in needles.short)
    return Seal(judgement, note, grown.size, notes)


def _write(root: Path, judgement: Judgement, log: Log, signer: Signer, *, time: str, version: str) -> Sealed:
    """The sums and the envelopes. As long as the log does not name them, they count for nothing."""
    text = sums_text(judgement.sums)
    digest = sha256(text.encode())
    place = place_of(origin_of(signer.verifier), log.size, log.roots[-1])
    envelopes = {
        TEST_RESULT_FILE: sealed(statement(TEST_RESULT, test_result(judgement), sums=digest), signer),
        CERTIFICATION_FILE: sealed(statement(CERTIFICATION, certification(judgement, place), sums=digest), signer),
    }
    inputs = {name: sha256(envelope) for name, envelope in envelopes.items()}
    last = summary(judgement, inputs, time=time, version=version)
    envelopes[SUMMARY_FILE] = sealed(statement(SUMMARY, last, sums=digest), signer)
    write_text(root / SUMS, text)
    for name, envelope in envelopes.items():
        write_text(root / SEAL / name, envelope.decode())
    return Sealed(
        index=log.size,
        release=judgement.release,
        run_id=judgement.evidence.report.run_id,
        sums=digest,
        statements={name: sha256(envelope) for name, envelope in envelopes.items()},
    )


def _log_folder(root: Path, folder: Path | None) -> Path:
    own = root / SEAL
    if folder is None or folder.resolve() == own.resolve():
        return own
    if folder.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"the log {folder} lies in the tree that is to be sealed", hint="name a folder outside of the tree"
        )
    return folder


def _clear(root: Path) -> None:
    """Remove what a killed seal left half written. Raises `Refused` for strangers in the folder of the seal."""
    known = {*FILES, LOG, CHECKPOINT, LOCK}
    folder = root / SEAL
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in inside:
        if path.name not in known and not _TEMPORARY.fullmatch(path.name):
            raise Refused(f"{path} is in the way: the folder is a seal's alone", hint="move it away")
    for path in (*inside, *root.glob(f".{SUMS}-????????")):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _whole(root: Path) -> list[str]:
    """The names of all files. Raises `Refused` if something in the tree can't be sealed, or is half written."""
    names, problems = walk(root)
    _refuse(problems, "can't be sealed", hint="remove it, or put a file in its place; then seal again")
    half = [name for name in names if _TEMPORARY.fullmatch(name.rpartition("/")[2])]
    if half:
        told = ", ".join(half[:_TOLD])
        raise Refused(
            f"{root} is not finished: {told} was being written when its writer died", hint="run the certification again"
        )
    return names


def _clean(root: Path, names: list[str], needles: Needles) -> dict[str, str]:
    """Digests by name. Raises `Refused` if a file holds a secret; the message has its place, not the secret."""
    sums: dict[str, str] = {}
    told: list[str] = []
    for name in names:
        if leak := next(needles.find(name.encode()), None):
            told.append(f"a name below {name.count('/')} folders holds {leak.what}")
            continue
        try:
            data = read_bytes(root / name)
        except Unreadable as error:
            raise Refused(f"{root / name} {error}", hint="remove it, or make it readable") from None
        sums[name] = sha256(data)
        told += _leaks(name, data, needles)
    if told:
        more = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        raise Refused(
            f"secrets would be sealed: {'; '.join(told[:_TOLD])}{more}",
            hint="change the secret, find out how it got there, and run again; a short common word is no password",
        )
    return sums


def _leaks(name: str, data: bytes, needles: Needles) -> Iterator[str]:
    seen: set[tuple[str, int]] = set()
    for leak in needles.find(data):
        line, column = line_of(data, leak.offset)
        what = leak.what.partition(",")[0]
        if (what, line) not in seen:
            seen.add((what, line))
            yield f"{name}, line {line}, byte {column}: {leak.what}"


def _refuse(problems: list[Ruling], what: str, *, hint: str) -> None:
    if problems:
        raise Refused(f"{'; '.join(ruling.text for ruling in problems[:_TOLD])}: {what}", hint=hint)
