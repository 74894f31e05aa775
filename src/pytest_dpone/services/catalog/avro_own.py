"""Avro's own types as the harness writes and reads them: texts of `core.own` ↔ Avro's plain values, by a schema."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

from ...core.own_avro import AVRO_TYPES

_EXACT = Context(prec=80)
_DURATION = re.compile(r"P(\d+)M(\d+)DT(\d+)\.(\d{3})S")
_DECIMAL_BYTES = 8
"""Bytes of a decimal: more than most need, which Avro allows."""


def schema_for(native: str, *, column: str) -> Any:
    """The schema of a type, whose names no other column has."""
    return _renamed(AVRO_TYPES[native], column)


def _renamed(schema: Any, column: str) -> Any:
    if isinstance(schema, list):
        return [_renamed(each, column) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _renamed(part, column) for name, part in schema.items() if name != "name"}
    if "name" not in schema:
        return found
    is_type = schema.get("type") in ("record", "enum", "fixed")
    return {"name": f"{schema['name']}_of_{column}" if is_type else schema["name"], **found}


def spelled(kind: Mapping[str, Any], inner: Any) -> str | None:
    """A named or nested type as the contracts spell it; `inner` spells its parts. None for any other type."""
    if kind.get("logicalType"):
        return None
    if kind["type"] == "enum":
        return f"enum({', '.join(kind['symbols'])})"
    if kind["type"] == "fixed":
        return f"fixed({kind['size']})"
    if kind["type"] == "map":
        return f"map<{inner(kind['values'])}>"
    if kind["type"] == "record":
        parts = [f"{field['name']}: {inner(field['type'])}" for field in kind["fields"]]
        return f"record<{', '.join(parts)}>"
    return None


def value_of(text: str, native: str) -> Any:
    """The plain value that a text stands for."""
    schema = AVRO_TYPES[native]
    return _value(json.loads(text) if _is_json(schema) else text, schema)


def text_of(value: Any, native: str) -> str:
    """The text of a plain value."""
    told = json_of(value, native)
    return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def json_of(value: Any, native: str) -> Any:
    """A plain value as JSON events have it."""
    return _json(value, AVRO_TYPES[native])


def value_of_json(value: Any, native: str) -> Any:
    """The inverse of `json_of`."""
    return _value(value, AVRO_TYPES[native])


def _is_json(schema: Any) -> bool:
    return schema["type"] in ("array", "map", "record")


def _only(schema: Any) -> Any:
    return next(each for each in schema if each != "null") if isinstance(schema, list) else schema


def _value(told: Any, schema: Any) -> Any:
    if told is None:
        return None
    schema = _only(schema)
    kind = schema if isinstance(schema, str) else schema["type"]
    logical = None if isinstance(schema, str) else schema.get("logicalType")
    if logical == "decimal":
        return int(Decimal(told).scaleb(schema["scale"], _EXACT)).to_bytes(_DECIMAL_BYTES, "big", signed=True)
    if logical == "duration":
        months, days, seconds, millis = map(int, _DURATION.fullmatch(told).groups())  # type: ignore[union-attr]
        return b"".join(part.to_bytes(4, "little") for part in (months, days, seconds * 1000 + millis))
    if kind in ("bytes", "fixed"):
        return base64.b64decode(told, validate=True)
    if kind == "record":
        return {field["name"]: _value(told[field["name"]], field["type"]) for field in schema["fields"]}
    if kind == "map":
        return {name: _value(each, schema["values"]) for name, each in told.items()}
    return [_value(each, schema["items"]) for each in told] if kind == "array" else told


def _json(value: Any, schema: Any) -> Any:
    if value is None:
        return None
    schema = _only(schema)
    kind = schema if isinstance(schema, str) else schema["type"]
    logical = None if isinstance(schema, str) else schema.get("logicalType")
    if logical == "decimal":
        return str(Decimal(int.from_bytes(value, "big", signed=True)).scaleb(-schema["scale"], _EXACT))
    if logical == "duration":
        months, days, millis = (int.from_bytes(value[at : at + 4], "little") for at in (0, 4, 8))
        return f"P{months}M{days}DT{millis / 1000:.3f}S"
    if kind in ("bytes", "fixed"):
        return base64.b64encode(value).decode()
    if kind == "record":
        return {field["name"]: _json(value[field["name"]], field["type"]) for field in schema["fields"]}
    if kind == "map":
        return {name: _json(each, schema["values"]) for name, each in value.items()}
    return [_json(each, schema["items"]) for each in value] if kind == "array" else value
