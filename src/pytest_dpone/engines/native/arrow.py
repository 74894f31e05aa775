"""The types in which batches travel between a source and a sink, and the checks that every sink needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from ...core.wire import Window
from ...errors import EngineFailed, ValueRejected

Batches: TypeAlias = Iterator[pa.RecordBatch]

_WIDER = {
    pa.int8(): pa.int16(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
    pa.date64(): pa.date32(),
}
_PLAIN = (
    pa.bool_(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.binary(),
    pa.date32(),
)
_ITEMS = (pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string())


def travel_type(found: pa.DataType) -> pa.DataType | None:
    """The type in which a column of the type `found` travels; None if no sink knows what to do with it.

    These are: bool, int16, int32, int64, uint64, float32, float64, decimal128, decimal256, string, binary, date32,
    time64[us], timestamp[us] without a zone or in UTC, the extension types uuid and json, and lists of int16, int32,
    int64, float32, float64 and string. Each holds every value of `found` or the cast to it raises.
    """
    found = _WIDER.get(found, found)
    if found in _PLAIN or pa.types.is_decimal(found) or is_uuid(found) or is_json(found):
        return found
    if pa.types.is_dictionary(found):
        return travel_type(found.value_type)
    if pa.types.is_time(found):
        return pa.time64("us")
    if pa.types.is_timestamp(found):
        return pa.timestamp("us", tz="UTC" if found.tz else None)
    if pa.types.is_list(found) or pa.types.is_large_list(found):
        item = _WIDER.get(found.value_type, found.value_type)
        return pa.list_(item) if item in _ITEMS else None
    if pa.types.is_fixed_size_binary(found):
        return pa.binary()
    return None


def is_uuid(kind: pa.DataType) -> bool:
    """If `kind` is Arrow's canonical uuid extension."""
    return isinstance(kind, pa.UuidType)


def is_json(kind: pa.DataType) -> bool:
    """If `kind` is Arrow's canonical json extension."""
    return isinstance(kind, pa.JsonType)


def stored(array: pa.Array) -> pa.Array:
    """`array` as its storage type if it is of an extension type, else as it is."""
    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array


def texts(array: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """The values as text, as both Postgres and ClickHouse read them."""
    if is_uuid(array.type):
        return [None if value is None else str(value) for value in array.to_pylist()]
    found: list[str | None] = array.cast(pa.string()).to_pylist()
    return found


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` in the types and names of `schema`, column by position; raises `ArrowInvalid` if a value won't fit."""
    columns = [conformed(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def conformed(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """`array` as the type `kind`; raises `ArrowInvalid` if a value won't fit."""
    if array.type == kind:
        return array
    plain = stored(array)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, plain.cast(kind.storage_type))
    return plain if plain.type == kind else plain.cast(kind)


def convert(batch: pa.RecordBatch, change: Callable[[pa.Array, str], pa.Array]) -> pa.RecordBatch:
    """`batch` with each column passed through `change(column, name)`."""
    names = batch.schema.names
    columns = [change(column, name) for column, name in zip(batch.columns, names, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=names)


def sliced(batches: Batches, *, rows: int) -> Batches:
    """The same rows in batches of at most `rows`; empty batches vanish."""
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def grouped(batches: Batches, *, rows: int, size: int) -> Iterator[pa.Table]:
    """The same rows in tables that end after `rows` rows or `size` bytes, whichever comes first."""
    waiting: list[pa.RecordBatch] = []
    count = held = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        held += batch.nbytes
        if count >= rows or held >= size:
            yield pa.Table.from_batches(waiting)
            waiting, count, held = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def within(batch: pa.RecordBatch, days: tuple[Window, ...] | None, column: str) -> pa.RecordBatch:
    """The rows of `batch` whose `column`, of dates, lies in one of `days`; all rows if there are none."""
    if days is None:
        return batch
    return batch.filter(inside(batch.column(column), days))


def inside(values: pa.Array, days: tuple[Window, ...]) -> pa.Array:
    """Per date: it lies in one of `days`. NULL lies in none."""
    found = pa.repeat(pa.scalar(False), len(values))
    for window in days:
        hit = pc.and_(pc.greater_equal(values, pa.scalar(window.start)), pc.less(values, pa.scalar(window.stop)))
        found = pc.or_(found, pc.fill_null(hit, False))
    return found


def check_range(array: pa.Array, name: str, *, low: int, high: int, says: str) -> None:
    """Raise `ValueRejected` if a date or timestamp is outside `low`..`high` (days or microseconds since 1970)."""
    plain = array.cast(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
    found = pc.min_max(plain)
    least, most = found["min"].as_py(), found["max"].as_py()
    if least is not None and (least < low or most > high):
        raise ValueRejected(
            f"a value of the column {name!r} is out of range: {says}",
            hint="leave such rows out, or carry the column as text",
        )


def check_names(schema: pa.Schema, *, where: str) -> None:
    """Raise `EngineFailed` if two columns have the same name or there is none."""
    if not schema.names or len(set(schema.names)) < len(schema.names):
        raise EngineFailed(
            f"{where} has no columns, or two with the same name: {schema.names}",
            hint="give each column a name of its own",
        )


def additions(found: list[tuple[str, str]], schema: pa.Schema, wanted: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The columns (name, type) that a table lacks at its end, if each may be NULL and the others are right; else none.

    `found` are the table's columns, `wanted` those that it should have for `schema`, in the same order.
    """
    more = wanted[len(found) :]
    fit = found == wanted[: len(found)] and all(n in schema.names and schema.field(n).nullable for n, _ in more)
    return more if fit else []
