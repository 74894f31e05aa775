"""A release of a project that needs Postgres only: GO, then every command of the runbook on its tree, then sabotage."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_dpone.cli.main import main
from pytest_dpone.core.wire import ServiceInfo

from .baselines import patient

pytestmark = pytest.mark.real

INI = """
[pytest]
dpone_source = postgres
dpone_sink = postgres
dpone_strategy =
    full_refresh
    incremental_append
    incremental_merge
    snapshot_diff
dpone_release = v0.7.1
dpone_release_type = minor
dpone_check =
    cli_commands=true
    run_cli=true
    run_python_api=true
    hierarchical_lineage=true
    documentation=true
    package=true
dpone_objectives = objectives.json
dpone_baseline = baseline.json
dpone_rows = 200
"""
OBJECTIVES = {
    "throughput_rows_per_second": {"min": 1},
    "duration_seconds": {"max": 600},
    "freshness_lag_seconds": {"max": 60},
    "failure_rate": {"max": 0},
}
SERVICE_TEST = """
import psycopg
import pytest


@pytest.mark.integration_postgres
def test_postgres_answers(dpone_postgres):
    with psycopg.connect(dpone_postgres.url.get_secret_value()) as connection:
        assert connection.execute("SELECT 41 + 1").fetchone() == (42,)
"""
MATRIX_TEST = """
import pytest


@pytest.mark.integration_matrix
def test_mine(dpone_case, dpone_certify):
    dpone_certify()
"""
A = "test_artifacts/live_certification"
MATRIX = f"""\
DPONE_RUN_INTEGRATION=1 \
DPONE_RUN_INTEGRATION_MATRIX=1 \
DPONE_MATRIX_RUN_MODE={{mode}} \
DPONE_MATRIX_ROW_COUNT=250 \
DPONE_MATRIX_ARTIFACT_DIR={A}/matrix \
pytest -m integration_matrix tests/integration/matrix -q"""
RELEASE_PACK = f"""\
pytest-dpone ops release-evidence-pack \
--release v0.7.1 --profile real_local \
--artifact service_markers={A}/service_markers.json \
--artifact certification_pack={A}/certification-pack/connector_certification_pack.json \
--artifact performance_certification={A}/performance-certification/performance_certification.json \
--artifact live_state_reconciliation={A}/live-state-reconciliation/live_state_reconciliation.json \
--artifact evidence_chain={A}/evidence-chain/evidence_chain_index.json \
--artifact pre_release_checklist={A}/pre-release/pre_release_checklist.json \
--require service_markers --require certification_pack --require performance_certification \
--require live_state_reconciliation --require evidence_chain --require pre_release_checklist \
--output-dir {A}/release-evidence --format json"""
SERVICES = """\
DPONE_RUN_INTEGRATION=1 \
pytest -m "integration_postgres or integration_mssql or integration_clickhouse or integration_kafka" tests/integration -q"""
VENDOR_PLAN = """\
pytest-dpone ops live-certification-plan --profile vendor_live --include-vendor-live --row-count 10000 \
--output-dir test_artifacts/live_certification_vendor/plan --format json"""
RUNBOOK = [
    f"pytest-dpone ops live-certification-plan --profile local_live --row-count 25000 --output-dir {A}/plan --format json",
    SERVICES,
    MATRIX.format(mode="mock_local"),
    MATRIX.format(mode="real_local"),
    VENDOR_PLAN,
    f"""pytest-dpone ops benchmark-slo-gate \
--metrics-json '{{"throughput_rows_per_second":120000,"duration_seconds":40,"freshness_lag_seconds":120,"failure_rate":0}}' \
--baseline-json '{{"throughput_rows_per_second":{{"value":100000,"direction":"higher"}},"duration_seconds":{{"value":60,"direction":"lower"}}}}' \
--objectives-json '{{"throughput_rows_per_second":{{"min":100000}},"freshness_lag_seconds":{{"max":300}},"failure_rate":{{"max":0}}}}' \
--output-dir {A}/benchmark-slo --format json""",
    f"""pytest-dpone ops performance-certification --profile real_local --row-count 25000 \
--metrics-json '{{"throughput_rows_per_second":1000,"duration_seconds":60,"memory_peak_mb":1024,"failure_rate":0}}' \
--minimum-json '{{"throughput_rows_per_second":500,"failure_rate":0}}' \
--maximum-json '{{"duration_seconds":120,"memory_peak_mb":2048}}' \
--output-dir {A}/performance-certification --format json""",
    f"""pytest-dpone ops live-state-reconciliation --profile real_local \
--artifact state={A}/state_evidence.json --artifact reconciliation={A}/reconciliation_evidence.json \
--require state --require reconciliation --output-dir {A}/live-state-reconciliation --format json""",
    f"""pytest-dpone ops pre-release-checklist --release v0.7.1 --release-type minor \
--check cli_commands=true --check run_cli=true --check run_python_api=true --check hierarchical_lineage=true \
--check source_sink_matrix=true --check contracts_guardrails=true --check documentation=true --check package=true \
--output-dir {A}/pre-release --format json""",
    RELEASE_PACK,
]


class Project:
    """A user's project in a folder of its own."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        tests = path / "tests" / "integration"
        (tests / "matrix").mkdir(parents=True)
        (path / "pytest.ini").write_text(INI)
        (path / "objectives.json").write_text(json.dumps(OBJECTIVES))
        (tests / "test_postgres.py").write_text(SERVICE_TEST)
        (tests / "matrix" / "test_matrix.py").write_text(MATRIX_TEST)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
        search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**kept, "PATH": search, "DPONE_POSTGRES_URL": url}

    def sh(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, shell=True, cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=300
        )

    def document(self, name: str) -> Mapping[str, object]:
        data: Mapping[str, object] = json.loads((self.path / A / name).read_text())
        return data


@pytest.mark.nightly("goes through the runbook once, not twice")
def test_a_release_and_its_runbook(
    services: dict[str, ServiceInfo],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    nightly: bool,
) -> None:
    project = Project(tmp_path, services["postgres"].url.get_secret_value())
    first = project.sh("pytest --dpone-profile=real_local --dpone-baseline=baseline.json --dpone-update-baseline")
    assert (first.returncode, "NO-GO: 4 of 4 planned cases passed" in first.stdout) == (1, True), first.stdout
    patient(project.path / "baseline.json")
    go = project.sh("pytest --dpone-profile=real_local -n 2")
    assert go.returncode == 0, go.stdout
    assert "GO (4 of 4 planned cases passed; the ini file plans 4 of 216)" in go.stdout
    assert project.document("service_markers.json")["facts"]["markers"]["integration_postgres"]["passed"] == 9  # type: ignore[index]
    for _ in range(2 if nightly else 1):
        for command in RUNBOOK:
            done = project.sh(command)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert project.document("matrix/certification_report.json")["run_mode"] == "real_local"
    assert project.document("release-evidence/release_evidence_pack.json")["passed"] is True
    monkeypatch.chdir(project.path)
    _sabotage(project, capsys)
    assert project.sh(RELEASE_PACK).returncode == 0, "all is as it was"


def _sabotage(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Delete, edit and swap files one by one: the pack is red each time, and names what was touched.

    The command is the last one of the runbook, which has run as a program; here it runs in this process.
    """
    program, *words = shlex.split(RELEASE_PACK.replace("--format json", ""))
    assert program == "pytest-dpone"
    root = project.path / A
    touched = [
        "matrix/certification_report.json",
        "matrix/postgres_to_postgres__full_refresh__behavior.json",
        "matrix/postgres_to_postgres__full_refresh__behavior.md",
        "junit.xml",
        "observability/runtime_metrics.prom",
        "service_markers.json",
        "state_evidence.json",
        "benchmark-slo/benchmark_slo_gate.json",
        "pre-release/pre_release_checklist.md",
        "artifact-index/artifact_index.json",
        "evidence-chain/entries/000000.json",
        "plan/live_certification_plan.json",
    ]
    other = (root / "reconciliation_evidence.json").read_bytes()
    ways: dict[str, Callable[[Path], object]] = {
        "delete": Path.unlink,
        "edit": lambda path: path.write_bytes(path.read_bytes().replace(b"postgres", b"postgrex", 1) + b" "),
        "swap": lambda path: path.write_bytes(other),
    }
    for name in touched:
        for way, touch in ways.items():
            saved = project.path / "saved"
            shutil.copy2(root / name, saved)
            touch(root / name)
            status, told = main(words), capsys.readouterr()
            assert status == 1, (way, name, told.out)
            culprit = Path(name).name.partition("__behavior")[0].partition(".")[0]
            entry = "entries/000000" if culprit == "000000" else culprit
            assert entry in told.out, (way, name, told.out)
            assert "Traceback" not in told.err
            shutil.copy2(saved, root / name)
