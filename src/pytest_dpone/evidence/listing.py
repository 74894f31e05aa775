"""What git and the disk say of the files of a tree: names as bytes, nothing of a file's content."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.machinery import all_suffixes

GIT_SECONDS = 30.0
"""What one question to git may take."""

_IMPORTED = tuple(suffix.encode() for suffix in (*all_suffixes(), ".pth", ".egg", ".zip"))
_DECIDING = frozenset(
    {b"pytest.ini", b".pytest.ini", b"pytest.toml", b".pytest.toml", b"pyproject.toml", b"tox.ini", b"setup.cfg"}
    | {b"dpone-scope.lock.json"}
)
_SKIPPED = frozenset({b"__pycache__", b".git", b".hg", b"node_modules"})
"""Folders that are never imported from. A cached file is used only if its source is there and has not changed."""
_ENVIRONMENT = (b"pyvenv.cfg", b"conda-meta")
"""What the folder of an environment has: its packages are installed, and not part of the tree."""
_FOREIGN = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"),
    *("GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"),
    *("GIT_CEILING_DIRECTORIES", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS"),
)
"""Variables that would lead git elsewhere, such as those of a hook."""


class NoAnswer(Exception):
    """Git can't say it; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the commit: its mode and the name of its blob, or of a submodule's commit."""

    mode: bytes
    oid: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at its top folder, as git tells it: the commit's files, and those that are in the index only."""

    top: bytes
    commit: str | None
    entries: dict[bytes, Entry]
    added: frozenset[bytes]
    untracked: frozenset[bytes]
    """Neither in the commit nor in the index, and not ignored; folders end with a slash."""
    ignored: frozenset[bytes]


def find_top(root: str) -> bytes | None:
    """The top folder of the repository that `root` is in; None if it is in none. Raises `NoAnswer`."""
    marks = [folder for folder in _upwards(os.fsencode(os.path.realpath(root))) if _has_git(folder)]
    if not marks:
        return None
    top = git(os.fsencode(root), "rev-parse", "--show-toplevel").removesuffix(b"\n")
    if not top:
        raise NoAnswer("git names no folder")
    return top


def read_repository(top: bytes) -> Repository:
    """What the repository at `top` holds. Raises `NoAnswer`."""
    head = git(top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", allowed=(0, 1)).strip().decode()
    others = ("ls-files", "-z", "--others", "--directory")
    questions = [("ls-files", "-z", "--full-name"), others, (*others, "--exclude-standard")]
    questions += [("ls-tree", "-r", "-z", "--full-tree", head)] if head else []
    with ThreadPoolExecutor(len(questions)) as pool:  # most of what each takes is its start
        index, other, plain, *tree = pool.map(lambda words: git(top, *words), questions)
    entries = dict(_entries(b"".join(tree)))
    indexed, unignored = _names(index), _names(plain)
    # What is in the commit and not in the index lies there as an untracked file.
    tracked = indexed | entries.keys()
    return Repository(
        top,
        head or None,
        entries,
        frozenset(indexed - entries.keys()),
        frozenset(unignored - tracked),
        frozenset(_names(other) - unignored),
    )


def importable(top: bytes, names: frozenset[bytes], leave_out: frozenset[bytes]) -> Iterator[bytes]:
    """Of `names` below `top`, and of what lies in those that are folders: files that decide what runs.

    `leave_out` are absolute real paths of folders.
    """
    for name in sorted(names):
        path = os.path.join(top, name.rstrip(b"/"))
        if not name.endswith(b"/"):
            if is_deciding(path):
                yield name
        elif not _left_out(path, leave_out):
            for found in walk(path, leave_out):
                yield os.path.relpath(found, top)


def walk(folder: bytes, leave_out: frozenset[bytes]) -> Iterator[bytes]:
    """Paths of the files below `folder` that decide what runs. Links are not followed; what can't be read is named."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not _left_out(entry.path, leave_out):
                yield from walk(entry.path, leave_out)
        elif is_deciding(entry.path):
            yield entry.path


def is_deciding(path: bytes) -> bool:
    """If Python would import the file, or pytest read its configuration from it; or a link to a folder with such."""
    name = os.path.basename(path)
    return name.endswith(_IMPORTED) or name in _DECIDING or (os.path.islink(path) and _leads_to_code(path))


def small_blobs(top: bytes, oids: Iterable[str], *, most: int) -> dict[str, bytes]:
    """The blobs of at most `most` bytes among `oids`, by their names. Raises `NoAnswer`."""
    asked = "".join(f"{oid}\n" for oid in sorted(set(oids))).encode()
    if not asked:
        return {}
    rows = [row.split() for row in git(top, "cat-file", "--batch-check", text=asked).decode().splitlines()]
    small = [row[0] for row in rows if len(row) == 3 and row[1] == "blob" and int(row[2]) <= most]
    found, rest = {}, git(top, "cat-file", "--batch", text="".join(f"{oid}\n" for oid in small).encode())
    while rest:
        head, _, rest = rest.partition(b"\n")
        oid, _, size = head.decode().split()
        found[oid], rest = rest[: int(size)], rest[int(size) + 1 :]
    return found


def git(folder: bytes, *arguments: str, allowed: tuple[int, ...] = (0,), text: bytes = b"") -> bytes:
    """What git answers about `folder`, given `text`. Raises `NoAnswer` with git's own words, or why there are none."""
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    # A look at the tree must not rewrite the index; a replaced object is not what the commit holds.
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}
    # These would let a program, or a cache, say what has not changed.
    settings = ("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.quotePath=false")
    try:
        done = subprocess.run(
            ["git", *settings, *arguments],
            cwd=folder,
            env=environment,
            input=text,
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"git {arguments[0]} took more than {GIT_SECONDS:.0f} s") from None
    except OSError as error:
        raise NoAnswer(f"git can't be run: {error.strerror}") from None
    if done.returncode not in allowed:
        said = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise NoAnswer(f"git {arguments[0]} says: {said or f'status {done.returncode}'}")
    return done.stdout


def _leads_to_code(link: bytes) -> bool:
    try:
        return any(name.endswith(_IMPORTED) for name in os.listdir(link))
    except OSError:
        return False


def _left_out(path: bytes, leave_out: frozenset[bytes]) -> bool:
    if os.path.basename(path) in _SKIPPED or (leave_out and os.path.realpath(path) in leave_out):
        return True
    return any(os.path.lexists(os.path.join(path, mark)) for mark in _ENVIRONMENT)


def _upwards(folder: bytes) -> Iterator[bytes]:
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


def _has_git(folder: bytes) -> bool:
    return os.path.lexists(os.path.join(folder, b".git"))


def _names(text: bytes) -> set[bytes]:
    return {name for name in text.split(b"\0") if name}


def _entries(text: bytes) -> Iterator[tuple[bytes, Entry]]:
    for row in text.split(b"\0"):
        if row:
            head, _, name = row.partition(b"\t")
            mode, _, oid = head.split(b" ")
            yield name, Entry(mode, oid.decode())
