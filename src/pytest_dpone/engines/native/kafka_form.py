"""Tables in topics: the columns as an Avro schema, rows as Avro or JSON (docs/architecture.md, "Tables in topics")."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from ...errors import EngineFailed, require
from .arrow import is_json, is_uuid, stored, travel_type
from .avro_types import EXACT, NOT_FINITE, Change, change_of, physical, resolved, scaled, travels_as

_PLAIN_NAME = re.compile(r"(?!_x_)[A-Za-z_][A-Za-z0-9_]*")
_FOREIGN = "_x_"
_DIGITS = 38
_SIMPLE: Mapping[pa.DataType, Any] = MappingProxyType(
    {
        pa.bool_(): "boolean",
        pa.int16(): "int",
        pa.int32(): "int",
        pa.int64(): "long",
        pa.uint64(): {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 0},
        pa.float32(): "float",
        pa.float64(): "double",
        pa.string(): "string",
        pa.binary(): "bytes",
        pa.date32(): {"type": "int", "logicalType": "date"},
        pa.time64("us"): {"type": "long", "logicalType": "time-micros"},
        pa.timestamp("us"): {"type": "long", "logicalType": "local-timestamp-micros"},
        pa.timestamp("us", tz="UTC"): {"type": "long", "logicalType": "timestamp-micros"},
    }
)
_UUID = {"type": "string", "logicalType": "uuid"}
_JSON = {"type": "string", "logicalType": "json"}
_METADATA = ("run_id", "table")


def avro_name(name: str) -> str:
    """`name` as Avro can have it: itself, or `_x_` and its UTF-8 bytes in hexadecimal digits."""
    return name if _PLAIN_NAME.fullmatch(name) else _FOREIGN + name.encode().hex()


def true_name(name: str) -> str:
    """The inverse of `avro_name`."""
    return bytes.fromhex(name[len(_FOREIGN) :]).decode() if name.startswith(_FOREIGN) else name


def event_schema(columns: pa.Schema) -> dict[str, Any]:
    """The Avro schema of the events of a table with these columns."""
    texts = [{"name": name, "type": "string"} for name in _METADATA]
    row = {"type": "record", "name": "Row", "fields": [_field(column) for column in columns]}
    metadata = {"type": "record", "name": "Metadata", "fields": texts}
    fields = [
        {"name": "op", "type": "string"},
        {"name": "metadata", "type": metadata},
        {"name": "data", "type": row},
    ]
    return {"type": "record", "name": "Event", "namespace": "dpone", "fields": fields}


def columns_of(schema: Mapping[str, Any], *, where: str) -> pa.Schema:
    """The columns in travel types that an event schema tells; raises `EngineFailed` for one of another form."""
    try:
        return pa.schema([_column(field, where=where) for field in _fields(schema)])
    except (KeyError, TypeError, StopIteration, ValueError) as error:
        raise EngineFailed(
            f"the schema of {where} is not that of a table: {error!r}", hint='see "Tables in topics" in the docs'
        ) from None


def changes_of(schema: Mapping[str, Any], *, avro: bool) -> dict[str, Change]:
    """Column → what is made of its values before they are of its travel type, for those that another family lacks."""
    kinds = {true_name(field["name"]): _not_null(field["type"]) for field in _fields(schema)}
    return {name: change_of(kind, avro=avro) for name, kind in kinds.items() if _common_type(kind) is None}


def _fields(schema: Mapping[str, Any]) -> list[Any]:
    """The columns of an event schema, with all names of types resolved."""
    row = next(field["type"] for field in resolved(schema)["fields"] if field["name"] == "data")
    found: list[Any] = row["fields"]
    return found


def _not_null(kind: Any) -> Any:
    return _without_null(kind) if isinstance(kind, list) else kind


def _field(column: pa.Field) -> dict[str, Any]:
    kind = _avro_type(column)
    field: dict[str, Any] = {"name": avro_name(column.name), "type": ["null", kind] if column.nullable else kind}
    if column.nullable:
        field["default"] = None
    return field if field["name"] == column.name else {**field, "doc": column.name}


def _avro_type(column: pa.Field) -> Any:
    kind = column.type
    if pa.types.is_decimal(kind):
        return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
    if is_uuid(kind):
        return _UUID
    if is_json(kind):
        return _JSON
    if pa.types.is_list(kind) and kind.value_type in _SIMPLE:
        return {"type": "array", "items": ["null", _SIMPLE[kind.value_type]]}
    if kind not in _SIMPLE:
        raise EngineFailed(
            f"the column {column.name!r} of the type {kind} can't be kept exactly in a topic", hint="leave it out"
        )
    return _SIMPLE[kind]


def _column(field: Mapping[str, Any], *, where: str) -> pa.Field:
    kind, nullable = field["type"], False
    if isinstance(kind, list):
        kind, nullable = _without_null(kind), True
    found = _travel_type(kind)
    if found is None:
        raise EngineFailed(
            f"the column {true_name(field['name'])!r} of {where} is {kind}, which the native engine can't carry",
            hint="leave the column out",
        )
    return pa.field(true_name(field["name"]), found, nullable=nullable)


def _travel_type(kind: Any) -> pa.DataType | None:
    found = _common_type(kind)
    return travels_as(kind) if found is None else found


def _common_type(kind: Any) -> pa.DataType | None:
    """The travel type if it is one that all families have."""
    if isinstance(kind, dict) and kind["type"] == "array":
        item = kind["items"]
        if isinstance(item, list) and len(item) > 2:
            return None
        inner = _common_type(_not_null(item))
        return None if inner is None else travel_type(pa.list_(inner))
    if isinstance(kind, dict) and kind.get("logicalType") == "decimal":
        return _decimal(kind["precision"], kind.get("scale", 0))
    if kind == _UUID:
        return pa.uuid()
    if kind == _JSON:
        return pa.json_()
    found = [travel for travel, avro in _SIMPLE.items() if avro == kind]
    return found[-1] if found else None


def _decimal(precision: int, scale: int) -> pa.DataType:
    return pa.decimal128(precision, scale) if precision <= _DIGITS else pa.decimal256(precision, scale)


def _without_null(union: list[Any]) -> Any:
    (kind,) = (each for each in union if each != "null")
    return kind


def plain_values(array: pa.Array) -> list[Any]:
    """A column as Avro has it: days and microseconds as numbers, decimals as unscaled bytes, UUIDs as text."""
    kind = array.type
    if is_uuid(kind):
        return [None if value is None else str(uuid.UUID(bytes=value)) for value in stored(array).to_pylist()]
    if kind == pa.uint64():
        array = array.cast(pa.decimal128(20, 0))
    if pa.types.is_decimal(array.type):
        wide = _decimal(max(_DIGITS, array.type.precision), array.type.scale)
        raw = array.cast(wide).view(pa.binary(wide.byte_width)).to_pylist()
        return [None if value is None else value[::-1] for value in raw]
    if pa.types.is_temporal(kind):
        array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    values: list[Any] = stored(array).to_pylist()
    return values


def column_from(values: list[Any], kind: pa.DataType) -> pa.Array:
    """The inverse of `plain_values`."""
    if is_uuid(kind):
        raw = pa.array([None if value is None else uuid.UUID(value).bytes for value in values], pa.binary(16))
        return pa.ExtensionArray.from_storage(kind, raw)
    if is_json(kind):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, pa.string()))
    if pa.types.is_decimal(kind):
        numbers = [None if value is None else int.from_bytes(value, signed=True) for value in values]
        width = kind.byte_width
        words = [None if n is None else n.to_bytes(width, "little", signed=True) for n in numbers]
        return pa.Array.from_buffers(kind, len(values), pa.array(words, pa.binary(width)).buffers())
    if pa.types.is_temporal(kind):
        return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    return pa.array(values, kind)


def _json_value(kind: pa.DataType) -> Callable[[Any], Any] | None:
    if kind == pa.uint64():
        return lambda value: str(int.from_bytes(value, signed=True))
    if pa.types.is_decimal(kind):
        return lambda value: str(scaled(int.from_bytes(value, signed=True), kind.scale))
    if pa.types.is_binary(kind):
        return lambda value: base64.b64encode(value).decode()
    if pa.types.is_floating(kind):
        return lambda value: value if math.isfinite(value) else NOT_FINITE[str(value)]
    return None


def _value_from_json(kind: pa.DataType) -> Callable[[Any], Any] | None:
    if pa.types.is_decimal(kind):
        return lambda value: _unscaled(Decimal(value), kind.scale).to_bytes(kind.byte_width, signed=True)
    if pa.types.is_binary(kind):
        return lambda value: base64.b64decode(value, validate=True)
    return float if pa.types.is_floating(kind) else None


def _unscaled(value: Decimal, scale: int) -> int:
    found = value.scaleb(scale, EXACT)
    if found != found.to_integral_value():
        raise EngineFailed(f"the decimal {value} has more than {scale} digits behind its point", hint="see its schema")
    return int(found)


def _each(change: Callable[[Any], Any] | None, values: list[Any]) -> list[Any]:
    return values if change is None else [None if value is None else change(value) for value in values]


def keys(batch: pa.RecordBatch, key: Iterable[str]) -> list[bytes]:
    """The key of each row as events have it: a JSON object of the key's columns."""
    names = list(key)
    columns = [_each(_json_value(batch.column(n).type), plain_values(batch.column(n))) for n in names]
    return [_compact(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


class JsonForm:
    """Events as JSON, of a table with known columns."""

    def __init__(self, columns: pa.Schema, *, changes: Mapping[str, Change] | None = None) -> None:
        self._columns = columns
        self._changes = changes or {}

    def rows(self, batch: pa.RecordBatch) -> list[bytes]:
        """The `data` of each row."""
        columns = [_each(_json_value(c.type), plain_values(c)) for c in batch.columns]
        names = self._columns.names
        return [_compact(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]

    def event(self, op: str, metadata: Mapping[str, str], data: bytes) -> bytes:
        """The value of an event."""
        return b'{"op":' + _compact(op) + b',"metadata":' + _compact(metadata) + b',"data":' + data + b"}"

    def batch(self, values: list[bytes]) -> pa.RecordBatch:
        """The rows of events."""
        rows = [json.loads(value)["data"] for value in values]
        arrays = [
            column_from(
                _each(self._changes.get(f.name) or _value_from_json(f.type), [row[f.name] for row in rows]), f.type
            )
            for f in self._columns
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._columns)


class AvroForm:
    """Events as Avro with the id of their schema in front; `lookup` gives the schema behind an id."""

    def __init__(
        self,
        columns: pa.Schema,
        *,
        lookup: Callable[[int], Mapping[str, Any]],
        written: int = 0,
        changes: Mapping[str, Change] | None = None,
    ) -> None:
        self._avro: Any = require("fastavro", extra="kafka")
        self._columns = columns
        self._changes = changes or {}
        self._lookup = lookup
        self._parsed: dict[int, Any] = {}
        self._head = b"\0" + written.to_bytes(4)
        self._row: Any = None

    def rows(self, batch: pa.RecordBatch) -> list[bytes]:
        """The `data` of each row."""
        if self._row is None:
            fields = event_schema(self._columns)["fields"]
            self._row = self._avro.parse_schema(physical(fields[-1]["type"]))
        names = [avro_name(name) for name in self._columns.names]
        columns = [plain_values(column) for column in batch.columns]
        found = []
        for row in zip(*columns, strict=True):
            out = io.BytesIO()
            self._avro.schemaless_writer(out, self._row, dict(zip(names, row, strict=True)))
            found.append(out.getvalue())
        return found

    def event(self, op: str, metadata: Mapping[str, str], data: bytes) -> bytes:
        """The value of an event: a record is its fields, one after the other."""
        return self._head + b"".join(_text(text) for text in (op, *(metadata[name] for name in _METADATA))) + data

    def batch(self, values: list[bytes]) -> pa.RecordBatch:
        """The rows of events, each read by the schema with which it was written."""
        rows = [self._read(value)["data"] for value in values]
        names = [avro_name(name) for name in self._columns.names]
        arrays = [
            column_from(_each(self._changes.get(f.name), [row[n] for row in rows]), f.type)
            for n, f in zip(names, self._columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._columns)

    def _read(self, value: bytes) -> Any:
        if value[:1] != b"\0":
            raise EngineFailed("an event does not begin with the id of an Avro schema", hint="is the topic JSON?")
        number = int.from_bytes(value[1:5])
        if number not in self._parsed:
            self._parsed[number] = self._avro.parse_schema(physical(self._lookup(number)))
        return self._avro.schemaless_reader(io.BytesIO(value[5:]), self._parsed[number], None)


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _text(text: str) -> bytes:
    """A string as Avro has it: its length as a zigzag number, then its bytes."""
    raw = text.encode()
    number, length = len(raw) << 1, b""
    while number > 0x7F:
        length += bytes([number & 0x7F | 0x80])
        number >>= 7
    return length + bytes([number]) + raw
