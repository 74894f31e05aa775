"""Postgres: names, types and the source, read by ADBC with COPY BINARY in one consistent snapshot."""

# ruff: noqa: S608 - names are quoted by `ident`, values by `literal`

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from ...core.wire import Endpoint, Job, Window
from ...errors import UsageError, require
from .address import told
from .arrow import Batches, check_range, conform, is_json, is_uuid, sliced, texts
from .pgtext import SESSION
from .ports import Extract
from .ties import cursor_value
from .xids import Horizon, written_since

DATE_RANGE = (-2440588, 2145042905)
"""Days since 1970 that a date can hold: 4714-11-24 BC to 5874897-12-31."""
TIMESTAMP_RANGE = (-210866803200000000, 2**63 - 1)
"""Microseconds since 1970 that a timestamp can hold, from 4714-11-24 BC on; its end is beyond 64 bits."""

_HORIZON = (
    "SELECT pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text, c.system_identifier::text"
    " FROM pg_current_snapshot() s, pg_control_system() c"
)
_BATCH_BYTES = 2 << 20
_NAME_BYTES = 63
_READ: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "text": pa.string(),
        "character varying": pa.string(),
        # jsonb would lose what json keeps: white space, the order of keys and keys that come twice
        "json": pa.string(),
        "jsonb": pa.json_(),
        "bytea": pa.binary(),
        "date": pa.date32(),
        "time without time zone": pa.time64("us"),
        "timestamp without time zone": pa.timestamp("us"),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
        "uuid": pa.uuid(),
        "smallint[]": pa.list_(pa.int16()),
        "integer[]": pa.list_(pa.int32()),
        "bigint[]": pa.list_(pa.int64()),
        "real[]": pa.list_(pa.float32()),
        "double precision[]": pa.list_(pa.float64()),
        "text[]": pa.list_(pa.string()),
        "character varying[]": pa.list_(pa.string()),
    }
)
_WRITE: Mapping[pa.DataType, str] = MappingProxyType(
    {kind: name for name, kind in reversed(tuple(_READ.items())) if "character varying" not in name and name != "json"}
)


def ident(name: str) -> str:
    """`name` quoted. Raises `UsageError` for a name that Postgres would cut or refuse."""
    if not name or "\0" in name or len(name.encode()) > _NAME_BYTES:
        raise UsageError(
            f"{name!r} can't be a name in Postgres", hint=f"use 1 to {_NAME_BYTES} bytes without a NUL character"
        )
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string, whatever `standard_conforming_strings` says."""
    plain = "'" + text.replace("'", "''") + "'"
    return "E" + plain.replace("\\", "\\\\") if "\\" in text else plain


def column_type(kind: pa.DataType) -> str:
    """The column type for a travel type, as `format_type` spells it."""
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    return "numeric(20,0)" if kind == pa.uint64() else _WRITE[kind]


def columns_query(table: str) -> str:
    """A query for (name, type, NOT NULL) of each column of the quoted `table`, in order."""
    return (
        "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        f" WHERE attrelid = {literal(table)}::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )


def adbc_connect(endpoint: Endpoint) -> Any:
    """An ADBC connection, not in autocommit."""
    manager: Any = require("adbc_driver_manager", extra="postgres")
    dbapi: Any = require("adbc_driver_manager.dbapi", extra="postgres")
    known = _known(endpoint.url.get_secret_value())
    return dbapi.Connection(known, manager.AdbcConnection(known.database))


@dataclass(frozen=True, slots=True)
class _Known:
    """What the driver knows of a server; a connection that is closed leaves it to the next one."""

    database: Any

    def close(self) -> None:
        """Stay open: it holds no connection."""


@lru_cache(maxsize=4)
def _known(url: str) -> _Known:
    """Asked once in a process, for the driver reads all types of the server, which takes longer than a small load.

    A type that is made later is not among them. No column travels as one: see `_READ`.
    """
    driver: Any = require("adbc_driver_postgresql", extra="postgres")
    return _Known(driver.connect(url))


class PostgresSource:
    """A Postgres table in one REPEATABLE READ transaction; implements `Source`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._endpoint = job.source
        self._table = f"{ident(job.source.namespace)}.{ident(job.source.table)}"
        with told(self._endpoint, "opening the source"), ExitStack() as opened:
            self._connection = opened.enter_context(adbc_connect(self._endpoint))
            self._cursor = opened.enter_context(self._connection.cursor())
            for setting in SESSION:
                self._cursor.execute(f"SET {setting}")
            self._connection.commit()
            self._cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            found = self._columns()
            self._types = {name: native for name, native, _ in found}
            self.schema = pa.schema(
                [
                    pa.field(name, _travel(native) or pa.string(), nullable=not required)
                    for name, native, required in found
                ]
            )
            self._opened = opened.pop_all()

    def read(self, extract: Extract) -> Batches:
        """See `Source.read`."""
        with told(self._endpoint, "reading the source"):
            self._cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
            self._cursor.execute(self._query(extract))
            reader = self._cursor.fetch_record_batch()
            yield from sliced((conform(_finite(b), self.schema) for b in reader), rows=self._job.batch_rows)

    def horizon(self) -> Horizon:
        """See `TransactionSource.horizon`."""
        with told(self._endpoint, "asking for the snapshot"):
            self._cursor.execute(_HORIZON)
            oldest, following, system = self._cursor.fetchone()
        return Horizon(int(oldest), int(following), f"the transactions of cluster {system}")

    def close(self) -> None:
        """End the transaction."""
        self._opened.close()

    def _columns(self) -> list[tuple[str, str, bool]]:
        self._cursor.execute(columns_query(self._table))
        rows: list[tuple[str, str, bool]] = self._cursor.fetchall()
        return rows

    def _query(self, extract: Extract) -> str:
        wanted = ", ".join(_expression(name, native) for name, native in self._types.items())
        query = f"SELECT {wanted} FROM {self._table}"
        terms = []
        if extract.since is not None:
            terms.append(self._reached(extract.since))
        if extract.days is not None:
            terms.append(days_condition(self._job.partition, extract.days))
        if extract.keys is not None:
            terms.append(keys_condition(extract.keys, self._types))
        if extract.xid is not None:
            terms.append(written_since("xmin::text::bigint", int(extract.xid), self.horizon()))
        return f"{query} WHERE {' AND '.join(terms)}" if terms else query

    def _reached(self, since: str) -> str:
        cursor = self._job.cursor
        kind = self.schema.field(cursor).type
        cursor_value(since, kind)
        # text is compared bytewise on this side, so the server must do so too
        collation = ' COLLATE "C"' if pa.types.is_string(kind) else ""
        return f"{ident(cursor)}{collation} >= {literal(since)}::{column_type(kind)}"


def days_condition(column: str, days: tuple[Window, ...]) -> str:
    """A condition: `column` lies in one of `days`. False for no day."""
    name = ident(column)
    terms = [f"({name} >= '{window.start}'::date AND {name} < '{window.stop}'::date)" for window in days]
    return f"({' OR '.join(terms)})" if terms else "false"


def keys_condition(keys: pa.Table, types: Mapping[str, str]) -> str:
    """A condition: the columns of `keys`, which have these native types, hold one of its rows."""
    names = ", ".join(map(ident, keys.column_names))
    lists = ", ".join(
        f"ARRAY[{', '.join(literal(text or '') for text in texts(column))}]::{types[name]}[]"
        for name, column in zip(keys.column_names, keys.columns, strict=True)
    )
    return f"({names}) IN (SELECT * FROM unnest({lists}))"


def _travel(native: str) -> pa.DataType | None:
    """The type in which a column travels; None if that is the text that the server prints."""
    if found := re.fullmatch(r"numeric\((\d+),(\d+)\)", native):
        precision, scale = int(found[1]), int(found[2])
        if scale <= precision <= 38:
            return pa.decimal128(precision, scale)
        if scale <= precision <= 76:
            return pa.decimal256(precision, scale)
    return _READ.get(re.sub(r"^character varying\(\d+\)", "character varying", native))


def _expression(name: str, native: str) -> str:
    column = ident(name)
    if _travel(native) is None:
        # by the type's output function, as the change log has it: `::text` would cut or add to some types
        return f"CASE num_nulls({column}) WHEN 0 THEN format('%s', {column}) END"
    if not native.endswith("[]"):
        return column
    # The driver flattens arrays of several dimensions and forgets lower bounds: make the server refuse them instead.
    odd = f"array_ndims({column}) > 1 OR array_lower({column}, 1) <> 1"
    return f"CASE WHEN {odd} THEN ('not a plain list: ' || {column}::text)::{native} ELSE {column} END"


def _finite(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`batch`, if no date or timestamp in it is infinity: the driver wraps these to values below the range."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_date(column.type):
            check_range(column, name, low=DATE_RANGE[0], high=DATE_RANGE[1], says="infinity can't be carried")
        elif pa.types.is_timestamp(column.type):
            low, high = TIMESTAMP_RANGE
            check_range(column, name, low=low, high=high, says="infinity can't be carried")
    return batch


def driver_type(kind: pa.DataType) -> pa.DataType:
    """The Arrow type that the driver must be given for a column of a travel type."""
    if kind == pa.uint64():
        return pa.decimal128(20, 0)  # the driver would take it for a bigint and wrap what is above 2^63
    if is_uuid(kind):
        return pa.binary(16)
    return pa.binary() if is_json(kind) else kind
