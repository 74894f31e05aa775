"""The compose file and the table of services say the same; Compose itself can read the file."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_dpone.services.project import FILE, PACKAGED, compose_command, compose_name, image_variables, images_of
from pytest_dpone.services.table import SERVICES, fill

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / FILE).read_text()
PARSED: dict[str, Any] = yaml.safe_load(TEXT)["services"]
PASSWORD = "dpone-Local-1"
WORDS = {"postgres", "mssql", "clickhouse", "kafka", "schema-registry", "minio"}


COMPOSED = [name for name in SERVICES if name != "api"]
"""All but the server of ours, which is embedded only."""


def plain(text: object) -> str:
    """A text of the file as Compose takes it when no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text)).replace("$$", "$")


def variables(text: object) -> set[str]:
    return set(re.findall(r"\$\{(\w+)", str(text)))


def test_the_six_services_are_there() -> None:
    assert set(PARSED) == WORDS == {compose_name(name) for name in COMPOSED}


def test_the_packaged_file_is_the_same() -> None:
    assert PACKAGED.read_text() == TEXT


@pytest.mark.parametrize("name", COMPOSED)
def test_a_row_and_the_file_agree(name: str) -> None:
    service, part = SERVICES[name], PARSED[compose_name(name)]
    image = service.image
    assert image is not None
    assert plain(part["image"]) == image.reference
    (port,) = part["ports"]
    assert plain(port).rpartition(":")[2] == str(image.port)
    host_port = plain(port).split(":")[1]
    values = {"user": image.user, "password": PASSWORD, "database": service.database, "port": host_port}
    expected = {key: fill(value, values) for key, value in image.environment.items()}
    found = {key: plain(value) for key, value in part["environment"].items()}
    assert found == expected
    command = part.get("command", [])
    words = shlex.split(command) if isinstance(command, str) else command
    assert tuple(map(plain, words)) == image.command
    assert part["shm_size"] == image.shm_size
    if image.memory:
        assert part["mem_limit"] == image.memory


@pytest.mark.parametrize("name", COMPOSED)
def test_every_service_keeps_the_rules_of_the_file(name: str) -> None:
    part = PARSED[compose_name(name)]
    prefix = f"DPONE_{name.upper()}"
    assert variables(part["image"]) == {f"{prefix}_IMAGE"}
    assert plain(part["image"]).rpartition(":")[2] not in ("", "latest")
    (port,) = part["ports"]
    assert port.startswith("127.0.0.1:")
    assert variables(port) == {f"{prefix}_PORT"}
    used = {v for value in part["environment"].values() for v in variables(value)}
    assert f"{prefix}_PASSWORD" in used
    assert used <= {f"{prefix}_PASSWORD", f"{prefix}_PORT"}
    assert part["mem_limit"]
    assert "container_name" not in part
    assert "volumes" not in part
    assert set(part["labels"]) == {"dev.pytest-dpone.run-id"}


@pytest.mark.parametrize("name", COMPOSED)
def test_a_health_check_asks_a_question_and_shows_no_password(name: str) -> None:
    check = PARSED[compose_name(name)]["healthcheck"]
    question = {
        "postgres": "SELECT 1",
        "mssql": "SELECT 1",
        "clickhouse": "SELECT 1",
        "kafka": "--list",
        "schema_registry": "/subjects",
        "minio": "mc ls",
    }[name]
    assert question in check["test"]
    for word in re.findall(r"\$\$(\w*PASSWORD\w*)", check["test"]):
        # Either in front of the command, where it sets its environment, or an argument of the shell's own printf.
        start = check["test"].index(f"$${word}")
        assert re.match(r"(\w+=\"[^\"]*$)|(printf )", check["test"][:start]), check["test"]
    assert check["retries"] >= 20
    assert check["interval"]
    assert check["timeout"]


def test_the_registry_waits_for_kafka() -> None:
    assert PARSED["schema-registry"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert [name for name, part in PARSED.items() if "depends_on" in part] == ["schema-registry"]


def test_the_default_password_is_one_that_sql_server_takes() -> None:
    assert len(PASSWORD) >= 8
    assert all(re.search(kind, PASSWORD) for kind in ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]"))
    assert TEXT.count(f"_PASSWORD:-{PASSWORD}}}") == 6


@pytest.fixture(scope="module")
def command() -> str:
    if not (found := compose_command()):
        pytest.skip("neither `docker compose` nor `docker-compose` is here")
    return found


def config(command: str, **environment: str) -> str:
    bare = {key: value for key, value in os.environ.items() if not key.startswith("DPONE_")}
    done = subprocess.run(
        [*command.split(), "-f", str(FILE), "config"],
        cwd=ROOT,
        env=bare | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not set" not in done.stderr
    return done.stdout


def test_compose_reads_the_file(command: str) -> None:
    read = yaml.safe_load(config(command))["services"]
    assert set(read) == WORDS
    for name, service in ((name, SERVICES[name]) for name in COMPOSED):
        if service.image is not None:
            assert read[compose_name(name)]["image"] == service.image.reference
    assert "dpone { $$module required file=" in json.dumps(read["schema-registry"]["command"]).replace('\\"', '"')


def test_compose_takes_everything_from_the_environment(command: str) -> None:
    mine = {f"DPONE_{name.upper()}_PASSWORD": f"Mine-{i}" for i, name in enumerate(COMPOSED)}
    ports = {f"DPONE_{name.upper()}_PORT": str(20000 + i) for i, name in enumerate(COMPOSED)}
    text = config(command, DPONE_COMPOSE_RUN_ID="run-7", DPONE_MINIO_IMAGE="mine/minio:1", **mine, **ports)
    read = yaml.safe_load(text)["services"]
    assert PASSWORD not in text
    assert read["minio"]["image"] == "mine/minio:1"
    for i, name in enumerate(COMPOSED):
        part = read[compose_name(name)]
        assert f"Mine-{i}" in json.dumps(part["environment"])
        assert str(20000 + i) in json.dumps(part["ports"])
        assert part["labels"] == {"dev.pytest-dpone.run-id": "run-7"}


def test_the_images_are_read_as_compose_sees_them(command: str) -> None:
    found = images_of(command, str(ROOT / FILE), image_variables({"schema_registry": "mine/registry:2"}))
    assert set(found) == WORDS
    assert found["schema-registry"] == "mine/registry:2"
    assert found["postgres"] == SERVICES["postgres"].image.reference  # type: ignore[union-attr]
