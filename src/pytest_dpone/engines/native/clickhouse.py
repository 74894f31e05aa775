"""ClickHouse: names, types and the source, read as one ArrowStream query."""

# ruff: noqa: S608 - names are quoted by `ident`, values by `literal`

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...core.wire import Endpoint, Job, Window
from ...errors import EngineFailed, require
from .address import Address, place, told
from .arrow import Batches, check_range, conform, is_json, is_uuid, sliced, stored, texts
from .ports import Extract
from .ties import cursor_value

_READ: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "Bool": pa.bool_(),
        "Int8": pa.int16(),
        "Int16": pa.int16(),
        "Int32": pa.int32(),
        "Int64": pa.int64(),
        "UInt8": pa.int16(),
        "UInt16": pa.int32(),
        "UInt32": pa.int64(),
        "UInt64": pa.uint64(),
        "Float32": pa.float32(),
        "Float64": pa.float64(),
        "String": pa.string(),
        "Date": pa.date32(),
        "Date32": pa.date32(),
        "UUID": pa.uuid(),
    }
)
_WRITE: Mapping[pa.DataType, str] = MappingProxyType(
    {
        pa.bool_(): "Bool",
        pa.int16(): "Int16",
        pa.int32(): "Int32",
        pa.int64(): "Int64",
        pa.uint64(): "UInt64",
        pa.float32(): "Float32",
        pa.float64(): "Float64",
        pa.string(): "String",
        pa.binary(): "String",
        pa.date32(): "Date32",
        pa.time64("us"): "String",
    }
)
_ITEMS = frozenset({"Int16", "Int32", "Int64", "Float32", "Float64", "String"})
LONG: Mapping[str, object] = MappingProxyType({"max_query_size": 16 << 20})
"""For a query with many days or keys in it."""
_SETTINGS: Mapping[str, object] = MappingProxyType(
    {
        "output_format_arrow_string_as_string": 1,
        "output_format_arrow_low_cardinality_as_dictionary": 0,
        "output_format_arrow_compression_method": "none",
        **LONG,
    }
)

_SECOND = 1_000_000
_DAYS = (-25567, 120529)  # 1900-01-01 to 2299-12-31
_RANGE = "ClickHouse holds the years 1900 to 2299"


def ident(name: str) -> str:
    """`name` quoted."""
    return "`" + name.replace("\\", "\\\\").replace("`", "``") + "`"


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0") + "'"


def column_type(kind: pa.DataType, *, nullable: bool) -> str:
    """The column type for a travel type, as `system.columns` spells it. Arrays are never Nullable as a whole."""
    if pa.types.is_list(kind):
        return f"Array({column_type(kind.value_type, nullable=True)})"
    if pa.types.is_decimal(kind):
        plain = f"Decimal({kind.precision}, {kind.scale})"
    elif pa.types.is_timestamp(kind):
        plain = "DateTime64(6, 'UTC')"
    elif is_uuid(kind):
        plain = "UUID"
    else:
        plain = "String" if is_json(kind) else _WRITE[kind]
    return f"Nullable({plain})" if nullable else plain


def for_server(array: pa.Array, name: str) -> pa.Array:
    """A column as the server reads it right into the column's type."""
    kind = array.type
    if pa.types.is_date(kind):
        check_range(array, name, low=_DAYS[0], high=_DAYS[1], says=_RANGE)
    elif pa.types.is_timestamp(kind):
        day = 86_400 * _SECOND
        check_range(array, name, low=_DAYS[0] * day, high=(_DAYS[1] + 1) * day - 1, says=_RANGE)
        return array.cast(pa.timestamp("us", tz="UTC"))
    elif pa.types.is_time(kind):
        return _clock(array)
    elif pa.types.is_list(kind) and array.null_count:
        return pc.coalesce(array, pa.scalar([], kind))
    return stored(array)


def connect(endpoint: Endpoint) -> Any:
    """A client of `clickhouse_connect` without a server session, so that statements may run side by side.

    It is the process's one client of that server, so nobody closes it: it keeps a pool of connections.
    """
    address = Address.of(endpoint)
    secure = address.scheme == "clickhouses"
    port = address.port or (8443 if secure else 8123)
    return _client(address.host, port, user=address.user or "default", password=address.password, secure=secure)


@lru_cache(maxsize=4)
def _client(host: str, port: int, *, user: str, password: str, secure: bool) -> Any:
    """Made once in a process, for a client asks the server for its settings, which takes longer than a small load."""
    library: Any = require("clickhouse_connect", extra="clickhouse")
    return library.get_client(
        host=host,
        port=port,
        username=user,
        password=password,
        secure=secure,
        autogenerate_session_id=False,
        compress=False,
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a ClickHouse source: how it is asked for, and as what it travels."""

    name: str
    kind: pa.DataType
    nullable: bool
    expression: str


class ClickHouseSource:
    """A ClickHouse table, read by one SELECT, which sees one set of parts; implements `Source`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._endpoint = job.source
        self._table = f"{ident(job.source.namespace)}.{ident(job.source.table)}"
        with told(self._endpoint, "opening the source"):
            self._client = connect(self._endpoint)
            self._final = " FINAL" if re.search("Replacing|Collapsing", self._engine()) else ""
            self._columns = self._described()
        self.schema = pa.schema([pa.field(c.name, c.kind, nullable=c.nullable) for c in self._columns])

    def read(self, extract: Extract) -> Batches:
        """See `Source.read`."""
        settings = {**_SETTINGS, "max_block_size": self._job.batch_rows}
        with (
            told(self._endpoint, "reading the source"),
            self._client.raw_stream(self._query(extract), settings=settings, fmt="ArrowStream") as body,
        ):
            reader = pa.ipc.open_stream(body)
            yield from sliced((conform(b, self.schema) for b in reader), rows=self._job.batch_rows)

    def close(self) -> None:
        """Nothing to do: each read ends its own query."""

    def _engine(self) -> str:
        found = self._client.query(
            "SELECT engine FROM system.tables WHERE database = "
            f"{literal(self._endpoint.namespace)} AND name = {literal(self._endpoint.table)}"
        ).result_rows
        if not found:
            raise EngineFailed(f"there is no table at {place(self._endpoint)}", hint="create the source first")
        return str(found[0][0])

    def _described(self) -> list[Column]:
        found = self._client.query(columns_query(self._endpoint.namespace, self._endpoint.table)).result_rows
        return [_column(name, native) for name, native in found]

    def _query(self, extract: Extract) -> str:
        query = f"SELECT {', '.join(c.expression for c in self._columns)} FROM {self._table}{self._final}"
        terms = []
        if extract.since is not None:
            terms.append(f"{ident(self._job.cursor)} >= {self._watermark(extract.since)}")
        if extract.days is not None:
            terms.append(days_condition(self._job.partition, extract.days))
        if extract.keys is not None:
            terms.append(self._keys_condition(extract.keys))
        return f"{query} WHERE {' AND '.join(terms)}" if terms else query

    def _keys_condition(self, keys: pa.Table) -> str:
        names = ", ".join(map(ident, keys.column_names))
        types = [column_type(self.schema.field(name).type, nullable=False) for name in keys.column_names]
        rows = zip(*map(texts, keys.columns), strict=True)
        tuples = (
            ", ".join(f"CAST({literal(t or '')} AS {k})" for t, k in zip(row, types, strict=True)) for row in rows
        )
        return f"({names}) IN ({', '.join(f'({row})' for row in tuples)})"

    def _watermark(self, since: str) -> str:
        kind = self.schema.field(self._job.cursor).type
        cursor_value(since, kind)
        if pa.types.is_timestamp(kind):
            return f"toDateTime64({literal(since.removesuffix('Z'))}, 6, 'UTC')"
        return f"CAST({literal(since)} AS {column_type(kind, nullable=False)})"


def days_condition(column: str, days: tuple[Window, ...]) -> str:
    """A condition: `column` lies in one of `days`. False for no day."""
    name = ident(column)
    single = [f"'{day.start}'" for day in days if (day.stop - day.start).days == 1]
    terms = [f"toDate32({name}) IN ({', '.join(single)})"] if single else []  # the server takes seconds for many terms
    terms += [
        f"({name} >= toDate32('{day.start}') AND {name} < toDate32('{day.stop}'))"
        for day in days
        if (day.stop - day.start).days > 1
    ]
    return f"({' OR '.join(terms)})" if terms else "false"


def columns_query(database: str, table: str) -> str:
    """A query for (name, type) of each column, in order."""
    return (
        "SELECT name, type FROM system.columns WHERE database = "
        f"{literal(database)} AND table = {literal(table)} ORDER BY position"
    )


def _column(name: str, native: str) -> Column:
    inner = _unwrapped(native, "LowCardinality")
    plain = _unwrapped(inner, "Nullable")
    nullable = plain != inner
    expression = ident(name) if inner == native else f"CAST({ident(name)} AS {inner})"
    if plain == "Date":
        return Column(name, pa.date32(), nullable, f"toDate32({expression})")
    if found := re.fullmatch(r"DateTime(?:64\((\d)(?:, '.*')?\)|\('.*'\))?", plain):  # noqa: SIM102
        if int(found[1] or 0) <= 6:
            return Column(name, pa.timestamp("us", tz="UTC"), nullable, f"toDateTime64({expression}, 6, 'UTC')")
    if kind := _array(plain) or _decimal(plain) or _READ.get(plain):
        return Column(name, kind, nullable, expression)
    return Column(name, pa.string(), nullable, f"toString({ident(name)})")


def _unwrapped(native: str, wrapper: str) -> str:
    return native[len(wrapper) + 1 : -1] if native.startswith(f"{wrapper}(") else native


def _array(native: str) -> pa.DataType | None:
    if not native.startswith("Array("):
        return None
    item = _unwrapped(_unwrapped(native, "Array"), "Nullable")
    return pa.list_(_READ[item]) if item in _ITEMS else None


def _decimal(native: str) -> pa.DataType | None:
    found = re.fullmatch(r"Decimal\((\d+), (\d+)\)", native)
    if found is None:
        return None
    precision, scale = int(found[1]), int(found[2])
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def _clock(array: pa.Array) -> pa.Array:
    """Times as text `HH:MM:SS.ffffff`; 24:00:00, which Postgres knows, too."""
    micros = array.cast(pa.int64())
    midnight = pc.equal(micros, 86_400 * _SECOND)
    plain = pc.if_else(midnight, pa.scalar(0, pa.int64()), micros).cast(pa.time64("us")).cast(pa.string())
    return pc.if_else(midnight, pa.scalar("24:00:00.000000"), plain)
