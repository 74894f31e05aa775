"""Atomic files for what a run leaves: temporary file, fsync, rename; strict JSON in and out."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ..core.strict import indented
from ..errors import ArtifactError

LOCK = ".lock"
"""Name of the empty file whose lock says that a run holds a folder."""


def write_json(path: Path, data: Mapping[str, object]) -> None:
    """Write `data` as indented UTF-8 JSON. Raises `ArtifactError`; NaN and Infinity are a `ValueError`."""
    _write(path, indented(data))


def write_text(path: Path, text: str) -> None:
    """Put `text` at `path`, whole or not at all; a reader never sees a part.

    Raises `ArtifactError`, after which `path` is as it was and no temporary file is left.
    """
    _write(path, text.encode("utf-8", "backslashreplace"))


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content)
    except OSError as error:
        raise _explained(error, path) from error


def read_json(path: Path) -> dict[str, object]:
    """The JSON object at `path`. Raises `ArtifactError` for anything that is not strict JSON with unique keys."""
    try:
        data = json.loads(path.read_bytes(), object_pairs_hook=_unique, parse_constant=_refuse)
    except OSError as error:
        raise _explained(error, path) from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not strict JSON: {error}", hint="run the certification again") from error
    if not isinstance(data, dict):
        raise ArtifactError(f"{path} holds no JSON object", hint="run the certification again")
    return data


def check_writable(directory: Path) -> None:
    """Create `directory` and try a file in it. Raises `ArtifactError` if that does not work."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".try-"):
            pass
    except OSError as error:
        raise _explained(error, directory) from error


def hold(directory: Path) -> int | None:
    """Hold `directory` for this process until it ends; None if another living process holds it.

    The lock is the kernel's, so a process that was killed holds nothing. Returns the handle that keeps the lock;
    raises `ArtifactError` if the lock file can't be opened.
    """
    import fcntl

    try:
        handle = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _explained(error, directory / LOCK) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


@contextmanager
def held(directory: Path, *, seconds: float) -> Iterator[None]:
    """Hold `directory`, waiting for another holder. Raises `ArtifactError` if that one takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while (handle := hold(directory)) is None:
        if time.monotonic() > end:
            raise ArtifactError(
                f"another process has been writing to {directory} for {seconds:.0f} s", hint="wait, then try again"
            )
        time.sleep(0.02)
    try:
        yield
    finally:
        os.close(handle)


def remove_stale(directory: Path, *, schemas: Collection[str]) -> int:
    """Remove the artifacts of an earlier run, so that none of them looks like a result of this one; returns how many.

    Only files that say themselves that they are ours go: a JSON file directly in `directory` whose `schema` is one of
    `schemas`, with its Markdown twin. Raises `ArtifactError` if one can't be removed.
    """
    removed = 0
    for path in sorted(directory.glob("*.json")):
        if _is_ours(path, schemas):
            _remove(path)
            removed += 1
    return removed


def remove_stale_file(path: Path, *, schemas: Collection[str], beside: Iterable[Path] = ()) -> None:
    """Remove the document at `path`, its Markdown twin and the files `beside` it, if there is one.

    Raises `ArtifactError` if it can't be removed, and if it is none of ours: it would be written over.
    """
    if not os.path.lexists(path):
        return
    if not _is_ours(path, schemas):
        raise ArtifactError(
            f"{path} is in the way: it was not written by pytest-dpone",
            hint="move it away, or choose another folder with --dpone-artifact-dir",
        )
    _remove(path, beside)


def _is_ours(path: Path, schemas: Collection[str]) -> bool:
    try:
        return read_json(path).get("schema") in schemas
    except ArtifactError:
        return False


def _remove(path: Path, beside: Iterable[Path] = ()) -> None:
    # The JSON goes last: if this is interrupted, the next run finds it and removes the rest.
    for stale in (*beside, path.with_suffix(".md"), path):
        try:
            stale.unlink(missing_ok=True)
        except OSError as error:
            raise _explained(error, stale) from error


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            # mkstemp gives 0600; an artifact is for everybody who may read the folder.
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"the key {twice[0]!r} occurs twice")
    return found


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _explained(error: OSError, path: Path) -> ArtifactError:
    reason = error.strerror or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ArtifactError(f"{path} can't be written: {reason}", hint="free some space on that disk and run again")
    return ArtifactError(
        f"{path} can't be written or read: {reason}",
        hint="choose a folder that you may write with --dpone-artifact-dir",
    )
