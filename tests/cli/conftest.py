"""Good evidence in a folder, as a run and its gates leave it, for tests that then break it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_dpone.cli.main import main
from pytest_dpone.core.gates.tallies import tally
from pytest_dpone.core.model import (
    ActName,
    ActRecord,
    Case,
    CaseRecord,
    Check,
    DiffReport,
    NotRun,
    Scalar,
    ServiceRecord,
    Strategy,
    Verdict,
)
from pytest_dpone.run.publication import Identity, Publication
from pytest_dpone.run.verdict import decide

A = "test_artifacts/live_certification"
RELEASE = "v0.7.1"
CHECKS = (
    *("cli_commands", "run_cli", "run_python_api", "hierarchical_lineage", "source_sink_matrix"),
    *("contracts_guardrails", "documentation", "package"),
)
METRICS = {"throughput_rows_per_second": 1000, "duration_seconds": 60, "memory_peak_mb": 1024, "failure_rate": 0}


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass(frozen=True)
class Tree:
    """A folder with evidence; commands are run in it."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    def path(self, name: str) -> Path:
        """A file of the certification's folder."""
        return self.root / A / name

    def ops(self, *argv: str) -> Result:
        """Run `pytest-dpone ops …` in this process."""
        self.capsys.readouterr()
        try:
            status = main(["ops", *argv])
        except SystemExit as end:
            status = int(end.code or 0)
        told = self.capsys.readouterr()
        return Result(status, told.out, told.err)

    def json(self, name: str) -> dict:  # type: ignore[type-arg]
        return json.loads(self.path(name).read_text())

    def write(self, name: str, data: object) -> None:
        """Put `data` there, as JSON unless it is text or bytes."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            path.write_text(data if isinstance(data, str) else json.dumps(data))

    def edit(self, name: str, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
        """Change a JSON document in place, as somebody with an editor does."""
        data = self.json(name)
        change(data)
        self.write(name, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


PERFORMANCE = (
    *("performance-certification", "--profile", "real_local", "--row-count", "25000"),
    *("--metrics-json", json.dumps(METRICS)),
    *("--minimum-json", '{"throughput_rows_per_second":500,"failure_rate":0}'),
    *("--maximum-json", '{"duration_seconds":120,"memory_peak_mb":2048}'),
    *("--output-dir", f"{A}/performance-certification"),
)
BASELINES = {
    "throughput_rows_per_second": {"value": 100000, "direction": "higher"},
    "duration_seconds": {"value": 60, "direction": "lower"},
}
OBJECTIVES = {
    "throughput_rows_per_second": {"min": 100000},
    "freshness_lag_seconds": {"max": 300},
    "failure_rate": {"max": 0},
}
FAST = {"throughput_rows_per_second": 120000, "duration_seconds": 40, "freshness_lag_seconds": 120, "failure_rate": 0}
BENCHMARK = (
    *("benchmark-slo-gate", "--metrics-json", json.dumps(FAST)),
    *("--baseline-json", json.dumps(BASELINES), "--objectives-json", json.dumps(OBJECTIVES)),
    *("--output-dir", f"{A}/benchmark-slo"),
)
LIVE_STATE = (
    *("live-state-reconciliation", "--profile", "real_local"),
    *("--artifact", f"state={A}/state_evidence.json"),
    *("--artifact", f"reconciliation={A}/reconciliation_evidence.json"),
    *("--require", "state", "--require", "reconciliation"),
    *("--output-dir", f"{A}/live-state-reconciliation"),
)
CERTIFICATION_PACK = (
    *("certification-pack", "--profile", "real_local", "--release", RELEASE, "--pack-id", "first"),
    *("--artifact", f"service_markers={A}/service_markers.json"),
    *("--artifact", f"certification_report={A}/matrix/certification_report.json"),
    *("--artifact", f"runtime_metrics={A}/observability/runtime_metrics.json"),
    *("--artifact", f"benchmark_slo_gate={A}/benchmark-slo/benchmark_slo_gate.json"),
    *("--output-dir", f"{A}/certification-pack"),
)
INDEX = ("artifact-index", "--root", A, "--release", RELEASE, "--output-dir", f"{A}/artifact-index")
CHAIN = (
    *("evidence-chain", "--artifact-index", f"{A}/artifact-index/artifact_index.json"),
    *("--chain-dir", f"{A}/evidence-chain", "--release", RELEASE),
)
VERIFY = ("evidence-chain-verify", "--chain-dir", f"{A}/evidence-chain")
CHECKLIST = (
    *("pre-release-checklist", "--release", RELEASE, "--release-type", "minor"),
    *(word for name in CHECKS for word in ("--check", f"{name}=true")),
    *("--output-dir", f"{A}/pre-release"),
)
ARTIFACTS = {
    "service_markers": "service_markers.json",
    "certification_pack": "certification-pack/connector_certification_pack.json",
    "performance_certification": "performance-certification/performance_certification.json",
    "live_state_reconciliation": "live-state-reconciliation/live_state_reconciliation.json",
    "evidence_chain": "evidence-chain/evidence_chain_index.json",
    "pre_release_checklist": "pre-release/pre_release_checklist.json",
}
RELEASE_PACK = (
    *("release-evidence-pack", "--release", RELEASE, "--profile", "real_local"),
    *(word for name, path in ARTIFACTS.items() for word in ("--artifact", f"{name}={A}/{path}")),
    *(word for name in ARTIFACTS for word in ("--require", name)),
    *("--output-dir", f"{A}/release-evidence"),
)
MATRIX = ("integration-matrix-report", "--artifact-dir", f"{A}/matrix", "--output-dir", f"{A}/matrix-again")
EXPORT = ("metrics-export", "--artifact-dir", f"{A}/matrix", "--output-dir", f"{A}/observability")
PLAN = (
    *("live-certification-plan", "--profile", "local_live", "--row-count", "25000"),
    *("--output-dir", f"{A}/plan"),
)
ALL = (PLAN, BENCHMARK, PERFORMANCE, LIVE_STATE, EXPORT, CERTIFICATION_PACK, CHECKLIST, INDEX, CHAIN, RELEASE_PACK)
"""In an order in which each finds what it needs."""

CASES = ("postgres_to_clickhouse__full_refresh", "postgres_to_postgres__full_refresh")


def record_of(sink: str, *, verdict: Verdict = Verdict.PASSED, reason: NotRun | None = None) -> CaseRecord:
    case = Case("postgres", sink, Strategy.FULL_REFRESH)
    check = Check(name="rows", passed=verdict is not Verdict.FAILED, expected=1000, actual=1000)
    observed: dict[str, Scalar] = {"read": 1000, "memory_peak_mb": 120}
    acts = [
        ActRecord(
            name=name,
            passed=check.passed,
            rows=1000,
            engine_seconds=0.5,
            harness_seconds=0.1,
            checks=(check,),
            observed=observed,
            diff=DiffReport(expected_rows=1000, actual_rows=1000),
        )
        for name in (ActName.LOAD, ActName.CHANGE)
    ]
    services = [
        ServiceRecord(name=name, provider="docker", product=name, version="1", fidelity="real")
        for name in dict.fromkeys(("postgres", sink))
    ]
    if verdict is Verdict.NOT_RUN:
        return CaseRecord.of(case, verdict, reason=reason)
    return CaseRecord.of(case, verdict, rows=1000, seconds=1.5, acts=tuple(acts), services=tuple(services))


def write_matrix(folder: Path, *records: CaseRecord, profile: str = "real_local", run_mode: str = "real_local") -> None:
    """The matrix folder of a run with these records, by the code that writes it in a run."""
    identity = Identity(run_id="r1", profile=profile, run_mode=run_mode, release=RELEASE)
    publication = Publication(folder, identity)
    for record in records:
        publication.case(record)
    decision = decide(records, profile=profile, matrix_size=len(records))
    publication.report(records, [tally(r) for r in records], decision, excluded=(), matrix_size=len(records))


def write_evidence(root: Path) -> None:
    """What the gates take: a matrix of ours, and evidence from elsewhere."""
    folder = root / A
    write_matrix(folder / "matrix", record_of("clickhouse"), record_of("postgres"))
    for name, data in {
        "service_markers.json": {"passed": True, "counts": {"passed": 12, "failed": 0, "skipped": 0}},
        "state_evidence.json": {"passed": True, "cases": 2},
        "reconciliation_evidence.json": {"passed": True, "checks": [{"name": "deletes", "passed": True}]},
    }.items():
        (folder / name).write_text(json.dumps(data, indent=2) + "\n")


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tree that every gate finds green; not to be changed."""
    root = tmp_path_factory.mktemp("golden")
    write_evidence(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for argv in ALL:
            assert main(["ops", *argv]) == 0, argv
    yield root


@pytest.fixture
def tree(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tree:
    """A copy of the golden tree, which is also the working directory."""
    root = tmp_path / "tree"
    shutil.copytree(golden, root, symlinks=True)
    monkeypatch.chdir(root)
    return Tree(root, capsys)


@pytest.fixture(scope="session")
def ops_argv() -> dict[str, tuple[str, ...]]:
    """The commands by short name, in an order in which each finds what it needs."""
    return {
        "plan": PLAN,
        "benchmark": BENCHMARK,
        "performance": PERFORMANCE,
        "live_state": LIVE_STATE,
        "matrix": MATRIX,
        "export": EXPORT,
        "certification_pack": CERTIFICATION_PACK,
        "checklist": CHECKLIST,
        "index": INDEX,
        "chain": CHAIN,
        "verify": VERIFY,
        "release_pack": RELEASE_PACK,
    }
