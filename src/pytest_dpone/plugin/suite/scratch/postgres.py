"""Postgres: psycopg, COPY in binary form, a schema."""
# ruff: noqa: D102 - the Protocol `Scratch` documents the methods

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ....core.wire import ServiceInfo
from . import SAMPLE, namespace

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composed

_TYPES = {
    pa.int64(): "int8",
    pa.float64(): "float8",
    pa.string(): "text",
    pa.binary(): "bytea",
    pa.decimal128(20, 4): "numeric",
    pa.timestamp("us", tz="UTC"): "timestamptz",
}


class PostgresScratch:
    """Tables in a schema of their own."""

    transactional = True

    def __init__(self, connection: psycopg.Connection[Any], schema: str) -> None:
        self._connection = connection
        self._schema = schema

    def version(self) -> str:
        return str(self._one("show server_version"))

    def put(self, table: str, rows: pa.Table) -> None:
        with self._connection.transaction():
            self._write(table, rows)

    def get(self, table: str) -> pa.Table:
        rows = self._connection.execute(self._sql("select * from {} order by id", table)).fetchall()
        return pa.Table.from_pylist(rows, schema=SAMPLE.schema)

    def publish(self, staged: str, live: str) -> None:
        from psycopg import sql

        with self._connection.transaction():
            self._connection.execute(self._sql("drop table {}", live))
            rename = sql.SQL("alter table {} rename to {}").format(self._name(staged), sql.Identifier(live))
            self._connection.execute(rename)

    def save_state(self, text: str) -> None:
        with self._connection.transaction():
            self._connection.execute(self._sql("create table if not exists {} (state text)", "state"))
            self._connection.execute(self._sql("delete from {}", "state"))
            self._connection.execute(self._sql("insert into {} values (%s)", "state"), [text])

    def load_state(self) -> str:
        return str(self._one(self._sql("select state from {}", "state")))

    def abandon(self, table: str, rows: pa.Table) -> None:
        from psycopg import Rollback

        with self._connection.transaction():
            self._write(table, rows)
            raise Rollback

    def _write(self, table: str, rows: pa.Table) -> None:
        from psycopg import sql

        types: Sequence[str] = [_TYPES[field.type] for field in rows.schema]
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(field.name), sql.SQL(kind))
            for field, kind in zip(rows.schema, types, strict=True)
        )
        self._connection.execute(sql.SQL("create table {} ({})").format(self._name(table), columns))
        copy_in = self._sql("copy {} from stdin (format binary)", table)
        with self._connection.cursor() as cursor, cursor.copy(copy_in) as copy:
            copy.set_types(types)
            for row in rows.to_pylist():
                copy.write_row(tuple(row.values()))

    def _name(self, table: str) -> Any:
        from psycopg import sql

        return sql.Identifier(self._schema, table)

    def _sql(self, text: str, table: str) -> Composed:
        from psycopg import sql

        return sql.SQL(text).format(self._name(table))

    def _one(self, query: Any) -> object:
        row = self._connection.execute(query).fetchone()
        assert row is not None
        return next(iter(row.values()))


@contextmanager
def open_scratch(info: ServiceInfo, name: str) -> Iterator[PostgresScratch]:
    """A connection to the schema `name`, which is created if it is not there; who creates it drops it."""
    from psycopg.rows import dict_row

    with namespace(info, name) as connection:
        connection.row_factory = dict_row
        yield PostgresScratch(connection, name)
