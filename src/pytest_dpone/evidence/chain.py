"""The evidence chain: a folder of entries, one per indexed tree, linked by an RFC 6962 Merkle root."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from ..core.gates.chain import ChainedEntry, ChainFacts, Entry, IndexFacts, judge_entries
from ..core.gates.documents import CHAIN, INDEX, Stamp, compose, first_error
from ..core.gates.merkle import leaf_hash, roots
from ..core.gates.ruling import Ruling, green, red
from ..core.strict import NotStrict, parse_object
from ..errors import DponeError, UsageError
from .artifacts import check_writable, held, write_json, write_text
from .exhibits import Render, read_document
from .files import Unreadable, read_bytes, sha256
from .index import drift

LOCK_SECONDS = 30.0
"""How long a writer waits for another one."""

_ENTRY = re.compile(r"[0-9]{6,}\.json", re.ASCII)
_PIN = re.compile(r"([1-9][0-9]{0,8}):([0-9a-f]{64})", re.ASCII)


class Unverifiable(DponeError):
    """There is no chain that could be verified."""


@dataclass(frozen=True, slots=True)
class Pin:
    """The head of a chain that one kept elsewhere: how many entries, and their root."""

    size: int
    root: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a chain holds and what is wrong with it. `facts` are None if its own index can't be read."""

    rulings: tuple[Ruling, ...]
    facts: ChainFacts | None = None
    head: Entry | None = None
    index: IndexFacts | None = None
    """The head's artifact index."""
    root: Path | None = None
    """The tree that it indexes."""

    @property
    def red(self) -> tuple[Ruling, ...]:
        """The rulings that are not green."""
        return tuple(ruling for ruling in self.rulings if not ruling.passed)


def read_pin(text: str) -> Pin:
    """`SIZE:ROOT`, or the text of an `evidence_chain_index.json` that was kept. Raises `UsageError`."""
    found = _PIN.fullmatch(text.strip())
    if found is not None:
        return Pin(int(found[1]), found[2])
    try:
        facts = parse_object(text.encode()).get("facts")
    except (NotStrict, UnicodeEncodeError):
        facts = None
    if isinstance(facts, dict) and isinstance(facts.get("entries"), list):
        found = _PIN.fullmatch(f"{len(facts['entries'])}:{facts.get('root')}")
    if found is None:
        raise UsageError(f"{text[:40]!r} is no pin", hint="give SIZE:ROOT as evidence-chain printed it, or @file")
    return Pin(int(found[1]), found[2])


def append(
    folder: Path, index_file: Path, *, release: str, stamp: Stamp, render: Render, previous_entry: str | None = None
) -> ChainReport:
    """Link the index at `index_file` into the chain in `folder`, and write the chain's own index.

    Nothing is written if a ruling of the report is red: the index is not of `release`, not green or not true of its
    tree, or the chain is broken. The head's index again adds nothing. `previous_entry` is the leaf of the head, or
    the path of its file. Raises `UsageError`, and `ArtifactError` if the folder can't be written.
    """
    raw, index, problems = _read_index(index_file, release)
    if index is None or problems:
        return ChainReport(tuple(problems))
    check_writable(folder)
    with held(folder, seconds=LOCK_SECONDS):
        known = _known(folder)
        if known.red:
            return known
        entries = known.facts.entries if known.facts is not None else ()
        _check_previous(folder, entries, previous_entry)
        if entries and entries[-1].artifact_index == sha256(raw):
            return known
        repeated = [entry.index for entry in entries if entry.artifact_index == sha256(raw)]
        if repeated:
            text = f"the artifact index is in the chain already, as entry {repeated[0]}"
            return ChainReport((red("artifact_index", "repeated", text),))
        facts = _write(folder, index_file, raw, index, entries, release=release, stamp=stamp, render=render)
        return ChainReport((green("chain", "linked", actual=facts.pin),), facts=facts)


def verify(folder: Path, *, pin: Pin | None = None, files: bool = True, render: Render | None = None) -> ChainReport:
    """Verify the chain in `folder` from its bytes alone; with `files` the head's tree, too.

    With `render` its Markdown twins are compared. Raises `Unverifiable` if there is no chain at all.
    """
    if not folder.is_dir():
        raise Unverifiable(f"there is no chain: {folder} is no folder", hint="name the folder with --chain-dir")
    names = _entry_names(folder)
    if not (folder / CHAIN.file).exists() and not names:
        raise Unverifiable(f"there is no chain: {folder} holds no entry", hint="run `pytest-dpone ops evidence-chain`")
    report = _verify_entries(folder, names)
    rulings = list(report.rulings)
    if pin is not None and report.facts is not None:
        rulings += _against_pin(report.facts, pin)
    if render is not None:
        rulings += _twin(folder / CHAIN.file, render)
    report = _with_index(folder, report, rulings)
    if files and report.index is not None and report.root is not None and report.head is not None:
        rulings += drift(report.index, report.root)
        rulings += live_index(folder, report.head, render)
    rulings = rulings or [green("chain", "verified", actual=report.facts.pin if report.facts else None)]
    return replace(report, rulings=tuple(rulings))


def live_index(folder: Path, head: Entry, render: Render | None) -> list[Ruling]:
    """The artifact index beside the tree: the head's, or a later one that was not chained yet."""
    path = folder / head.artifact_index_path
    reading = read_document(path, expected=INDEX.name)
    name = "artifact_index"
    if reading.sha256 is None:
        return [red(name, "missing", f"{name} {reading.judged.problems[0].text}")]
    if reading.sha256 != head.artifact_index:
        later = (reading.judged.generated_at or "") >= head.generated_at
        if reading.judged.problems or not isinstance(reading.judged.facts, IndexFacts) or not later:
            return [red(name, "changed", f"{name} was changed since it was chained: {path.name}")]
    return _twin(path, render) if render is not None else []


def _read_index(index_file: Path, release: str) -> tuple[bytes, IndexFacts | None, list[Ruling]]:
    name = "artifact_index"
    reading = read_document(index_file, expected=INDEX.name)
    facts = reading.judged.facts
    problems = [red(name, p.code, f"{name} {p.text}") for p in reading.judged.problems]
    if not isinstance(facts, IndexFacts):
        if not problems:
            problems = [red(name, "another_kind", f"{name} is no artifact index of ours: {index_file}")]
        return b"", None, problems
    if facts.release != release:
        problems.append(red(name, "another_release", f"{name} is of the release {facts.release}, not {release}"))
    root = index_file.parent / facts.root
    return read_bytes(index_file), facts, problems or drift(facts, root)


def _known(folder: Path) -> ChainReport:
    """The chain as it stands, empty if there is none yet. Its index is what counts: an entry that it does not name
    is of a writer that died before it was done."""
    if not (folder / CHAIN.file).exists():
        names = _entry_names(folder)
        if len(names) > 1 or names not in ([], ["000000.json"]):
            return ChainReport((red("chain", "index_missing", f"{CHAIN.file} is missing beside {len(names)} entries"),))
        return ChainReport(())
    facts, problems = _read_chain(folder)
    if facts is None:
        return ChainReport(tuple(problems))
    committed = [name for name in _entry_names(folder) if name != _entry_name(len(facts.entries))]
    report = _verify_entries(folder, committed)
    return report if report.red else replace(report, rulings=(green("chain", "linked", actual=facts.pin),))


def _check_previous(folder: Path, entries: tuple[ChainedEntry, ...], previous: str | None) -> None:
    if previous is None:
        return
    if not entries:
        raise UsageError(
            f"the chain in {folder} is empty, so nothing can follow {previous[:80]!r}",
            hint="copy the earlier chain there first, or leave --previous-entry out",
        )
    leaf = previous
    if not re.fullmatch(r"[0-9a-f]{64}", previous):
        try:
            leaf = leaf_hash(read_bytes(Path(previous))).hex()
        except Unreadable as error:
            raise UsageError(f"the previous entry {previous[:80]!r} {error}", hint="name its file or leaf") from None
    if leaf != entries[-1].leaf:
        place = next((f"entry {e.index}" for e in entries if e.leaf == leaf), "no entry of this chain")
        raise UsageError(
            f"the previous entry is {place}, and the last one is entry {entries[-1].index}",
            hint="somebody else has added to the chain: look at it, then name its last entry",
        )


def _write(
    folder: Path,
    index_file: Path,
    raw: bytes,
    index: IndexFacts,
    entries: tuple[ChainedEntry, ...],
    *,
    release: str,
    stamp: Stamp,
    render: Render,
) -> ChainFacts:
    """The copy, the entry, and last the chain's index, which makes both count."""
    digest, place = sha256(raw), len(entries)
    leaves = [bytes.fromhex(entry.leaf) for entry in entries]
    entry = Entry(
        index=place,
        release=release,
        generated_at=stamp.generated_at,
        artifact_index=digest,
        artifact_index_path=Path(os.path.relpath(index_file, folder)).as_posix(),
        files=len(index.files),
        previous_root=roots(leaves)[-1],
    )
    write_text(folder / "indexes" / f"{digest}.json", raw.decode("utf-8"))
    path = folder / "entries" / _entry_name(place)
    write_json(path, entry.model_dump(mode="json", by_alias=True))
    leaf = leaf_hash(read_bytes(path))
    chained = ChainedEntry(index=place, release=release, leaf=leaf.hex(), artifact_index=digest)
    facts = ChainFacts(release=release, root=roots([*leaves, leaf])[-1], entries=(*entries, chained))
    document = compose(CHAIN, facts, stamp)
    write_json(folder / CHAIN.file, document)
    write_text((folder / CHAIN.file).with_suffix(".md"), render(document))
    return facts


def _entry_name(place: int) -> str:
    return f"{place:06d}.json"


def _entry_names(folder: Path) -> list[str]:
    entries = folder / "entries"
    # Temporary files of a writer begin with a dot.
    return sorted(path.name for path in entries.iterdir() if path.name[0] != ".") if entries.is_dir() else []


def _read_chain(folder: Path) -> tuple[ChainFacts | None, list[Ruling]]:
    reading = read_document(folder / CHAIN.file, expected=CHAIN.name)
    problems = [red("chain", f"index_{p.code}", f"{CHAIN.file} {p.text}") for p in reading.judged.problems]
    facts = reading.judged.facts
    if isinstance(facts, ChainFacts):
        return facts, problems
    return None, problems or [red("chain", "index_another_kind", f"{CHAIN.file} is no chain index of ours")]


def _verify_entries(folder: Path, names: list[str]) -> ChainReport:
    facts, rulings = _read_chain(folder)
    if facts is None:
        return ChainReport(tuple(rulings))
    expected = [_entry_name(place) for place in range(len(facts.entries))]
    rulings += [red(f"entry_{int(n[:-5])}", "removed", f"entries/{n} is missing") for n in expected if n not in names]
    for name in names:
        if name not in expected:
            code = "added" if _ENTRY.fullmatch(name) else "stranger"
            rulings.append(red(f"entries/{name}", code, f"entries/{name} is not in {CHAIN.file}"))
    entries, leaves = [], []
    for chained, name in zip(facts.entries, expected, strict=True):
        if name in names:
            entry, found = _entry(folder, chained, name)
            rulings += found
            entries += [entry] if entry is not None else []
        leaves.append(bytes.fromhex(chained.leaf))
    if len(entries) == len(leaves):
        rulings += judge_entries(entries, leaves)
    return ChainReport(
        tuple(rulings), facts=facts, head=entries[-1] if len(entries) == len(leaves) and entries else None
    )


def _entry(folder: Path, chained: ChainedEntry, name: str) -> tuple[Entry | None, list[Ruling]]:
    subject = f"entry_{chained.index}"
    try:
        raw = read_bytes(folder / "entries" / name)
        parse_object(raw)
        entry = Entry.model_validate_json(raw, strict=True)
    except Unreadable as error:
        return None, [red(subject, "unreadable", f"entries/{name} {error}")]
    except NotStrict as error:
        return None, [red(subject, "changed", f"entries/{name} is not strict JSON: {error}")]
    except ValidationError as error:
        return None, [red(subject, "changed", f"entries/{name} is malformed: {first_error(error)}")]
    found = []
    if leaf_hash(raw).hex() != chained.leaf:
        found.append(red(subject, "changed", f"entries/{name} is not the file that {CHAIN.file} names"))
    if (entry.release, entry.artifact_index) != (chained.release, chained.artifact_index):
        found.append(red(subject, "repointed", f"entries/{name} and {CHAIN.file} name different indexes or releases"))
    return entry, [*found, *_copy(folder, entry, subject)]


def _copy(folder: Path, entry: Entry, subject: str) -> list[Ruling]:
    name = f"indexes/{entry.artifact_index}.json"
    try:
        found = sha256(read_bytes(folder / name))
    except Unreadable as error:
        return [red(subject, "index_missing", f"{name} {error}")]
    if found != entry.artifact_index:
        return [red(subject, "index_changed", f"{name} was changed")]
    return []


def _against_pin(facts: ChainFacts, pin: Pin) -> list[Ruling]:
    size = len(facts.entries)
    if size < pin.size:
        text = f"the chain has {size} entries, and had {pin.size} when it was pinned: it was cut"
        return [red("chain", "truncated", text, expected=pin.size, actual=size)]
    root = roots(bytes.fromhex(entry.leaf) for entry in facts.entries[: pin.size])[-1]
    if root != pin.root:
        text = f"the first {pin.size} entries are not those that were pinned: it is another chain"
        return [red("chain", "forked", text, expected=pin.root, actual=root)]
    return []


def _with_index(folder: Path, report: ChainReport, rulings: list[Ruling]) -> ChainReport:
    """The report with the head's index, if the copy can be read; else `rulings` gets why not."""
    if report.head is None or any(not ruling.passed for ruling in report.rulings):
        return report
    reading = read_document(folder / f"indexes/{report.head.artifact_index}.json", expected=INDEX.name)
    index = reading.judged.facts
    if reading.judged.problems or not isinstance(index, IndexFacts):
        why = reading.judged.problems[0].text if reading.judged.problems else "is no artifact index of ours"
        rulings.append(red("artifact_index", "red", f"the copy of the artifact index {why}"))
        return report
    if index.release != report.head.release:
        text = f"the artifact index is of the release {index.release}, the entry of {report.head.release}"
        rulings.append(red("artifact_index", "another_release", text))
    root = (folder / report.head.artifact_index_path).parent / index.root
    return replace(report, index=index, root=root)


def _twin(path: Path, render: Render) -> list[Ruling]:
    twin = path.with_suffix(".md")
    try:
        document = parse_object(read_bytes(path))
        told = read_bytes(twin)
    except NotStrict:
        return []
    except Unreadable as error:
        return [red(twin.name, "unreadable", f"{twin.name} {error}")]
    if told != render(document).encode("utf-8"):
        return [red(twin.name, "changed", f"{twin.name} does not say what {path.name} says")]
    return []
