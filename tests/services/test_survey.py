"""What the doctor says, line by line, from facts that are given."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_dpone.errors import ServiceFailed, UsageError
from pytest_dpone.services import machine as machine_module
from pytest_dpone.services import survey as survey_module
from pytest_dpone.services.ask import Answer
from pytest_dpone.services.choice import DockerLook, KafkaLook, Surroundings
from pytest_dpone.services.machine import Machine, examine, look_around
from pytest_dpone.services.survey import Finding, Found, find, look_at_docker, survey
from pytest_dpone.services.table import SERVICES

HERE = dict.fromkeys(SERVICES, "")
ENGINE = DockerLook(
    engine="28.0", error="", images=HERE, memory=8 * 10**9, root="/", compose_error="", composed=HERE,
    stand_ins={"minio": "emulated"}, up=("postgres",),
)  # fmt: skip
EMBEDDED = {name: ("1.2", "real") for name in SERVICES if name != "mssql"}
BARE = DockerLook()


def found(
    docker: DockerLook = ENGINE,
    *,
    answers: dict[str, Answer | str] | None = None,
    missing: tuple[str, ...] = (),
    binaries: Any = lambda: True,
    kafka: KafkaLook | None = None,
    versions: dict[str, tuple[str, str]] | None = None,
) -> Found:
    answers = answers or {}
    around = Surroundings(
        {},
        frozenset(answers),
        lambda: docker,
        binaries,
        lambda names: [name for name in names if name in missing],
        lambda: kafka or KafkaLook(),
    )
    return Found(around, answers, versions or EMBEDDED)


def line(subject: str, way: str, facts: Found) -> Finding:
    (one,) = [each for each in survey(facts) if (each.subject, each.way) == (subject, way)]
    return one


def test_every_service_has_a_line_for_each_provider() -> None:
    ways = {(each.subject, each.way) for each in survey(found())}
    assert ways == {(name, way) for name in SERVICES for way in ("auto", "docker", "embedded", "external", "compose")}
    assert {each.way for each in survey(found()) if each.status == "yes"} == {"auto", "docker", "embedded", "compose"}


def test_what_can_be_had_has_a_version_and_a_fidelity() -> None:
    facts = found(answers={"kafka": Answer("Apache Kafka", "4.1")})
    postgres = SERVICES["postgres"].image
    assert postgres is not None
    docker = Finding("postgres", "docker", "yes", "17.6", "real", f"the image {postgres.reference}")
    assert line("postgres", "docker", facts) == docker
    assert line("minio", "docker", facts).fidelity == "emulated"
    assert line("postgres", "embedded", facts) == Finding(
        "postgres", "embedded", "yes", "1.2", "real", "local processes"
    )
    assert line("postgres", "compose", facts).detail == "started by hand, and used as it is"
    assert "the compose file has it" in line("minio", "compose", facts).detail
    external = line("kafka", "external", facts)
    assert (external.status, external.version, external.fidelity) == ("yes", "4.1", "real")
    assert line("kafka", "auto", facts).detail.startswith("external: ")
    assert line("postgres", "auto", facts).detail.startswith("docker: ")


def test_a_broker_of_ours_says_how_to_have_the_real_one() -> None:
    ours = found(versions={**EMBEDDED, "kafka": ("0.1", "emulated")})
    assert "name its folder in KAFKA_HOME" in line("kafka", "embedded", ours).detail
    real = found(kafka=KafkaLook(version="4.1.1"), versions={**EMBEDDED, "kafka": ("4.1.1", "real")})
    assert line("kafka", "embedded", real).detail == "local processes"


@pytest.mark.parametrize(
    ("subject", "way", "facts", "step"),
    [
        ("postgres", "docker", found(missing=("testcontainers",)), "pip install 'pytest-dpone[docker]'"),
        ("postgres", "compose", found(missing=("pytest_docker",)), "pip install 'pytest-dpone[docker]'"),
        ("clickhouse", "embedded", found(missing=("chdb",)), "pip install 'pytest-dpone[embedded]'"),
        ("postgres", "external", found(missing=("psycopg",)), "pip install 'pytest-dpone[postgres]'"),
        ("mssql", "docker", found(missing=("pymssql",)), "pip install 'pytest-dpone[mssql]'"),
        ("postgres", "embedded", found(binaries=lambda: False), "set DPONE_POSTGRES_BIN"),
        ("postgres", "docker", found(BARE), "start Docker, or name its socket in DOCKER_HOST"),
        (
            "minio",
            "docker",
            found(replace(ENGINE, images={"minio": "the image x is not here and can't be pulled: no"})),
            "`docker load`, or name another with --dpone-image=minio=IMAGE",
        ),
        ("mssql", "docker", found(replace(ENGINE, memory=10**9)), "Docker has 1000 MB; give Docker more memory"),
        ("mssql", "embedded", found(), "or an address in DPONE_MSSQL_URL"),
        (
            "minio",
            "compose",
            found(replace(ENGINE, compose_error="neither `docker compose` nor `docker-compose` is here")),
            "install Docker Compose",
        ),
        ("kafka", "external", found(), "set DPONE_KAFKA_URL=kafka://user:password@host:port"),
        ("mssql", "auto", found(BARE), "set DPONE_MSSQL_URL"),
    ],
)
def test_what_can_not_be_had_says_the_next_step(subject: str, way: str, facts: Found, step: str) -> None:
    one = line(subject, way, facts)
    assert one.status == "no"
    assert step in one.detail


def test_what_is_set_and_can_not_work_is_wrong() -> None:
    def bad() -> bool:
        raise UsageError("DPONE_POSTGRES_BIN=/x: no postgres in there", hint="name the directory of both")

    facts = found(BARE, binaries=bad, kafka=KafkaLook(error="KAFKA_HOME is a relative path; unset it"))
    for subject, way, text in (
        ("postgres", "embedded", "DPONE_POSTGRES_BIN=/x: no postgres in there; name the directory of both"),
        ("postgres", "auto", "DPONE_POSTGRES_BIN=/x: no postgres in there"),
        ("kafka", "embedded", "KAFKA_HOME is a relative path; unset it"),
        ("kafka", "auto", "KAFKA_HOME is a relative path; unset it"),
    ):
        one = line(subject, way, facts)
        assert (one.status, text in one.detail) == ("wrong", True), one
    refused = found(answers={"minio": "the server refuses: HTTP 403"})
    assert line("minio", "external", refused) == Finding(
        "minio", "external", "wrong", detail="the server refuses: HTTP 403"
    )
    assert line("minio", "auto", refused).status == "wrong"


def test_servers_at_addresses_are_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def ask(name: str, url: str, *, timeout: float) -> Answer:
        assert timeout <= 10
        if name == "minio":
            raise ServiceFailed(f"no: {url} canary-1", hint="ask again")
        if name == "clickhouse":
            raise ConnectionRefusedError("nobody canary-1")
        if name == "kafka":
            raise RuntimeError("canary-1")
        return Answer("PostgreSQL", "17.6")

    monkeypatch.setattr(survey_module, "ask", ask)
    monkeypatch.setattr(survey_module, "look_at_docker", lambda *_: BARE)
    environ = {
        "DPONE_POSTGRES_URL": "postgresql://u:canary-1@h/d",
        "DPONE_CLICKHOUSE_URL": "clickhouse://u:canary-1@h",
        "DPONE_MINIO_URL": "s3://u:canary-1@h:1",
        "DPONE_KAFKA_URL": "kafka://u:canary-1@h:1",
        "DPONE_MSSQL_URL": "mysql://u:canary-1@h:1",
    }
    answers = find(environ, tmp_path).answers
    assert answers["postgres"] == Answer("PostgreSQL", "17.6")
    assert (
        str(answers["clickhouse"]) == "the server can't be reached: nobody ***; check host and port, and that it is up"
    )
    assert str(answers["minio"]).startswith("the server refuses: no: ")
    assert str(answers["kafka"]) == "the server can't be asked: RuntimeError: ***"
    assert str(answers["mssql"]).startswith("the address of mssql can't be read; its form is ")
    assert "canary" not in str(answers)
    twice = {"DPONE_MINIO_URL": "s3://u:canary-1@h?token=canary-2", "DPONE_MINIO_TOKEN": "x"}
    assert "has a token" in str(find(twice, tmp_path).answers["minio"])


def test_a_docker_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environ = {**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:9"}
    assert "no Docker Engine answers" in look_at_docker(environ, tmp_path).error

    def slow(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("x", 1)

    monkeypatch.setattr(survey_module.subprocess, "run", slow)
    assert "did not answer within" in look_at_docker(environ, tmp_path).error
    monkeypatch.setattr(survey_module.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess("x", 1, "", ""))
    assert "the look at the Docker Engine failed" in look_at_docker(environ, tmp_path).error
    monkeypatch.setattr(survey_module, "docker_may_answer", lambda _: False)
    assert "neither its socket nor DOCKER_HOST" in look_at_docker({}, tmp_path).error


GOOD = Machine(ENGINE, Path("/tmp"), 5 << 30, 5 << 30, "/j/bin/java", {}, "")


def row(way: str, machine: Machine) -> Finding:
    return next(each for each in examine(machine) if each.way == way)


def test_a_good_machine() -> None:
    assert {each.status for each in examine(GOOD)} == {"yes"}
    assert [each.way for each in examine(GOOD)] == [
        "memory of Docker", "disk for temporary files", "disk of Docker", "Java for Apache Kafka",
        "ports of the compose file", "user of embedded services",
    ]  # fmt: skip
    assert "disk of Docker" not in [each.way for each in examine(replace(GOOD, docker_free=None))]


@pytest.mark.parametrize(
    ("machine", "way", "detail"),
    [
        (replace(GOOD, docker=replace(ENGINE, memory=10**9)), "memory of Docker", "1000 MB; SQL Server needs 2000 MB"),
        (replace(GOOD, docker=BARE), "memory of Docker", "not known: no Docker Engine answers"),
        (replace(GOOD, temp_free=100 << 20), "disk for temporary files", "100 MiB are free at /tmp: free space"),
        (replace(GOOD, docker_free=100 << 20), "disk of Docker", "100 MiB are free at /: free space"),
        (replace(GOOD, java=""), "Java for Apache Kafka", "JAVA_HOME"),
        (
            replace(GOOD, taken={"minio": 9000}),
            "ports of the compose file",
            "at 9000: to start minio by hand, set DPONE_M",
        ),
        (replace(GOOD, lacks_user="you are root"), "user of embedded services", "you are root"),
    ],
)
def test_a_machine_that_lacks_something(machine: Machine, way: str, detail: str) -> None:
    one = row(way, machine)
    assert one.status == "no"
    assert detail in one.detail


def test_a_port_that_somebody_has_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        environ = {"DPONE_MINIO_PORT": port, "DPONE_POSTGRES_PORT": port, "DPONE_KAFKA_PORT": "x", "PATH": ""}
        taken = look_around(environ, ENGINE).taken
    assert taken["minio"] == int(port)
    assert "postgres" not in taken  # it was started by hand, and may be what is there
    assert "minio" not in look_around(environ, ENGINE).taken


def test_root_needs_a_user_to_become(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    narrow, whole = tmp_path / "narrow", tmp_path / "whole"
    narrow.write_text("         0       1000          1\n")
    whole.write_text("         0          0 4294967295\n")
    monkeypatch.setattr(machine_module, "is_root", lambda: False)
    assert machine_module._lacks_user(uid_map=narrow) == ""
    monkeypatch.setattr(machine_module, "is_root", lambda: True)
    assert "this container has no user 65534" in machine_module._lacks_user(uid_map=narrow)
    assert machine_module._lacks_user(uid_map=whole) == ""

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert "there is no user 65534: add one" in machine_module._lacks_user(uid_map=whole)


def test_a_machine_without_a_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(machine_module.tempfile, "gettempdir", none)
    monkeypatch.setattr(machine_module.os, "access", lambda *_: False)
    assert row("disk for temporary files", look_around({"PATH": ""}, BARE)).status == "no"
