"""How a person looks into a kept service: the command holds no password, and its file is for us alone."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from pydantic import SecretStr

from pytest_dpone.core.model import ServiceRecord
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.services.handle import ServiceHandle
from pytest_dpone.services.look import command_for
from pytest_dpone.services.table import SERVICES

PASSWORD = "Aa1-0123456789abcdef"


def handle_of(name: str) -> ServiceHandle:
    service = SERVICES[name]
    path = f"/{service.database}" if service.database else ""
    record = ServiceRecord(name=name, provider="embedded", product=name, version="1", fidelity="real")
    url = SecretStr(f"{service.scheme}://someone:{PASSWORD}@127.0.0.1:4711{path}")
    return ServiceHandle(ServiceInfo(record=record, url=url), name="")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_can_be_looked_into(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    for _ in range(2):  # a second look takes the place of the first
        command = command_for(handle_of(name), folder, spaces=["space_a", "space_b"], bucket="bucket-a")
    login = folder / f"{name}.login"
    assert PASSWORD not in command
    assert PASSWORD in login.read_text()
    assert login.stat().st_mode & 0o777 == 0o600
    assert "127.0.0.1" in command
    assert "4711" in command
    assert shlex.quote(str(login)) in command
    assert "{" not in command.replace("$(cat {", "")


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "postgres.login").symlink_to(tmp_path / "victim")
    command_for(handle_of("postgres"), tmp_path, spaces=["s"])
    assert (tmp_path / "victim").read_text() == "mine"
