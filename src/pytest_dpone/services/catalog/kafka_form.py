"""Rows as events and back: the harness's own reading of docs/architecture.md, "Tables in topics"."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa

from ...core.kinds import Field, TableSchema, arrow_type, decimal_of
from ...core.own import OWN
from ...core.own_avro import AVRO_TYPES
from ...errors import DponeError, require
from . import avro_own
from .convert import to_kind

_LOGICAL: dict[str, tuple[str, str]] = {
    "bool": ("boolean", ""),
    "int16": ("int", ""),
    "int32": ("int", ""),
    "int64": ("long", ""),
    "float32": ("float", ""),
    "float64": ("double", ""),
    "text": ("string", ""),
    "binary": ("bytes", ""),
    "date": ("int", "date"),
    "time": ("long", "time-micros"),
    "timestamp": ("long", "local-timestamp-micros"),
    "timestamptz": ("long", "timestamp-micros"),
    "uuid": ("string", "uuid"),
    "json": ("string", "json"),
}
"""Kind → Avro type and logical type."""
_ITEMS = {"array<int64>": "long", "array<text>": "string"}
_READ: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "bytes": pa.binary(),
    "date": pa.date32(),
    "time-micros": pa.time64("us"),
    "local-timestamp-micros": pa.timestamp("us"),
    "timestamp-micros": pa.timestamp("us", tz="UTC"),
    "uuid": pa.string(),
    "json": pa.string(),
}
"""Native type → the Arrow type of its values."""
_EXACT = Context(prec=80)
_INFINITE = {float("inf"): "Infinity", float("-inf"): "-Infinity"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column as a schema of events tells it: its true name, its name in Avro, and its native type."""

    name: str
    encoded: str
    native: str

    @property
    def is_time(self) -> bool:
        """If values are numbers of days or microseconds."""
        return self.native == "date" or self.native.endswith("-micros")

    def array(self, values: list[Any]) -> pa.Array:
        """Avro's plain values as an Arrow array."""
        if self.native in AVRO_TYPES:
            return pa.array([None if v is None else avro_own.text_of(v, self.native) for v in values], pa.string())
        if self.native.startswith("decimal("):
            precision, scale = decimal_of(self.native) or (0, 0)
            found = [None if v is None else Decimal(int.from_bytes(v, "big", signed=True)) for v in values]
            scaled = [None if v is None else v.scaleb(-scale, _EXACT) for v in found]
            return pa.array(scaled, arrow_type(f"decimal({precision},{scale})"))
        if self.native.startswith("array<"):
            return pa.array(values, pa.list_(_READ[self.native[6:-1]]))
        kind = _READ[self.native]
        if self.is_time:
            return pa.array(values, pa.int32() if self.native == "date" else pa.int64()).cast(kind)
        return pa.array(values, kind)


def encoded_name(name: str) -> str:
    """`name`, or `_x_` and the hexadecimal digits of its UTF-8 bytes if it is none that Avro can have."""
    plain = name.isascii() and name.isidentifier() and name[:3] != "_x_"
    return name if plain else f"_x_{name.encode('utf-8').hex()}"


def decoded_name(name: str) -> str:
    """The true name behind the name of an Avro field."""
    return bytes.fromhex(name[3:]).decode("utf-8") if name[:3] == "_x_" else name


def schema_of_events(schema: TableSchema, *, changed: bool = False) -> str:
    """The schema of the events of a table as JSON text; `changed`: with one more field, which has a default."""
    metadata = [{"name": "run_id", "type": "string"}, {"name": "table", "type": "string"}]
    if changed:
        metadata.append({"name": "changed_by", "type": "string", "default": ""})
    event = {
        "type": "record",
        "namespace": "dpone",
        "name": "Event",
        "fields": [
            {"name": "op", "type": "string"},
            {"name": "metadata", "type": {"type": "record", "name": "Metadata", "fields": metadata}},
            {"name": "data", "type": {"type": "record", "name": "Row", "fields": [*map(_avro_field, schema.fields)]}},
        ],
    }
    return json.dumps(event, ensure_ascii=False)


def columns_of_events(text: str) -> list[Column]:
    """The columns that the schema of a table's events tells."""
    for field in json.loads(text)["fields"]:
        if field["name"] == "data":
            return [*map(_column, field["type"]["fields"])]
    raise DponeError("a schema of events has no field `data`", hint='see "Tables in topics" in docs/architecture.md')


def _column(field: Mapping[str, Any]) -> Column:
    return Column(decoded_name(field["name"]), field["name"], _native(_not_null(field["type"])))


def rows_of(batch: pa.RecordBatch | pa.Table, schema: TableSchema) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key as JSON, plain values by true name) of each row of canonical columns."""
    columns = [_plain(batch.column(f.name), f.kind) for f in schema.fields]
    names = [f.name for f in schema.fields]
    for values in zip(*columns, strict=True):
        row = dict(zip(names, values, strict=True))
        yield key_of(row, schema), row


def key_of(row: Mapping[str, Any], schema: TableSchema) -> str:
    """The key of an event: a JSON object of the key's columns, without spaces."""
    return _json({name: _to_json(row[name], schema.field(name).kind) for name in schema.key})


def json_event(op: str, metadata: Mapping[str, str], row: Mapping[str, Any], schema: TableSchema) -> bytes:
    """An event as JSON."""
    data = {f.name: _to_json(row[f.name], f.kind) for f in schema.fields}
    return _json({"op": op, "metadata": metadata, "data": data}).encode()


class Avro:
    """Events as Avro. `schemas` gives the text of the schema behind an id."""

    def __init__(self, schemas: Callable[[int], str]) -> None:
        self._library: Any = require("fastavro", extra="kafka")
        self._schemas = schemas
        self._known: dict[int, Any] = {}

    def event(self, number: int, op: str, metadata: Mapping[str, str], row: Mapping[str, Any]) -> bytes:
        """An event, behind the id of its schema."""
        out = io.BytesIO(b"\x00" + number.to_bytes(4, "big"))
        out.seek(5)
        data = {encoded_name(name): value for name, value in row.items()}
        self._library.schemaless_writer(out, self._schema(number), {"op": op, "metadata": metadata, "data": data})
        return out.getvalue()

    def read(self, value: bytes) -> dict[str, Any]:
        """`op`, `metadata` and `data` of an event."""
        if not value.startswith(b"\x00"):
            raise DponeError(f"an event is no Avro: it begins with {value[:5]!r}", hint="the form is Confluent's")
        found: dict[str, Any] = self._library.schemaless_reader(
            io.BytesIO(value[5:]), self._schema(int.from_bytes(value[1:5], "big")), None
        )
        return found

    def _schema(self, number: int) -> Any:
        if number not in self._known:
            self._known[number] = self._library.parse_schema(_bare(json.loads(self._schemas(number))))
        return self._known[number]


def from_json(value: bytes, columns: Sequence[Column]) -> dict[str, Any]:
    """`op`, `metadata` and `data` of an event, with the data as Avro's plain values."""
    event: dict[str, Any] = json.loads(value)
    data = event["data"]
    event["data"] = {c.encoded: _from_json(data[c.name], c.native) for c in columns}
    return event


def batch_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], fields: Sequence[Field]) -> list[pa.Array]:
    """The columns `fields` of decoded rows in canonical types."""
    by_name = {column.name: column for column in columns}
    arrays = []
    for field in fields:
        column = by_name[field.name]
        arrays.append(to_kind(column.array([row[column.encoded] for row in rows]), field))
    return arrays


def _avro_field(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {"name": encoded_name(field.name)}
    own = _own(field.kind)
    kind = avro_own.schema_for(own, column=found["name"]) if own else _avro_kind(field.kind)
    if found["name"] != field.name:
        found["doc"] = field.name
    return {**found, "type": ["null", kind], "default": None} if field.nullable else {**found, "type": kind}


def _own(kind: str) -> str:
    """The type of Avro's own that a kind is; empty for any other kind."""
    native = OWN[kind].native if kind in OWN else ""
    return native if native in AVRO_TYPES else ""


def _avro_kind(kind: str) -> Any:
    if digits := decimal_of(kind):
        return {"type": "bytes", "logicalType": "decimal", "precision": digits[0], "scale": digits[1]}
    if kind in _ITEMS:
        return {"type": "array", "items": ["null", _ITEMS[kind]]}
    plain, logical = _LOGICAL[kind]
    return {"type": plain, "logicalType": logical} if logical else plain


def _native(kind: Any) -> str:
    if isinstance(kind, str):
        return kind
    if kind["type"] == "array":
        return f"array<{_native(_not_null(kind['items']))}>"
    if kind.get("logicalType") == "decimal":
        return f"decimal({kind['precision']},{kind.get('scale', 0)})"
    if own := avro_own.spelled(kind, lambda part: _native(_not_null(part))):
        return own
    return str(kind.get("logicalType", kind["type"]))


def _not_null(kind: Any) -> Any:
    return next(each for each in kind if each != "null") if isinstance(kind, list) else kind


def _bare(schema: Any) -> Any:
    """Without logical types, which would turn numbers into dates on the way."""
    if isinstance(schema, dict):
        return {name: _bare(part) for name, part in schema.items() if name not in ("logicalType", "precision", "scale")}
    return [_bare(part) for part in schema] if isinstance(schema, list) else schema


def _width(precision: int) -> int:
    """Bytes of the unscaled number of a decimal."""
    return 16 if precision <= 38 else 32


def _plain(values: pa.ChunkedArray | pa.Array, kind: str) -> list[Any]:
    if native := _own(kind):
        return [None if text is None else avro_own.value_of(text, native) for text in values.to_pylist()]
    if digits := decimal_of(kind):
        numbers = [None if v is None else int(v.scaleb(digits[1], _EXACT)) for v in values.to_pylist()]
        return [None if n is None else n.to_bytes(_width(digits[0]), "big", signed=True) for n in numbers]
    if kind == "date":
        values = values.cast(pa.int32())
    elif _LOGICAL.get(kind, ("", ""))[1].endswith("-micros"):
        values = values.cast(pa.int64())
    found: list[Any] = values.to_pylist()
    return found


def _to_json(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if native := _own(kind):
        return avro_own.json_of(value, native)
    if digits := decimal_of(kind):
        return str(Decimal(int.from_bytes(value, "big", signed=True)).scaleb(-digits[1], _EXACT))
    if kind == "binary":
        return base64.b64encode(value).decode()
    if kind in ("float32", "float64"):
        return "NaN" if value != value else _INFINITE.get(value, value)
    return value


def _from_json(value: Any, native: str) -> Any:
    if value is None:
        return None
    if native in AVRO_TYPES:
        return avro_own.value_of_json(value, native)
    if digits := decimal_of(native):
        return int(Decimal(value).scaleb(digits[1], _EXACT)).to_bytes(_width(digits[0]), "big", signed=True)
    if native == "bytes":
        return base64.b64decode(value, validate=True)
    return float(value) if native in ("float", "double") else value


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
