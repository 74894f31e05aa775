"""Runs in the mode mock_local as a user starts them: no service, no supervisor, and never a pass."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.registry import default_registry
from pytest_dpone.services import lease

from .conftest import LIGHT

pytestmark = pytest.mark.apart

MODE = "--dpone-run-mode=mock_local"
ONE = "--dpone-case=postgres_to_postgres__full_refresh"
NARROW = "--dpone-dataset=narrow"
REPORT = "certification_report.json"
PLANNED = build_matrix(default_registry()).planned
SIZE = len(PLANNED)
BREAK = """
from pytest_dpone.engines.mock import MockEngine

def pytest_dpone_engine(name):
    return MockEngine(broken) if name == "mock" else None

def broken(batches):
    {body}
"""


@pytest.fixture(autouse=True)
def _no_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts services in this process fails."""
    from pytest_dpone.services.stack import Stack

    def launch(settings: object) -> Stack:
        raise AssertionError("a simulated run has started the supervisor")

    monkeypatch.setattr(Stack, "launch", launch)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*LIGHT, *arguments)


def run_apart(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(*LIGHT, *arguments, timeout=240)


def report(pytester: pytest.Pytester) -> dict[str, object]:
    (path,) = (pytester.path / "test_artifacts").rglob(REPORT)
    data: dict[str, object] = json.loads(path.read_text())
    return data


def run_folder(result: pytest.RunResult) -> Path:
    """Where the tables of a run are."""
    found = re.search(r"dpone: run ([0-9a-f]+),", result.stdout.str())
    assert found is not None
    return lease.base_directory() / "runs" / found[1]


def test_the_documentations_variables_run_the_whole_matrix(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            unwanted = "psycopg boto3 chdb clickhouse_connect moto docker pytest_dpone.engines.native".split()
            unwanted += ["pytest_dpone.services.stack", "pytest_dpone.services.supervisor"]
            print("\\nloaded:", [name for name in unwanted if name in sys.modules])
        """
    )
    monkeypatch.setenv("DPONE_RUN_INTEGRATION", "1")
    monkeypatch.setenv("DPONE_RUN_INTEGRATION_MATRIX", "1")
    monkeypatch.setenv("DPONE_MATRIX_RUN_MODE", "mock_local")
    monkeypatch.setenv("DPONE_MATRIX_ROW_COUNT", "40")
    monkeypatch.setenv("DPONE_DATASET", "narrow")
    monkeypatch.setenv("DPONE_MATRIX_ARTIFACT_DIR", "test_artifacts/matrix")
    monkeypatch.setenv("DPONE_POSTGRES_URL", "not an address")
    result = run_apart(pytester, "-m", "integration_matrix")
    assert result.ret == 0, result.stdout.str()
    assert result.parseoutcomes() == {"simulated": SIZE}
    text = f"SIMULATED ({SIZE} of {SIZE} planned cases behaved; no real row was moved)"
    result.stdout.fnmatch_lines(
        [f"dpone: run *, local_live, {SIZE} of {SIZE} *", "dpone: simulated: *", text, "loaded: []"]
    )
    assert "PASSED" not in result.stdout.str()
    assert not run_folder(result).exists()
    facts = report(pytester)
    assert (facts["passed"], facts["blockers"]) == (False, ["run_mode.simulated"])
    assert (facts["word"], facts["headline"], facts["run_mode"]) == ("SIMULATED", text, "mock_local")
    assert facts["counts"] == {"passed": SIZE, "failed": 0, "not_run": 0}
    services = facts["services"]
    assert isinstance(services, list)
    assert {(s["provider"], s["product"], s["fidelity"]) for s in services} == {("memory", "simulated", "emulated")}
    documents = [json.loads(p.read_text()) for p in (pytester.path / "test_artifacts/matrix").glob("*__behavior.json")]
    assert len(documents) == SIZE >= 30
    for document in documents:
        assert (document["run_mode"], document["passed"], document["blockers"]) == (
            "mock_local", False, ["run_mode.simulated"],
        )  # fmt: skip
        assert document["record"]["engine"] == "mock"


def test_workers_share_one_folder(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pairs = ("--dpone-source=postgres", "--dpone-sink=postgres,minio", "--dpone-strategy=full_refresh,cdc")
    result = run_apart(pytester, MODE, NARROW, *pairs, "-n2")
    assert result.ret == 0, result.stdout.str()
    assert result.parseoutcomes()["simulated"] == 3
    result.stdout.fnmatch_lines([f"SIMULATED (3 of 3 selected cases (of {SIZE} planned) behaved; *"])
    assert not run_folder(result).exists()


def test_the_option_alone_runs_the_matrix_and_no_service_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, MODE, "--co", "-q")
    tests = [line for line in result.outlines if "::" in line]
    assert len(tests) == SIZE
    assert all(line.startswith("dpone/test_matrix.py::") for line in tests)
    found = run(pytester, MODE, "--dpone-profile=local_live", "--co", "-q").outlines
    assert [line for line in found if "::" in line] == tests


def test_a_case_is_told_as_simulated(pytester: pytest.Pytester) -> None:
    result = run(pytester, MODE, ONE, NARROW, "-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "dpone/test_matrix.py::test_case[[]postgres_to_postgres__full_refresh] SIMULATED*",
            "    behaved in * s: provision *, load *",
            "postgres: simulated in memory (memory; emulated: *",
            f"SIMULATED (1 of 1 selected case (of {SIZE} planned) behaved; no real row was moved)",
            "*1 simulated in *",
        ]
    )
    assert "PASSED" not in result.stdout.str()
    (document,) = (pytester.path / "test_artifacts/live_certification/simulated/cases").rglob("*__behavior.json")
    assert json.loads(document.read_text())["record"]["rerun"].endswith(f"--dpone-dataset=narrow {MODE}")


def test_the_artifacts_of_a_real_run_stay(pytester: pytest.Pytester) -> None:
    matrix = pytester.path / "test_artifacts" / "live_certification" / "matrix"
    matrix.mkdir(parents=True)
    real = '{"schema": "pytest-dpone/certification-report/v1", "run_mode": "real_local"}'
    (matrix / REPORT).write_text(real)
    pytester.makeini("[pytest]\ndpone_run_mode = mock_local\ndpone_dataset = narrow\ndpone_rows = 4")
    pytester.makeconftest(
        """
        def pytest_dpone_register(registry):
            registry.exclude(lambda case: None if case.case_id == "minio_to_minio__full_refresh" else "not now")
        """
    )
    assert run(pytester, "--dpone-profile=local_live").ret == 0
    assert (matrix / REPORT).read_text() == real
    written = {path.name for path in (matrix.parent / "simulated").rglob("*") if path.is_file()}
    case = "minio_to_minio__full_refresh__behavior"
    stems = (case, "certification_report")
    assert {f"{stem}.{kind}" for stem in stems for kind in ("json", "md")} == {n for n in written if n[0] != "."}


def test_a_broken_engine_is_red(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(BREAK.format(body="yield from list(batches)[:-1]"))
    result = run(pytester, MODE, ONE, NARROW)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*check rows: expected 1000, got 750*",
            f"FAILED: 0 of 1 selected case (of {SIZE} planned) behaved; 1 failed; no real row was moved",
        ]
    )
    assert report(pytester)["blockers"] == [
        "postgres_to_postgres__full_refresh.failed", "scope.nothing_passed", "run_mode.simulated",
    ]  # fmt: skip


WRONG = [
    (
        ["--dpone-profile=real_local"],
        "contradicts --dpone-profile=real_local: a simulated run moves no row of a service",
    ),
    (["--dpone-engine=mine"], "the engine 'mine' can't move the rows of a simulated run"),
    (["--dpone-selfcheck"], "contradicts --dpone-selfcheck: the mutants need services"),
    (["--dpone-services=postgres=docker"], "contradicts --dpone-services: it starts no service"),
    (["--dpone-image=postgres=postgres:17"], "contradicts --dpone-image: it starts no service"),
    (["--dpone-keep=always"], "contradicts --dpone-keep: its tables end with it"),
    (
        ["--dpone-profile=local_live", "--dpone-release=v1.2.0"],
        "--dpone-release has no run that it is for\nhint: leave it",
    ),
]


@pytest.mark.parametrize(("arguments", "told"), WRONG, ids=lambda value: str(value)[:30])
def test_what_a_simulated_run_can_not_have_is_wrong_use(
    pytester: pytest.Pytester, arguments: list[str], told: str
) -> None:
    result = run(pytester, MODE, *arguments)
    assert result.ret == 4
    assert told in result.stderr.str()
    assert "hint: " in result.stderr.str()
    assert not (pytester.path / "test_artifacts").exists()


def test_the_engine_of_an_ini_file_must_be_left_out_by_name(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ndpone_engine = mine\ndpone_services = postgres=docker\ndpone_keep = always")
    result = run(pytester, MODE, ONE, NARROW)
    assert result.ret == 4
    assert "hint: add --dpone-engine=native: the engine mock takes its place then" in result.stderr.str()
    for engine in ("native", "mock"):
        assert run(pytester, MODE, ONE, NARROW, f"--dpone-engine={engine}").ret == 0


def test_the_engine_of_simulated_runs_moves_nothing_else(pytester: pytest.Pytester) -> None:
    result = run(pytester, ONE, "--dpone-engine=mock")
    assert result.ret == 4
    assert "the engine mock moves rows in memory\nhint: add --dpone-run-mode=mock_local" in result.stderr.str()


def test_tests_that_need_services_are_skipped_and_say_why(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPONE_RUN_INTEGRATION", "1")
    monkeypatch.setenv("DPONE_RUN_INTEGRATION_LIVE", "1")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.integration_postgres
        def test_marked(): raise AssertionError

        @pytest.mark.integration_live
        def test_vendor(): raise AssertionError

        def test_service(dpone_minio): raise AssertionError

        def test_stack(dpone_stack): raise AssertionError

        @pytest.mark.integration_matrix
        def test_no_service(): pass
        """
    )
    result = run(pytester, MODE, "-k", "not test_case", "-rs")
    assert result.parseoutcomes()["skipped"] == 4
    assert result.parseoutcomes()["passed"] == 1
    assert result.stdout.str().count("the run is simulated: no service is started") == 4


def test_every_case_is_played_by_the_engine_of_simulated_runs(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        class Mine:
            name = "mine"
            def supports(self, case): raise AssertionError
            def run(self, job): raise AssertionError

        @pytest.fixture(scope="session")
        def dpone_engine(): return Mine()
        """
    )
    pytester.makepyfile(
        """
        def test_mine(dpone_case, dpone_certify, dpone_engine):
            assert dpone_certify(engine=dpone_engine).engine == "mock"
        """
    )
    result = run(pytester, MODE, ONE, NARROW)
    assert result.parseoutcomes() == {"simulated": 2}
    assert result.ret == 0


def test_ctrl_c_leaves_no_tables(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(BREAK.format(body="raise KeyboardInterrupt"))
    result = run_apart(pytester, MODE, ONE, NARROW)
    assert result.ret == 2
    result.stdout.fnmatch_lines(["FAILED: 0 of 1 selected case*"])
    assert not run_folder(result).exists()


def test_what_a_kill_leaves_goes_with_the_next_run(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(BREAK.format(body="import time; print('moving', flush=True); time.sleep(60)"))
    words = [sys.executable, "-m", "pytest", *LIGHT, MODE, ONE, NARROW, "-s"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        while not lines or not lines[-1].endswith("moving\n"):
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        (run_id,) = [line.split()[2].rstrip(",") for line in lines if line.startswith("dpone: run ")]
        left = lease.base_directory() / "runs" / run_id
        # Once it is dead, any run on this machine may take it away.
        assert any(path.name == "orders.arrow" for path in left.rglob("*"))
        process.kill()
    (pytester.path / "conftest.py").unlink()
    assert run_apart(pytester, MODE, ONE, NARROW).ret == 0
    deadline = time.monotonic() + 5
    while left.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left.exists()
