"""Rows on their way into SQL Server: as JSON text, which the server takes apart with OPENJSON and casts by column.

Every value is a text that the server reads exactly, so that neither a driver nor a literal's type can change it. NULLs
are left out.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from ...errors import ValueRejected
from .arrow import check_range, is_uuid, stored
from .mssql import column_type, ident, json_text, literal

_ROWS = 1000
_CHARACTERS = 4 << 20
_DATES = (-719162, 2932896)  # 0001-01-01 to 9999-12-31
_DAY = 86_400_000_000
_SMALLEST = {32: 1.1754943508222875e-38, 64: 2.2250738585072014e-308}
_NEGATIVE_ZERO = "-0.0"


def insertion(table: str, schema: pa.Schema) -> str:
    """The statement that inserts the rows of its parameter `@rows` into the quoted `table`."""
    names = [f"c{place}" for place in range(len(schema))]
    given = ", ".join(f"{name} nvarchar(max)" for name in names)
    values = ", ".join(_value(name, field.type) for name, field in zip(names, schema, strict=True))
    columns = ", ".join(ident(name) for name in schema.names)
    return f"INSERT INTO {table} ({columns}) SELECT {values} FROM OPENJSON(@rows) WITH ({given})"  # noqa: S608


def call(statement: str, rows: str) -> str:
    """A call of `statement` with `rows` as its parameter: the server keeps one plan for all calls."""
    return f"EXEC sp_executesql {literal(statement)}, N'@rows nvarchar(max)', @rows = {literal(rows)}"


def packed(batch: pa.RecordBatch) -> Iterator[str]:
    """The rows of `batch` as JSON arrays of at most 1000 rows or about 4 million characters.

    Raises `ValueRejected` for a value that SQL Server can't hold.
    """
    columns = [_texts(column, name) for column, name in zip(batch.columns, batch.schema.names, strict=True)]
    names = [f"c{place}" for place in range(len(columns))]
    held: list[str] = []
    size = 0
    for row in zip(*columns, strict=True):
        given = {name: value for name, value in zip(names, row, strict=True) if value is not None}
        held.append(json.dumps(given, ensure_ascii=False, separators=(",", ":")))
        size += len(held[-1])
        if len(held) == _ROWS or size >= _CHARACTERS:
            yield f"[{','.join(held)}]"
            held, size = [], 0
    if held:
        yield f"[{','.join(held)}]"


def _value(name: str, kind: pa.DataType) -> str:
    """The column `name` of OPENJSON as a value of the column type for `kind`."""
    if kind == pa.binary():
        return f"CONVERT(varbinary(max), {name}, 2)"
    native = column_type(kind)
    if native == "nvarchar(max)":
        return name
    if pa.types.is_floating(kind):
        # a text's sign may get lost at zero; the product's does not
        zero = f"CAST(0 AS {native}) * CAST(-1 AS {native})"
        return f"CASE WHEN {name} = N'{_NEGATIVE_ZERO}' THEN {zero} ELSE CAST({name} AS {native}) END"
    return f"CAST({name} AS {native})"


def _texts(array: pa.Array, name: str) -> Sequence[str | None]:
    """The values as the texts that `_value` casts."""
    kind = array.type
    if is_uuid(kind):
        # with hyphens: the server reads no other form
        return _each(stored(array), lambda value: str(uuid.UUID(bytes=value)))
    if pa.types.is_list(kind):
        return json_text(array)
    if pa.types.is_date(kind):
        check_range(array, name, low=_DATES[0], high=_DATES[1], says="SQL Server has the years 1 to 9999")
    elif pa.types.is_timestamp(kind):
        low, high = _DATES[0] * _DAY, (_DATES[1] + 1) * _DAY - 1
        check_range(array, name, low=low, high=high, says="SQL Server has the years 1 to 9999")
        suffix = " +00:00" if kind.tz else ""
        return _each(array.cast(pa.timestamp("us")).cast(pa.string()), lambda value: f"{value}{suffix}")
    elif pa.types.is_time(kind):
        check_range(array, name, low=0, high=_DAY - 1, says="SQL Server's day ends before 24:00")
    for belongs, text in _FORMATS:
        if belongs(kind):
            return _each(array, partial(text, name=name, kind=kind))
    plain: list[str | None] = stored(array).cast(pa.string()).to_pylist()
    return plain


def _each(array: pa.Array, text: Callable[[Any], str]) -> list[str | None]:
    return [None if value is None else text(value) for value in array.to_pylist()]


def _bit(value: bool, **_: object) -> str:
    return "1" if value else "0"


def _float(value: float, *, name: str, kind: pa.DataType) -> str:
    """Seventeen digits, which are enough to tell any two numbers apart."""
    if not math.isfinite(value):
        raise ValueRejected(
            f"the column {name!r} holds {value}: SQL Server has no NaN and no infinity",
            hint="leave such rows out, or carry the column as text",
        )
    if value == 0:
        return _NEGATIVE_ZERO if math.copysign(1, value) < 0 else "0"
    if abs(value) < _SMALLEST[kind.bit_width]:
        raise ValueRejected(
            f"the column {name!r} holds {value}, which is out of SQL Server's range: it is too small",
            hint="leave such rows out, or carry the column as text",
        )
    return f"{value:.16e}"


def _decimal(value: Any, **_: object) -> str:
    return f"{value:f}"


def _hex(value: bytes, **_: object) -> str:
    return value.hex()


_FORMATS: tuple[tuple[Callable[[pa.DataType], bool], Callable[..., str]], ...] = (
    (pa.types.is_boolean, _bit),
    (pa.types.is_floating, _float),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_binary, _hex),
)
