"""The artifact index and the chain that links the indexes of releases: facts and their judgement."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from .merkle import EMPTY, roots
from .ruling import ROW, Ruling, Value, green, red

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@pydantic_dataclass(frozen=True, slots=True, config=ROW)
class IndexedFile:
    """One file: path below the root with forward slashes, and what its bytes are."""

    path: str
    sha256: Sha256
    size: Annotated[int, Field(ge=0)]
    """Bytes."""
    kind: str
    """`schema` of a JSON document, else the ending of its name."""
    passed: bool | None = None
    """What a JSON document said of itself."""
    link: str | None = None
    """Where a symbolic link points; it stays below the root."""


class IndexFacts(Value):
    """What an index holds. `root` is relative to the folder of the index's file."""

    release: str
    root: str
    files: tuple[IndexedFile, ...]
    problems: tuple[str, ...] = ()
    """What can't be indexed, for people: links that leave the root, files that can't be read."""


class ChainedEntry(Value):
    """One entry of a chain as its index tells it."""

    index: Annotated[int, Field(ge=0)]
    release: str
    leaf: Sha256
    """RFC 6962 leaf hash of the entry's file."""
    artifact_index: Sha256
    """Of the bytes of the artifact index."""


class ChainFacts(Value):
    """What a chain holds, oldest entry first. `root` is the RFC 6962 root of all leaves."""

    release: str
    root: Sha256
    entries: tuple[ChainedEntry, ...]

    @property
    def pin(self) -> str:
        """The head in a form that one keeps elsewhere: `SIZE:ROOT`."""
        return f"{len(self.entries)}:{self.root}"


class Entry(Value):
    """`entries/<index>.json`: a release, the digest of its artifact index, and all that came before."""

    schema_: Literal["pytest-dpone/evidence-chain-entry/v1"] = Field(
        default="pytest-dpone/evidence-chain-entry/v1", alias="schema"
    )
    index: Annotated[int, Field(ge=0)]
    release: str
    generated_at: str
    artifact_index: Sha256
    artifact_index_path: str
    """Where it was, relative to the chain's folder."""
    files: Annotated[int, Field(ge=1)]
    previous_root: Sha256
    """RFC 6962 root of all entries before this one."""


def judge_index(facts: IndexFacts) -> tuple[Ruling, ...]:
    """One ruling for the whole tree, one per problem; an index of nothing is red."""
    rulings = [red("files", "not_indexed", text) for text in facts.problems]
    paths = [file.path for file in facts.files]
    if len(set(paths)) != len(paths):
        rulings.append(red("files", "twice", "a path is listed twice"))
    if not paths:
        rulings.append(red("files", "nothing_indexed", "there is no file to index"))
    return (*rulings, green("files", "indexed", actual=len(paths))) if paths else tuple(rulings)


def judge_chain(facts: ChainFacts) -> tuple[Ruling, ...]:
    """Positions, the root, repeated entries, and the release of the head."""
    if not facts.entries:
        return (red("chain", "empty", "the chain has no entry"),)
    rulings: list[Ruling] = []
    for place, entry in enumerate(facts.entries):
        if entry.index != place:
            rulings.append(red(f"entry_{place}", "out_of_place", f"entry {place} says that it is entry {entry.index}"))
    seen: dict[str, int] = {}
    for place, entry in enumerate(facts.entries):
        first = seen.setdefault(entry.artifact_index, place)
        if first != place:
            rulings.append(
                red(f"entry_{place}", "repeated", f"entry {place} repeats the artifact index of entry {first}")
            )
    root = roots(bytes.fromhex(entry.leaf) for entry in facts.entries)[-1]
    if root != facts.root:
        rulings.append(red("chain", "root", "the root is not that of the entries", expected=root, actual=facts.root))
    head = facts.entries[-1].release
    if head != facts.release:
        rulings.append(red("chain", "another_release", f"the last entry is of {head}, not {facts.release}"))
    return tuple(rulings) or (green("chain", "linked", expected=root, actual=facts.root),)


def judge_entries(entries: list[Entry], leaves: list[bytes]) -> list[Ruling]:
    """What is wrong between the entries themselves: places and links."""
    before = roots(leaves)
    found = []
    for place, entry in enumerate(entries):
        if entry.index != place:
            found.append(red(f"entry_{place}", "out_of_place", f"entry {place} says that it is entry {entry.index}"))
        elif entry.previous_root != (before[place] if place else EMPTY):
            text = f"entry {place} does not follow from the entries before it"
            found.append(red(f"entry_{place}", "unlinked", text, expected=before[place], actual=entry.previous_root))
    return found
