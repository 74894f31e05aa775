"""Trees of runs for tests that seal and break them: made by the code that ends a run, of records that are given."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_dpone.core.gates.metrics import Baseline
from pytest_dpone.core.gates.ruling import GateResult
from pytest_dpone.core.gates.source import CodeState, FileSet, SourceFacts, SourceState, TreeState
from pytest_dpone.core.gates.tallies import MarkerCounts, MarkerFacts
from pytest_dpone.core.model import (
    ActName,
    ActRecord,
    Case,
    CaseRecord,
    Check,
    DiffReport,
    NotRun,
    ServiceRecord,
    Verdict,
)
from pytest_dpone.core.registry import default_registry
from pytest_dpone.run.certification import Cases, Certification
from pytest_dpone.run.conclusion import Conclusion, Measured
from pytest_dpone.run.gate_files import new_stamp
from pytest_dpone.run.inputs import GateInputs
from pytest_dpone.run.origin import Origin
from pytest_dpone.run.page import write_page
from pytest_dpone.run.plan import make_plan
from pytest_dpone.run.publication import Identity, Publication
from pytest_dpone.run.scope import scope_of
from pytest_dpone.run.tree import Tree

COMMIT = "c0ffee" * 6 + "beef"
RELEASE = "v1.2.3"
CHECKS = ("documentation", "package")
SERVICE = ServiceRecord(name="postgres", provider="docker", product="PostgreSQL", version="17.2", fidelity="real")
ACTS = (ActName.PROVISION, ActName.LOAD, ActName.CHANGE, ActName.RECONCILE, ActName.REJECT)


def write_tree(
    folder: Path,
    *,
    profile: str = "real_local",
    release: str | None = RELEASE,
    failed: bool = False,
    run_mode: str = "real_local",
    commit: str | None = COMMIT,
    dirty: bool | None = False,
    run_id: str = "r1",
    fidelity: str = "real",
    emulated: str = "",
    crash: bool = False,
    throughput: float = 1.0,
    accept: tuple[str, ...] = (),
    unavailable: bool = False,
    strategies: tuple[str, ...] = ("full_refresh", "incremental_merge"),
) -> Path:
    """The tree of a run of two cases that ended green, unless `failed`."""
    plan = make_plan(default_registry(), sources=["postgres"], sinks=["postgres"], strategies=strategies)
    plan = type(plan)(plan.registry, plan.matrix, plan.scope, plan.scope)
    tree = Tree(folder, folder / "matrix")
    origin = Origin(commit=commit, tree="a" * 64, dirty=dirty)
    handles = tree.hold(whole=True) or ()
    tree.clear(whole=True)
    identity = Identity(
        run_id=run_id, profile=profile, run_mode=run_mode, release=release, release_type="patch", source=origin
    )
    certification = Certification(plan, Publication(tree.matrix, identity), accepted_fidelity=accept)
    service = SERVICE.model_copy(update={"fidelity": fidelity, "emulated": emulated})
    for number, case in enumerate(plan.scope):
        if unavailable and number:
            lost = CaseRecord.of(case, Verdict.NOT_RUN, reason=NotRun.UNAVAILABLE, detail="no | such server")
            certification.take(lost.model_dump_json())
            continue
        certification.take(record(case, service, failed=failed and number == 0).model_dump_json())
    inputs = GateInputs(
        release=release,
        release_type="patch" if release else None,
        checks=dict.fromkeys(CHECKS, True),
        baseline={"throughput_rows_per_second": Baseline(value=1, direction="higher")},
        minimum={"throughput_rows_per_second": throughput},
    )
    stamp = new_stamp(run_id=run_id, profile=profile, release=release, run_mode=run_mode, source=origin, origin="run")
    counts = {name: MarkerCounts(passed=8) for name in ("integration_postgres", "integration_matrix")}

    def conclude(cases: Cases) -> tuple[GateResult, ...]:
        if crash:
            return ()
        path = certification.publication.report_path
        measured = Measured(
            cases.tallies,
            MarkerFacts(profile=profile, markers=counts),
            1000,
            cases.decision.passed,
            path,
            source=SourceFacts(profile=profile, start=source_state(commit), end=source_state(commit)),
            scope=scope_of(plan).facts(profile, records=cases.records, tests={}) if profile != "local_live" else None,
        )
        conclusion = Conclusion(tree, inputs, stamp)
        conclusion.write_page = lambda gates: write_page(tree, plan, cases, gates=gates, stamp=stamp, baseline={})
        return conclusion.conclude(measured)

    outcome = certification.finish(missing=NotRun.DESELECTED, detail="", conclude=conclude)
    assert outcome is not None
    for handle in handles:
        os.close(handle)
    return folder


def source_state(commit: str | None) -> SourceState:
    """A look at a tree that is as `commit` has it."""
    files = {
        name: FileSet(digest=letter * 64) for name, letter in (("tracked", "a"), ("untracked", "b"), ("ignored", "c"))
    }
    return SourceState(
        tree=TreeState(repository="git" if commit else "none", commit=commit, **files),
        plugin=CodeState(name="pytest-dpone", files=FileSet(digest="d" * 64)),
        engines=(CodeState(name="native", files=FileSet(digest="d" * 64)),),
    )


def record(case: Case, service: ServiceRecord, *, failed: bool) -> CaseRecord:
    """A record as a real case leaves it."""
    names = ("rows", "schema", "state_kept")
    acts = tuple(
        ActRecord(
            name=name,
            passed=not (failed and name is ActName.CHANGE),
            rows=1000,
            engine_seconds=0.5,
            harness_seconds=0.2,
            observed={"read": 1000, "seconds.stage": 0.2, "memory_peak_mb": 150.0, "deletes_checked": 3},
            checks=tuple(
                Check(name=check, passed=not (failed and name is ActName.CHANGE), expected=1000, actual=1000)
                for check in names
            ),
            diff=DiffReport(expected_rows=1000, actual_rows=1000),
        )
        for name in ACTS
    )
    return CaseRecord.of(
        case,
        Verdict.FAILED if failed else Verdict.PASSED,
        engine="native",
        seed=1,
        rows=1000,
        acts=acts,
        services=(service,),
        rerun=f"pytest --dpone-case={case.case_id}",
        seconds=2.5,
        finished_at="2026-01-01T00:00:00.000Z",
    )
