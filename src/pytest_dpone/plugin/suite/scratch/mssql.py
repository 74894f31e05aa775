"""SQL Server: pymssql, inserts of many rows at once, a schema.

pymssql writes parameters into the text of the query, and its `bulk_copy` changes values. So a value goes as a text
that SQL Server casts to the column's type, and binary data as a `bytearray`; instants come back as text.
"""
# ruff: noqa: D102, S608 - the Protocol `Scratch` documents the methods; every name goes through `quoted`

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from ....core.wire import ServiceInfo
from ....services.mssql import VERSION, quoted
from . import SAMPLE, namespace

_TYPES = {
    pa.int64(): "bigint",
    pa.float64(): "float(53)",
    pa.string(): "nvarchar(max)",
    pa.binary(): "varbinary(max)",
    pa.decimal128(20, 4): "decimal(20, 4)",
    pa.timestamp("us", tz="UTC"): "datetime2(6)",
}
_ROWS = 500
"""Rows of one INSERT; SQL Server takes 1000 at most, and compiles a shorter text faster."""


class MssqlScratch:
    """Tables in a schema of their own."""

    transactional = True

    def __init__(self, connection: Any, schema: str) -> None:
        self._connection = connection
        self._schema = schema

    def version(self) -> str:
        return str(self._rows(VERSION)[0][0])

    def put(self, table: str, rows: pa.Table) -> None:
        with self._transaction():
            self._write(table, rows)

    def get(self, table: str) -> pa.Table:
        rows = self._rows(select(self._name(table), SAMPLE.schema))
        return pa.Table.from_pylist([_read(row) for row in rows], schema=SAMPLE.schema)

    def publish(self, staged: str, live: str) -> None:
        with self._transaction():
            self._do(f"DROP TABLE {self._name(live)}")
            # The first argument is a name with its brackets; the second is the bare new name.
            text = "EXEC sp_rename @objname = %s, @newname = %s, @objtype = N'OBJECT'"
            self._do(text, (self._name(staged), live))

    def save_state(self, text: str) -> None:
        name = self._name("state")
        with self._transaction():
            self._do(f"IF OBJECT_ID(%s, 'U') IS NULL CREATE TABLE {name} ([state] nvarchar(max) NOT NULL)", (name,))
            self._do(f"DELETE FROM {name}")
            self._do(f"INSERT INTO {name} ([state]) VALUES (%s)", (text,))

    def load_state(self) -> str:
        return str(self._rows(f"SELECT [state] FROM {self._name('state')}")[0][0])

    def abandon(self, table: str, rows: pa.Table) -> None:
        self._do("BEGIN TRANSACTION")
        try:
            self._write(table, rows)
        finally:
            self._do(_ROLLBACK)

    def _write(self, table: str, rows: pa.Table) -> None:
        name = self._name(table)
        self._do(create(name, rows.schema))
        values = [tuple(map(parameter, row.values())) for row in rows.to_pylist()]
        for start in range(0, len(values), _ROWS):
            part = values[start : start + _ROWS]
            self._do(insert(name, rows.schema, len(part)), tuple(value for row in part for value in row))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._do("BEGIN TRANSACTION")
        try:
            yield
            self._do("COMMIT TRANSACTION")
        except BaseException:
            self._do(_ROLLBACK)
            raise

    def _name(self, table: str) -> str:
        return quoted(self._schema, table)

    def _do(self, query: str, parameters: tuple[object, ...] | None = None) -> None:
        execute(self._connection, query, parameters)

    def _rows(self, query: str) -> Sequence[Sequence[Any]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            found: Sequence[Sequence[Any]] = cursor.fetchall()
        return found


_ROLLBACK = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
"""Some errors have rolled back already."""


def create(name: str, schema: pa.Schema) -> str:
    """The statement that creates the table `name`."""
    columns = ", ".join(f"{quoted(field.name)} {_TYPES[field.type]}" for field in schema)
    return f"CREATE TABLE {name} ({columns})"


def insert(name: str, schema: pa.Schema, count: int) -> str:
    """The statement that inserts `count` rows, with a parameter for each value.

    Each value has a cast of its own: without, SQL Server would choose one type for all values of a column.
    """
    row = ", ".join(f"CAST(%s AS {_TYPES[field.type]})" for field in schema)
    columns = ", ".join(quoted(field.name) for field in schema)
    return f"INSERT INTO {name} ({columns}) VALUES " + ", ".join([f"({row})"] * count)


def select(name: str, schema: pa.Schema) -> str:
    """The statement that reads all rows by id. Instants come as ISO texts, whatever the client would make of them."""
    columns = [
        f"CONVERT(varchar(33), {quoted(field.name)}, 126) AS {quoted(field.name)}"
        if pa.types.is_timestamp(field.type)
        else quoted(field.name)
        for field in schema
    ]
    return f"SELECT {', '.join(columns)} FROM {name} ORDER BY [id]"


def parameter(value: object) -> object:
    """`value` as pymssql sends it unharmed: text, `bytearray` or None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return bytearray(value)
    if isinstance(value, float):
        return f"{value:.17e}"  # an exponent: else SQL Server reads a decimal number and rounds twice
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{value:f}" if hasattr(value, "as_tuple") else str(value)


def execute(connection: Any, query: str, parameters: tuple[object, ...] | None = None) -> None:
    """Run one statement; without parameters pymssql leaves the text as it is."""
    with connection.cursor() as cursor:
        if parameters is None:
            cursor.execute(query)
        else:
            cursor.execute(query, parameters)


def _read(row: Sequence[Any]) -> dict[str, object]:
    values = dict(zip(SAMPLE.schema.names, row, strict=True))
    if values["at"] is not None:
        values["at"] = datetime.fromisoformat(values["at"]).replace(tzinfo=UTC)
    return values


@contextmanager
def open_scratch(info: ServiceInfo, name: str) -> Iterator[MssqlScratch]:
    """A connection to the schema `name`, which is created if it is not there; who creates it drops it."""
    with namespace(info, name) as connection:
        yield MssqlScratch(connection, name)
