"""The packaged suite against real services, as a user runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

PROVIDERS = "--dpone-services=postgres=embedded,clickhouse=embedded,minio=embedded"


def run(directory: Path, *arguments: str, services: str = PROVIDERS) -> subprocess.CompletedProcess[str]:
    (directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", services, *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=300)


def test_the_service_tests_pass_on_all_three_services(tmp_path: Path) -> None:
    pairs = ("--dpone-source=postgres,clickhouse", "--dpone-sink=minio", "--dpone-strategy=full_refresh")
    done = run(tmp_path, "--dpone-profile=local_live", *pairs, "--dpone-rows=50", "-n2")
    assert done.returncode == 0, done.stdout
    assert " 26 passed" in done.stdout
    assert "PASSED (reduced scope: 2 of 2 selected cases (of 216 planned) passed)" in done.stdout
    for service in ("postgres: PostgreSQL", "clickhouse: ClickHouse", "minio: "):
        assert f"\n{service}" in done.stdout


def test_the_service_tests_pass_on_kafka_beside_cases(tmp_path: Path) -> None:
    pairs = ("--dpone-source=postgres", "--dpone-sink=minio,kafka", "--dpone-strategy=full_refresh")
    done = run(
        tmp_path,
        "--dpone-services=kafka=embedded,schema_registry=embedded",
        "--dpone-profile=local_live",
        *pairs,
        "--dpone-rows=50",
    )
    assert done.returncode == 0, done.stdout
    assert " 33 passed" in done.stdout
    assert "PASSED (reduced scope: 2 of 2 selected cases (of 216 planned) passed)" in done.stdout
    (markers,) = (tmp_path / "test_artifacts").rglob("service_markers.json")
    assert json.loads(markers.read_text())["facts"]["markers"]["integration_kafka"]["passed"] == 8


def test_no_kafka_is_started_for_cases_without_it(tmp_path: Path) -> None:
    # Whoever asks for it there would be refused: there is no such folder.
    (tmp_path / "conftest.py").write_text("import os\nos.environ['DPONE_KAFKA_HOME'] = '/no/such/folder'\n")
    pairs = ("--dpone-source=postgres", "--dpone-sink=minio", "--dpone-strategy=full_refresh")
    done = run(tmp_path, "--dpone-profile=local_live", *pairs, "--dpone-rows=50")
    assert done.returncode == 0, done.stdout
    (markers,) = (tmp_path / "test_artifacts").rglob("service_markers.json")
    assert "integration_kafka" not in json.loads(markers.read_text())["facts"]["markers"]


def test_the_service_tests_of_a_registry_pass(tmp_path: Path) -> None:
    # No case moves Kafka's messages yet; the registry's own tests are planned with the family all the same.
    pairs = ("--dpone-source=postgres", "--dpone-sink=postgres,kafka", "--dpone-strategy=full_refresh")
    providers = "--dpone-services=postgres=embedded,schema_registry=embedded,kafka=embedded"
    done = run(tmp_path, "--dpone-profile=local_live", *pairs, "--dpone-rows=50", "-v", services=providers)
    assert done.returncode == 0, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("dpone/test_registry.py::")]
    assert len(lines) == 7
    assert all(" PASSED " in line for line in lines), lines
    alone = run(tmp_path, "--dpone-profile=local_live", *pairs[:1], "--dpone-sink=postgres", "--co", "-q")
    assert "test_services.py" in alone.stdout
    assert "test_registry.py" not in alone.stdout


def test_the_api_is_tested_and_its_cases_meet_every_fault(tmp_path: Path) -> None:
    strategies = "--dpone-strategy=incremental_merge,backfill"
    pairs = ("--dpone-source=api", "--dpone-sink=postgres", strategies)
    done = run(tmp_path, "--dpone-profile=local_live", *pairs, "--dpone-rows=200", "-n2")
    assert done.returncode == 0, done.stdout
    assert "\napi: pytest-dpone API " in done.stdout
    (markers,) = (tmp_path / "test_artifacts").rglob("service_markers.json")
    assert json.loads(markers.read_text())["facts"]["markers"]["integration_api"]["passed"] == 3
    for path in (tmp_path / "test_artifacts").rglob("api_to_postgres__*__behavior.json"):
        acts = {act["name"]: act for act in json.loads(path.read_text())["record"]["acts"]}
        for name in ("load", "change"):
            checks = {check["name"]: check["passed"] for check in acts[name]["checks"]}
            assert checks["api.patience"] is True
            assert all(acts[name]["observed"][f"api.{fault}"] for fault in (401, 412, 429, 500)), path
        assert {check["name"]: check["passed"] for check in acts["load"]["checks"]}["api.faults_met"] is True


def test_one_case_shows_its_acts_and_leaves_its_record(tmp_path: Path) -> None:
    done = run(tmp_path, "--dpone-case=postgres_to_postgres__incremental_merge", "-vv", "--dpone-rows=300")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    for act in ("provision", "load", "change", "repeat", "reconcile"):
        assert any(line.startswith(f"    {act} ") and " rows   engine " in line for line in lines), act
    (line,) = [line for line in lines if line.startswith("    passed in ")]
    assert re.fullmatch(r"    passed in \d+\.\d\d s: provision \d+\.\d\d, load \d+\.\d\d, .*", line), line
    (report,) = (tmp_path / "test_artifacts").rglob("certification_report.json")
    facts = json.loads(report.read_text())
    assert facts["passed"] is True
    assert facts["services"][0]["fidelity"] == "real"


def test_an_external_address_that_refuses_is_red_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPONE_POSTGRES_URL", "postgresql://me:canary-5a1@127.0.0.1:9/db")
    case = "--dpone-case=postgres_to_postgres__full_refresh"
    command = [sys.executable, "-m", "pytest", case, "-p", "no:hypothesispytest"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "postgresql://127.0.0.1:9/db refused" in done.stdout
    assert "hint: check the address, and that the server is up" in done.stdout
    written = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert "canary-5a1" not in done.stdout + done.stderr + written
    assert "FAILED: 0 of 1 selected case (of 216 planned) passed; 1 failed" in done.stdout
