"""The example in JavaScript, broken by hand: facts that lie and rows that are lost are red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "command_engine"
CASE = "clickhouse_to_clickhouse__full_refresh"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("node") is None, reason="the example needs Node, which is not installed"),
]
BREAKS = {
    "lies": ("return { read, written };", "return { read, written: written + 1 };", "check facts.written: expected 300, got 301"),
    "loses": ("${query} FORMAT Parquet", "${query} LIMIT 200 FORMAT Parquet", "check rows: expected 300, got 200 (100 missing)"),
    "tells": (
        "const read = await",
        "console.error(order.sink.url); console.error(sink.headers); process.exit(5); const read = await",
        "the command ended with status 5; its standard error ends with: ",
    ),
    "hangs": ("const read = await", "await new Promise(() => setInterval(() => 0, 1000)); const read = await", "timed out after 15 s"),
}  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_program_is_red(broken: str, tmp_path: Path) -> None:
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "test_artifacts", ".*"))
    sound, wrong, told = BREAKS[broken]
    text = (folder / "mover.js").read_text()
    assert text.count(sound) == 1
    (folder / "mover.js").write_text(text.replace(sound, wrong))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"--dpone-case={CASE}", "--dpone-rows=300", "--dpone-case-timeout=15"],
        cwd=folder,
        env={**environ, "DPONE_SERVICES": "clickhouse=embedded"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert told in done.stdout, done.stdout
    assert "--dpone-case-timeout=15" in done.stdout, "the command that runs it again"
    if broken == "tells":
        assert "clickhouse://dpone:***@" in done.stdout.replace("default", "dpone"), done.stdout
