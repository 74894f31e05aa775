"""The log of seals: a file with one entry a line, and a signed checkpoint over the RFC 6962 root of all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from ..core.gates.chain import Sha256
from ..core.gates.documents import first_error
from ..core.gates.merkle import leaf_hash, roots
from ..core.gates.ruling import Value
from ..core.strict import NotStrict, parse_object
from ..errors import ArtifactError, UsageError
from .artifacts import write_text
from .files import Unreadable, read_bytes
from .keys import Signer, Verifier
from .note import BadNote, Checkpoint, open_checkpoint, signed_checkpoint
from .sums import CHECKPOINT, LOG


class BadLog(ValueError):
    """Bytes are no log of ours; the message follows the file's name."""


class Sealed(Value):
    """An entry: which tree was sealed, and the statements over it."""

    schema_: Literal["pytest-dpone/seal-log-entry/v1"] = Field(default="pytest-dpone/seal-log-entry/v1", alias="schema")
    index: Annotated[int, Field(ge=0)]
    release: str
    run_id: str
    sums: Sha256
    """Of the bytes of `SHA256SUMS`."""
    statements: dict[str, Sha256]
    """File of an envelope → digest of its bytes."""

    def line(self) -> bytes:
        """The entry's bytes in the log, without the newline; its leaf is the hash of these."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Log:
    """Entries as lines, oldest first, with the roots of all their prefixes in hex."""

    lines: tuple[bytes, ...] = ()

    @property
    def roots(self) -> list[str]:
        """The first one is of no entry, the last one of all."""
        return roots(leaf_hash(line) for line in self.lines)

    @property
    def size(self) -> int:
        """How many entries there are."""
        return len(self.lines)

    def text(self) -> str:
        """The file's text."""
        return "".join(f"{line.decode()}\n" for line in self.lines)

    def head(self) -> Sealed:
        """The last entry. Raises `BadLog`."""
        if not self.lines:
            raise BadLog("has no entry")
        try:
            parse_object(self.lines[-1])
            return Sealed.model_validate_json(self.lines[-1], strict=True)
        except NotStrict as error:
            raise BadLog(f"has a last entry that is not strict JSON: {error}") from None
        except ValidationError as error:
            raise BadLog(f"has a last entry that is malformed: {first_error(error)}") from None


def read_log(raw: bytes) -> Log:
    """The log that `raw` holds. Raises `BadLog`."""
    lines = raw.split(b"\n")
    if lines.pop() != b"":
        raise BadLog("does not end with a whole line: it was cut")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadLog("is not UTF-8") from None
    return Log(tuple(lines))


def kept_log(folder: Path, verifier: Verifier) -> Log:
    """The log in `folder`, empty if there is none yet; its checkpoint is what counts.

    A line that the checkpoint does not cover is of a writer that died before it was done, and is left out. Raises
    `ArtifactError` if the log is not the one that the checkpoint names: nothing may be built upon it.
    """
    log, note = _read(folder / LOG), _read(folder / CHECKPOINT)
    if note is None and (log is None or log.count(b"\n") <= 1):
        return Log()
    hint = f"put back the whole folder {folder} from where it is kept; a log is never repaired"
    if note is None or log is None:
        missing = CHECKPOINT if note is None else LOG
        raise ArtifactError(f"the log in {folder} is not whole: {missing} is missing", hint=hint)
    try:
        head = open_checkpoint(note, verifier)
        found = read_log(log)
    except BadNote as error:
        raise ArtifactError(f"{folder / CHECKPOINT} {error}", hint=hint) from None
    except BadLog as error:
        raise ArtifactError(f"{folder / LOG} {error}", hint=hint) from None
    if problem := against(found, head):
        raise ArtifactError(f"{folder / LOG} {problem}", hint=hint)
    return Log(found.lines[: head.size])


def against(log: Log, head: Checkpoint) -> str:
    """How `log` does not begin with what `head` was signed over; empty if it does. Follows the file's name."""
    if log.size < head.size:
        return f"has {log.size} entries, and had {head.size}: it was cut"
    if log.roots[head.size] != head.root:
        return f"does not begin with the {head.size} entries that were signed: it is another log"
    return ""


def put(folder: Path, log: Log, signer: Signer) -> str:
    """Write `log` into `folder`, and last the checkpoint that makes it count, which is returned.

    Raises `ArtifactError`.
    """
    note = signed_checkpoint(log.size, log.roots[-1], signer)
    write_text(folder / LOG, log.text())
    write_text(folder / CHECKPOINT, note)
    return note


def read_pin(path: Path, verifier: Verifier) -> Checkpoint:
    """The checkpoint that somebody has kept. Raises `UsageError`: it is the caller's own file."""
    try:
        return open_checkpoint(read_bytes(path), verifier)
    except Unreadable as error:
        raise UsageError(f"the checkpoint {path} {error}", hint="name a `checkpoint` that was kept") from None
    except BadNote as error:
        raise UsageError(
            f"the checkpoint {path} {error}", hint="name a `checkpoint` that this key has signed"
        ) from None


def _read(path: Path) -> bytes | None:
    try:
        return read_bytes(path)
    except Unreadable as error:
        if str(error) == "is missing":
            return None
        raise ArtifactError(f"{path} {error}", hint="look at the folder of the log") from None
