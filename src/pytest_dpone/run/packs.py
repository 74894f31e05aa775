"""Packs from files: each artifact judged again, the chain verified, its tree compared with its index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.gates.bundle import BundleFacts, BundleKind
from ..core.gates.documents import CHAIN
from ..core.gates.external import Problem
from ..evidence.chain import ChainReport, Unverifiable, live_index, verify
from ..evidence.exhibits import Reading, exhibit
from ..evidence.index import drift, turned_green
from ..report.gates import document_markdown

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
    exhibits = []
    for name, path in artifacts.items():
        chain = path

        def chained(reading: Reading, chain: Path = chain) -> list[Problem]:
            return _chain_problems(chain) if reading.judged.kind == CHAIN.name else []

        exhibits.append(exhibit(name, path, base=base, extra=chained))
    return BundleFacts(
        bundle=bundle,
        pack_id=pack_id,
        profile=profile,
        release=release,
        required=tuple(required),
        exhibits=tuple(exhibits),
    )


def _chain_problems(path: Path) -> list[Problem]:
    """What is wrong with the chain that the file at `path` is the index of, and with the tree of its head."""
    if path.name != CHAIN.file:
        return [Problem("not_in_its_folder", f"is a chain's index and must be given as {CHAIN.file} in its folder")]
    try:
        report = verify(path.parent, files=False, render=document_markdown)
    except Unverifiable as error:
        return [Problem("unverifiable", f"can't be verified: {error.fact}")]
    found = [Problem(ruling.code, f"is broken: {ruling.text}") for ruling in report.red]
    return found or _tree_problems(path.parent, report)


def _tree_problems(folder: Path, report: ChainReport) -> list[Problem]:
    if report.index is None or report.root is None or report.head is None:
        return [Problem("unverifiable", "has no artifact index that can be read")]
    found = turned_green(report.index, report.root)
    told = {ruling.subject for ruling in found}
    changed = drift(report.index, report.root, since=report.head.generated_at, render=document_markdown)
    found += [ruling for ruling in changed if ruling.subject not in told]
    found += live_index(folder, report.head, document_markdown)
    problems = [
        Problem(f"tree_{ruling.code}", f"indexes a file that differs: {ruling.text}") for ruling in found[:_TOLD]
    ]
    if len(found) > _TOLD:
        problems.append(Problem("tree_changed", f"indexes {len(found) - _TOLD} more files that differ"))
    return problems
