"""The docker provider with a real engine and an image that `docker/test-images/build.sh` has built."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_dpone.errors import ServiceFailed, ServiceUnavailable
from pytest_dpone.services import lease
from pytest_dpone.services.docker_engine import RUN_LABEL, look, remove_containers
from pytest_dpone.services.life import start_ticks
from pytest_dpone.services.stack import Stack, StackSettings

pytestmark = pytest.mark.real

IMAGE = "pytest-dpone-test/postgres:15"
ABSENT = "pytest-dpone-test/no-such-image:1"
CONTROLLER = """
import sys
from pytest_dpone.services.stack import Stack, StackSettings
settings = StackSettings(run_id=sys.argv[1], providers={"postgres": "docker"}, images={"postgres": sys.argv[2]})
stack = Stack.launch(settings)
stack.ensure(["postgres"])
print(stack.address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    docker = pytest.importorskip("docker")
    seen = look({"postgres": IMAGE})
    if not seen.engine:
        pytest.skip(seen.error)
    client = docker.from_env()
    try:
        client.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        pytest.skip(f"no image {IMAGE}; docker/test-images/build.sh makes it")
    yield client
    client.close()


def settings(image: str = IMAGE, *, run_id: str = "") -> StackSettings:
    run_id = run_id or f"t-{uuid.uuid4().hex[:12]}"
    return StackSettings(
        run_id=run_id, providers={"postgres": "docker"}, images={"postgres": image}, start_timeout=30.0
    )


def containers(engine: Any, run_id: str) -> list[Any]:
    # `ignore_removed`: one may go between the list and the look at each
    return list(engine.containers.list(all=True, filters={"label": f"{RUN_LABEL}={run_id}"}, ignore_removed=True))


def gone(engine: Any, run_id: str) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not containers(engine, run_id):
            return True
        time.sleep(0.1)
    return False


def test_a_container_serves_and_leaves(engine: Any) -> None:
    psycopg = pytest.importorskip("psycopg")
    wanted = settings()
    with Stack.launch(wanted) as stack:
        assert stack.choose(["postgres"])["postgres"].provider == "docker"
        info = stack.ensure(["postgres"])["postgres"]
        assert info.record.provider == "docker"
        assert info.record.fidelity == "real"
        assert info.record.version.startswith("15.")
        assert info.record.image == IMAGE
        assert info.record.digest.startswith("sha256:")
        with psycopg.connect(info.url.get_secret_value()) as connection:
            assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
        (container,) = containers(engine, wanted.run_id)
        assert {b["HostIp"] for bindings in container.ports.values() for b in bindings or ()} == {"127.0.0.1"}
        assert stack.died("postgres") is None
    assert containers(engine, wanted.run_id) == []


def test_a_killed_container_is_seen_with_its_log(engine: Any) -> None:
    wanted = settings()
    with Stack.launch(wanted) as stack:
        stack.ensure(["postgres"])
        containers(engine, wanted.run_id)[0].kill()
        deadline = time.monotonic() + 10
        while stack.died("postgres") is None and time.monotonic() < deadline:
            time.sleep(0.1)
        text = stack.died("postgres")
        assert text is not None
        assert "postgres (docker) died: the container ended: exit status 137" in text
        assert "database system is ready to accept connections" in text
    assert containers(engine, wanted.run_id) == []


def test_a_container_that_ends_at_once_fails_with_its_log(engine: Any) -> None:
    # Any image that does not know the server's command will do.
    wanted = settings("debian:bookworm-slim")
    with Stack.launch(wanted) as stack:
        with pytest.raises(ServiceFailed, match=r"postgres \(docker\) could not be started") as caught:
            stack.ensure(["postgres"])
        assert "postgres" in caught.value.fact
        assert gone(engine, wanted.run_id)


def test_an_image_that_can_not_be_had_is_unavailable_and_auto_says_why(engine: Any) -> None:
    with Stack.launch(settings(ABSENT)) as stack:
        choice = stack.choose(["postgres"])["postgres"]
        assert choice.provider is None
        assert f"the image {ABSENT} is not here and can't be pulled" in choice.reason
        with pytest.raises(ServiceUnavailable, match="is not here and can't be pulled"):
            stack.ensure(["postgres"])
    with Stack.launch(StackSettings(run_id=f"t-{uuid.uuid4().hex[:12]}", images={"postgres": ABSENT})) as stack:
        choice = stack.choose(["postgres"])["postgres"]
        assert choice.provider == "embedded"
        assert f"the image {ABSENT} is not here and can't be pulled" in choice.reason


def test_auto_takes_the_image_that_is_there(engine: Any) -> None:
    with Stack.launch(StackSettings(run_id=f"t-{uuid.uuid4().hex[:12]}", images={"postgres": IMAGE})) as stack:
        assert stack.choose(["postgres"])["postgres"].provider == "docker"


def test_an_engine_that_does_not_answer_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with Stack.launch(StackSettings(run_id=f"t-{uuid.uuid4().hex[:12]}")) as stack:
        choice = stack.choose(["postgres"])["postgres"]
        assert choice.provider == "embedded"
        assert "no Docker Engine answers" in choice.reason


@pytest.mark.parametrize("victim", ["controller", "supervisor"])
def test_a_kill_leaves_no_container(engine: Any, victim: str) -> None:
    run_id = f"t-{uuid.uuid4().hex[:12]}"
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, run_id, IMAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    directory = Path(process.stdout.readline().strip()).parent.parent
    owner = lease.read_owner(directory)
    assert owner is not None
    assert owner.supervisor is not None
    assert len(containers(engine, run_id)) == len(owner.containers) == 1
    os.kill(process.pid if victim == "controller" else owner.supervisor.pid, signal.SIGKILL)
    assert gone(engine, run_id)
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_next_launch_removes_the_container_of_dead_keepers(engine: Any, own_base: Path) -> None:
    run_id = f"t-{uuid.uuid4().hex[:12]}"
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, run_id, IMAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    directory = Path(process.stdout.readline().strip()).parent.parent
    owner = lease.read_owner(directory)
    assert owner is not None
    assert owner.supervisor is not None
    # Stopped first, so that none of them can clean up after another.
    everybody = [owner.supervisor.pid, *(p.pid for p in owner.processes)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in everybody:
            os.kill(pid, number)
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    deadline = time.monotonic() + 5
    while any(start_ticks(p.pid) == p.start for p in owner.processes) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(containers(engine, run_id)) == 1
    with Stack.launch(settings()):
        assert containers(engine, run_id) == []
        assert not directory.exists()


def test_a_container_of_another_run_is_not_removed(engine: Any) -> None:
    wanted = settings()
    with Stack.launch(wanted) as stack:
        stack.ensure(["postgres"])
        (container,) = containers(engine, wanted.run_id)
        remove_containers([container.id, "no-such-container"], "another-run")
        assert stack.died("postgres") is None
        assert len(containers(engine, wanted.run_id)) == 1
