"""What a run writes for people and other tools, before the artifact index, which lists it as every other file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path, PurePath

from ..core.gates.documents import Stamp
from ..core.gates.kills import summed
from ..core.gates.metrics import Baseline
from ..core.gates.ruling import GateResult
from ..core.gates.tallies import runtime_of
from ..errors import MissingExtra, require
from ..evidence.artifacts import write_json, write_text
from ..report.ctrf import ctrf_report
from ..report.gates import told_blockers
from .certification import Cases
from .plan import Plan
from .publication import behavior_name, has_behavior
from .tree import CTRF, CTRF_MARK, PAGE, PAGE_MARK, Tree, has_mark


def write_reports(
    tree: Tree,
    plan: Plan,
    cases: Cases,
    *,
    gates: Sequence[GateResult],
    stamp: Stamp,
    baseline: Mapping[str, Baseline],
) -> list[str]:
    """Write the page and the CTRF report; returns why one is missing. Raises `ArtifactError`."""
    page = write_page(tree, plan, cases, gates=gates, stamp=stamp, baseline=baseline)
    return [problem for problem in (page, write_ctrf(tree, cases, stamp)) if problem]


def write_ctrf(tree: Tree, cases: Cases, stamp: Stamp) -> str:
    """Write `ctrf-report.json` into the root of `tree`; returns why there is none, or an empty text.

    Raises `ArtifactError` if it can't be written.
    """
    path = tree.root / CTRF
    if _in_the_way(path, CTRF_MARK):
        return f"{CTRF} was not written: {path} is in the way, and was not written by pytest-dpone"
    write_json(path, ctrf_report(cases.records, stamp, version=version("pytest-dpone")))
    return ""


def write_page(
    tree: Tree,
    plan: Plan,
    cases: Cases,
    *,
    gates: Sequence[GateResult],
    stamp: Stamp,
    baseline: Mapping[str, Baseline],
) -> str:
    """Write `report.html` into the root of `tree`; returns why there is none, or an empty text.

    Raises `ArtifactError` if it can't be written.
    """
    path = tree.root / PAGE
    try:
        # It brings htpy, which is needed here only.
        require("htpy", extra="html")
        from ..report.html import PageFacts, page
    except MissingExtra as missing:
        return f"{PAGE} was not written: htpy is not installed ({missing.hint})"
    except ImportError as error:
        return f"{PAGE} was not written: htpy can't be imported: {error}"
    if _in_the_way(path, PAGE_MARK):
        return f"{PAGE} was not written: {path} is in the way, and was not written by pytest-dpone"
    folder = PurePath(os.path.relpath(tree.matrix, tree.root))
    metrics = tuple(tally.metrics for tally in cases.tallies)
    facts = PageFacts(
        stamp=stamp,
        headline=cases.decision.headline,
        passed=cases.decision.passed,
        blockers=_blockers(cases, gates),
        gates=tuple(gates),
        records=cases.records,
        metrics=metrics,
        totals=runtime_of(metrics).totals,
        failures=cases.failures,
        baseline=baseline,
        kills=summed(tally.kills for tally in cases.tallies),
        planned=plan.matrix.planned,
        excluded=plan.matrix.excluded,
        documents={
            record.case_id: (folder / behavior_name(record.case_id)).with_suffix("").as_posix()
            for record, measured in zip(cases.records, metrics, strict=True)
            if measured.acts or has_behavior(record)
        },
    )
    write_text(path, page(facts))
    return ""


def _blockers(cases: Cases, gates: Sequence[GateResult]) -> tuple[tuple[str, str], ...]:
    """Each blocker with what is known of it: by a gate, beside the cases, or by the case itself."""
    why = {r.case_id: ": ".join(filter(None, (r.reason, r.detail))) for r in cases.records if r.reason or r.detail}
    own = [code for gate in gates for code, _ in gate.blockers]
    told = told_blockers((*cases.decision.blockers, *own), gates)
    return tuple((code, text or cases.problems.get(code) or why.get(code.partition(".")[0], "")) for code, text in told)


def _in_the_way(path: Path, mark: bytes) -> bool:
    try:
        return os.path.lexists(path) and not has_mark(path, mark)
    except OSError:
        return True
