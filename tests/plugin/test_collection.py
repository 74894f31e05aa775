"""The packaged suite is collected whatever the user's session looks like, with the same ids everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_dpone

from .conftest import Project

FULL = "--dpone-profile=local_live"
IDS = [f"dpone/test_matrix.py::test_case[alpha_to_beta__{name}]" for name in ("full_refresh", "replace", "scd2")]


def collected(result: pytest.RunResult) -> list[str]:
    assert result.ret == 0
    return [line for line in result.outlines if "::" in line]


def test_the_suite_stands_beside_the_users_tests(project: Project) -> None:
    project.pytester.makepyfile("def test_mine(): pass")
    result = project.run(FULL, "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*::test_mine PASSED*", *(f"{nodeid} PASSED*" for nodeid in map(escaped, IDS))])
    result.stdout.no_fnmatch_line("*<- *")


def escaped(nodeid: str) -> str:
    return nodeid.replace("[", "[[]")


@pytest.mark.parametrize(
    "ini",
    [
        "python_functions = check_*",
        "python_files = check_*.py",
        "python_classes = Check*",
        "testpaths = nothing_there",
        "addopts = --import-mode=importlib --strict-config --strict-markers",
        "addopts = -p no:cacheprovider",
        "collect_imported_tests = false",
        "filterwarnings = error",
    ],
)
def test_no_ini_setting_hides_the_suite(project: Project, ini: str) -> None:
    project.pytester.makeini(f"[pytest]\n{ini}")
    assert collected(project.run(FULL, "--collect-only", "-q")) == IDS


def test_from_a_directory_below(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.pytester.makeini("[pytest]")
    below = project.path / "some" / "where"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert collected(project.run(FULL, "--collect-only", "-q")) == IDS
    assert project.run(FULL).ret == 0
    assert project.verdicts() == dict.fromkeys(("full_refresh", "replace", "scd2"), "passed")


def test_with_a_path_and_with_pyargs(project: Project) -> None:
    project.pytester.makepyfile(test_one="def test_one(): pass", test_two="def test_two(): pass")
    assert collected(project.run(FULL, "--collect-only", "-q", "test_one.py")) == ["test_one.py::test_one", *IDS]
    package = project.path / "mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "test_in_package.py").write_text("def test_here(): pass\n")
    found = collected(project.run(FULL, "--collect-only", "-q", "--pyargs", "mine"))
    assert found == ["mine/test_in_package.py::test_here", *IDS]


@pytest.mark.apart
def test_with_a_virtual_environment_inside_of_rootdir(project: Project) -> None:
    """The package may lie in a directory that pytest refuses to recurse into."""
    source = Path(pytest_dpone.__file__).parent
    library = project.path / ".venv" / "lib"
    library.mkdir(parents=True)
    (project.path / ".venv" / "pyvenv.cfg").touch()
    (library / "pytest_dpone").symlink_to(source, target_is_directory=True)
    environment = {**os.environ, "PYTHONPATH": str(library)}
    command = [sys.executable, "-m", "pytest", FULL, "--collect-only", "-q"]
    done = subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if "::" in line] == IDS


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["-k", "scd2 or replace"], IDS[1:]),
        (["-m", "integration_matrix"], IDS),
        (["-m", "not integration_matrix"], ["test_mine.py::test_mine"]),
        (["--deselect", "dpone/test_matrix.py"], ["test_mine.py::test_mine"]),
        (["--deselect", IDS[0]], ["test_mine.py::test_mine", *IDS[1:]]),
    ],
)
def test_the_usual_selections_apply(project: Project, arguments: list[str], left: list[str]) -> None:
    project.pytester.makepyfile(test_mine="def test_mine(): pass")
    assert collected(project.run(FULL, "--collect-only", "-q", *arguments)) == left


def test_a_case_alone_deselects_everything_else(project: Project) -> None:
    project.pytester.makepyfile(
        test_mine="def test_mine(): raise SystemExit\ndef test_movers(dpone_case, dpone_certify): dpone_certify()"
    )
    result = project.run("--dpone-case=*__scd2", "-v")
    result.assert_outcomes(passed=2, deselected=1)
    result.stdout.fnmatch_lines(["*test_movers[[]alpha_to_beta__scd2[]] PASSED*", escaped(IDS[2]) + " PASSED*"])


def test_a_case_may_be_repeated_and_listed(project: Project) -> None:
    found = collected(project.run("--dpone-case=*__scd2", "--dpone-case=*__full_*,*replace", "--collect-only", "-q"))
    assert found == IDS


@pytest.mark.apart
def test_ids_do_not_depend_on_the_hash_seed(project: Project) -> None:
    seen = set()
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "DOCKER_HOST": "unix:///nowhere"}
        command = [sys.executable, "-m", "pytest", FULL, "--collect-only", "-q"]
        done = subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True, check=True)
        seen.add(tuple(line for line in done.stdout.splitlines() if "::" in line))
    assert seen == {tuple(IDS)}


def test_collecting_alone_writes_and_judges_nothing(project: Project) -> None:
    result = project.run(FULL, "--collect-only")
    assert result.ret == 0
    assert not project.artifacts.exists()
    result.stdout.no_fnmatch_line("*PASSED*")
    result.stdout.no_fnmatch_line("*FAILED*")


def test_the_shipped_matrix_is_collected_in_order(pytester: pytest.Pytester) -> None:
    from pytest_dpone.core.matrix import build_matrix
    from pytest_dpone.core.registry import default_registry
    from pytest_dpone.plugin.suite.scratch import TESTED

    found = collected(pytester.runpytest_inprocess(FULL, "--collect-only", "-q"))
    planned = [f"dpone/test_matrix.py::test_case[{c.case_id}]" for c in build_matrix(default_registry()).planned]
    assert [line for line in found if "test_matrix" in line] == planned
    services = [line for line in found if line.startswith("dpone/test_services.py::")]
    assert {line.rpartition("[")[2] for line in services} == {f"{name}]" for name in TESTED}
    assert len(services) == 8 * len(TESTED)


def test_service_tests_are_only_for_the_services_of_the_scope(pytester: pytest.Pytester) -> None:
    found = collected(pytester.runpytest_inprocess(FULL, "--dpone-sink=minio", "--dpone-source=minio", "--co", "-q"))
    services = [line for line in found if line.startswith("dpone/test_services.py::")]
    assert {line.rpartition("[")[2] for line in services} == {"minio]"}


@pytest.mark.parametrize("with_integration", [True, False])
def test_the_documentations_variables_collect_the_matrix(
    project: Project, monkeypatch: pytest.MonkeyPatch, with_integration: bool
) -> None:
    monkeypatch.setenv("DPONE_RUN_INTEGRATION_MATRIX", "1")
    if with_integration:
        monkeypatch.setenv("DPONE_RUN_INTEGRATION", "1")
    monkeypatch.setenv("DPONE_MATRIX_ARTIFACT_DIR", "elsewhere/matrix")
    result = project.run("-m", "integration_matrix")
    result.assert_outcomes(passed=3)
    assert project.report(project.path / "elsewhere" / "matrix")["profile"] == "local_live"


def test_the_mode_real_local_judges_the_cases_and_leaves_the_release_to_the_pack(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPONE_RUN_INTEGRATION_MATRIX", "1")
    monkeypatch.setenv("DPONE_MATRIX_RUN_MODE", "real_local")
    result = project.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["PASSED (3 of 3 planned cases passed; the cases alone, no release decision)"])
