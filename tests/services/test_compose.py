"""The provider compose without an engine: the project, who starts what, who ends it, and whom it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_dpone.errors import ServiceFailed, UsageError
from pytest_dpone.plugin.compose import executor
from pytest_dpone.services import compose, lease, project
from pytest_dpone.services.ask import Answer
from pytest_dpone.services.compose import Members
from pytest_dpone.services.docker_engine import fidelity_of
from pytest_dpone.services.keeper import Ready, Spec
from pytest_dpone.services.project import (
    FILE,
    PACKAGED,
    PROJECT_PREFIX,
    Project,
    RunProject,
    by_hand,
    chosen_file,
    container_of,
    images_of,
    login_of,
    remove_projects,
)
from pytest_dpone.services.table import SERVICES, Image


class Container:
    def __init__(self, project: str, service: str, *, file: str = "", folder: str = "/", status: str = "running"):
        self.status = status
        self.labels = {
            "com.docker.compose.project": project,
            "com.docker.compose.service": service,
            "com.docker.compose.project.config_files": file,
            "com.docker.compose.project.working_dir": folder,
        }
        self.removed = False

    def remove(self, **_: object) -> None:
        self.removed = True


class Client:
    """An engine with containers; volumes and networks are containers too, as far as this goes."""

    def __init__(self, *containers: Container) -> None:
        self.all_containers = list(containers)
        self.containers = self.volumes = self.networks = self

    def list(self, *, all: bool = False, filters: dict[str, Any]) -> list[Container]:
        wanted = filters["label"] if isinstance(filters["label"], list) else [filters["label"]]
        pairs = [word.partition("=") for word in wanted]
        return [
            c
            for c in self.all_containers
            if all or c.status == "running"
            if every(c.labels.get(name, "") == value or not sep for name, sep, value in pairs)
        ]


def every(values: Any) -> bool:
    return not [value for value in values if not value]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "docker" / FILE.name
    path.parent.mkdir()
    path.write_text("services: {}\n")
    return str(path)


def test_the_file_is_given_or_the_projects_or_ours(tmp_path: Path, file: str) -> None:
    assert chosen_file("", tmp_path) == Path(file)
    assert chosen_file("", tmp_path / "docker") == PACKAGED
    assert chosen_file(file, Path("/nowhere")) == Path(file)
    with pytest.raises(UsageError, match="there is no compose file"):
        chosen_file(str(tmp_path / "none.yml"), tmp_path)
    for letter in '"$`\\':
        path = tmp_path / f"a{letter}b.yml"
        path.touch()
        with pytest.raises(UsageError, match="a character of the shell"):
            chosen_file(str(path), tmp_path)


def test_a_run_has_one_project(file: str) -> None:
    learnt: list[str] = []
    run = RunProject("Run.7", file, {"postgres": "pg:1"}, learn=learnt.append)
    first, second = run.serve(("postgres", "minio")), run.serve(("kafka",))
    assert {**first, "services": ()} == {**second, "services": ()}
    assert (first["services"], second["services"]) == (("postgres", "minio"), ("kafka",))
    assert first["name"].startswith(f"{PROJECT_PREFIX}run-7-")
    environment = first["environment"]
    (password,) = learnt
    assert {environment[f"DPONE_{name.upper()}_PASSWORD"] for name in SERVICES} == {password}
    assert environment["DPONE_POSTGRES_IMAGE"] == "pg:1"
    assert environment["DPONE_COMPOSE_RUN_ID"] == "Run.7"
    assert environment["DPONE_POSTGRES_PORT"] == "0"
    assert 0 < int(environment["DPONE_KAFKA_PORT"]) < 65536
    assert password not in repr(Project(**first))
    assert Project(**json.loads(json.dumps(first))).name == first["name"]
    other = RunProject("Run.7", file, {}, learn=learnt.append).serve(())
    assert other["name"] != first["name"]


def test_a_stack_by_hand_is_found_by_its_file(file: str) -> None:
    folder = str(Path(file).parent)
    newer = Container("mine", "postgres", file=file, folder=folder)
    older = Container("mine", "schema-registry", file=f"docker/{FILE.name}", folder=folder)
    client = Client(
        newer,
        older,
        Container("mine", "unknown-thing", file=file, folder=folder),
        Container("mine", "minio", file=file, folder=folder, status="exited"),
        Container("else", "postgres", file="/elsewhere/docker-compose.yml", folder="/elsewhere"),
        Container(f"{PROJECT_PREFIX}another-run-1", "clickhouse", file=file, folder=folder),
    )
    assert by_hand(client, file) == {"postgres": newer, "schema_registry": older}


def test_a_link_to_the_file_is_the_file(file: str, tmp_path: Path) -> None:
    link = tmp_path / "link.yml"
    link.symlink_to(file)
    one = Container("mine", "postgres", file=str(link), folder=str(tmp_path))
    assert by_hand(Client(one), file) == {"postgres": one}
    assert by_hand(Client(one), str(link)) == {"postgres": one}


def test_two_stacks_by_hand_are_too_many(file: str) -> None:
    client = Client(Container("b", "postgres", file=file), Container("a", "minio", file=file))
    with pytest.raises(ServiceFailed, match=r"several projects run from .*: a, b"):
        by_hand(client, file)


def test_only_our_own_projects_are_removed() -> None:
    mine = Container(f"{PROJECT_PREFIX}r-1", "postgres", status="exited")
    others = [Container("docker", "postgres"), Container(f"{PROJECT_PREFIX}r-12", "postgres")]
    client = Client(mine, *others)
    remove_projects(client, [f"{PROJECT_PREFIX}r-1", "docker"])
    assert mine.removed
    assert not any(container.removed for container in others)
    assert container_of(client, "docker", "postgres") is others[0]
    assert container_of(client, "docker", "schema_registry") is None


def test_the_login_is_where_the_row_puts_it() -> None:
    row = Image("x:1", 1, {"A": "{user}", "B": "{password}", "C": 'plain user_{user}="{password}";', "D": "x"})
    assert login_of(row, ["A=me", "B=se=cret", "D=other"]) == {"user": "me", "password": "se=cret"}
    assert login_of(row, ['C=plain user_you="pw";']) == {"user": "you", "password": "pw"}
    mssql = SERVICES["mssql"].image
    assert mssql is not None
    assert login_of(mssql, ["MSSQL_SA_PASSWORD=p", "PATH=/bin"]) == {"user": "sa", "password": "p"}


def test_images_are_read_from_what_config_writes(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    written = """name: docker
services:
  schema-registry:
    image: 'a/b:1'
    labels:
      image: no
  minio:
    image: c:2
networks:
  default:
    image: no
"""
    tool.write_text(f"#!/bin/sh\ncat <<'E'\n{written}E\n")
    tool.chmod(0o755)
    assert images_of(str(tool), "f", {}) == {"schema-registry": "a/b:1", "minio": "c:2"}
    tool.write_text("#!/bin/sh\necho 'line 3: no such key' >&2; exit 15\n")
    with pytest.raises(ServiceFailed, match="can't be read: line 3: no such key"):
        images_of(str(tool), "f", {})


def test_the_last_member_takes_the_project_down(tmp_path: Path) -> None:
    first, second, third = (Members(tmp_path) for _ in range(3))
    assert not second.leave()
    assert not first.leave()
    assert third.leave()
    for members in (first, second, third):
        members.close()


def test_a_member_that_died_holds_nobody_up(tmp_path: Path) -> None:
    first, second = Members(tmp_path), Members(tmp_path)
    second.close()  # as the kernel does for a dead process
    assert first.leave()
    first.close()


class Commands:
    """An executor that starts containers in a fake engine."""

    def __init__(self, client: Client, *, errors: tuple[str, ...] = (), broken: str = "") -> None:
        self.client, self.errors, self.broken = client, list(errors), broken
        self.given: list[str] = []

    def __call__(self, command: str) -> None:
        self.given.append(command)
        if self.errors:
            raise RuntimeError(self.errors.pop(0))
        names = [word for word in command.split()[2:] if not word.startswith("-")]
        if self.broken in names:
            raise RuntimeError(f'Command x returned 1: """pull of {self.broken} failed""".')
        self.client.all_containers += [Container("p", name) for name in names]


def started(commands: Commands, tmp_path: Path, service: str, *together: str) -> Any:
    members = Members(tmp_path)
    try:
        return compose._started(commands.client, Project("f", "p", {}, together), service, commands, members)
    finally:
        members.close()


def test_the_first_keeper_starts_all_and_the_others_find_theirs(tmp_path: Path) -> None:
    commands = Commands(Client())
    for service in ("schema_registry", "minio"):
        found = started(commands, tmp_path, service, "schema_registry", "minio")
        assert found.labels["com.docker.compose.service"] == project.compose_name(service)
    assert commands.given == ["up -d --no-recreate --no-build schema-registry minio"]


def test_a_fellow_that_can_not_start_stops_nobody(tmp_path: Path) -> None:
    commands = Commands(Client(), broken="minio")
    assert started(commands, tmp_path, "postgres", "postgres", "minio").status == "running"
    with pytest.raises(ServiceFailed, match="Docker Compose failed: pull of minio failed"):
        started(commands, tmp_path, "minio", "postgres", "minio")


def test_a_port_that_was_taken_meanwhile_is_tried_again(tmp_path: Path) -> None:
    taken = "Bind for 127.0.0.1:9092 failed: port is already allocated"
    commands = Commands(Client(), errors=(taken, taken))
    assert started(commands, tmp_path, "postgres").status == "running"
    assert len(commands.given) == 3
    with pytest.raises(ServiceFailed, match="already allocated"):
        started(Commands(Client(), errors=(taken,) * 9), tmp_path, "postgres")


def test_a_file_without_the_service_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match="has started no container of postgres"):
        compose._started(Client(), Project("f", "p"), "postgres", lambda command: None, members := Members(tmp_path))
    members.close()


def test_a_server_that_tells_what_it_is_is_recorded_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image without labels says nothing of what is in it."""
    told: list[Ready] = []
    container = SimpleNamespace(
        attrs={"Config": {"Env": [], "Image": "other:1"}, "NetworkSettings": {}},
        image=SimpleNamespace(attrs={}, id="sha256:0"),
    )
    monkeypatch.setattr(compose, "published_port", lambda *_: 1)
    monkeypatch.setattr(compose, "watch", lambda _: lambda: None)
    monkeypatch.setattr(compose, "stay", lambda **_: "by itself")
    monkeypatch.setattr(compose, "print_log", lambda _: None)
    wire = SimpleNamespace(ready=told.append, died=lambda _: None)
    spec = Spec("mssql", "r", str(tmp_path), str(tmp_path / "log"), "u", "p", 1.0)
    answer = Answer("other", "1.2", "emulated", "all of it")
    compose._serve(container, spec, wire, question=lambda *_: answer)  # type: ignore[arg-type]
    (ready,) = told
    assert (ready.product, ready.version, ready.fidelity, ready.emulated) == ("other", "1.2", "emulated", "all of it")
    assert (ready.image, ready.digest) == ("other:1", "sha256:0")


def test_a_stack_by_hand_is_served_and_no_command_is_given(
    tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Container("mine", "postgres", file=file)
    served: list[Any] = []
    monkeypatch.setattr(compose, "client_of", lambda *, timeout: Client(mine))
    monkeypatch.setattr(
        compose, "_serve", lambda container, spec, wire, *, question: served.append((container, question))
    )

    def never(*_: str) -> Any:
        raise AssertionError("no command may be given")

    asked = RunProject("r", file, {}, learn=lambda _: None).serve(("postgres",))
    spec = Spec("postgres", "r", str(tmp_path), str(tmp_path / "log"), "u", "p", 1.0, compose=asked)
    compose.keep(Spec.from_json(spec.to_json()), None, executor=never)  # type: ignore[arg-type]
    assert served == [(mine, compose.ask)]
    assert list(tmp_path.glob("compose.*")) == []


def test_the_executor_is_that_of_pytest_docker(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text('#!/bin/sh\nprintf "%s|" "$@"\n[ "$5" != fail ]\n')
    tool.chmod(0o755)
    execute = executor(str(tool), "a file.yml", "name")
    assert execute("up -d x") == b"-f|a file.yml|-p|name|up|-d|x|"
    with pytest.raises(Exception, match="returned 1") as caught:
        execute("fail")
    assert compose._told(caught.value) == "-f|a file.yml|-p|name|fail|"


def test_services_does_not_bring_pytest_in() -> None:
    code = "import sys, pytest_dpone.services.compose, pytest_dpone.services.supervisor; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_dead_owners_had_by_compose_is_removed(tmp_path: Path) -> None:
    base = lease.base_directory(tmp_path)
    held = lease.create("r", base=base)
    lease.write_owner(held.path, lease.Owner("r", "another boot", projects=("dpone-run-r-1",)))
    os.close(held.lock_fd)
    removed: list[str] = []
    assert lease.reap(base, remove_containers=lambda *_: None) == []
    assert lease.reap(base, remove_containers=lambda *_: None, remove_projects=removed.extend) == ["r"]
    assert removed == ["dpone-run-r-1"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, {}),
        ({"dev.pytest-dpone.product": "x"}, {}),
        (
            {"dev.pytest-dpone.fidelity": "engine", "dev.pytest-dpone.emulated": "HTTP"},
            {"fidelity": "engine", "emulated": "HTTP"},
        ),
        (
            {"dev.pytest-dpone.fidelity": "perfect", "dev.pytest-dpone.product": "moto"},
            {"fidelity": "emulated", "emulated": "everything, since its image does not say what", "product": "moto"},
        ),
    ],
)
def test_a_stand_in_says_so(labels: dict[str, str] | None, expected: dict[str, str]) -> None:
    assert fidelity_of(SimpleNamespace(attrs={"Config": {"Labels": labels}})) == expected


@pytest.mark.parametrize("name", ["clickhouse", "minio"])
def test_the_images_of_stand_ins_say_what_the_embedded_ones_say(name: str) -> None:
    from pytest_dpone.services.embedded import clickhouse_http, s3

    text = (Path(__file__).parents[2] / "docker" / "test-images" / name / "Dockerfile").read_text()
    emulated = {"clickhouse": clickhouse_http.EMULATED, "minio": s3.EMULATED}[name]
    assert f'dev.pytest-dpone.emulated="{emulated}"' in text
    image = SERVICES[name].image
    assert image is not None
    assert f"EXPOSE {image.port}\n" in text
    serve = (Path(__file__).parents[2] / "docker" / "test-images" / name / "serve.py").read_text()
    for variable, template in image.environment.items():
        assert variable in serve or "{" not in template
