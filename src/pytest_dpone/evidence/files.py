"""Reading what others wrote: regular files only, whole, with a limit; never a pipe that blocks, never a device."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_SMALL = 2**20
MAX_BYTES = 256 * 2**20
"""Of a JSON document."""


_known: ContextVar[Mapping[str, tuple[str, int]]] = ContextVar("known", default={})  # noqa: B039 (never changed)


class Unreadable(OSError):
    """A file can't be read as evidence; the message says why and follows the file's name."""


def read_bytes(path: Path, *, limit: int = MAX_BYTES) -> bytes:
    """The bytes of the regular file at `path`. Raises `Unreadable`."""
    handle = _open(path)
    with os.fdopen(handle, "rb") as file:
        if os.fstat(handle).st_size > limit:
            raise Unreadable(f"is larger than {limit // 2**20} MiB")
        try:
            return file.read()
        except OSError as error:
            raise Unreadable(f"can't be read: {error.strerror}") from None


def normal(path: Path) -> str:
    """`path` as an absolute one without `..`; links are not followed."""
    return os.path.normpath(path.absolute())


@contextmanager
def knowing(digests: Mapping[str, tuple[str, int]]) -> Iterator[None]:
    """Within this, `digest` need not read these files again: `normal` path → digest and size in bytes."""
    token = _known.set(digests)
    try:
        yield
    finally:
        _known.reset(token)


def digest(path: Path) -> tuple[str, int]:
    """SHA-256 in hex and size in bytes of the regular file at `path`. Raises `Unreadable`."""
    known = _known.get()
    if known and (found := known.get(normal(path))) is not None:
        return found
    handle = _open(path)
    with os.fdopen(handle, "rb") as file:
        try:
            size = os.fstat(handle).st_size
            if size <= _SMALL:
                return sha256(file.read()), size
            return hashlib.file_digest(file, "sha256").hexdigest(), size
        except OSError as error:
            raise Unreadable(f"can't be read: {error.strerror}") from None


def sha256(data: bytes) -> str:
    """SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def _open(path: Path) -> int:
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Unreadable("is missing") from None
    except ValueError:
        raise Unreadable("has a name that no file can have") from None
    except OSError as error:
        raise Unreadable(f"can't be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Unreadable("is no regular file")
    return handle
