"""Batches that a server has acknowledged survive its SIGKILL, whole and once, while several writers are at work."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_dpone.services.embedded import postgres
from pytest_dpone.services.keeper import Spec, Wire
from pytest_dpone.services.life import start_ticks

from .folders import hand_over

pytestmark = pytest.mark.real

WRITERS = 4
ROWS = 2000
PASSWORD = "Aa1-only-for-this-test"
FRONT = """
import sys, time
from pathlib import Path
from pytest_dpone.services.embedded.clickhouse import start
server, engine = start(Path(sys.argv[1]), user="dpone", password=sys.argv[2])
print(server.server_port, flush=True)
sys.stdin.read()
server.shutdown()
engine.close()
"""
Insert = Callable[[int, int], None]
"""Inserts one batch of a writer; returns when the server has acknowledged it."""


def write_until_killed(insert: Callable[[], Insert], kill: Callable[[], None], *, seconds: float) -> dict[int, int]:
    """Writer → its acknowledged batches, numbered from 0; killed `seconds` after each writer has had three."""
    acknowledged = dict.fromkeys(range(WRITERS), 0)
    killed = threading.Event()
    unexpected: list[BaseException] = []

    def write(writer: int) -> None:
        batch = 0
        try:
            one = insert()
            while batch < 100_000:
                one(writer, batch)
                batch += 1
                acknowledged[writer] = batch
        except Exception as error:  # the drivers have trees of their own
            if not killed.is_set():
                unexpected.append(error)

    threads = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while min(acknowledged.values()) < 3 and not unexpected and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(seconds)
    killed.set()
    kill()
    for thread in threads:
        thread.join(30)
    assert unexpected == []
    assert min(acknowledged.values()) > 2, "every writer was at work"
    return acknowledged


def judge(acknowledged: dict[int, int], found: dict[tuple[int, int], tuple[int, int]]) -> None:
    """`found`: (writer, batch) → (rows, different rows). One more batch a writer may be there without a word."""
    wrong = {key: counts for key, counts in found.items() if counts != (ROWS, ROWS)}
    assert wrong == {}, "a batch is whole and once, or not there"
    lost = {(w, b) for w, count in acknowledged.items() for b in range(count)} - found.keys()
    assert lost == set()
    assert all(batch <= acknowledged[writer] for writer, batch in found)


@contextmanager
def front(data: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with subprocess.Popen(
        [sys.executable, "-c", FRONT, str(data), PASSWORD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture
def data(own_base: Path) -> Path:
    """A directory that the services' user may write, and reach."""
    return hand_over(own_base / "data")


@pytest.mark.parametrize("seconds", [0.1, 0.7, 2.0])
def test_clickhouse_keeps_what_it_has_acknowledged(data: Path, seconds: float) -> None:
    connect = pytest.importorskip("clickhouse_connect").get_client

    def client(port: int) -> Any:
        return connect(host="127.0.0.1", port=port, username="dpone", password=PASSWORD)

    with front(data) as (process, port):
        first = client(port)
        first.command("CREATE DATABASE k ENGINE=Atomic")
        first.command("CREATE TABLE k.t (w Int32, b Int32, i Int32) ENGINE=MergeTree ORDER BY (w, b, i)")

        def insert() -> Insert:
            own = client(port)

            def one(writer: int, batch: int) -> None:
                own.insert("k.t", [[writer, batch, i] for i in range(ROWS)], column_names=["w", "b", "i"])

            return one

        acknowledged = write_until_killed(insert, process.kill, seconds=seconds)
        process.wait()
    with front(data) as (process, port):
        again = client(port)
        rows = again.query("SELECT w, b, count(), uniqExact(i) FROM k.t GROUP BY w, b").result_rows
        judge(acknowledged, {(w, b): (count, different) for w, b, count, different in rows})
        again.insert("k.t", [[9, 9, 9]], column_names=["w", "b", "i"])
        assert again.command("SELECT count() FROM k.t WHERE w = 9") == 1
        # A stop that was asked for ends the server at once, and by itself.
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_second_engine_on_the_same_directory_is_refused(data: Path) -> None:
    with front(data):
        second = subprocess.run(
            [sys.executable, "-c", FRONT, str(data), PASSWORD],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert second.returncode != 0
    assert "lock" in second.stderr.lower()


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("whole", [True, False], ids=["everybody", "postmaster"])
def test_postgres_keeps_what_it_has_acknowledged(data: Path, whole: bool) -> None:
    psycopg = pytest.importorskip("psycopg")
    located = postgres.locate(os.environ)
    assert located is not None
    binaries = postgres._for_service(located)
    cluster = data / "pgdata"
    spec = Spec(
        service="postgres", run_id="r", data=str(data), log="", user="postgres", password=PASSWORD, timeout=30.0
    )
    postgres._new_cluster(binaries, cluster)
    postgres._set_password(binaries, cluster, spec)
    wire = Wire(io.StringIO())

    def start() -> tuple[subprocess.Popen[bytes], str]:
        server, port = postgres._launch(binaries, cluster, wire)
        return server, postgres._await(server, port, spec).url

    server, url = start()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (w int, b int, i int)")

    def insert() -> Insert:
        own = psycopg.connect(url, autocommit=True)

        def one(writer: int, batch: int) -> None:
            own.execute("INSERT INTO t SELECT %s, %s, generate_series(1, %s)", (writer, batch, ROWS))

        return one

    def kill() -> None:
        everybody = children(server.pid) if whole else []
        for pid in (server.pid, *everybody):
            os.kill(pid, signal.SIGKILL)
        server.wait()

    below = lambda: children(server.pid)  # noqa: E731
    assert below()
    backends = [(pid, start_ticks(pid)) for pid in below()]
    try:
        acknowledged = write_until_killed(insert, kill, seconds=2.0)
        deadline = time.monotonic() + 10
        while any(start_ticks(pid) == ticks for pid, ticks in backends) and time.monotonic() < deadline:
            time.sleep(0.05)
        server, url = start()
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT w, b, count(*), count(DISTINCT i) FROM t GROUP BY w, b").fetchall()
        judge(acknowledged, {(w, b): (count, different) for w, b, count, different in rows})
    finally:
        postgres._stop(server)
