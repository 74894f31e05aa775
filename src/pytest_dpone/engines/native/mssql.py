"""SQL Server: names, types and the source, read by pymssql in one consistent transaction."""

# ruff: noqa: S608 - names are quoted by `ident`, values by `literal`

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...core.wire import Endpoint, Job, Window
from ...errors import EngineFailed, UsageError, require
from .address import Address, place, told
from .arrow import Batches, is_json, is_uuid, texts
from .ports import Extract
from .ties import cursor_value

BINARY = "COLLATE Latin1_General_100_BIN2"
"""Compares text by its UTF-16 code units; trailing spaces still don't count, so lengths are compared beside it."""
_UTF8 = "COLLATE Latin1_General_100_BIN2_UTF8"
_NAME_CHARACTERS = 128
_OWN = ("money", "smallmoney", "sql_variant", "hierarchyid", "xml", "geometry", "geography")
"""Types that travel as a text of the server's, which does not sort as their values do."""
_READ: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "bit": pa.bool_(),
        "tinyint": pa.int16(),
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "float": pa.float64(),
        "char": pa.string(),
        "varchar": pa.string(),
        "nchar": pa.string(),
        "nvarchar": pa.string(),
        "binary": pa.binary(),
        "varbinary": pa.binary(),
        "date": pa.date32(),
        "time": pa.time64("us"),
        "smalldatetime": pa.timestamp("us"),
        "datetime": pa.timestamp("us"),
        "datetime2": pa.timestamp("us"),
        "datetimeoffset": pa.timestamp("us", tz="UTC"),
        "uniqueidentifier": pa.uuid(),
        "timestamp": pa.binary(),  # what `rowversion` is called in the catalog: eight bytes
        **dict.fromkeys(_OWN, pa.string()),
    }
)
_WRITE: Mapping[pa.DataType, str] = MappingProxyType(
    {
        pa.bool_(): "bit",
        pa.int16(): "smallint",
        pa.int32(): "int",
        pa.int64(): "bigint",
        pa.uint64(): "decimal(20,0)",
        pa.float32(): "real",
        pa.float64(): "float",
        pa.string(): "nvarchar(max)",
        pa.binary(): "varbinary(max)",
        pa.date32(): "date",
        pa.time64("us"): "time(6)",
        pa.timestamp("us"): "datetime2(6)",
        pa.timestamp("us", tz="UTC"): "datetimeoffset(6)",
    }
)
_SIZED = ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary")
_SCALED = ("time", "datetime2", "datetimeoffset")
_AS_IT_IS = (
    *("bit", "tinyint", "smallint", "int", "bigint", "real", "float", "nchar", "nvarchar", "binary", "varbinary"),
    "timestamp",
)
_SEVENTH = ("time(7)", "datetime2(7)", "datetimeoffset(7)")
"""Types with a digit more than a moment has that travels, and with an offset of its own."""
_MOMENT = "CONVERT(varchar(27), {}, 121)"
_AS_TEXT: Mapping[str, str] = MappingProxyType(
    {
        "char": "CAST({} AS nvarchar(max))",
        "varchar": "CAST({} AS nvarchar(max))",
        "decimal": "CAST({} AS varchar(41))",
        "numeric": "CAST({} AS varchar(41))",
        "date": "CONVERT(varchar(10), {}, 23)",
        "time": "CONVERT(varchar(16), {}, 121)",
        "smalldatetime": _MOMENT.format("CAST({} AS datetime2(6))"),
        "datetime": _MOMENT.format("CAST({} AS datetime2(3))"),
        "datetime2": _MOMENT,
        "datetimeoffset": _MOMENT.format("CAST(SWITCHOFFSET({}, '+00:00') AS datetime2(7))"),
        "uniqueidentifier": "CAST({} AS char(36))",
        **dict.fromkeys(("money", "smallmoney"), "CONVERT(nvarchar(30), {}, 2)"),
        **dict.fromkeys(("hierarchyid", "geometry", "geography"), "{}.ToString()"),
        "sql_variant": "CAST({} AS nvarchar(4000))",
        "xml": "CAST({} AS nvarchar(max))",
    }
)
"""How a value is asked for that the driver would not carry exactly."""


def ident(name: str) -> str:
    """`name` quoted. Raises `UsageError` for a name that SQL Server would refuse."""
    if not name or "\0" in name or len(name) > _NAME_CHARACTERS:
        raise UsageError(
            f"{name!r} can't be a name in SQL Server",
            hint=f"use 1 to {_NAME_CHARACTERS} characters without a NUL character",
        )
    return "[" + name.replace("]", "]]") + "]"


def literal(text: str) -> str:
    """`text` as a Unicode string. A backslash before a line's end would join two lines: such text is refused."""
    if "\0" in text or re.search(r"\\\r?\n", text):
        raise UsageError(f"{text!r} can't be a string in a statement", hint="leave NUL and line ends out")
    return "N'" + text.replace("'", "''") + "'"


def column_type(kind: pa.DataType, *, key: bool = False) -> str:
    """The column type for a travel type, as `spelled` gives it. Text in a key has a length, since an index needs one.

    Lists and JSON are kept as JSON text.
    """
    if pa.types.is_decimal(kind):
        if kind.precision > 38:
            raise EngineFailed(
                f"SQL Server has no decimal of {kind.precision} digits", hint="carry the column as text, or round it"
            )
        return f"decimal({kind.precision},{kind.scale})"
    if key and kind in (pa.string(), pa.binary()):
        return "nvarchar(450)" if kind == pa.string() else "varbinary(900)"
    if is_uuid(kind):
        return "uniqueidentifier"
    return "nvarchar(max)" if is_json(kind) or pa.types.is_list(kind) else _WRITE[kind]


def spelled(name: str, length: int, precision: int, scale: int) -> str:
    """A type of `sys.columns` as a declaration has it."""
    if name in _SIZED:
        size = length // 2 if name.startswith("n") and length > 0 else length
        return f"{name}({'max' if size < 0 else size})"
    if name in ("decimal", "numeric"):
        return f"decimal({precision},{scale})"
    return f"{name}({scale})" if name in _SCALED else name


def connect(endpoint: Endpoint) -> Any:
    """A connection of pymssql that commits each statement. With `mssqls` nothing is sent unencrypted."""
    library: Any = require("pymssql", extra="mssql")
    address = Address.of(endpoint)
    return library.connect(
        server=address.host,
        port=str(address.port or 1433),
        user=address.user,
        password=address.password,
        database=address.path,
        encryption="require" if address.scheme == "mssqls" else "request",
        login_timeout=30,
        appname="pytest-dpone",
        autocommit=True,
        use_datetime2=True,
    )


def fetch(connection: Any, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query without parameters: so the driver leaves its text as it is."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def run(connection: Any, statement: str) -> int:
    """Execute; returns the number of rows that the statement touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.rowcount)


def described(connection: Any, table: str) -> list[tuple[str, str, bool]]:
    """(name, type, nullable) of each column of the quoted `table`, in order; none if there is no such table."""
    rows = fetch(
        connection,
        # of alias types the type that they stand for; types of .NET, such as geography, have none and keep their name
        "SELECT CAST(c.name AS nvarchar(128)), COALESCE(t.name, TYPE_NAME(c.user_type_id)), c.max_length, c.precision,"
        " c.scale, c.is_nullable FROM sys.columns AS c LEFT JOIN sys.types AS t ON t.user_type_id = c.system_type_id"
        f" WHERE c.object_id = OBJECT_ID({literal(table)}) ORDER BY c.column_id",
    )
    return [(name, spelled(native, *sizes), bool(nullable)) for name, native, *sizes, nullable in rows]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a source: how it is asked for, and as what it travels."""

    name: str
    kind: pa.DataType
    nullable: bool
    form: str
    """What is asked for, with `{}` in the column's place."""
    native: str = ""
    """Its type on the server."""
    sorts: bool = True
    """If its text sorts as its values do."""

    @property
    def expression(self) -> str:
        """What is asked for."""
        return self.form.replace("{}", ident(self.name))

    def asked(self, alias: str) -> str:
        """What is asked for where the table is called `alias`."""
        return self.form.replace("{}", f"{alias}.{ident(self.name)}")


class MssqlSource:
    """A SQL Server table in one transaction; implements `Source`.

    The transaction has SNAPSHOT isolation where the database allows it. Elsewhere it holds a shared lock on the table,
    so that nobody writes to it while it is read.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._endpoint = job.source
        self._table = f"{ident(job.source.namespace)}.{ident(job.source.table)}"
        with told(self._endpoint, "opening the source"), ExitStack() as opened:
            self._connection = opened.enter_context(closing(connect(self._endpoint)))
            found = described(self._connection, self._table)
            if not found:
                raise EngineFailed(f"there is no table at {place(self._endpoint)}", hint="create the source first")
            ordered = {job.cursor, *job.key}
            self._columns = [_column(*column, ordered=column[0] in ordered) for column in found]
            self._snapshot = self._begin()
            self._opened = opened.pop_all()
        self.schema = pa.schema([pa.field(c.name, c.kind, nullable=c.nullable) for c in self._columns])

    def read(self, extract: Extract) -> Batches:
        """See `Source.read`."""
        with told(self._endpoint, "reading the source"), self._connection.cursor() as cursor:
            cursor.execute(self._query(extract))
            while rows := cursor.fetchmany(self._job.batch_rows):
                yield self._batch(rows)

    def close(self) -> None:
        """End the transaction."""
        self._opened.close()

    def _begin(self) -> bool:
        """Begin the transaction; returns if it has SNAPSHOT isolation."""
        allowed = fetch(
            self._connection, "SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID()"
        )
        snapshot = allowed == [(1,)]
        run(self._connection, f"SET TRANSACTION ISOLATION LEVEL {'SNAPSHOT' if snapshot else 'SERIALIZABLE'}")
        run(self._connection, "BEGIN TRANSACTION")
        return snapshot

    def _query(self, extract: Extract) -> str:
        locked = "" if self._snapshot else " WITH (TABLOCK, HOLDLOCK)"
        query = f"SELECT {', '.join(c.expression for c in self._columns)} FROM {self._table}{locked}"
        terms = []
        if extract.since is not None:
            terms.append(self._reached(extract.since))
        if extract.days is not None:
            terms.append(days_condition(self._job.partition, extract.days))
        if extract.keys is not None:
            terms.append(keys_condition(extract.keys))
        return f"{query} WHERE {' AND '.join(terms)}" if terms else query

    def _reached(self, since: str) -> str:
        name = ident(self._job.cursor)
        (column,) = [column for column in self._columns if column.name == self._job.cursor]
        kind = column.kind
        if not column.sorts:
            raise EngineFailed(
                f"the column {self._job.cursor!r} of {place(self._endpoint)} can't be a cursor: its text does not sort",
                hint="go by another column",
            )
        cursor_value(since, kind)
        if pa.types.is_string(kind):
            # text is compared by its UTF-8 bytes on this side, so the server must do so too
            return f"CAST({name} {_UTF8} AS varchar(max)) >= CAST({literal(since)} {_UTF8} AS varchar(max))"
        value = since.removesuffix("Z") + (" +00:00" if pa.types.is_timestamp(kind) and kind.tz else "")
        wanted = f"CAST({literal(value)} AS {column_type(kind)})"
        if column.native == "datetime":
            # It counts three-hundredths of a second: compared as a datetime2, what was read as .187 is .1866667.
            wanted = f"CAST({wanted} AS datetime)"
        return f"{name} >= {wanted}"

    def _batch(self, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
        columns = [
            incoming(list(values), c.kind) for values, c in zip(zip(*rows, strict=True), self._columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def days_condition(column: str, days: tuple[Window, ...]) -> str:
    """A condition: `column` lies in one of `days`. False for no day."""
    name = ident(column)
    terms = [f"({name} >= CAST('{d.start}' AS date) AND {name} < CAST('{d.stop}' AS date))" for d in days]
    return f"({' OR '.join(terms)})" if terms else "1 = 0"


def keys_condition(keys: pa.Table) -> str:
    """A condition: the columns of `keys` hold one of its rows."""
    natives = [column_type(column.type, key=True) for column in keys.columns]
    columns = [
        [f"CAST({literal(text or '')} AS {native})" for text in texts(column)]
        for column, native in zip(keys.columns, natives, strict=True)
    ]
    rows = [f"({', '.join(row)})" for row in zip(*columns, strict=True)]
    names = [f"k{place}" for place in range(len(natives))]
    same = " AND ".join(f"{ident(key)} = k.{name}" for key, name in zip(keys.column_names, names, strict=True))
    if not rows:
        return "1 = 0"
    return f"EXISTS (SELECT 1 FROM (VALUES {', '.join(rows)}) AS k ({', '.join(names)}) WHERE {same})"


def _column(name: str, native: str, nullable: bool, *, ordered: bool = False) -> _Column:
    """How a column travels. What has a seventh digit goes as text, unless it is `ordered`: then such a digit raises."""
    plain = native.partition("(")[0]
    if native in _SEVENTH and not ordered:
        return _Column(name, pa.string(), nullable, "CONVERT(nvarchar(40), {}, 121)", native)
    if found := re.fullmatch(r"decimal\((\d+),(\d+)\)", native):
        kind: pa.DataType | None = pa.decimal128(int(found[1]), int(found[2]))
    else:
        kind = _READ.get(plain)
    if kind is None:
        raise EngineFailed(
            f"the column {name!r} is of the type {native}, which the native engine can't carry exactly",
            hint="leave the column out through a view",
        )
    form = "{}" if plain in _AS_IT_IS else _AS_TEXT[plain]
    return _Column(name, kind, nullable, form, native, sorts=plain not in _OWN)


def incoming(values: list[Any], kind: pa.DataType) -> pa.Array:
    """The values that the driver gives, as an array of the column's travel type."""
    if is_uuid(kind):
        raw = [None if value is None else bytes.fromhex(value.replace("-", "")) for value in values]
        return pa.ExtensionArray.from_storage(kind, pa.array(raw, kind.storage_type))
    if not (pa.types.is_temporal(kind) or pa.types.is_decimal(kind)):
        return pa.array(values, kind)
    plain = pa.array(values, pa.string())
    if not pa.types.is_decimal(kind):
        # a seventh digit that is no zero is one more than the engine carries: the cast raises
        plain = pc.replace_substring_regex(plain, r"(\.\d{6})0$", r"\1")
    if pa.types.is_time(kind):
        # Arrow parses points in time only; the day cancels out
        return pc.binary_join_element_wise("1970-01-01", plain, " ").cast(pa.timestamp("us")).cast(kind)
    if pa.types.is_timestamp(kind):
        return plain.cast(pa.timestamp("us")).cast(kind)
    return plain.cast(kind)


def json_text(values: pa.Array) -> list[str | None]:
    """Lists as JSON arrays."""
    return [None if value is None else json.dumps(value, ensure_ascii=False) for value in values.to_pylist()]
