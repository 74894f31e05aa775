"""A run that is killed leaves tables on a server of the user's; `pytest-dpone clean` removes them, and only them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_dpone.core.wire import ServiceInfo

pytestmark = pytest.mark.real

CONFTEST = """
import importlib, time

acts = importlib.import_module("pytest_dpone.run.acts")
load = acts.load


def slow(act, stage, engine):
    load(act, stage, engine)
    print("loaded", flush=True)
    time.sleep(60)


acts.load = slow
"""


def environ(services: dict[str, ServiceInfo]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    return {**kept, **{f"DPONE_{name.upper()}_URL": info.url.get_secret_value() for name, info in services.items()}}


def clean(services: dict[str, ServiceInfo], *words: str) -> tuple[int, str, list[dict[str, str]]]:
    command = [sys.executable, "-m", "pytest_dpone.cli.main", "clean", "--format", "json", *words]
    done = subprocess.run(command, env=environ(services), capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr, json.loads(done.stdout) if done.stdout else []


@pytest.mark.parametrize("pair", [("postgres", "minio"), ("clickhouse", "postgres")])
def test_what_a_kill_leaves_is_removed_by_name(
    services: dict[str, ServiceInfo], tmp_path: Path, pair: tuple[str, str]
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    words = [f"--dpone-case={pair[0]}_to_{pair[1]}__full_refresh", "--dpone-rows=50", "-s"]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path, env=environ(services), stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or "loaded" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        (run_id,) = [line.split()[2].rstrip(",") for line in lines if line.startswith("dpone: run ")]
        status, told, _ = clean(services, "--run-id", run_id)
        assert (status, f"the run {run_id} is alive" in told) == (4, True)
        process.send_signal(signal.SIGKILL)
    for _ in range(100):
        _, _, rows = clean(services)
        mine = [row for row in rows if run_id in row["became"]]
        if mine:
            break
        time.sleep(0.1)
    assert {row["where"] for row in mine} == set(pair)
    less = {name: info for name, info in services.items() if name != pair[0]}
    status, _, rows = clean(less, "--run-id", run_id)
    assert status == 1
    # told are also what other runs have left on this machine, and that this run's is still there
    mine = [row for row in rows if row["where"] == pair[0] and run_id in row["what"]]
    (became,) = {row["became"] for row in mine if "--run-id" not in row["became"]}
    assert became == f"could not be removed: DPONE_{pair[0].upper()}_URL is not set"
    status, _, rows = clean(services, "--run-id", run_id)
    assert status == 0
    assert [row["became"] for row in rows if row["where"] == pair[0] and run_id in row["what"]] == ["removed"]
    status, told, _ = clean(services, "--run-id", run_id)
    assert (status, f"nothing is recorded of a run {run_id}" in told) == (4, True)


def test_what_was_kept_is_told_with_the_way_to_remove_it(services: dict[str, ServiceInfo], tmp_path: Path) -> None:
    words = ["--dpone-case=postgres_to_postgres__full_refresh", "--dpone-rows=50", "--dpone-keep=always"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path, env=environ(services), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("left on your servers: postgres dpone_")]
    run_id = line.rpartition("--run-id ")[2].rstrip("`")
    assert clean(services, "--run-id", run_id)[0] == 0


@pytest.mark.parametrize("run_id", ["../x", "a b", "", "x" * 65])
def test_what_is_no_run_id_is_wrong_use(services: dict[str, ServiceInfo], run_id: str) -> None:
    status, told, _ = clean(services, "--run-id", run_id)
    assert (status, "is no run id" in told) == (4, True)
