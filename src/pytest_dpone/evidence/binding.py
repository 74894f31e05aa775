"""The source of a run, bound by its bytes: the tree, the plugin, the engine. Nobody is asked if a file has changed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..core.gates.source import TOLD, SourceState, TreeState
from .code import Place, code_state
from .hashing import Hashing, blob_of, shown
from .listing import Entry, NoAnswer, Repository, find_top, importable, read_repository, small_blobs, walk

SECONDS = 60.0
"""What one look at the source may take; after it the tree is not bound."""

_HOME = Path(__file__).absolute().parents[1]
_DEEPEST = 8
"""Submodules in submodules."""
_LFS = re.compile(rb"version https://git-lfs[^\n]*\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")
_POINTER = 1024


def take(
    root: Path, *, leave_out: Iterable[Path] = (), engines: Iterable[Place] = (), seconds: float = SECONDS
) -> SourceState:
    """Look at the tree around `root`, this plugin, and the `engines`. Never raises for what it finds.

    Files below the folders `leave_out` (our own artifacts) are no part of the tree, unless they are committed. What
    can't be read, or takes more than `seconds` in all, is told among the problems, and has no digest.
    """
    begun = time.monotonic()
    limit = begun + seconds
    apart = frozenset(os.fsencode(os.path.realpath(folder)) for folder in leave_out)
    tree = _tree(root, apart, limit)
    plugin = code_state("pytest-dpone", _HOME, limit=limit)
    bound = [
        plugin.model_copy(update={"name": name})
        if path == str(_HOME)
        else code_state(name, Path(path) if path is not None else None, package=package, limit=limit)
        for name, path, package in sorted(set(engines))
    ]
    return SourceState(tree=tree, plugin=plugin, engines=tuple(bound), seconds=round(time.monotonic() - begun, 3))


def _tree(root: Path, apart: frozenset[bytes], limit: float) -> TreeState:
    try:
        top = find_top(str(root))
        if top is None:
            return _plain(root, apart, limit)
        return _bound(top, apart, limit)
    except NoAnswer as error:
        return TreeState(repository="unknown", problems=(f"there is a repository, and {error}",))


def _plain(root: Path, apart: frozenset[bytes], limit: float) -> TreeState:
    """Without a repository nothing says which files belong to the project: those that decide what runs are bound."""
    top, hashing = os.fsencode(root), Hashing(limit)
    files = hashing.file_set(top, [os.path.relpath(path, top) for path in walk(top, apart)])
    return TreeState(repository="none", tracked=files, problems=tuple(hashing.problems[:TOLD]))


@dataclass(slots=True)
class _Names:
    """The files of a repository and its submodules, by name below the top folder."""

    entries: dict[bytes, Entry] = field(default_factory=dict)
    added: set[bytes] = field(default_factory=set)
    untracked: set[bytes] = field(default_factory=set)
    ignored: set[bytes] = field(default_factory=set)
    moved: list[str] = field(default_factory=list)
    """Submodules that are not at the commit that the tree names."""
    tops: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Prefix and folder of each repository."""


def _bound(top: bytes, apart: frozenset[bytes], limit: float) -> TreeState:
    names = _Names()
    commit = _gather(top, b"", apart, names, depth=0)
    hashing = Hashing(limit)
    oids = {name: entry.oid for name, entry in names.entries.items()}
    tracked = hashing.file_set(top, (*names.entries, *names.added), oids=oids)
    differs = sorted(
        [*names.moved, *(f"{shown(name)} (not committed)" for name in names.added), *_differing(names, hashing, top)]
    )
    untracked = hashing.file_set(top, names.untracked, tell=True)
    ignored = hashing.file_set(top, names.ignored, tell=True)
    return TreeState(
        repository="git",
        commit=commit,
        tracked=tracked,
        untracked=untracked,
        ignored=ignored,
        differing=len(differs),
        differs=tuple(differs[:TOLD]),
        problems=tuple(hashing.problems[:TOLD]),
    )


def _gather(top: bytes, prefix: bytes, apart: frozenset[bytes], names: _Names, *, depth: int) -> str | None:
    repository = read_repository(top)
    names.tops.append((prefix, top))
    names.added |= {prefix + name for name in repository.added}
    names.untracked |= {prefix + name for name in importable(top, repository.untracked, apart)}
    names.ignored |= {prefix + name for name in importable(top, repository.ignored, apart)}
    for name, entry in repository.entries.items():
        if entry.mode != b"160000":
            names.entries[prefix + name] = entry
        else:
            _submodule(repository, name, entry, prefix, apart, names, depth=depth)
    return repository.commit


def _submodule(
    repository: Repository,
    name: bytes,
    entry: Entry,
    prefix: bytes,
    apart: frozenset[bytes],
    names: _Names,
    *,
    depth: int,
) -> None:
    folder = os.path.join(repository.top, name)
    if not os.path.lexists(os.path.join(folder, b".git")):
        return  # it is not checked out, so nothing of it can run
    if depth >= _DEEPEST:
        raise NoAnswer(f"{shown(prefix + name)} is a submodule too deep")
    commit = _gather(folder, prefix + name + b"/", apart, names, depth=depth + 1)
    if commit != entry.oid:
        names.moved.append(f"{shown(prefix + name)} (a submodule at another commit)")


def _differing(names: _Names, hashing: Hashing, top: bytes) -> Iterator[str]:
    """Files whose bytes are not those of the commit. A line ending or a large file that git converts is none."""
    others = []
    for name, entry in names.entries.items():
        found = hashing.blobs.get(name)
        if found == entry.oid:
            if (entry.mode == b"120000") != os.path.islink(os.path.join(top, name)):
                yield f"{shown(name)} (a link, or none any more)"
        elif found is not None:
            others.append(name)
        elif hashing.digests.get(name) == "":
            yield f"{shown(name)} (not there)"
    pointers: dict[str, bytes] = {}
    for prefix, folder in names.tops if others else ():
        oids = [names.entries[name].oid for name in others if name.startswith(prefix)]
        with suppress(NoAnswer):  # a submodule's repository has other blobs
            pointers |= small_blobs(folder, oids, most=_POINTER)
    for name in others:
        if not _converted(os.path.join(top, name), names.entries[name], pointers, hashing.digests[name]):
            yield shown(name)


def _converted(path: bytes, entry: Entry, pointers: Mapping[str, bytes], digest: str) -> bool:
    if entry.mode == b"120000" or os.path.islink(path):
        return False
    if pointer := _LFS.match(pointers.get(entry.oid, b"")):
        return pointer[1].decode() == digest
    with suppress(OSError):
        content = Path(os.fsdecode(path)).read_bytes()
        return b"\r\n" in content and blob_of(content.replace(b"\r\n", b"\n"), entry.oid) == entry.oid
    return False
