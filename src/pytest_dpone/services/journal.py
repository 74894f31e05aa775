"""What a run made on servers that outlive it: recorded before it is made, so that it can be removed by name."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .lease import RUN_ID, base_directory

_FOLDER = "left"


@dataclass(frozen=True)
class Made:
    """A namespace of a service; `bucket` is where S3 keeps it. No address: that is in the environment.

    `ours` is the service of the run itself, which may be kept after it.
    """

    service: str
    namespace: str
    bucket: str = ""
    ours: bool = False


def note(run_id: str, made: Made, *, base: Path | None = None) -> None:
    """Record that `made` is about to be made. One short append, which a process that is killed does not undo."""
    with _alone(base):
        _append(run_id, {**asdict(made), "gone": False}, base)


def forget(run_id: str, made: Made, *, base: Path | None = None) -> None:
    """Record that `made` is gone; the record of a run that left nothing goes too."""
    with _alone(base):
        _append(run_id, {**asdict(made), "gone": True}, base)
        if not left(run_id, base=base):
            _path(run_id, base).unlink(missing_ok=True)


def left(run_id: str, *, base: Path | None = None) -> list[Made]:
    """What the run made and did not remove, in order."""
    try:
        lines = _path(run_id, base).read_text().splitlines()
    except FileNotFoundError:
        return []
    found: dict[Made, None] = {}
    for line in lines:
        try:
            data = json.loads(line)
            gone = data.pop("gone")
            made = Made(**data)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # the last line of a process that was killed while it wrote
        if gone:
            found.pop(made, None)
        else:
            found[made] = None
    return list(found)


def runs_with_remains(*, base: Path | None = None) -> list[str]:
    """The ids of the runs that have a record, whether they are alive or not."""
    folder = (base or base_directory()) / _FOLDER
    names = sorted(path.stem for path in folder.glob("*.jsonl")) if folder.is_dir() else []
    return [name for name in names if RUN_ID.fullmatch(name) and left(name, base=base)]


@contextlib.contextmanager
def _alone(base: Path | None) -> Iterator[None]:
    """While nobody else writes: a line that is added to a record just before it is removed would be lost."""
    folder = (base or base_directory()) / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _append(run_id: str, data: dict[str, object], base: Path | None) -> None:
    path = _path(run_id, base)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        os.write(handle, json.dumps(data).encode() + b"\n")
    finally:
        os.close(handle)


def _path(run_id: str, base: Path | None) -> Path:
    return (base or base_directory()) / _FOLDER / f"{run_id}.jsonl"
