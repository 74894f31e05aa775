"""The example of a family of one's own: a sink that the plugin does not know is certified, and a wrong one is red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real
pytest.importorskip("duckdb", minversion="2", reason="the example needs DuckDB")

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_family"
CASE = "postgres_to_duckdb__full_refresh"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__", "test_artifacts", ".*")
    shutil.copytree(EXAMPLE, tmp_path / "own_family", ignore=ignore)
    return tmp_path / "own_family"


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", f"--dpone-case={CASE}", "--dpone-rows=300"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_example_is_certified(folder: Path) -> None:
    done = run(folder)
    assert done.returncode == 0, done.stdout
    assert "PASSED (reduced scope: 1 of 1 selected case (of 265 planned) passed)" in done.stdout


def test_the_sink_is_a_short_read() -> None:
    assert len((EXAMPLE / "duckdb_family.py").read_text().splitlines()) < 80


def test_names_that_the_sink_takes_for_one_are_seen(folder: Path) -> None:
    family = folder / "duckdb_family.py"
    family.write_text(family.read_text().replace("case_blind=True, ", ""))
    done = run(folder)
    assert done.returncode == 1
    assert "order is missing" in done.stdout


def test_a_mover_that_changes_values_is_seen(folder: Path) -> None:
    mover = folder / "mover.py"
    text = mover.read_text()
    assert "'DECIMAL')" in text
    mover.write_text(text.replace("native.replace('numeric', 'DECIMAL')", "'DECIMAL(38,2)'"))
    done = run(folder)
    assert done.returncode == 1
    assert "amount_25 is DECIMAL(38,2), not accepted for decimal(38,10)" in done.stdout
