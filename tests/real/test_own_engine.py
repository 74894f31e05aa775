"""The example of an engine of one's own passes; broken by hand it is red, and the message says all that one needs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_engine"
CASE = "postgres_to_postgres__full_refresh"
BREAKS = {
    "loses_the_last_rows": ("for row in reader:", "for row in list(reader)[:-100]:"),
    "empty_text_becomes_null": ('STDOUT"', "STDOUT (NULL '')\""),
}
SHOWN = {
    "loses_the_last_rows": (
        "check rows: expected 1000, got 900 (100 missing)",
        "check facts.read: expected 1000, got 900",
        "missing id=901",
    ),
    "empty_text_becomes_null": (
        "0 missing, 0 extra, 162 changed, 0 duplicated",
        "columns that differ: own tsquery (41), own name (38), own varbit (33), own tsvector (31), order (7) and 11 more",
        "changed id=8",
        "own tsvector: expected '' (postgres:tsvector), got NULL (postgres:tsvector)",
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__", "test_artifacts", ".*")
    shutil.copytree(EXAMPLE, tmp_path / "own_engine", ignore=ignore)
    return tmp_path / "own_engine"


def test_the_example_passes(folder: Path) -> None:
    done = run(folder, f"--dpone-case={CASE}")
    assert done.returncode == 0, done.stdout
    assert "engine copy (ini)" in done.stdout
    assert done.stdout.splitlines()[-2] == "PASSED (reduced scope: 1 of 1 selected case (of 216 planned) passed)"


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_example_is_red_and_can_be_run_again(folder: Path, broken: str) -> None:
    mover = folder / "mover.py"
    sound, wrong = BREAKS[broken]
    text = mover.read_text()
    assert text.count(sound) == 1
    text = text.replace(sound, wrong)
    if broken == "empty_text_becomes_null":
        assert text.count('STDIN"') == 1
        text = text.replace('STDIN"', "STDIN (NULL '')\"")
    mover.write_text(text)
    first = run(folder, f"--dpone-case={CASE}")
    assert first.returncode == 1
    told = message(first.stdout)
    assert told[:2] == [f"FAILED {CASE} (engine copy, 1000 rows, seed 1)", "act load:"]
    for line in SHOWN[broken]:
        assert any(line in part for part in told), line
    again = shlex.split(told[-1].removeprefix("rerun: "))
    assert again[0] == "pytest"
    second = run(folder, *again[1:])
    assert second.returncode == 1
    assert message(second.stdout) == told


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=folder,
        env={**environ, "DPONE_SERVICES": "postgres=embedded"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


def message(output: str) -> list[str]:
    """The lines about the red case, from its name to the command that runs it again."""
    found = re.search(rf"^FAILED {CASE} .*?^  rerun: [^\n]*", output, re.M | re.S)
    assert found is not None, output
    return [line.strip() for line in found[0].splitlines()]
