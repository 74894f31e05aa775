"""A port that is chosen before the start may be taken when the container starts."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_dpone.errors import ServiceFailed
from pytest_dpone.services import docker
from pytest_dpone.services.keeper import Spec
from pytest_dpone.services.table import SERVICES

SPEC = Spec("kafka", "run", "/d", "/l", user="u", password="p", timeout=1, image="image")
TAKEN = "driver failed programming external connectivity: Bind for 127.0.0.1:1 failed: port is already allocated"


class Container:
    def __init__(self, name: str, port: int | None) -> None:
        self.name = name
        self.port = port


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    gone: list[str] = []
    monkeypatch.setattr(docker, "_container", lambda service, spec, name, port: Container(name, port))
    monkeypatch.setattr(docker, "remove_containers", lambda names, run_id: gone.extend(names))
    return gone


def refusing(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    def start(container: Any, reference: str) -> None:
        if text := answers.pop(0):
            raise ServiceFailed(text, hint="h")

    monkeypatch.setattr(docker, "_start", start)


def test_another_port_is_tried(monkeypatch: pytest.MonkeyPatch, removed: list[str]) -> None:
    refusing(monkeypatch, [TAKEN, TAKEN, ""])
    container = docker._started(SERVICES["kafka"], SPEC, "name")
    assert container.port > 0
    assert (container.name, removed) == ("name", ["name", "name"])


def test_there_is_an_end_to_it(monkeypatch: pytest.MonkeyPatch, removed: list[str]) -> None:
    refusing(monkeypatch, [TAKEN] * 5)
    with pytest.raises(ServiceFailed, match="already allocated"):
        docker._started(SERVICES["kafka"], SPEC, "name")


def test_other_failures_are_told_at_once(monkeypatch: pytest.MonkeyPatch, removed: list[str]) -> None:
    refusing(monkeypatch, ["no such command"])
    with pytest.raises(ServiceFailed, match="no such command"):
        docker._started(SERVICES["kafka"], SPEC, "name")
    refusing(monkeypatch, [TAKEN])
    with pytest.raises(ServiceFailed):
        docker._started(SERVICES["postgres"], SPEC, "name")
    assert removed == []


def test_docker_chooses_the_port_where_nobody_has_to_know_it(
    monkeypatch: pytest.MonkeyPatch, removed: list[str]
) -> None:
    refusing(monkeypatch, [""])
    assert docker._started(SERVICES["postgres"], SPEC, "name").port is None
