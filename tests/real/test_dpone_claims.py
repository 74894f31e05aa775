"""What the page of findings says of dpone's claims, each with plain SQL on a small table."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.engines.dpone import Environment, mover

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not Environment.of(os.environ).ready, reason="dpone is not installed: pytest-dpone engine install dpone"
    ),
]
MADE = """
CREATE SCHEMA claims_src; CREATE SCHEMA claims_dst;
CREATE TABLE claims_src.t (id bigint PRIMARY KEY, n text, u timestamptz NOT NULL, day date NOT NULL);
INSERT INTO claims_src.t SELECT i, CASE WHEN i = 7 THEN '' ELSE 'n' || i END,
  timestamptz '2024-01-01' + i * interval '1 min', date '2024-01-01' + i % 5 FROM generate_series(1, 20) i
"""
WINDOW = {"start": "2024-01-01", "stop": "2024-01-06"}
LATE = "INSERT INTO claims_src.t VALUES (99, 'late', (SELECT max(u) FROM claims_src.t), '2024-01-01')"
TOUCH = "UPDATE claims_src.t SET u = now() WHERE id = 7"
IS_NULL = "SELECT DISTINCT n IS NULL FROM claims_dst.t WHERE id = 7"
LATER = ("incremental_append", "incremental_merge", "xmin")
KEPT = ("full_refresh", "replace", "partition_replace", "backfill")


class Table:
    """The table of the page, dpone, and the answers of the target."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.connection = psycopg.connect(url, autocommit=True)

    def sql(self, text: str) -> Any:
        done = self.connection.execute(text)
        return done.fetchall() if done.description else None

    def one(self, text: str) -> Any:
        ((value,),) = self.sql(text)
        return value

    def run(self, strategy: str, **more: Any) -> dict[str, Any]:
        """The facts that dpone claims."""
        ends = {
            side: {"family": "postgres", "url": self.url, "namespace": f"claims_{name}", "table": "t"}
            for side, name in (("source", "src"), ("sink", "dst"))
        }
        plain = {"window": WINDOW if strategy in ("replace", "backfill") else None, "partitions": None, "mode": "load"}
        names = {"key": ["id"], "cursor": "u", "partition": "day", "state_table": "st", "slot": "s", "chunk_days": 2}
        job = {"strategy": strategy, "backfill_id": "first", "batch_rows": 10, **plain, **names, **ends, **more}
        command = [str(Environment.of(os.environ).python), mover.__file__]
        done = subprocess.run(
            command, input=json.dumps(job) + "\n", cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def versions(self) -> set[Any]:
        return set(self.sql("SELECT id, xmin::text FROM claims_dst.t"))


@pytest.fixture
def table(services: dict[str, ServiceInfo], tmp_path: Path) -> Iterator[Table]:
    made = Table(services["postgres"].url.get_secret_value(), tmp_path)
    with made.connection:
        made.sql(MADE)
        try:
            yield made
        finally:
            made.sql("DROP SCHEMA claims_src CASCADE; DROP SCHEMA claims_dst CASCADE")


@pytest.mark.parametrize("strategy", ["incremental_append", "incremental_merge"])
def test_a_row_at_the_greatest_cursor_is_missed(table: Table, strategy: str) -> None:
    table.run(strategy)
    table.sql(LATE)
    assert table.run(strategy)["read"] == 0
    assert table.one("SELECT count(*) FROM claims_dst.t WHERE id = 99") == 0


def test_a_day_that_is_empty_now_keeps_its_rows(table: Table) -> None:
    table.run("partition_replace")
    table.sql("DELETE FROM claims_src.t WHERE day = '2024-01-02'")
    table.run("partition_replace", partitions=["2024-01-02", "2024-01-03"])
    assert table.one("SELECT count(*) FROM claims_dst.t WHERE day = '2024-01-02'") == 4


def test_a_snapshot_is_written_whole(table: Table) -> None:
    table.run("snapshot_diff")
    before = table.versions()
    table.sql("UPDATE claims_src.t SET n = 'new' WHERE id = 3")
    assert table.run("snapshot_diff")["updated"] == 20
    assert len(before & table.versions()) == 0


@pytest.mark.parametrize("strategy", ["snapshot_diff", "scd2"])
def test_empty_text_is_null_from_the_first_load_on(table: Table, strategy: str) -> None:
    table.run(strategy)
    assert table.sql(IS_NULL) == [(True,)]


@pytest.mark.parametrize("strategy", LATER)
def test_empty_text_is_null_when_it_comes_later(table: Table, strategy: str) -> None:
    table.run(strategy)
    assert table.sql(IS_NULL) == [(False,)]
    table.sql(TOUCH)
    table.run(strategy)
    assert (True,) in table.sql(IS_NULL)


@pytest.mark.parametrize("strategy", KEPT)
def test_empty_text_is_kept(table: Table, strategy: str) -> None:
    table.run(strategy)
    table.sql(TOUCH)
    table.run(strategy, backfill_id="second")
    assert table.sql(IS_NULL) == [(False,)]


def test_a_backfill_that_writes_nothing_tells_twenty_rows(table: Table) -> None:
    table.run("backfill")
    before = table.versions()
    assert table.run("backfill")["inserted"] == 20
    assert table.versions() == before


def test_deletes_of_a_reconciliation_are_not_told(table: Table) -> None:
    table.run("xmin")
    table.sql("DELETE FROM claims_src.t WHERE id < 4")
    told = table.run("xmin", mode="reconcile")
    assert (told["updated"], told.get("deleted")) == (17, None)
    assert table.one("SELECT count(*) FROM claims_dst.t") == 17
