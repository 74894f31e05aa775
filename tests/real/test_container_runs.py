"""Whole runs on containers, by the providers docker and compose, with the images of `docker/test-images/build.sh`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_dpone.services.docker_engine import RUN_LABEL, SERVICE_LABEL, look
from pytest_dpone.services.project import FILE, PROJECT_PREFIX, by_hand, compose_command
from pytest_dpone.services.stack import Stack, StackSettings

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
IMAGES = {
    "postgres": "pytest-dpone-test/postgres:15",
    "clickhouse": "pytest-dpone-test/clickhouse:stand-in",
    "minio": "pytest-dpone-test/minio:stand-in",
}
FIDELITY = {"postgres": "real", "clickhouse": "engine", "minio": "emulated"}
MORE = {
    "kafka": "pytest-dpone-test/kafka:4.1.1",
    "schema_registry": "pytest-dpone-test/schema_registry:stand-in",
}
"""What takes longer to build and to start."""
CASES = ("--dpone-source=postgres,clickhouse", "--dpone-strategy=full_refresh", "--dpone-rows=50")
PROVIDERS = ("docker", "compose")
_COMPOSE_SERVICE = "com.docker.compose.service"


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    docker = pytest.importorskip("docker")
    seen = look(IMAGES)
    if not seen.engine:
        pytest.skip(seen.error)
    if missing := [name for name, reason in seen.images.items() if reason]:
        pytest.skip(f"no image of {', '.join(missing)}; docker/test-images/build.sh makes them")
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest, engine: Any) -> str:
    return needed(request.param)


def needed(provider: str) -> str:
    if provider == "compose" and not compose_command():
        pytest.skip("neither `docker compose` nor `docker-compose` is here")
    return provider


class Watch:
    """Notes the containers and networks that appear while it runs, and which of them are there at the same time."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.before = self.now()
        self.seen: set[str] = set()
        self.most: dict[tuple[str, str], int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def now(self) -> set[str]:
        return {c.id for c in self.engine.containers.list(all=True)} | {n.id for n in self.engine.networks.list()}

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            counts: dict[tuple[str, str], int] = {}
            for container in self.engine.api.containers(all=True, filters={"label": RUN_LABEL}):
                labels = container["Labels"]
                key = labels[RUN_LABEL], labels.get(SERVICE_LABEL) or labels.get(_COMPOSE_SERVICE, "")
                counts[key] = counts.get(key, 0) + 1
            self.most |= {key: max(count, self.most.get(key, 0)) for key, count in counts.items()}

    def of_run(self, run_id: str) -> dict[str, int]:
        return {service: count for (run, service), count in self.most.items() if run == run_id}


def left(engine: Any, run_id: str) -> list[str]:
    """What there is of the run: containers, networks, volumes."""
    containers = engine.api.containers(all=True, filters={"label": f"{RUN_LABEL}={run_id}"})
    networks = [n.name for n in engine.networks.list() if f"{PROJECT_PREFIX}{run_id}".lower() in n.name.lower()]
    return [name for c in containers for name in c["Names"]] + networks


def gone(engine: Any, run_id: str) -> bool:
    deadline = time.monotonic() + 20
    while left(engine, run_id) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not left(engine, run_id)


def command(provider: str, *arguments: str, images: Mapping[str, str] = IMAGES, sinks: str = "minio") -> list[str]:
    services = ",".join(f"{name}={provider}" for name in images)
    references = ",".join(f"{name}={reference}" for name, reference in images.items())
    options = (
        f"--dpone-services={services}",
        f"--dpone-image={references}",
        f"--dpone-sink={sinks}",
        "--dpone-crash=off",
        *CASES,
        *arguments,
    )
    plugins = ("-p", "no:hypothesispytest", "-p", "dpone_run_helper")
    return [sys.executable, "-m", "pytest", *plugins, "--dpone-profile=local_live", *options]


HELPER = """
import os, time

def pytest_runtest_setup(item):
    from pytest_dpone.plugin.active import active_session
    with open("run_id.txt", "w") as file:
        file.write(active_session(item.config).run_id)

def pytest_runtest_teardown(item):
    if os.environ.get("SLOW"):
        time.sleep(float(os.environ["SLOW"]))
"""


def known_run(folder: Path, process: subprocess.Popen[bytes] | None = None) -> str:
    """The run's id, as soon as a test of it has started; ends `process` if none does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "run_id.txt").exists() and (text := (folder / "run_id.txt").read_text()):
            return text
        time.sleep(0.1)
    if process is not None:
        process.kill()
        process.wait()
    raise AssertionError("no test has started")


def test_four_workers_share_one_container_per_service(provider: str, engine: Any, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "dpone_run_helper.py").write_text(HELPER)
    with Watch(engine) as watch:
        done = subprocess.run(
            command(provider, "-n4"), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )
    assert done.returncode == 0, done.stdout
    assert " 26 passed" in done.stdout
    for name, fidelity in FIDELITY.items():
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{name}: ")]
        assert provider in line
        assert fidelity in line
    run_id = known_run(tmp_path)
    assert watch.of_run(run_id) == dict.fromkeys(IMAGES, 1)
    assert left(engine, run_id) == []


def test_kafka_and_its_registry_beside_the_others(provider: str, engine: Any, tmp_path: Path) -> None:
    """The registry's container reaches Kafka's by its name, and is started after it."""
    more_images()
    (tmp_path / "dpone_run_helper.py").write_text(HELPER)
    words = command(provider, "-n4", images={**IMAGES, **MORE}, sinks="minio,kafka")
    with Watch(engine) as watch:
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout
    assert " 43 passed" in done.stdout
    run_id = known_run(tmp_path)
    counts = {name.replace("-", "_"): count for name, count in watch.of_run(run_id).items()}
    assert counts == dict.fromkeys((*IMAGES, *MORE), 1)
    assert left(engine, run_id) == []


def test_a_servers_container_reads_what_is_staged_in_another_one(provider: str, engine: Any, tmp_path: Path) -> None:
    """The store's address is another one for the engine than for the sink's server."""
    (tmp_path / "dpone_run_helper.py").write_text(HELPER)
    case = "postgres_to_clickhouse_via_minio__full_refresh"
    words = [word for word in command(provider) if not word.startswith(("--dpone-profile", "--dpone-s"))]
    providers = ",".join(f"{name}={provider}" for name in IMAGES)
    words += ["--dpone-staging=minio", f"--dpone-case={case}", f"--dpone-services={providers}"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout
    assert "PASSED (reduced scope: 1 of 1 selected case (of 267 planned) passed)" in done.stdout
    assert left(engine, known_run(tmp_path)) == []


def test_an_object_store_that_a_container_can_not_reach_is_told(engine: Any, tmp_path: Path) -> None:
    case = "postgres_to_clickhouse_via_minio__full_refresh"
    words = [sys.executable, "-m", "pytest", "--dpone-staging=minio", f"--dpone-case={case}", "--dpone-rows=50"]
    words += ["--dpone-services=clickhouse=docker,minio=embedded,postgres=embedded", "--dpone-crash=off"]
    words += [f"--dpone-image=clickhouse={IMAGES['clickhouse']}"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    told = " ".join(done.stdout.split())
    assert (
        "clickhouse runs in a container and can't reach minio at 127.0.0.1: take --dpone-services=minio=docker" in told
    )
    assert done.returncode == 1, "a run in which nothing has passed is red"


def more_images() -> None:
    if missing := [name for name, reason in look(MORE).images.items() if reason]:
        pytest.skip(f"no image of {', '.join(missing)}; docker/test-images/build.sh {' '.join(missing)} makes them")


@pytest.mark.nightly("SIGINT by compose and SIGKILL by docker; the others are skipped")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_an_end_by_a_signal_leaves_nothing(
    provider: str, engine: Any, tmp_path: Path, number: signal.Signals, nightly: bool
) -> None:
    if not nightly and (provider, number) not in (("compose", signal.SIGINT), ("docker", signal.SIGKILL)):
        pytest.skip("the other two are played by `make nightly` alone")
    more_images()
    images = {**IMAGES, **MORE}
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "dpone_run_helper.py").write_text(HELPER)
    process = subprocess.Popen(
        command(provider, "-n2", images=images, sinks="minio,kafka"),
        cwd=tmp_path,
        env={**os.environ, "SLOW": "3"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    run_id = known_run(tmp_path, process)
    deadline = time.monotonic() + 60
    while len(left(engine, run_id)) < len(images) and time.monotonic() < deadline:
        time.sleep(0.1)
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.kill()
    process.wait(60)
    assert process.returncode != 0
    assert gone(engine, run_id), left(engine, run_id)
    with Stack.launch(StackSettings(run_id=f"next-{run_id}")):  # as any later run does, in case that something is left
        assert left(engine, run_id) == []


def test_a_kill_during_the_start_leaves_nothing(provider: str, engine: Any, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "dpone_run_helper.py").write_text(HELPER)
    process = subprocess.Popen(
        command(provider), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    run_id = known_run(tmp_path, process)
    time.sleep(0.8)
    process.kill()
    process.wait()
    time.sleep(2)
    assert gone(engine, run_id), left(engine, run_id)


def test_the_next_run_removes_what_dead_keepers_of_compose_left(engine: Any, own_base: Path) -> None:
    needed("compose")
    from pytest_dpone.services import lease

    code = f"""
import sys
from pytest_dpone.services.stack import Stack, StackSettings
stack = Stack.launch(StackSettings(run_id="r1", providers={{"postgres": "compose"}}, images={IMAGES!r}))
stack.ensure(["postgres"])
print(stack.address, flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    directory = Path(process.stdout.readline().strip()).parent.parent
    owner = lease.read_owner(directory)
    assert owner is not None
    assert owner.supervisor is not None
    (name,) = owner.projects
    everybody = [owner.supervisor.pid, *(p.pid for p in owner.processes)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in everybody:
            os.kill(pid, number)
    process.kill()
    process.communicate()
    mine = {"label": f"com.docker.compose.project={name}"}
    assert len(engine.containers.list(filters=mine)) == 1
    with Stack.launch(StackSettings(run_id="r2")):
        assert engine.containers.list(all=True, filters=mine) == []
        assert engine.networks.list(filters=mine) == []
        assert not directory.exists()


@pytest.fixture
def hand(engine: Any, tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A stack that somebody has started by hand, from a copy of the file."""
    compose = needed("compose") and compose_command()
    file = tmp_path / FILE
    file.parent.mkdir()
    shutil.copy(ROOT / FILE, file)
    environment = {
        **os.environ,
        "DPONE_POSTGRES_PASSWORD": "By-Hand-7",
        "COMPOSE_PROJECT_NAME": f"byhand{os.getpid()}",
        **{f"DPONE_{name.upper()}_IMAGE": reference for name, reference in IMAGES.items()},
        **{f"DPONE_{name.upper()}_PORT": "0" for name in IMAGES},
    }

    def by_compose(*words: str) -> None:
        subprocess.run(
            [*compose.split(), "-f", str(FILE), *words], cwd=tmp_path, env=environment, check=True, capture_output=True
        )

    by_compose("up", "-d", "postgres", "minio")
    yield file, environment
    by_compose("down", "--volumes", "--timeout", "1")


def test_a_stack_by_hand_is_used_and_left(engine: Any, hand: tuple[Path, dict[str, str]]) -> None:
    psycopg = pytest.importorskip("psycopg")
    file, _ = hand
    before = {name: container.id for name, container in by_hand(engine, str(file)).items()}
    assert set(before) == {"postgres", "minio"}
    settings = StackSettings(
        run_id="by-hand", providers=dict.fromkeys(IMAGES, "compose"), images=IMAGES, compose_file=str(file)
    )
    with Stack.launch(settings) as stack:
        infos = stack.ensure(["postgres", "minio"])
        assert left(engine, "by-hand") == []
        url = infos["postgres"].url.get_secret_value()
        assert "By-Hand-7" in url
        assert stack.scrub(url) != url
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert infos["postgres"].record.provider == "compose"
        # What the stack does not have is started beside it, in a project of the run's own.
        assert "Aa1-" in stack.ensure(["clickhouse"])["clickhouse"].url.get_secret_value()
        assert any("clickhouse" in name for name in left(engine, "by-hand"))
    assert left(engine, "by-hand") == []
    after = by_hand(engine, str(file))
    assert {name: container.id for name, container in after.items()} == before
    assert {container.status for container in after.values()} == {"running"}


def test_a_stack_by_hand_becomes_healthy(engine: Any, hand: tuple[Path, dict[str, str]]) -> None:
    deadline = time.monotonic() + 40
    states: set[str] = set()
    while time.monotonic() < deadline:
        states = {c.attrs["State"]["Health"]["Status"] for c in by_hand(engine, str(hand[0])).values()}
        if states == {"healthy"}:
            break
        time.sleep(0.5)
    assert states == {"healthy"}


def test_an_image_that_can_not_be_had_is_unavailable(engine: Any) -> None:
    needed("compose")
    absent = {**IMAGES, "minio": "pytest-dpone-test/no-such-image:1"}
    settings = StackSettings(run_id="absent", providers=dict.fromkeys(IMAGES, "compose"), images=absent)
    with Stack.launch(settings) as stack:
        choices = stack.choose(["postgres", "minio", "mssql"])
        assert choices["postgres"].provider == "compose"
        assert choices["minio"].provider is None
        assert "pytest-dpone-test/no-such-image:1 is not here and can't be pulled" in choices["minio"].reason
        assert choices["mssql"].provider is None


def test_a_container_that_is_killed_is_seen(engine: Any) -> None:
    needed("compose")
    settings = StackSettings(run_id="killed", providers={"postgres": "compose"}, images=IMAGES)
    with Stack.launch(settings) as stack:
        stack.ensure(["postgres"])
        (name,) = [name for name in left(engine, "killed") if "postgres" in name]
        engine.containers.get(name.strip("/")).kill()
        deadline = time.monotonic() + 10
        while (text := stack.died("postgres")) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "postgres (compose) died: the container ended: exit status 137" in str(text)
        assert "database system is ready to accept connections" in str(text)
    assert left(engine, "killed") == []
