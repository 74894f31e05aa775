"""The artifact index: what lies in a tree, with digests, and whether it still lies there."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from pydantic_core import from_json

from ..core.gates.chain import IndexedFile, IndexFacts
from ..core.gates.documents import BY_SCHEMA, CHAIN, INDEX, RELEASE_PACK, content_sha256
from ..core.gates.ruling import Ruling, red
from ..core.strict import NotStrict, parse_object
from .artifacts import LOCK
from .exhibits import Render, read_document, supersedes
from .files import MAX_BYTES, Unreadable, digest, read_bytes, sha256
from .sums import CHECKPOINT, LOG, SEAL, STATEMENTS, SUMS

_HOLDERS = frozenset({INDEX.schema, CHAIN.schema, RELEASE_PACK.schema})
"""Documents that hold an index's digest, or are one: an index can't hold theirs."""
OTHER_RUNS = ("cases", "runs", "shards")
"""Folders of runs that must not write over a full one: of chosen cases, of a second run at once, of parts."""
_CHAIN_FOLDERS = ("entries", "indexes")


def index_tree(root: Path, *, release: str, index_file: Path) -> IndexFacts:
    """Index every file below `root`, of whatever type; `index_file` is where the index will be written.

    Left out are the index itself, chains and release packs, with their Markdown twins; the folders `OTHER_RUNS` right
    below the root, where other runs have trees of their own; the files of a seal; and the empty files that hold a
    folder. Links that leave the root, and whatever is neither file nor folder, are problems that make the index red.
    """
    files: list[IndexedFile] = []
    problems: list[str] = []
    apart = {root / name for name in OTHER_RUNS}
    sealed = _of_seal(root)
    names = {index_file.name, index_file.with_suffix(".md").name}
    own = {os.path.realpath(index_file), os.path.realpath(index_file.with_suffix(".md"))}
    for path in _walk(root, root, problems, apart):
        if path in sealed or (path.name == LOCK and _is_empty(path)):
            continue
        if (path.name in names or path.is_symlink()) and os.path.realpath(path) in own:
            continue
        row = _row(root, path, problems)
        if row is not None:
            files.append(row)
    return IndexFacts(
        release=release,
        root=Path(os.path.relpath(root, index_file.parent)).as_posix(),
        files=tuple(sorted(_without_holders(files), key=lambda file: file.path)),
        problems=tuple(problems),
    )


def drift(facts: IndexFacts, root: Path, *, since: str | None = None, render: Render | None = None) -> list[Ruling]:
    """What differs in the tree from its index: files that are missing or changed. New files are none of it.

    With `since` (the index's own time) and `render` a later green document of a gate that was run again is accepted,
    with its twin.
    """
    changed: dict[str, Ruling] = {}
    for row in facts.files:
        ruling = _difference(row, root)
        if ruling is not None:
            changed[row.path] = ruling
    if since is None or render is None:
        return list(changed.values())
    again = {row.path for row in facts.files if row.path in changed and _was_run_again(row, root, since)}
    again |= {_twin(path) for path in again if _is_twin(root / path, render)}
    return [ruling for path, ruling in changed.items() if path not in again]


def turned_green(facts: IndexFacts, root: Path) -> list[Ruling]:
    """Documents that were red when they were indexed, and say now that they are green."""
    found = []
    for row in facts.files:
        if row.passed is False and _passed(root / row.path):
            text = f"{row.path} was red when it was indexed and is green now"
            found.append(red(row.path, "turned_green_after_indexing", text))
    return found


def _of_seal(root: Path) -> frozenset[Path]:
    """The files of a seal of this tree, which the next one writes anew; without its log there is none."""
    if not (root / SEAL / LOG).is_file():
        return frozenset()
    return frozenset((root / SUMS, *(root / SEAL / name for name in (LOG, CHECKPOINT, *STATEMENTS))))


def _walk(folder: Path, root: Path, problems: list[str], apart: Collection[Path] = ()) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"{_told(folder, root)} can't be read: {error.strerror}")
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if path in apart:
                continue
            yield from _walk(path, root, problems)
        else:
            yield path


def _is_empty(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_size == 0


def _row(root: Path, path: Path, problems: list[str]) -> IndexedFile | None:
    name = path.relative_to(root).as_posix()
    try:
        name.encode("utf-8")
        link = _link(root, path)
        if link is not None and path.is_dir():
            target = link.encode("utf-8")
            return IndexedFile(path=name, sha256=sha256(target), size=len(target), kind="link", link=link)
        raw = read_bytes(path) if path.suffix == ".json" and path.lstat().st_size <= MAX_BYTES else None
        hexdigest, size = digest(path) if raw is None else (sha256(raw), len(raw))
    except UnicodeEncodeError:
        problems.append(f"{_told(path, root)} has a name that is not UTF-8")
        return None
    except Unreadable as error:
        problems.append(f"{_told(path, root)} {error}")
        return None
    schema, passed = _about(raw) if raw is not None else (None, None)
    kind = schema or path.suffix.lstrip(".") or "file"
    return IndexedFile(path=name, sha256=hexdigest, size=size, kind=kind, passed=passed, link=link)


def _link(root: Path, path: Path) -> str | None:
    """Where a link points, None for what is no link. Raises `Unreadable` if it leaves the root or points nowhere."""
    if not stat.S_ISLNK(path.lstat().st_mode):
        return None
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise Unreadable("is a link that points nowhere") from None
    if not target.is_relative_to(root.resolve()):
        raise Unreadable("is a link that leaves the root")
    return str(path.readlink())


def _about(raw: bytes) -> tuple[str | None, bool | None]:
    """`schema` and `passed` of a JSON document, as far as it has them."""
    try:
        data = from_json(raw, allow_inf_nan=False)
    except ValueError:
        return None, None
    if not isinstance(data, dict):
        return None, None
    schema, passed = data.get("schema"), data.get("passed")
    if schema in _HOLDERS and not _is_holder(raw):
        # What only claims to be an index or a pack is listed like any other file.
        schema = None
    return schema if isinstance(schema, str) and schema else None, passed if isinstance(passed, bool) else None


def _is_holder(raw: bytes) -> bool:
    try:
        data = parse_object(raw)
    except NotStrict:
        return False
    return data.get("content_sha256") == content_sha256(data)


def _without_holders(files: list[IndexedFile]) -> list[IndexedFile]:
    holders = [file.path for file in files if file.kind in _HOLDERS]
    left_out = {*holders, *(_twin(path) for path in holders)}
    for path in holders:
        if Path(path).name == CHAIN.file:
            folder = Path(path).parent
            left_out.add((folder / LOCK).as_posix())
            left_out |= {
                file.path
                for file in files
                for name in _CHAIN_FOLDERS
                if Path(file.path).parent == folder / name and file.path.endswith(".json")
            }
    return [file for file in files if file.path not in left_out]


def _difference(row: IndexedFile, root: Path) -> Ruling | None:
    path = root / row.path
    try:
        link = _link(root, path) if os.path.lexists(path) else None
        if link != row.link:
            return red(row.path, "changed", f"{row.path} was changed since it was indexed")
        found = sha256(row.link.encode()) if row.kind == "link" and row.link else digest(path)[0]
    except Unreadable as error:
        code = "missing" if str(error) == "is missing" else "unreadable"
        return red(row.path, code, f"{row.path} {error}")
    if found == row.sha256:
        return None
    text = f"{row.path} was changed since it was indexed"
    return red(row.path, "changed", text, expected=row.sha256, actual=found)


def _was_run_again(row: IndexedFile, root: Path, since: str) -> bool:
    kind = BY_SCHEMA.get(row.kind)
    if kind is None or row.passed is False:
        return False
    reading = read_document(root / row.path, expected=kind.name)
    return not reading.judged.problems and supersedes(reading, since=since, kind=kind.name)


def _passed(path: Path) -> bool:
    try:
        return _about(read_bytes(path))[1] is True
    except Unreadable:
        return False


def _is_twin(path: Path, render: Render) -> bool:
    try:
        return render(parse_object(read_bytes(path))).encode("utf-8") == read_bytes(path.with_suffix(".md"))
    except (Unreadable, NotStrict):
        return False


def _twin(path: str) -> str:
    return f"{path.removesuffix('.json')}.md"


def _told(path: Path, root: Path) -> str:
    return str(path.relative_to(root)).encode("utf-8", "backslashreplace").decode()
