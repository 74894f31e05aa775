"""Avro types that no other family has: what is nested, enums and fixed bytes travel as text, milliseconds as more.

The text is that of `docs/architecture.md`, "Tables in topics": JSON without spaces, a symbol, Base64, or a duration.
"""

from __future__ import annotations

import base64
import json
import math
import uuid
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from types import MappingProxyType
from typing import Any

import pyarrow as pa

Change = Callable[[Any], Any]

EXACT = Context(prec=80)
NOT_FINITE: Mapping[str, str] = MappingProxyType({"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"})
_NAMED = ("record", "enum", "fixed")
_AS_THEY_ARE = ("boolean", "int", "long", "string")
_MILLIS: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "time-millis": pa.time64("us"),
        "timestamp-millis": pa.timestamp("us", tz="UTC"),
        "local-timestamp-millis": pa.timestamp("us"),
    }
)


def resolved(schema: Any, known: dict[str, Any] | None = None, space: str = "") -> Any:
    """`schema` with the definition of each named type in the place of its name; one within itself keeps its name."""
    known = {} if known is None else known
    if isinstance(schema, list):
        return [resolved(each, known, space) for each in schema]
    if isinstance(schema, str):
        return known.get(schema, known.get(f"{space}.{schema}", schema))
    if isinstance(schema["type"], dict | list) and "logicalType" not in schema:
        return resolved(schema["type"], known, space)
    space = schema.get("namespace", space)
    found = {**schema}
    if "fields" in schema:
        found["fields"] = [{**field, "type": resolved(field["type"], known, space)} for field in schema["fields"]]
    for part in ("items", "values"):
        if part in schema:
            found[part] = resolved(schema[part], known, space)
    if schema["type"] in _NAMED:
        known[schema["name"] if "." in schema["name"] or not space else f"{space}.{schema['name']}"] = found
    return found


def physical(schema: Any) -> Any:
    """`schema` without logical types: the bytes are the same, and values are plain numbers, texts and bytes."""
    if isinstance(schema, list):
        return [physical(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "logicalType" in schema and schema["type"] != "fixed":
        return schema["type"]
    parts = ("type", "fields", "items", "values")
    return {name: physical(part) if name in parts else part for name, part in schema.items() if name != "logicalType"}


def travels_as(kind: Any) -> pa.DataType | None:
    """The travel type of a resolved type that is none of the common ones; None if it can't be carried."""
    logical = kind.get("logicalType") if isinstance(kind, dict) else None
    if logical is not None and logical in _MILLIS:
        return _MILLIS[logical]
    if logical == "uuid" and kind["type"] == "fixed":
        return pa.uuid()
    return None if _told(kind) is None else pa.string()


def change_of(kind: Any, *, avro: bool) -> Change:
    """What is made of a value of such a type, as Avro or JSON events have it, to be one of its travel type."""
    logical = kind.get("logicalType") if isinstance(kind, dict) else None
    if logical in _MILLIS:
        return lambda value: value * 1000
    if logical == "uuid" or not avro:
        return lambda value: _text(str(uuid.UUID(bytes=value)) if isinstance(value, bytes) else value)
    told = _told(kind)
    assert told is not None  # `travels_as`
    return lambda value: _text(told(value))


def scaled(number: int, scale: int) -> Decimal:
    """The decimal of an unscaled number."""
    return Decimal(number).scaleb(-scale, EXACT)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _told(kind: Any) -> Change | None:
    """A value's JSON, by its type; None for a type that can't be told: a union of several, or one within itself."""
    if isinstance(kind, list):
        some = [each for each in kind if each != "null"]
        inner = _told(some[0]) if len(some) == 1 else None
        return None if inner is None else lambda value: None if value is None else inner(value)
    if isinstance(kind, str):
        return _PLAIN.get(kind)
    if "logicalType" in kind:
        return _logical(kind)
    if kind["type"] == "record":
        return _record(kind)
    if kind["type"] in ("array", "map"):
        return _many(kind)
    return _PLAIN.get(kind["type"])


def _record(kind: Mapping[str, Any]) -> Change | None:
    parts = {field["name"]: _told(field["type"]) for field in kind["fields"]}
    if None in parts.values():
        return None
    return lambda value: {name: part(value[name]) for name, part in parts.items() if part is not None}


def _many(kind: Mapping[str, Any]) -> Change | None:
    inner = _told(kind["items" if kind["type"] == "array" else "values"])
    if inner is None:
        return None
    if kind["type"] == "array":
        return lambda value: [inner(each) for each in value]
    return lambda value: {name: inner(each) for name, each in value.items()}


def _logical(kind: Mapping[str, Any]) -> Change | None:
    if kind["logicalType"] == "decimal":
        return lambda value: str(scaled(int.from_bytes(value, signed=True), kind.get("scale", 0)))
    if kind["logicalType"] == "duration":
        return _duration
    if kind["logicalType"] == "uuid" and kind["type"] == "fixed":
        return lambda value: str(uuid.UUID(bytes=value))
    return _PLAIN.get(kind["type"])


def _duration(value: bytes) -> str:
    months, days, millis = (int.from_bytes(value[start : start + 4], "little") for start in (0, 4, 8))
    return f"P{months}M{days}DT{millis // 1000}.{millis % 1000:03}S"


def _same(value: Any) -> Any:
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _float(value: float) -> float | str:
    return value if math.isfinite(value) else NOT_FINITE[str(value)]


_PLAIN: Mapping[str, Change] = MappingProxyType(
    {
        **dict.fromkeys((*_AS_THEY_ARE, "enum"), _same),
        **dict.fromkeys(("bytes", "fixed"), _base64),
        **dict.fromkeys(("float", "double"), _float),
    }
)
