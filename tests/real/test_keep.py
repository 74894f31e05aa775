"""`--dpone-keep`: services that a run started stay up for a look, and `pytest-dpone clean` removes them, and only them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_dpone.services import lease
from pytest_dpone.services.docker import RUN_LABEL
from pytest_dpone.services.docker_engine import look
from pytest_dpone.services.life import start_ticks

pytestmark = pytest.mark.real

IMAGE = "pytest-dpone-test/postgres:15"
BROKEN = """
class Broken:
    name = "broken"

    def supports(self, case):
        from pytest_dpone import Support
        return Support(status="supported")

    def run(self, job):
        raise RuntimeError("broken on purpose")


def pytest_dpone_engine(name):
    return Broken() if name == "broken" else None
"""
PAIRS = ("--dpone-case=postgres_to_clickhouse__full_refresh", "--dpone-case=minio_to_postgres__full_refresh")


class Kept:
    """The runs of a test. What they keep is removed at its end, whatever the test found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[str] = []

    def run(self, *words: str, provider: str = "embedded") -> subprocess.CompletedProcess[str]:
        services = ",".join(f"{name}={provider}" for name in ("postgres", "clickhouse", "minio"))
        command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", f"--dpone-services={services}"]
        done = subprocess.run(
            [*command, "--dpone-rows=20", *words],
            cwd=self.folder, env=environ(), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        self.runs += re.findall(r"dpone: run (\w+),", done.stdout)
        return done

    def clean(self, *words: str) -> list[dict[str, str]]:
        command = [sys.executable, "-m", "pytest_dpone.cli.main", "clean", "--format=json", *words]
        done = subprocess.run(command, env=environ(), capture_output=True, text=True, timeout=60, check=True)
        rows: list[dict[str, str]] = json.loads(done.stdout)
        return rows


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}


def owner_of(run_id: str) -> lease.Owner:
    owner = lease.read_owner(lease.base_directory() / "runs" / run_id)
    assert owner is not None
    return owner


def alive(owner: lease.Owner) -> int:
    assert owner.supervisor is not None
    return sum(start_ticks(p.pid) == p.start for p in (owner.supervisor, *owner.processes))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    (tmp_path / "conftest.py").write_text(BROKEN)
    kept = Kept(tmp_path)
    yield kept
    for run_id in kept.runs:
        if (lease.base_directory() / "runs" / run_id).exists():
            kept.clean("--run-id", run_id)


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])
def test_a_failed_case_can_be_looked_into(kept: Kept, workers: tuple[str, ...]) -> None:
    done = kept.run("--dpone-keep=failed", "--dpone-engine=broken", *PAIRS, *workers)
    assert done.returncode == 1, done.stdout
    (run_id,) = kept.runs
    assert f"stop and remove them with `pytest-dpone clean --run-id {run_id}`" in done.stdout
    owner = owner_of(run_id)
    assert alive(owner) == 1 + len(owner.processes) == 5
    lines = done.stdout.splitlines()
    for name in ("postgres", "clickhouse", "minio"):
        (at,) = [n for n, line in enumerate(lines) if line.startswith(f"  {name} at 127.0.0.1:")]
        space = lines[at].partition(": ")[2].split(", ")[0]
        command, login = lines[at + 1].strip(), lease.base_directory() / "runs" / run_id / "private" / f"{name}.login"
        assert (login.stat().st_mode & 0o777, str(login) in command) == (0o600, True)
        (password,) = re.findall(r"Aa1-\w{32}", login.read_text())
        assert password not in done.stdout + done.stderr
        tool = {"postgres": "psql", "clickhouse": "curl", "minio": "aws"}[name]
        if shutil.which(tool):
            shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=30)
            assert {"postgres": space, "clickhouse": "", "minio": "orders"}[name] in shown.stdout + shown.stderr
    kept_rows = [row for row in kept.clean() if run_id in row["became"]]
    assert {row["where"] for row in kept_rows} == {"postgres", "clickhouse", "minio"}
    assert alive(owner) == 5, "a clean-up without the run's id takes nothing that is kept"


def test_a_kept_run_goes_alone(kept: Kept) -> None:
    first = kept.run("--dpone-keep=always", PAIRS[0])
    second = kept.run("--dpone-keep=always", PAIRS[0])
    assert (first.returncode, second.returncode) == (0, 0)
    gone, stays = (owner_of(run_id) for run_id in kept.runs)
    where = f"run {kept.runs[0]}"
    # What a run of another test left that was killed goes too, and is told first or last.
    rows = [row for row in kept.clean("--run-id", kept.runs[0]) if row["where"] == where]
    assert rows == [{"where": where, "what": "the services that were kept", "became": "removed"}]
    assert (alive(gone), alive(stays)) == (0, 4)
    assert not (lease.base_directory() / "runs" / kept.runs[0]).exists()
    kept.clean("--run-id", kept.runs[1])
    assert alive(stays) == 0
    assert not [row for row in kept.clean() if any(run_id in row["became"] for run_id in kept.runs)]


def test_green_cases_keep_nothing_if_failed_ones_are_asked_for(kept: Kept) -> None:
    done = kept.run("--dpone-keep=failed", PAIRS[0])
    assert done.returncode == 0, done.stdout
    assert "for a look" not in done.stdout
    assert not (lease.base_directory() / "runs" / kept.runs[0]).exists()
    assert not (lease.base_directory() / "left" / f"{kept.runs[0]}.jsonl").exists()


def test_kept_services_that_are_killed_are_forgotten(kept: Kept) -> None:
    kept.run("--dpone-keep=always", PAIRS[0])
    owner = owner_of(kept.runs[0])
    assert owner.supervisor is not None
    os.kill(owner.supervisor.pid, 9)
    assert not [row for row in kept.clean() if kept.runs[0] in row["became"]]
    assert alive(owner) == 0
    assert not (lease.base_directory() / "runs" / kept.runs[0]).exists()


def test_a_container_is_kept(kept: Kept) -> None:
    docker: Any = pytest.importorskip("docker")
    seen = look({"postgres": IMAGE})
    if seen.error or seen.images["postgres"]:
        pytest.skip(seen.error or seen.images["postgres"])
    case = "--dpone-case=postgres_to_postgres__full_refresh"
    done = kept.run("--dpone-keep=always", case, f"--dpone-image=postgres={IMAGE}", provider="docker")
    assert done.returncode == 0, done.stdout
    (run_id,) = kept.runs
    client = docker.from_env()
    try:
        mine = {"label": f"{RUN_LABEL}={run_id}"}
        assert [container.status for container in client.containers.list(filters=mine)] == ["running"]
        kept.clean("--run-id", run_id)
        assert client.containers.list(all=True, filters=mine) == []
    finally:
        client.close()
