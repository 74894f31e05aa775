"""dlt moves rows: what is right passes, and what the page of findings tells is red for that reason."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(find_spec("dlt") is None, reason="dlt is not installed: pip install 'pytest-dpone[dlt]'"),
]
RIGHT = (
    "postgres_to_postgres__full_refresh",
    "postgres_to_postgres__incremental_append",
    "postgres_to_postgres__incremental_merge",
    "postgres_to_minio__incremental_append",
    "minio_to_postgres__incremental_append",
    "minio_to_postgres__incremental_merge",
)


@pytest.mark.nightly("every second case; the others are skipped")
@pytest.mark.parametrize("case", RIGHT)
def test_what_dlt_does_right_passes(case: str, tmp_path: Path, nightly: bool) -> None:
    if not nightly and RIGHT.index(case) % 2:
        pytest.skip("every second case is played by `make nightly` alone")
    done = run(tmp_path, f"--dpone-case={case}", "--dpone-dataset=narrow", "--dpone-rows=300")
    assert done.returncode == 0, done.stdout
    assert "PASSED (reduced scope: 1 of 1 selected case" in done.stdout


def test_nothing_of_a_run_is_left_in_the_users_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    case = "--dpone-case=postgres_to_postgres__full_refresh"
    done = run(tmp_path, case, "--dpone-dataset=narrow", "--dpone-rows=50", HOME=str(home), TMPDIR=str(home))
    assert done.returncode == 0, done.stdout
    assert [path.name for path in home.rglob("*") if "dlt" in path.name] == []


def test_a_row_that_is_lost_by_the_engine_is_red(tmp_path: Path) -> None:
    """The same pipelines with dlt's own default of what it leaves out at the cursor."""
    (tmp_path / "lossy.py").write_text(LOSSY)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    case = "--dpone-case=postgres_to_postgres__incremental_append"
    done = run(tmp_path, case, "--dpone-dataset=narrow", "--dpone-rows=2000", engine="lossy")
    assert done.returncode == 1, done.stdout
    assert "check rows: expected 2271, got 2270 (1 missing)" in done.stdout
    assert "missing code='a104 ', revision=1" in done.stdout


LOSSY = """
import dlt
from pytest_dpone.engines.dlt import ends, mover

ends._from_cursor = lambda job, column: dlt.sources.incremental(column)
raise SystemExit(mover.main())
"""
CONFTEST = """
import sys
from pathlib import Path

from pytest_dpone.engines.command import CommandEngine
from pytest_dpone.engines.dlt import DltEngine


class Lossy(DltEngine):
    name = "lossy"

    def __init__(self):
        self._program = CommandEngine((sys.executable, str(Path(__file__).with_name("lossy.py"))), called="lossy")


def pytest_dpone_engine(name):
    return Lossy() if name == "lossy" else None
"""


def run(folder: Path, *arguments: str, engine: str = "dlt", **more: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", f"--dpone-engine={engine}", "--dpone-crash=off", *arguments],
        cwd=folder,
        env={**environ, **more, "DPONE_SERVICES": "postgres=embedded,minio=embedded"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
