"""Beside the plugins that people use: all of them loaded, and the verdict of a run is what it is without them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .conftest import Project

LOCAL = "--dpone-profile=local_live"
BESIDE = Path(sys.prefix) / "beside"
"""Where `make .venv/.dev` puts them: they would change the project's own tests if they were installed."""
PLUGINS = ("asyncio", "cov", "randomly", "timeout", "html", "metadata")
MINE = """
import asyncio
import pytest

@pytest.mark.asyncio
async def test_mine():
    await asyncio.sleep(0)

@pytest.mark.timeout(60)
def test_case_of_mine(dpone_case, dpone_certify):
    assert dpone_certify().verdict == "passed"
"""

pytestmark = pytest.mark.apart


@pytest.fixture
def beside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    if not BESIDE.is_dir():
        pytest.skip(f"the plugins of others are not in {BESIDE}: `make .venv/.dev` puts them there")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(BESIDE), os.environ.get("PYTHONPATH")))))
    (project.path / "test_mine.py").write_text(MINE)
    project.pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return project


def run(project: Project, *words: str) -> pytest.RunResult:
    # rerunfailures is installed here, and loaded, too
    return project.pytester.runpytest_subprocess("-p", "no:hypothesispytest", *words, timeout=120)


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "n2"])
def test_all_plugins_at_once(beside: Project, workers: tuple[str, ...]) -> None:
    words = ("--cov=.", "--cov-report=", "--html=page.html", "--self-contained-html", "--timeout=60", "--reruns=1")
    result = run(beside, LOCAL, *words, *workers)
    assert result.ret == 0, result.stdout.str()
    (line,) = [line for line in result.outlines if line.startswith("plugins: ")]
    assert [name for name in (*PLUGINS, "rerunfailures", "dpone") if f"{name}-" not in line] == []
    result.assert_outcomes(passed=7)
    assert result.outlines[-2] == "PASSED (3 of 3 planned cases passed)" or "PASSED (3 of 3" in result.stdout.str()
    assert beside.verdicts() == dict.fromkeys(("full_refresh", "replace", "scd2"), "passed")
    assert (beside.path / "page.html").exists()


def test_a_case_that_failed_and_was_run_again_until_it_was_green_is_no_pass(beside: Project) -> None:
    (beside.path / "test_mine.py").write_text(
        "import pathlib\n\ndef test_flaky(dpone_case, dpone_certify):\n    dpone_certify()\n"
        "    path = pathlib.Path(dpone_case.case_id)\n    if not path.exists():\n        path.touch()\n        assert False\n"
    )
    result = run(beside, LOCAL, "--reruns=2", "-p", "no:randomly")
    assert result.ret == 1
    assert "6 passed, 3 rerun" in result.stdout.str(), "pytest itself is content"
    result.stdout.fnmatch_lines(["FAILED: 0 of 3 planned cases passed; 3 failed"])


def test_a_test_that_takes_too_long_is_red(beside: Project) -> None:
    (beside.path / "test_mine.py").write_text(
        "import time\n\ndef test_slow(dpone_case, dpone_certify):\n    time.sleep(30)\n    dpone_certify()\n"
    )
    result = run(beside, "--dpone-case=alpha_to_beta__scd2", "--timeout=1", "-p", "no:randomly")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*Timeout*"])
    assert "FAILED: 0 of 1 selected case" in result.stdout.str()
