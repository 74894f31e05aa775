"""The files of a tree with their digests: `SHA256SUMS`, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..core.gates.ruling import Ruling, red
from .artifacts import LOCK
from .files import Unreadable, digest

SUMS = "SHA256SUMS"
SEAL = "seal"
"""The folder of the signatures and the log; it and `SHA256SUMS` are what a seal adds to a tree."""
LOG = "log.jsonl"
CHECKPOINT = "checkpoint"
STATEMENTS = ("test-result.dsse.json", "connector-certification.dsse.json", "verification-summary.dsse.json")
"""Files in that folder; the statements in the order in which they are made."""

_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")
_THREADS = 2
T = TypeVar("T")


class BadSums(ValueError):
    """Bytes are no `SHA256SUMS` of ours; the message follows the file's name."""


def walk(root: Path) -> tuple[list[str], list[Ruling]]:
    """Names of all files below `root` with forward slashes, sorted, without those of a seal; and what can't be sealed.

    Red are links, pipes and devices, names that some system can't hold, and two that differ by case only. An empty
    file that holds a folder while it is written is left out.
    """
    names: list[str] = []
    problems = list(_walk(root, "", names))
    by_case: dict[str, str] = {}
    for name in names:
        other = by_case.setdefault(name.casefold(), name)
        if other != name:
            problems.append(red(name, "same_name", f"{name} and {other} are one name where case does not count"))
    return sorted(names), problems


def digests(root: Path, names: Iterable[str]) -> dict[str, tuple[str, int] | Unreadable]:
    """SHA-256 in hex and bytes of each file below `root`, or why it can't be read; two files are read at a time."""

    def one(name: str) -> tuple[str, int] | Unreadable:
        try:
            return digest(root / name)
        except Unreadable as error:
            return error

    return _side_by_side(one, list(names))


def sums_text(sums: Mapping[str, str]) -> str:
    """The file's text: one line per file, in the order of the names' bytes."""
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums, key=str.encode))


def read_sums(raw: bytes) -> dict[str, str]:
    """Name → digest. Raises `BadSums`, also for another spelling, order, or a name that leads out of the tree."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadSums("is not UTF-8") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadSums(f"has no digest and name in line {number}")
        if why := name_problem(match[2]):
            raise BadSums(f"has a name in line {number} that {why}")
        found[match[2]] = match[1]
    if not found:
        raise BadSums("lists no file")
    if sums_text(found).encode() != raw:
        raise BadSums("is not as it was written: a line is doubled, out of order or has another end")
    return found


def name_problem(name: str) -> str:
    """Why a relative name can't stand in `SHA256SUMS`; empty if it can. Follows the name."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "leads out of the tree"
    if not name.isprintable() or "\\" in name:
        return "holds a character that can't be shown, or a backslash"
    if unicodedata.normalize("NFC", name) != name:
        return "is spelled in another way on other systems (it is not in Unicode's form NFC)"
    return ""


def _walk(root: Path, below: str, names: list[str]) -> Iterator[Ruling]:
    try:
        entries = sorted(os.scandir(root / below), key=lambda entry: entry.name)
    except OSError as error:
        yield red(below or ".", "unreadable", f"{below or 'the folder'} can't be read: {error.strerror}")
        return
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if name in (SUMS, SEAL):
            continue
        told = name.encode("utf-8", "backslashreplace").decode()
        if told != name:
            yield red(told, "name", f"{told} has a name that is not UTF-8")
        elif why := name_problem(name):
            yield red(told, "name", f"{told} has a name that {why}")
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(root, name, names)
        elif not entry.is_file(follow_symlinks=False):
            yield red(name, "no_file", f"{name} is a link, a pipe or a device, and no file of its own")
        elif not _holds(entry):
            names.append(name)


def _holds(entry: os.DirEntry[str]) -> bool:
    found = entry.stat(follow_symlinks=False)
    return entry.name == LOCK and stat.S_ISREG(found.st_mode) and found.st_size == 0


def _side_by_side(one: Callable[[str], T], names: list[str]) -> dict[str, T]:
    # Hashing releases the interpreter's lock, so two threads use two cores.
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(names, pool.map(one, names, chunksize=16), strict=True))
