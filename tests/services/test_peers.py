"""A container that needs another one: it starts after it, on a network of its own, and the network leaves with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_dpone.core.secrets import Scrubber
from pytest_dpone.errors import ServiceFailed
from pytest_dpone.services import docker as provider
from pytest_dpone.services import docker_engine
from pytest_dpone.services import supervisor as module
from pytest_dpone.services.choice import Choice
from pytest_dpone.services.keeper import Spec
from pytest_dpone.services.kept import Kept
from pytest_dpone.services.supervisor import Settings, Supervisor
from pytest_dpone.services.table import SERVICES

docker = pytest.importorskip("docker")

SPEC = Spec(
    service="schema_registry",
    run_id="r1",
    data="/nowhere",
    log="/nowhere",
    user="u",
    password="p",
    timeout=1.0,
    image="registry:1",
    peers={"kafka": "dpone-r1-kafka-00"},
)


class Network:
    """What the provider asks of a network of the engine."""

    def __init__(self, run_id: str, *, busy: int = 0) -> None:
        self.attrs: dict[str, Any] = {"Labels": {provider.RUN_LABEL: run_id}, "Containers": {}}
        self.busy = busy
        self.removed = False

    def connect(self, container: str, aliases: list[str]) -> None:
        self.attrs["Containers"][container] = aliases

    def disconnect(self, container: str, force: bool) -> None:
        assert force
        if self.busy:
            raise docker.errors.APIError("no such container")

    def remove(self) -> None:
        self.busy -= 1
        if self.busy >= 0:
            raise docker.errors.APIError("has active endpoints")
        self.removed = True


class Engine:
    """An engine with networks only."""

    def __init__(self) -> None:
        self.made: dict[str, Network] = {}
        self.networks = self

    def create(self, name: str, labels: dict[str, str]) -> Network:
        self.made[name] = Network(labels[docker_engine.RUN_LABEL])
        return self.made[name]

    def get(self, name: str) -> Network:
        if name not in self.made or self.made[name].removed:
            raise docker.errors.NotFound("no such network")
        return self.made[name]


def test_a_container_reaches_its_peers_by_the_names_of_their_services() -> None:
    engine = Engine()
    provider._make_network(engine, "dpone-r1-schema_registry-ff", SPEC)
    assert engine.made["dpone-r1-schema_registry-ff"].attrs["Containers"] == {"dpone-r1-kafka-00": ["kafka"]}
    container = provider._container(SERVICES["schema_registry"], SPEC, "dpone-r1-schema_registry-ff")
    assert container._kwargs["network"] == container._name == "dpone-r1-schema_registry-ff"
    assert container.ports == {"8081/tcp": ("127.0.0.1", None)}
    assert container.env["DPONE_PASSWORD"] == "p"
    assert "p" not in container._command


def test_a_container_without_peers_has_no_network() -> None:
    engine = Engine()
    alone = Spec(**{**vars(SPEC), "service": "postgres", "peers": {}})
    provider._make_network(engine, "x", alone)
    assert engine.made == {}
    assert "network" not in provider._container(SERVICES["postgres"], alone, "x")._kwargs


def test_the_peers_survive_the_way_to_the_keeper() -> None:
    assert Spec.from_json(SPEC.to_json()) == SPEC


@pytest.mark.parametrize("busy", [0, 2])
def test_a_network_goes_with_its_container(busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    engine = Engine()
    network = engine.made["n"] = Network("r1", busy=busy)
    network.connect("dpone-r1-kafka-00", aliases=["kafka"])
    docker_engine._remove_network(engine, "n", "r1")
    assert network.removed
    docker_engine._remove_network(engine, "n", "r1")


def test_a_network_that_can_not_be_removed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    engine = Engine()
    engine.made["n"] = Network("r1", busy=100)
    with pytest.raises(docker.errors.APIError, match="active endpoints"):
        docker_engine._remove_network(engine, "n", "r1")


def test_the_network_of_another_run_stays() -> None:
    engine = Engine()
    engine.made["n"] = Network("another")
    docker_engine._remove_network(engine, "n", "r1")
    assert not engine.made["n"].removed


# The order of starts

Starts = list[Spec]


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Starts]:
    """The specs of all keepers that were started; each is a process that says nothing."""
    seen: Starts = []
    processes: list[subprocess.Popen[bytes]] = []

    def start(spec: Spec, name: str, scrub: Scrubber, note: Callable[[], None]) -> Kept:
        seen.append(spec)
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        processes.append(process)
        kept = Kept(spec.service, name, process, tmp_path / "log", 1e9, scrub, note)
        kept.containers.append(f"container-of-{spec.service}")
        return kept

    monkeypatch.setattr(module, "start_keeper", start)
    yield seen
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    settings = Settings("r1", {}, {}, {}, 1.0, 1.0)
    made = Supervisor(tmp_path, settings, controller=os.getpid())
    made._choices.update({name: Choice(name, "docker", "") for name in ("kafka", "schema_registry")})
    return made


def test_what_is_needed_starts_first_and_is_waited_for(supervisor: Supervisor, starts: Starts) -> None:
    names = ("schema_registry",)
    assert supervisor._ensure(names) is None
    assert [spec.service for spec in starts] == ["kafka"]
    assert supervisor._ensure(names) is None
    assert len(starts) == 1
    supervisor._services["kafka"].info = {"version": "4"}
    assert supervisor._ensure(names) is None
    assert [spec.service for spec in starts] == ["kafka", "schema_registry"]
    assert (starts[0].peers, starts[1].peers) == ({}, {"kafka": "container-of-kafka"})
    supervisor._services["schema_registry"].info = {"version": "7"}
    assert supervisor._ensure(names) == {"schema_registry": {"version": "7"}}


def test_what_is_needed_and_fails_is_told(supervisor: Supervisor, starts: Starts) -> None:
    assert supervisor._ensure(("schema_registry",)) is None
    supervisor._services["kafka"].error = ServiceFailed("kafka (docker) died", hint="see its log")
    with pytest.raises(ServiceFailed, match="kafka"):
        supervisor._ensure(("schema_registry",))
    assert [spec.service for spec in starts] == ["kafka"]


def test_other_providers_need_nothing(supervisor: Supervisor, starts: Starts) -> None:
    supervisor._choices["schema_registry"] = Choice("schema_registry", "embedded", "")
    assert supervisor._ensure(("schema_registry",)) is None
    assert [(spec.service, spec.peers) for spec in starts] == [("schema_registry", {})]
