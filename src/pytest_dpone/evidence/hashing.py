"""Files by their bytes: SHA-256 of each, of a set of them, and what git would call them."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..core.gates.source import TOLD, FileSet
from .files import sha256

_CHUNK = 2**20


class Unbound(Exception):
    """Something can't be bound; the message says what and why."""


@dataclass(slots=True)
class Hashing:
    """Reads files and keeps what it saw of each: `digests` has SHA-256 by name, `blobs` what git would call it."""

    limit: float
    problems: list[str] = field(default_factory=list)
    digests: dict[bytes, str] = field(default_factory=dict)
    blobs: dict[bytes, str] = field(default_factory=dict)
    size: int = 0
    """Bytes that were read."""

    def file_set(
        self, top: bytes, names: Iterable[bytes], *, oids: Mapping[bytes, str] | None = None, tell: bool = False
    ) -> FileSet:
        """Digest of the files `names` below `top`: kind, name and SHA-256 of each, in the order of the names.

        `oids` says of which files git's own digest is wanted, and in which length.
        """
        digest, before, count = hashlib.sha256(), len(self.problems), 0
        told: list[str] = []
        read = self.size
        for name in sorted(set(names)):
            try:
                entry = self._entry(os.path.join(top, name), name, (oids or {}).get(name, ""))
            except Unbound as problem:
                self.problems.append(str(problem))
                if time.monotonic() > self.limit:
                    break
                continue
            digest.update(entry)
            count += 1
            if tell and len(told) < TOLD:
                told.append(shown(name))
        whole = len(self.problems) == before
        hexdigest = digest.hexdigest() if whole else None
        return FileSet(digest=hexdigest, files=count, bytes=self.size - read, names=tuple(told))

    def _entry(self, path: bytes, name: bytes, oid: str) -> bytes:
        if time.monotonic() > self.limit:
            raise Unbound(f"the time is up after {len(self.digests)} files and {self.size / 2**20:.0f} MiB")
        kind = b"file"
        try:
            if os.path.islink(path):
                kind, target = b"link", os.readlink(path)
                content = sha256(target)
                self.blobs[name] = blob_of(target, oid)
                if os.path.isfile(path):  # what Python would import
                    content = sha256(content.encode() + self._content(path, name, "").encode())
            else:
                content = self._content(path, name, oid)
        except (FileNotFoundError, NotADirectoryError):
            kind, content = b"none", ""
        except OSError as error:
            raise Unbound(f"{shown(name)} can't be read: {error.strerror}") from None
        self.digests[name] = content
        return kind + b" " + name + b"\0" + content.encode() + b"\n"

    def _content(self, path: bytes, name: bytes, oid: str) -> str:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb", buffering=0) as file:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode):
                raise Unbound(f"{shown(name)} is no regular file")
            digest, blob = hashlib.sha256(), _blob(state.st_size, oid)
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                self.size += len(chunk)
                if blob is not None:
                    blob.update(chunk)
                if time.monotonic() > self.limit:
                    raise Unbound(f"the time is up in {shown(name)}, after {self.size / 2**20:.0f} MiB")
        if blob is not None:
            self.blobs[name] = blob.hexdigest()
        return digest.hexdigest()


def _blob(size: int, oid: str) -> hashlib._Hash | None:
    """Git's digest of a file of `size` bytes, of the same length as `oid`; None without one."""
    if not oid:
        return None
    digest = hashlib.sha1(usedforsecurity=False) if len(oid) == 40 else hashlib.sha256()
    digest.update(b"blob %d\0" % size)
    return digest


def blob_of(content: bytes, oid: str) -> str:
    """Git's digest of a file that holds `content`, of the same length as `oid`; empty without one."""
    digest = _blob(len(content), oid)
    if digest is None:
        return ""
    digest.update(content)
    return digest.hexdigest()


def shown(name: bytes) -> str:
    """A name for people and for JSON: bytes that are no UTF-8 are spelled out."""
    return name.decode("utf-8", "backslashreplace")
