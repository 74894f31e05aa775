"""Packs from files: each artifact judged again, the chain verified, its tree compared with its index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ..core.gates.bundle import KIND_OF_NAME, BundleFacts, BundleKind
from ..core.gates.chain import IndexFacts
from ..core.gates.documents import CHAIN, MARKERS
from ..core.gates.external import Problem
from ..core.gates.matrix import SCHEMA_REPORT, MatrixFacts
from ..core.gates.ruling import RELEASE_PROFILES, Ruling
from ..core.gates.tallies import MarkerFacts, judge_markers
from ..core.model import SCHEMA_BEHAVIOR
from ..evidence.chain import ChainReport, Unverifiable, live_index, verify
from ..evidence.exhibits import Reading, exhibit, read_document
from ..evidence.index import drift, turned_green
from ..report.gates import document_markdown
from .matrix_files import run_again

_HAS_SERVICES = ("certification_report", "certification_pack")
_TOLD = 20
"""Files that are told one by one when a tree differs from its index."""


def pack_facts(
    bundle: BundleKind,
    artifacts: Mapping[str, Path],
    *,
    profile: str,
    base: Path,
    release: str | None = None,
    required: Sequence[str] = (),
    pack_id: str | None = None,
) -> BundleFacts:
    """Read the `artifacts` by name. `base` is the folder of the pack's own file. Never raises for what they hold."""
    services = _services(artifacts) if profile in RELEASE_PROFILES else ()
    exhibits = []
    for name, path in artifacts.items():

        def further(reading: Reading, path: Path = path) -> list[Problem]:
            if reading.judged.kind == CHAIN.name:
                return _chain_problems(path, profile)
            return _marker_problems(reading, profile, services) if reading.judged.kind == MARKERS.name else []

        exhibits.append(exhibit(name, path, base=base, extra=further))
    return BundleFacts(
        bundle=bundle,
        pack_id=pack_id,
        profile=profile,
        release=release,
        required=tuple(required),
        exhibits=tuple(exhibits),
    )


def _services(artifacts: Mapping[str, Path], *, level: int = 0) -> tuple[str, ...]:
    """The services that the certification report names, which may be in a certification pack, but not deeper."""
    for name, path in artifacts.items():
        kind = KIND_OF_NAME.get(name, name)
        facts = read_document(path, expected=kind).judged.facts if kind in _HAS_SERVICES else None
        if isinstance(facts, MatrixFacts):
            return tuple(facts.fidelities)
        if isinstance(facts, BundleFacts) and not level:
            return _services({row.name: path.parent / row.path for row in facts.exhibits}, level=1)
    return ()


def _marker_problems(reading: Reading, profile: str, services: Sequence[str]) -> list[Problem]:
    """Counts that were judged without a profile must hold under the pack's, and each service must have been tested."""
    facts = reading.judged.facts
    if not isinstance(facts, MarkerFacts) or reading.judged.problems:
        return []
    required = tuple(dict.fromkeys((*facts.required, *(f"integration_{name}" for name in services))))
    rulings = judge_markers(facts.model_copy(update={"profile": profile, "required": required}))
    return [
        Problem("red", f"is red under {profile}: {ruling.blocker}: {ruling.text}")
        for ruling in rulings
        if not ruling.passed
    ][:1]


def _chain_problems(path: Path, profile: str) -> list[Problem]:
    """What is wrong with the chain that the file at `path` is the index of, and with the tree of its head."""
    if path.name != CHAIN.file:
        return [Problem("not_in_its_folder", f"is a chain's index and must be given as {CHAIN.file} in its folder")]
    try:
        report = verify(path.parent, files=False, render=document_markdown)
    except Unverifiable as error:
        return [Problem("unverifiable", f"can't be verified: {error.fact}")]
    found = [Problem(ruling.code, f"is broken: {ruling.text}") for ruling in report.red]
    return found or _tree_problems(path.parent, report, profile)


def _tree_problems(folder: Path, report: ChainReport, profile: str) -> list[Problem]:
    if report.index is None or report.root is None or report.head is None:
        return [Problem("unverifiable", "has no artifact index that can be read")]
    found = turned_green(report.index, report.root)
    told = {ruling.subject for ruling in found}
    changed = drift(report.index, report.root, since=report.head.generated_at, render=document_markdown)
    again = _matrices_again(changed, report.index, report.root, profile=profile, since=report.head.generated_at)
    found += [ruling for ruling in changed if ruling.subject not in told | again]
    found += live_index(folder, report.head, document_markdown)
    problems = [
        Problem(f"tree_{ruling.code}", f"indexes a file that differs: {ruling.text}") for ruling in found[:_TOLD]
    ]
    if len(found) > _TOLD:
        problems.append(Problem("tree_changed", f"indexes {len(found) - _TOLD} more files that differ"))
    return problems


def _matrices_again(changed: Sequence[Ruling], index: IndexFacts, root: Path, *, profile: str, since: str) -> set[str]:
    """Paths of the changed files that belong to a matrix that was run again, whole and green."""
    kinds = {row.path: row.kind for row in index.files}
    folders = {
        PurePosixPath(ruling.subject).parent
        for ruling in changed
        if kinds.get(ruling.subject) in (SCHEMA_REPORT, SCHEMA_BEHAVIOR)
    }
    return {
        (folder / name).as_posix()
        for folder in folders
        for name in run_again(root / folder, profile=profile, since=since)
    }
