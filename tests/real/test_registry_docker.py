"""The registry's container beside another one on a real engine, with the stand-in of `docker/test-images`.

A container that only listens plays Kafka: what is tested is the way to it, and that nothing is left.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_dpone.services.ask import ask
from pytest_dpone.services.docker_engine import RUN_LABEL, look, remove_containers
from pytest_dpone.services.keeper import Spec
from pytest_dpone.services.kept import spawn

pytestmark = pytest.mark.real

IMAGE = "pytest-dpone-test/schema_registry:stand-in"


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    docker = pytest.importorskip("docker")
    seen = look({"schema_registry": IMAGE})
    if not seen.engine:
        pytest.skip(seen.error)
    client = docker.from_env()
    try:
        client.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        pytest.skip(f"no image {IMAGE}; docker/test-images/build.sh makes it")
    yield client
    client.close()


class Keeper:
    """The keeper of a registry's container, and the container that it needs."""

    def __init__(self, engine: Any, folder: Path, command: list[str]) -> None:
        self.engine = engine
        self.run_id = f"t-{secrets.token_hex(6)}"
        self.peer = f"dpone-{self.run_id}-kafka-{secrets.token_hex(4)}"
        labels = {RUN_LABEL: self.run_id}
        engine.containers.run(IMAGE, command, name=self.peer, labels=labels, detach=True)
        spec = Spec(
            service="schema_registry",
            run_id=self.run_id,
            data=str(folder),
            log=str(folder / "log"),
            user="dpone",
            password=secrets.token_hex(16),
            timeout=20.0,
            image=IMAGE,
            peers={"kafka": self.peer},
        )
        self.password = spec.password
        self.process = spawn("pytest_dpone.services.docker", Path(spec.log), spec.to_json())

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return dict(json.loads(line)) if line else {}

    def left(self) -> list[str]:
        """Containers and networks of the run, without the one that was there before."""
        only = {"label": f"{RUN_LABEL}={self.run_id}"}
        found = [c.name for c in self.engine.containers.list(all=True, filters=only)]
        found += [n.name for n in self.engine.networks.list(filters=only)]
        return [name for name in found if name != self.peer]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        names = {*self.left(), self.peer}
        remove_containers(sorted(names), self.run_id)


LISTEN = ["socat", "TCP-LISTEN:19092,fork,reuseaddr", "PIPE"]


@pytest.fixture
def keeper(engine: Any, tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(engine, tmp_path, LISTEN)
    yield made
    made.end()


def test_a_registry_reaches_kafka_by_its_name_and_leaves_nothing(keeper: Keeper) -> None:
    owned = keeper.hear()["container"]
    told = keeper.hear()
    assert told["event"] == "ready", told
    info = told["info"]
    assert info["image"] == IMAGE
    assert ask("schema_registry", info["url"]).product == "pytest-dpone"
    assert keeper.left() == [owned, owned]
    container = keeper.engine.containers.get(owned)
    assert {b["HostIp"] for bindings in container.ports.values() for b in bindings or ()} == {"127.0.0.1"}
    top = container.top()
    assert not any(keeper.password in cell for row in top["Processes"] for cell in row)
    assert keeper.process.stdin is not None
    keeper.process.stdin.close()
    keeper.process.stdin = None
    assert keeper.process.wait(30) == 0
    assert keeper.left() == []
    keeper.engine.containers.get(keeper.peer).reload()
    assert keeper.engine.containers.get(keeper.peer).status == "running"


def test_what_a_killed_keeper_leaves_goes_by_its_recorded_name(keeper: Keeper) -> None:
    owned = keeper.hear()["container"]
    assert keeper.hear()["event"] == "ready"
    os.kill(keeper.process.pid, signal.SIGKILL)
    keeper.process.wait(10)
    assert keeper.left() == [owned, owned]
    remove_containers([owned], "another-run")
    assert keeper.left() == [owned, owned]
    remove_containers([owned, keeper.peer], keeper.run_id)
    assert keeper.left() == []


def test_a_peer_that_leaves_first_does_no_harm(keeper: Keeper) -> None:
    keeper.hear()
    assert keeper.hear()["event"] == "ready"
    remove_containers([keeper.peer], keeper.run_id)
    keeper.process.terminate()
    assert keeper.process.wait(30) == 0
    assert keeper.left() == []


def test_a_registry_without_kafka_is_told_with_its_log(engine: Any, tmp_path: Path) -> None:
    keeper = Keeper(engine, tmp_path, ["sleep", "60"])
    try:
        keeper.hear()
        started = time.monotonic()
        told = keeper.hear()
        assert told["event"] == "failed"
        assert "did not answer a query within 20 s" in told["fact"]
        assert time.monotonic() - started < 30
        keeper.process.wait(30)
        assert keeper.left() == []
    except subprocess.TimeoutExpired:
        pytest.fail("the keeper did not end")
    finally:
        keeper.end()
