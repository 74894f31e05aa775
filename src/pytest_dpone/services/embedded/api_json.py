"""Arrow columns as JSON, each value exactly: what does not fit JSON's numbers goes as text (docs/api.md)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...core.kinds import TableSchema, decimal_of

Spell = Callable[[Any], str]


def rows_as_json(rows: pa.Table, schema: TableSchema) -> str:
    """A JSON array of objects. A NULL of a `json` column is a member that is absent: `null` is a value there."""
    columns = [_fragments(rows.column(f.name), f.kind) for f in schema.fields]
    names = [json.dumps(f.name, ensure_ascii=False) for f in schema.fields]
    return "[" + ",".join(_object(names, row) for row in zip(*columns, strict=True)) + "]"


def _object(names: list[str], values: tuple[str | None, ...]) -> str:
    members = [f"{name}:{value}" for name, value in zip(names, values, strict=True) if value is not None]
    return "{" + ",".join(members) + "}"


def _fragments(column: pa.ChunkedArray, kind: str) -> list[str | None]:
    """Each value as a piece of JSON; None for a member that is left out."""
    null = None if kind == "json" else "null"
    if kind in ("date", "time", "timestamp", "timestamptz"):
        # As text by Arrow, which knows years that Python does not.
        column = pc.replace_substring(column.cast(pa.string()), " ", "T")
    spell = _digits if decimal_of(kind) else _SPELL[kind]
    return [null if value is None else spell(value) for value in column.to_pylist()]


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number_as_text(value: int) -> str:
    return f'"{value}"'


def _digits(value: Decimal) -> str:
    return f'"{value:f}"'


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


def _base64(value: bytes) -> str:
    return f'"{base64.b64encode(value).decode()}"'


def _numbers(values: list[int | None]) -> str:
    return _text([None if value is None else str(value) for value in values])


_SPELL: Mapping[str, Spell] = MappingProxyType(
    {
        "bool": _text,
        "int16": str,
        "int32": str,
        "int64": _number_as_text,
        "uint64": _number_as_text,
        "float32": _float,
        "float64": _float,
        "text": _text,
        "binary": _base64,
        "date": _text,
        "time": _text,
        "timestamp": _text,
        "timestamptz": _text,
        "uuid": _text,
        "json": str,
        "array<int64>": _numbers,
        "array<text>": _text,
    }
)
