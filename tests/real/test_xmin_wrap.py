"""xmin and cdc on clusters of their own: where the ids of transactions wrap, and where the log is too short."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pytest_dpone.core.model import Strategy
from pytest_dpone.core.wire import Endpoint, Job
from pytest_dpone.engines.native import NativeEngine
from pytest_dpone.errors import EngineFailed
from pytest_dpone.services.embedded import postgres as embedded

from .folders import hand_over, passable

pytestmark = pytest.mark.real

WRAP = 2**32


class Cluster:
    """A cluster of Postgres in a folder, which is started and stopped at will."""

    def __init__(self, folder: Path) -> None:
        located = embedded.locate({})
        assert located is not None
        self._binaries = embedded._for_service(located)
        self._folder, self._data = folder, folder / "data"
        self._password = secrets.token_hex(16)
        (folder / "password").write_text(self._password)
        shutil.chown(folder / "password", *embedded.service_owner())
        self.tool("initdb", f"--pwfile={folder / 'password'}", *embedded._INITDB)

    def tool(self, name: str, *arguments: str) -> None:
        command = [str(self._binaries / name), f"--pgdata={self._data}", *arguments]
        done = embedded._as_service(command, self._folder)
        assert done.returncode == 0, done.stdout

    @contextmanager
    def served(self, **settings: str) -> Iterator[str]:
        """The address of the running server."""
        port = embedded._free_port()
        given = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in {**given, **settings}.items())
        self.tool("pg_ctl", "start", "--wait", "--silent", f"--log={self._folder / 'log'}", f"--options={options}")
        try:
            yield f"postgresql://postgres:{self._password}@127.0.0.1:{port}/postgres"
        finally:
            self.tool("pg_ctl", "stop", "--wait", "--silent", "--mode=fast")

    def jump(self, xid: int) -> None:
        """Let the next transaction have this id. The server stands; its log of commits must have a page for it."""
        self.tool("pg_resetwal", f"--next-transaction-id={xid}")
        page = self._data / "pg_xact" / f"{xid // (1 << 20):04X}"
        if not page.exists():
            page.write_bytes(bytes(256 << 10))
            shutil.chown(page, *embedded.service_owner())


@contextmanager
def fresh_cluster() -> Iterator[Cluster]:
    with passable() as folder:
        yield Cluster(hand_over(folder / "cluster"))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with fresh_cluster() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Cluster]:
    with fresh_cluster() as made:
        yield made


def freeze(url: str) -> None:
    """Make every row of the cluster visible for ever, so that the counter can go on for half a round."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER DATABASE template0 ALLOW_CONNECTIONS true")
        for database in ("template0", "template1", "postgres"):
            with psycopg.connect(url, dbname=database, autocommit=True) as other:
                other.execute("VACUUM FREEZE")


def job(url: str, strategy: Strategy, **more: object) -> Job:
    ends = {
        side: Endpoint.model_validate({"family": "postgres", "url": url, "namespace": "public", "table": table})
        for side, table in (("source", "src"), ("sink", "dst"))
    }
    fields: dict[str, object] = {
        "case_id": "x", "run_id": "r", "strategy": strategy, "key": ("id",), "cursor": "v", "partition": "v",
        "state_table": "_dpone_state", "batch_rows": 10, **ends, **more,
    }  # fmt: skip
    return Job.model_validate(fields)


def create(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE src (id bigint PRIMARY KEY, v bigint)")


def put(connection: psycopg.Connection, key: int, value: int) -> int:
    """Write a row; returns its 32-bit xmin."""
    query = "INSERT INTO src VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING xmin::text::bigint"
    row = connection.execute(query, (key, value)).fetchone()
    assert row is not None
    return int(row[0])


def rows(connection: psycopg.Connection, table: str = "dst") -> list[tuple[int, int]]:
    return connection.execute(f"SELECT id, v FROM {table} ORDER BY id".encode()).fetchall()


def test_nothing_is_lost_where_the_ids_of_transactions_wrap(cluster: Cluster) -> None:
    for xid in (1_500_000_000, 3_000_000_000, WRAP - 200):
        with cluster.served() as url:
            freeze(url)
        cluster.jump(xid)
    with cluster.served() as url, psycopg.connect(url, autocommit=True) as connection:
        create(connection)
        assert put(connection, 1, 1) > WRAP - 200
        put(connection, 2, 2)
        held = psycopg.connect(url)  # open over the wrap
        assert put(held, 3, 3) > WRAP - 200
        loaded = NativeEngine().run(job(url, Strategy.XMIN))
        assert (loaded.read, rows(connection)) == (2, [(1, 1), (2, 2)])
        for _ in range(300):
            connection.execute("SELECT txid_current()")
        assert put(connection, 4, 4) < 1000
        held.commit()
        held.close()
        then = NativeEngine().run(job(url, Strategy.XMIN))
        assert (then.inserted, then.updated, then.unchanged) == (2, 0, 0)
        assert rows(connection) == rows(connection, "src")
        put(connection, 1, 10)
        again = NativeEngine().run(job(url, Strategy.XMIN))
        assert (again.read, again.updated) == (1, 1)
        connection.execute("VACUUM (FREEZE, FULL) src")
        assert NativeEngine().run(job(url, Strategy.XMIN)).written == 0
        assert rows(connection) == rows(connection, "src")
        connection.execute("DELETE FROM src WHERE id = 2")
        assert NativeEngine().run(job(url, Strategy.XMIN, mode="reconcile")).deleted == 1
        assert rows(connection) == rows(connection, "src")


def test_a_state_belongs_to_the_cluster_that_counts(cluster: Cluster, other: Cluster) -> None:
    with cluster.served() as url, psycopg.connect(url, autocommit=True) as connection:
        create(connection)
        put(connection, 1, 1)
        NativeEngine().run(job(url, Strategy.XMIN))
        with other.served() as elsewhere, psycopg.connect(elsewhere, autocommit=True) as copy:
            create(copy)
            source = job(elsewhere, Strategy.XMIN).source
            with pytest.raises(EngineFailed, match=r"by 'the transactions of cluster \d+', the job is"):
                NativeEngine().run(job(url, Strategy.XMIN, source=source))


def test_a_log_that_is_too_short_is_told_before_anything_is_made(cluster: Cluster) -> None:
    with cluster.served(wal_level="replica") as url, psycopg.connect(url, autocommit=True) as connection:
        create(connection)
        with pytest.raises(EngineFailed, match=r"wal_level is 'replica' at .*, and cdc needs 'logical'") as caught:
            NativeEngine().run(job(url, Strategy.CDC, slot="a_slot"))
        assert "wal_level = logical" in caught.value.hint
        assert connection.execute("SELECT count(*) FROM pg_publication").fetchall() == [(0,)]


def test_a_slot_needs_a_free_place(cluster: Cluster) -> None:
    settings = {"wal_level": "logical", "max_replication_slots": "1"}
    with cluster.served(**settings) as url, psycopg.connect(url, autocommit=True) as connection:
        create(connection)
        connection.execute("SELECT pg_create_physical_replication_slot('of_somebody')")
        with pytest.raises(EngineFailed, match="all replication slots are in use"):
            NativeEngine().run(job(url, Strategy.CDC, slot="a_slot"))
