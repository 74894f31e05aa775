"""A sink whose disk is full: the engine tells it, leaves the table alone, and goes on as soon as there is room."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from pytest_dpone.core.model import ActName, Case, ServiceRecord, Strategy
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.engines.native import NativeEngine
from pytest_dpone.errors import EngineFailed
from pytest_dpone.run import acts
from pytest_dpone.run.act import Act
from pytest_dpone.run.mishaps import change
from pytest_dpone.run.settings import RunSettings
from pytest_dpone.run.stage import Stage, stage_for, tear_down
from pytest_dpone.services.life import service_owner

from .folders import hand_over
from .test_kills import PASSWORD, front

pytestmark = pytest.mark.real

MEGABYTES = 64


@pytest.fixture
def small_disk(own_base: Path) -> Iterator[Path]:
    """A folder with a file system of its own, which only root can make."""
    if os.geteuid() != 0:
        pytest.skip("a file system of a given size can be mounted by root only")
    folder = own_base / "disk"
    folder.mkdir()
    user, group = service_owner()
    options = f"size={MEGABYTES}m,uid={user},gid={group},mode=700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not one block is free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.strerror == "No space left on device"
    try:
        yield
    finally:
        filler.unlink()


def judged(stage: Stage, of: ActName) -> list[str]:
    act = Act(of)
    acts.judge(act, stage, stage.expect(of))
    return [f"{check.name}: {check.detail}" for check in act.checks if not check.passed]


@pytest.mark.parametrize("strategy", [Strategy.FULL_REFRESH, Strategy.INCREMENTAL_APPEND, Strategy.INCREMENTAL_MERGE])
def test_a_clickhouse_without_room(services: dict[str, ServiceInfo], small_disk: Path, strategy: Strategy) -> None:
    data = hand_over(small_disk / "data")
    with front(data) as (_, port):
        record = ServiceRecord(name="clickhouse", provider="external", product="", version="", fidelity="engine")
        url = SecretStr(f"clickhouse://dpone:{PASSWORD}@127.0.0.1:{port}")
        ends = {**services, "clickhouse": ServiceInfo(record=record, url=url)}
        settings = RunSettings(run_id=f"disk-{secrets.token_hex(4)}", rows=400, dataset="narrow")
        case, engine = Case("postgres", "clickhouse", strategy), NativeEngine()
        with stage_for(case, registry=default_registry(), services=ends, settings=settings) as stage:
            acts.provision(Act(ActName.PROVISION), stage)
            engine.run(stage.job(ActName.LOAD))
            assert judged(stage, ActName.LOAD) == []
            change(stage)
            with filled(small_disk):
                # The embedded engine acknowledges an insert that found no room; ours counts what is staged.
                with pytest.raises(EngineFailed, match=r"(?i)no space left|not enough space|and 0 are staged"):
                    engine.run(stage.job(ActName.CHANGE))
                assert judged(stage, ActName.LOAD) == [], "the table is as it was"
            engine.run(stage.job(ActName.CHANGE))
            assert judged(stage, ActName.CHANGE) == []
            assert tear_down(stage) == []
