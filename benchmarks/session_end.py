"""The end of a run with 10,000 records, against writing as many files of that size with fsync: one process, a line out.

python benchmarks/session_end.py FOLDER
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

from pytest_dpone.core.gates.metrics import Baseline
from pytest_dpone.core.gates.ruling import GateResult
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
from pytest_dpone.core.registry import Family, Registry
from pytest_dpone.run.certification import Cases, Certification
from pytest_dpone.run.conclusion import Conclusion, Measured
from pytest_dpone.run.gate_files import new_stamp
from pytest_dpone.run.inputs import GateInputs
from pytest_dpone.run.page import write_page
from pytest_dpone.run.plan import make_plan
from pytest_dpone.run.publication import Identity, Publication
from pytest_dpone.run.tree import Tree

CASES = 10_000
SERVICE = ServiceRecord(name="postgres", provider="docker", product="PostgreSQL", version="17.2", fidelity="real")
ACTS = (ActName.PROVISION, ActName.LOAD, ActName.CHANGE, ActName.REPEAT, ActName.RECONCILE, ActName.REJECT)


def main(folder: Path) -> None:
    """Print seconds of the end, seconds of the plain files, and the largest resident set in MiB."""
    registry = Registry()
    for number in range(32):
        registry.add(Family(f"f{number}"))
    plan = make_plan(registry)
    scope = plan.scope[:CASES]
    plan = type(plan)(plan.registry, plan.matrix, scope, scope)
    tree = Tree(folder / "tree", folder / "tree" / "matrix")
    tree.hold(whole=True)
    identity = Identity(
        run_id="r1", profile="real_local", run_mode="real_local", release="v1.0.0", release_type="major"
    )
    certification = Certification(plan, Publication(tree.matrix, identity))
    size = 0
    for case in scope:
        text = record(case).model_dump_json()
        size += len(text)
        certification.take(text)
    inputs = GateInputs(
        release="v1.0.0",
        release_type="major",
        baseline={"throughput_rows_per_second": Baseline(value=1, direction="higher")},
        minimum={"throughput_rows_per_second": 1},
    )
    stamp = new_stamp(run_id="r1", profile="real_local", release="v1.0.0", run_mode="real_local", origin="run")
    markers = MarkerFacts(
        profile="real_local",
        markers={name: MarkerCounts(passed=8) for name in ("integration_postgres", "integration_matrix")},
    )

    def conclude(cases: Cases) -> tuple[GateResult, ...]:
        path = certification.publication.report_path
        measured = Measured(cases.tallies, markers, 1000, cases.decision.passed, path)
        conclusion = Conclusion(tree, inputs, stamp)
        conclusion.write_page = lambda gates: write_page(tree, plan, cases, gates=gates, stamp=stamp)
        return conclusion.conclude(measured)

    started = time.perf_counter()
    outcome = certification.finish(missing=NotRun.DESELECTED, detail="", conclude=conclude)
    end = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert outcome is not None
    assert len(outcome.records) == CASES
    red = [gate.name for gate in outcome.gates if gate.state != "passed"]
    assert red == ["pre_release_checklist", "release_evidence_pack"], red  # the checks of a person are not given
    print(end, plain_files(folder / "plain", size // CASES), peak)


def plain_files(folder: Path, size: int) -> float:
    """Seconds to write the files one by one, each with fsync."""
    folder.mkdir()
    content = b"x" * size
    started = time.perf_counter()
    for number in range(CASES):
        with (folder / f"{number}.json").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    return time.perf_counter() - started


def record(case: Case) -> CaseRecord:
    """A green record as a real case leaves it."""
    checks = tuple(
        Check(name=name, passed=True, expected=1000, actual=1000) for name in ("rows", "schema", "state_kept")
    )
    acts = tuple(
        ActRecord(
            name=name,
            passed=True,
            rows=1000,
            engine_seconds=0.5,
            harness_seconds=0.2,
            observed={"read": 1000, "written": 1000, "seconds.stage": 0.2, "memory_peak_mb": 150.0, "bytes": 10**6},
            checks=checks,
            diff=DiffReport(expected_rows=1000, actual_rows=1000),
        )
        for name in ACTS
    )
    return CaseRecord.of(
        case,
        Verdict.PASSED,
        engine="native",
        seed=1,
        rows=1000,
        acts=acts,
        services=(SERVICE,),
        rerun=f"pytest --dpone-case={case.case_id} --dpone-rows=1000 --dpone-seed=1",
        seconds=2.5,
        finished_at="2026-01-01T00:00:00.000Z",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
