"""A run on Postgres in three shards, each a program of its own, is the run that was not cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dpone.core.wire import ServiceInfo

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
dpone_release = v0.7.2
dpone_check =
    documentation=true
    package=true
dpone_objectives = objectives.json
dpone_baseline = baseline.json
dpone_rows = 60
dpone_dataset = standard
"""
CHANGING = {
    *("run_id", "generated_at", "content_sha256", "seconds", "engine_seconds", "harness_seconds", "finished_at"),
    *("polls", "source", "memory_peak_mb", "detail"),
}
"""What two runs of the same case need not have in common; `detail` of a check names a run's own tables."""


def same(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: same(item)
            for name, item in value.items()
            if name not in CHANGING and not name.startswith(("seconds.", "moment"))
        }
    return [same(item) for item in value] if isinstance(value, list) else value


def records(matrix: Path) -> dict[str, object]:
    return {path.name: same(json.loads(path.read_text())) for path in sorted(matrix.glob("*.json"))}


def test_three_shards_are_the_run(services: dict[str, ServiceInfo], tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "objectives.json").write_text(
        '{"failure_rate": {"max": 0}, "throughput_rows_per_second": {"min": 0.1}}'
    )
    (tmp_path / "baseline.json").write_text('{"throughput_rows_per_second": {"value": 0.1, "direction": "higher"}}')
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**kept, "PATH": search, "DPONE_POSTGRES_URL": services["postgres"].url.get_secret_value()}

    def sh(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    lock = sh("pytest-dpone lock")
    assert lock.returncode == 0, lock.stdout + lock.stderr
    run = "pytest --dpone-profile=real_local --dpone-crash=off"
    whole = sh(f"{run} --dpone-artifact-dir=whole")
    assert whole.returncode == 0, whole.stdout
    for index in (1, 2, 3):
        part = sh(f"{run} --dpone-artifact-dir=parts --dpone-shard={index}/3")
        assert part.returncode == 0, part.stdout
        assert f"\nSHARD {index} of 3: " in part.stdout
        assert "GO" not in part.stdout.replace("NO-GO", "")
    merged = sh("pytest-dpone merge parts --output-dir out")
    assert merged.returncode == 0, merged.stdout + merged.stderr
    assert merged.stdout.splitlines()[-1] == "GO (4 of 4 planned cases passed; the ini file plans 4 of 216)"
    expected = records(tmp_path / "whole" / "matrix")
    assert len(expected) == 5
    assert records(tmp_path / "out" / "matrix") == expected
    markers = [
        json.loads((tmp_path / folder / "service_markers.json").read_text())["facts"] for folder in ("whole", "out")
    ]
    assert markers[0] == markers[1]
    verified = sh("pytest-dpone ops evidence-chain-verify --chain-dir out/evidence-chain")
    assert verified.returncode == 0, verified.stdout
    less = sh("pytest-dpone merge parts/shards/1-of-3 parts/shards/3-of-3 --output-dir less")
    assert less.returncode == 1
    assert "shard_2.missing" in less.stdout
    assert less.stdout.splitlines()[-1].startswith("NO-GO: ")
