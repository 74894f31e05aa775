"""JSON rows → Arrow in travel types, each value exactly or not at all."""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from ...core.kinds import arrow_type
from ...errors import EngineFailed, UsageError

Build = Callable[[list[Any]], pa.Array]

_ABSENT = object()


def parse(text: bytes) -> Any:
    """JSON, with numbers that keep their value; raises ValueError for one that a double would change."""
    return json.loads(text, parse_float=_double, parse_constant=_no_constant)


def travel_of(kind: str, name: str) -> pa.DataType:
    """The type in which a column of the API's `kind` travels; raises `EngineFailed` for an unknown one."""
    try:
        return _OF_THEIR_OWN.get(kind) or arrow_type(kind)
    except UsageError as error:
        raise EngineFailed(
            f"the column {name!r} is of the kind {kind!r}, which the native engine can't carry exactly", hint=error.hint
        ) from None


def to_batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """A page's rows. Raises `EngineFailed` for a row with other columns, `ValueError` or Arrow's errors for a value."""
    columns = [_column(rows, field) for field in schema]
    if any(len(row) > len(schema) for row in rows):
        raise EngineFailed("a row has more columns than its table", hint="the table has changed: run again")
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(rows: list[dict[str, Any]], field: pa.Field) -> pa.Array:
    if field.type == pa.json_():
        # A member that is absent is NULL: `null` is a value of JSON.
        return _json([row.get(field.name, _ABSENT) for row in rows])
    try:
        values = [row[field.name] for row in rows]
    except KeyError:
        raise EngineFailed(f"a row has no column {field.name!r}", hint="the table has changed: run again") from None
    if pa.types.is_decimal(field.type):
        return pa.array([None if v is None else Decimal(_text(v)) for v in values], field.type)
    return _BUILD[field.type](values)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} should be text")
    return value


def _json(values: list[Any]) -> pa.Array:
    texts = [None if v is _ABSENT else json.dumps(v, ensure_ascii=False) for v in values]
    return pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))


def _uuids(values: list[Any]) -> pa.Array:
    raw = [None if v is None else uuid.UUID(_text(v)).bytes for v in values]
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(raw, pa.binary(16)))


def _binary(values: list[Any]) -> pa.Array:
    return pa.array([None if v is None else base64.b64decode(_text(v), validate=True) for v in values], pa.binary())


def _times(values: list[Any]) -> pa.Array:
    return pa.array([None if v is None else dt.time.fromisoformat(_text(v)) for v in values], pa.time64("us"))


def _number_lists(values: list[Any]) -> pa.Array:
    return pa.array(values, pa.list_(pa.string())).cast(pa.list_(pa.int64()))


def _from_text(kind: pa.DataType) -> Build:
    return lambda values: pa.array(values, pa.string()).cast(kind)


def _plain(kind: pa.DataType) -> Build:
    return lambda values: pa.array(values, kind)


def _floats(kind: pa.DataType) -> Build:
    return lambda values: pa.array([_float(v) for v in values], kind)


def _float(value: object) -> float | None:
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(str(value))
    if value is None or isinstance(value, float):
        return value
    raise ValueError(f"{value!r} should be a number with a point")


_OF_THEIR_OWN: Mapping[str, pa.DataType] = MappingProxyType({"uuid": pa.uuid(), "json": pa.json_()})
_BUILD: Mapping[pa.DataType, Build] = MappingProxyType(
    {
        **{kind: _plain(kind) for kind in (pa.bool_(), pa.int16(), pa.int32(), pa.string(), pa.list_(pa.string()))},
        **{kind: _from_text(kind) for kind in (pa.int64(), pa.uint64(), pa.date32())},
        **{kind: _from_text(kind) for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC"))},
        **{kind: _floats(kind) for kind in (pa.float32(), pa.float64())},
        pa.binary(): _binary,
        pa.time64("us"): _times,
        pa.uuid(): _uuids,
        pa.list_(pa.int64()): _number_lists,
    }
)


def _double(text: str) -> float:
    number = float(text)
    if Decimal(repr(number)) != Decimal(text):
        raise ValueError(f"the number {text} does not fit a double exactly")
    return number


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
