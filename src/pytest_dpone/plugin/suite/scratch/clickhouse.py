"""ClickHouse: clickhouse-connect, Arrow both ways, a database."""
# ruff: noqa: D102, S608 - the Protocol `Scratch` documents the methods; every name goes through `quoted`

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from ....core.wire import ServiceInfo
from ....services.clients.clickhouse import quoted
from . import SAMPLE, namespace

_TYPES = {
    pa.int64(): "Int64",
    pa.float64(): "Nullable(Float64)",
    pa.string(): "Nullable(String)",
    pa.binary(): "Nullable(String)",
    pa.decimal128(20, 4): "Nullable(Decimal(20, 4))",
    pa.timestamp("us", tz="UTC"): "Nullable(DateTime64(6, 'UTC'))",
}


class ClickHouseScratch:
    """Tables in a database of their own."""

    transactional = False

    def __init__(self, client: Any, database: str) -> None:
        self._client = client
        self._database = database

    def version(self) -> str:
        return str(self._client.command("select version()"))

    def put(self, table: str, rows: pa.Table) -> None:
        columns = ", ".join(f"{quoted(field.name)} {_TYPES[field.type]}" for field in rows.schema)
        self._client.command(f"create table {self._name(table)} ({columns}) engine = MergeTree order by id")
        self._client.insert_arrow(table, rows, database=self._database)

    def get(self, table: str) -> pa.Table:
        found = self._client.query_arrow(f"select * from {self._name(table)} order by id", use_strings=False)
        return found.cast(SAMPLE.schema)

    def publish(self, staged: str, live: str) -> None:
        self._client.command(f"exchange tables {self._name(staged)} and {self._name(live)}")
        self._client.command(f"drop table {self._name(staged)} sync")

    def save_state(self, text: str) -> None:
        columns = "id UInt8, version UInt64, state String"
        self._client.command(
            f"create table if not exists {self._name('state')} ({columns}) "
            "engine = ReplacingMergeTree(version) order by id"
        )
        version = int(self._client.command(f"select max(version) + 1 from {self._name('state')}"))
        self._client.insert("state", [[1, version, text]], ["id", "version", "state"], database=self._database)

    def load_state(self) -> str:
        return str(self._client.query(f"select state from {self._name('state')} final").result_rows[0][0])

    def abandon(self, table: str, rows: pa.Table) -> None:
        self._client.command("begin transaction")
        self.put(table, rows)
        self._client.command("rollback")

    def _name(self, table: str) -> str:
        return f"{quoted(self._database)}.{quoted(table)}"


@contextmanager
def open_scratch(info: ServiceInfo, name: str) -> Iterator[ClickHouseScratch]:
    """A client for the database `name`, which is created if it is not there; who creates it drops it."""
    with namespace(info, name) as client:
        yield ClickHouseScratch(client, name)
