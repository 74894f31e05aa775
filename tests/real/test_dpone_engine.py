"""What the page of findings says of dpone is what its cases say, one by one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dpone.core.model import Strategy
from pytest_dpone.engines.dpone import Environment

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not Environment.of(os.environ).ready, reason="dpone is not installed: pytest-dpone engine install dpone"
    ),
]
PAGE = (Path(__file__).parents[2] / "docs" / "findings.md").read_text().split("## dpone", 1)[1]
ROWS = re.findall(r"^\| (\w+) \| (passed|red) \| `(.+)` \|$", PAGE, re.M)


def test_every_strategy_is_on_the_page() -> None:
    assert [row[0] for row in ROWS] == [str(strategy) for strategy in Strategy]


@pytest.mark.parametrize(("strategy", "verdict", "told"), ROWS)
def test_a_case_ends_as_the_page_says(strategy: str, verdict: str, told: str, tmp_path: Path) -> None:
    options = ("--dpone-engine=dpone", "--dpone-dataset=narrow", "--dpone-rows=400", "--dpone-crash=off")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--dpone-case=postgres_to_postgres__{strategy}"],
        cwd=tmp_path,
        env={**environ, "DPONE_SERVICES": "postgres=embedded"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == (0 if verdict == "passed" else 1), done.stdout
    assert told in done.stdout, done.stdout
