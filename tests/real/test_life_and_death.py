"""Whole runs that end badly: Ctrl-C at any moment, killed processes, a full disk, a port that is taken."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_dpone.errors import ServiceFailed
from pytest_dpone.services import lease
from pytest_dpone.services.handle import ServiceHandle
from pytest_dpone.services.keeper import Spec
from pytest_dpone.services.life import start_ticks
from pytest_dpone.services.stack import Stack, StackSettings

from .clickhouse_client import code_of
from .folders import hand_over

pytestmark = pytest.mark.real

ALL = ("postgres", "clickhouse", "kafka", "minio", "schema_registry")
CASES = ("postgres", "clickhouse", "minio")
"""Services that hold the tables of cases today."""
OWN_TESTS = """
import time

import pytest

ALL = ("postgres", "clickhouse", "kafka", "minio", "schema_registry")


def say(word):
    with open("said", "a") as file:
        print(word, file=file)


def test_one(dpone_stack):
    say("starting")
    dpone_stack.ensure(ALL)
    say("up")
    time.sleep(MOMENT)


@pytest.mark.parametrize("again", range(2))
def test_needs(dpone_NAME, again):
    handle = dpone_NAME
    say(f"run at {handle.info.log}")
    time.sleep(MOMENT)
    assert handle.client
    handle.namespace
"""
SLOW_CASES = """
import importlib, os, time

acts = importlib.import_module("pytest_dpone.run.acts")
load = acts.load


def slow(act, stage, engine):
    with open("said", "a") as file:
        print("in a case", os.getpid(), file=file)
    time.sleep(3)
    load(act, stage, engine)


acts.load = slow
"""


def processes(base: Path) -> list[str]:
    """The command lines of the processes that have `base` as TMPDIR, but for ourselves."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environ = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"TMPDIR={base}".encode() in environ and int(process.name) != os.getpid():
            found.append(command)
    return found


def left(base: Path) -> list[str]:
    """What there is of runs: processes, run directories, records of tables."""
    found = [str(path) for folder in ("runs", "left") for path in base.glob(f"pytest-dpone-*/{folder}/*")]
    return processes(base) + found


def eventually(true: Callable[[], bool], *, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


@contextmanager
def playing(folder: Path, *words: str, services: tuple[str, ...] = ALL) -> Iterator[subprocess.Popen[str]]:
    """A run in a session of its own, as a terminal would start it."""
    options = f"--dpone-services={','.join(f'{name}=embedded' for name in services)}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "-s", options, *words],
        cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def wait_for(folder: Path, word: str) -> str:
    """The rest of the line that begins with `word`, as soon as a test has said it."""
    said = folder / "said"
    lines: list[str] = []
    deadline = time.monotonic() + 60
    while not lines:
        assert time.monotonic() < deadline, f"nobody has said {word!r}"
        time.sleep(0.02)
        lines = [line for line in said.read_text().splitlines() if line.startswith(word)] if said.exists() else []
    return lines[0].removeprefix(word).strip()


def own_tests(folder: Path, *, name: str = "postgres", moment: float = 60) -> None:
    text = OWN_TESTS.replace("NAME", name).replace("MOMENT", str(moment))
    (folder / "test_own.py").write_text(text)


def owner_in(base: Path) -> lease.Owner:
    (directory,) = base.glob("pytest-dpone-*/runs/*")
    owner = lease.read_owner(directory)
    assert owner is not None
    return owner


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
@pytest.mark.parametrize("moment", ["start", "case", "stop"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, own_base: Path, moment: str, workers: str) -> None:
    own_tests(tmp_path)
    with playing(tmp_path, "-k", "test_one", workers) as process:
        wait_for(tmp_path, "starting" if moment == "start" else "up")
        time.sleep(0.3 if moment == "start" else 0)
        os.killpg(process.pid, signal.SIGINT)
        while moment == "stop" and process.poll() is None:
            time.sleep(0.15)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode != 0
        assert eventually(lambda: not left(own_base)), left(own_base)


@pytest.mark.parametrize("victim", ["worker", "controller"])
def test_a_kill_of_pytest_leaves_nothing(tmp_path: Path, own_base: Path, victim: str) -> None:
    (tmp_path / "conftest.py").write_text(SLOW_CASES)
    words = ("--dpone-case=*_to_minio__full_refresh", "--dpone-source=postgres,clickhouse", "--dpone-rows=20", "-n2")
    with playing(tmp_path, *words, services=CASES) as process:
        worker = int(wait_for(tmp_path, "in a case"))
        assert worker != process.pid
        os.kill(worker if victim == "worker" else process.pid, signal.SIGKILL)
        told, _ = process.communicate(timeout=90)
        assert process.returncode != 0
        if victim == "worker":
            assert "NOT RUN, crashed" in told
        assert eventually(lambda: not left(own_base)), left(own_base)


def kill_server(base: Path, name: str) -> None:
    """SIGKILL what serves: the server that a keeper has started, else the keeper itself."""
    owner = owner_in(base)
    commands = {p.pid: Path(f"/proc/{p.pid}/cmdline").read_bytes().decode() for p in owner.processes}
    word = {"minio": "embedded.s3", "postgres": "pgdata"}.get(name, f"embedded.{name}")
    (pid,) = [pid for pid, command in commands.items() if word in command]
    os.kill(pid, signal.SIGKILL)


def segment_of(base: Path) -> str:
    """The System V segment of the run's Postgres, as the kernel lists it."""
    (file,) = base.glob("pytest-dpone-*/runs/*/postgres/pgdata/postmaster.pid")
    return file.read_text().splitlines()[6].split()[1]


def segments() -> set[str]:
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


def test_a_killed_postgres_leaves_no_shared_memory(own_base: Path) -> None:
    with Stack.launch(StackSettings(run_id="segment", providers={"postgres": "embedded"})) as stack:
        stack.ensure(["postgres"])
        segment = segment_of(own_base)
        assert segment in segments()
        kill_server(own_base, "postgres")
        assert eventually(lambda: segment not in segments())


@pytest.mark.parametrize("name", CASES)
def test_a_service_that_is_killed_in_a_case(tmp_path: Path, own_base: Path, name: str) -> None:
    (tmp_path / "conftest.py").write_text(SLOW_CASES)
    words = (f"--dpone-source={name}", "--dpone-sink=postgres,minio", "--dpone-strategy=full_refresh")
    with playing(tmp_path, *words, "--dpone-rows=20", services=CASES) as process:
        wait_for(tmp_path, "in a case")
        kill_server(own_base, name)
        told, _ = process.communicate(timeout=90)
    assert process.returncode == 1
    assert told.count(f"NOT RUN, service died {name}_to_") >= 2, told
    first, _, later = told.partition("act provision:")
    assert f"{name} (embedded) died:" in first + later
    assert "killed by SIGKILL" in told
    if name == "postgres":
        assert "last lines of its log:" in told
        assert "database system is ready to accept connections" in told
    assert "FAILED" in told.splitlines()[-2] + told.splitlines()[-1]
    assert eventually(lambda: not left(own_base)), left(own_base)


@pytest.mark.parametrize("name", ALL)
def test_a_service_that_is_killed_in_a_test(tmp_path: Path, own_base: Path, name: str) -> None:
    own_tests(tmp_path, name=name, moment=2)
    with playing(tmp_path, "-k", "test_needs", services=ALL) as process:
        wait_for(tmp_path, "run at ")
        kill_server(own_base, name)
        told, _ = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "2 failed" in told or "1 failed, 1 error" in told, told
    assert f"{name} (embedded) died: " in told
    assert eventually(lambda: not left(own_base)), left(own_base)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a disk of the given size."""
    mounted: list[str] = []

    def mount(size: str) -> Path:
        folder = tempfile.mkdtemp(prefix="dpone-", dir="/tmp")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", folder], capture_output=True, text=True
        )
        if done.returncode != 0:
            os.rmdir(folder)
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return Path(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)
        os.rmdir(folder)


@pytest.fixture
def on_disk(small_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A function that lets everything happen on a disk of the given size."""

    def use(size: str) -> Path:
        disk = small_disk(size)
        monkeypatch.setenv("TMPDIR", str(disk))
        monkeypatch.setattr(tempfile, "tempdir", None)
        return disk

    return use


@pytest.mark.parametrize(("name", "size", "filler"), [("postgres", "20m", 0), ("clickhouse", "32k", 28)])
def test_a_start_on_a_full_disk_is_told_plainly(
    on_disk: Callable[[str], Path], name: str, size: str, filler: int
) -> None:
    disk = on_disk(size)
    (disk / "filler").write_bytes(b"x" * (filler << 10))
    with Stack.launch(StackSettings(run_id="full", providers={name: "embedded"})) as stack:
        with pytest.raises(ServiceFailed) as caught:
            stack.ensure([name])
        assert "No space left on device" in caught.value.fact
        assert "the disk is full" in caught.value.hint, str(caught.value)
        assert str(disk) in caught.value.hint
    assert eventually(lambda: not left(disk)), left(disk)


def test_a_disk_that_becomes_full_is_an_error_of_the_write(on_disk: Callable[[str], Path]) -> None:
    boto3 = pytest.importorskip("boto3.session", reason="needs boto3")
    pytest.importorskip("clickhouse_connect")
    disk = on_disk("24m")
    names = ("clickhouse", "minio")
    with Stack.launch(StackSettings(run_id="full", providers=dict.fromkeys(names, "embedded"))) as stack:
        infos = stack.ensure(names)
        handles = {name: ServiceHandle(info, name="dpone-full") for name, info in infos.items()}
        clickhouse, s3 = handles["clickhouse"].client, handles["minio"].client
        s3.create_bucket(Bucket="full-disk")
        with pytest.raises(boto3.botocore.exceptions.ClientError, match="500"):
            s3.put_object(Bucket="full-disk", Key="k", Body=os.urandom(48 << 20))
        s3.put_object(Bucket="full-disk", Key="small", Body=b"1")
        clickhouse.command("CREATE TABLE t (k Int64, r UInt64) ENGINE=MergeTree ORDER BY k")
        text = "INSERT INTO t SELECT number, rand64() FROM numbers(10000000)"
        assert code_of(lambda: clickhouse.command(text)) in (243, 74, 75, 76)
        clickhouse.command("TRUNCATE TABLE t")
        assert clickhouse.command("SELECT count() FROM t") == 0
        assert [stack.died(name) for name in names] == [None, None]
        for handle in handles.values():
            handle.close()
    assert eventually(lambda: not left(disk)), left(disk)


PORTS = """
import sys
from pytest_dpone.services.embedded import postgres
from pytest_dpone.services.keeper import run
taken, times = int(sys.argv[1]), int(sys.argv[2])
free, asked = postgres._free_port, []


def port():
    asked.append(0)
    return taken if len(asked) <= times else free()


postgres._free_port = port
sys.exit(run(postgres.keep))
"""


@pytest.mark.parametrize(("times", "event"), [(2, "ready"), (99, "failed")])
def test_a_port_that_is_taken_between_choice_and_bind(tmp_path: Path, own_base: Path, times: int, event: str) -> None:
    data = hand_over(own_base / "data")
    log = own_base / "log"
    spec = Spec("postgres", "r", str(data), str(log), "postgres", "Aa1-" + "0" * 32, timeout=30.0)
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as errors:
        keeper = subprocess.Popen(
            [sys.executable, "-c", PORTS, str(listener.getsockname()[1]), str(times)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        keeper.stdin.write(spec.to_json() + "\n")
        keeper.stdin.flush()
        said = [json.loads(keeper.stdout.readline())]
        while said[-1]["event"] == "owns":
            said.append(json.loads(keeper.stdout.readline()))
        keeper.communicate(timeout=30)  # its standard input is closed: it stops
    assert said[-1]["event"] == event
    assert "Address already in use" in log.read_text()
    if event == "ready":
        assert len(said) == 4, "two servers found the port taken"
        assert str(listener) not in said[-1]["info"]["url"]
    assert [item["pid"] for item in said if "pid" in item and start_ticks(item["pid"]) == item["start"]] == []


def test_the_first_start_that_fails_is_told_at_once_and_the_others_end_with_the_run(
    tmp_path: Path, own_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = tmp_path / "bin"
    for directory in (binaries, tmp_path / "share"):
        directory.mkdir()
    (tmp_path / "share" / "postgres.bki").touch()
    for name in ("initdb", "postgres"):
        (binaries / name).write_text("#!/bin/sh\n[ $1 = --version ] && exit 0\nexit 7\n")
        (binaries / name).chmod(0o755)
    monkeypatch.setenv("DPONE_POSTGRES_BIN", str(binaries))
    with Stack.launch(StackSettings(run_id="first", providers=dict.fromkeys(ALL, "embedded"))) as stack:
        with pytest.raises(ServiceFailed, match="postgres") as caught:
            stack.ensure(ALL)
        assert "could not be started" in caught.value.fact
    assert not left(own_base)
