"""Avro types that no other family has, in schemas of users: what they travel as, and which are refused."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pyarrow as pa
import pytest

from pytest_dpone.core.own import OWN
from pytest_dpone.core.own_avro import AVRO_TYPES
from pytest_dpone.engines.native.avro_types import physical, resolved
from pytest_dpone.engines.native.kafka_form import AvroForm, JsonForm, changes_of, columns_of
from pytest_dpone.errors import EngineFailed
from pytest_dpone.services.catalog import avro_own

UTC_MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
FIXED_UUID = {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}
FIXED_DECIMAL = {"type": "fixed", "name": "D", "size": 3, "logicalType": "decimal", "precision": 6, "scale": 2}
POINT = {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "double"}]}


def event(*types: Any) -> dict[str, Any]:
    """The schema of the events of a table with columns of these types, called a, b and so on."""
    fields = [{"name": "abcdef"[place], "type": kind} for place, kind in enumerate(types)]
    row = {"type": "record", "name": "Row", "fields": fields}
    texts = [{"name": name, "type": "string"} for name in ("run_id", "table")]
    parts = [
        {"name": "op", "type": "string"},
        {"name": "metadata", "type": {"type": "record", "name": "Metadata", "fields": texts}},
        {"name": "data", "type": row},
    ]
    return {"type": "record", "name": "Event", "namespace": "dpone", "fields": parts}


def travelled(kind: Any, value: Any) -> Any:
    """What a plain value of a column becomes, by the engine's own reading of an event."""
    schema = event(kind)
    columns = columns_of(schema, where="t")
    body = io.BytesIO()
    data = {"op": "insert", "metadata": {"run_id": "r", "table": "t"}, "data": {"a": value}}
    fastavro.schemaless_writer(body, fastavro.parse_schema(physical(schema)), data)
    form = AvroForm(columns, lookup={1: schema}.__getitem__, changes=changes_of(schema, avro=True))
    (found,) = form.batch([b"\0\0\0\0\1" + body.getvalue()]).column(0).to_pylist()
    return found


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ({"type": "enum", "name": "E", "symbols": ["up", "down"]}, "up", "up"),
        ({"type": "fixed", "name": "F", "size": 3}, b"\0\xff\x10", "AP8Q"),
        (POINT, {"x": 1, "y": 0.5}, '{"x":1,"y":0.5}'),
        (POINT, {"x": 1, "y": float("nan")}, '{"x":1,"y":"NaN"}'),
        ({"type": "map", "values": ["null", POINT]}, {"k": None}, '{"k":null}'),
        ({"type": "array", "items": {"type": "bytes"}}, [b"x"], '["eA=="]'),
        ({"type": "array", "items": FIXED_DECIMAL}, [(-1).to_bytes(3, signed=True)], '["-0.01"]'),
        ({"type": "array", "items": FIXED_UUID}, [bytes(16)], f'["{"0" * 8}-0000-0000-0000-{"0" * 12}"]'),
        ({"type": "array", "items": {"type": "int", "logicalType": "date"}}, [19000], "[19000]"),
    ],
)
def test_what_another_family_lacks_travels_as_text(kind: Any, value: Any, text: str) -> None:
    assert columns_of(event(kind), where="t").field("a").type == pa.string()
    assert travelled(kind, value) == text
    assert travelled(["null", kind], None) is None


@pytest.mark.parametrize(
    ("kind", "value", "travel", "told"),
    [
        (UTC_MILLIS, 1500, pa.timestamp("us", tz="UTC"), "1970-01-01 00:00:01.500000+00:00"),
        (
            {"type": "long", "logicalType": "local-timestamp-millis"},
            -1,
            pa.timestamp("us"),
            "1969-12-31 23:59:59.999000",
        ),
        ({"type": "int", "logicalType": "time-millis"}, 1, pa.time64("us"), "00:00:00.001000"),
        (FIXED_UUID, bytes(15) + b"\1", pa.uuid(), f"{'0' * 8}-0000-0000-0000-{'0' * 11}1"),
        (FIXED_DECIMAL, (-123).to_bytes(3, signed=True), pa.decimal128(6, 2), "-1.23"),
    ],
)
def test_what_another_family_has_travels_as_that(kind: Any, value: Any, travel: pa.DataType, told: str) -> None:
    assert columns_of(event(kind), where="t").field("a").type == travel
    assert str(travelled(kind, value)) == told


def test_json_events_hold_the_same() -> None:
    schema = event(POINT, UTC_MILLIS, {"type": "enum", "name": "E", "symbols": ["up"]})
    columns = columns_of(schema, where="t")
    form = JsonForm(columns, changes=changes_of(schema, avro=False))
    batch = form.batch([b'{"data":{"a":{"x":1,"y":0.5},"b":1500,"c":"up"}}', b'{"data":{"a":null,"b":null,"c":null}}'])
    assert batch.column(0).to_pylist() == ['{"x":1,"y":0.5}', None]
    assert [str(value) for value in batch.column(1).to_pylist()] == ["1970-01-01 00:00:01.500000+00:00", "None"]
    assert batch.column(2).to_pylist() == ["up", None]


def test_a_type_may_be_defined_once_and_named_afterwards() -> None:
    schema = event(POINT, ["null", "Point"], {"type": "map", "values": "dpone.Point"})
    assert [str(field.type) for field in columns_of(schema, where="t")] == ["string"] * 3
    (_, _, data) = resolved(schema)["fields"]
    assert data["type"]["fields"][1]["type"] == ["null", POINT]


@pytest.mark.parametrize(
    "kind",
    [
        ["null", "int", "string"],
        {"type": "array", "items": ["null", "int", "string"]},
        {"type": "map", "values": ["int", "string"]},
        {
            "type": "record",
            "name": "Tree",
            "fields": [{"name": "children", "type": {"type": "array", "items": "Tree"}}],
        },
        "Missing",
    ],
)
def test_what_can_not_be_told_is_refused(kind: Any) -> None:
    with pytest.raises(EngineFailed, match=r"is not that of a table|can't carry"):
        columns_of(event(kind), where="t")


@pytest.mark.parametrize("own", [own for own in OWN.values() if own.family == "kafka"], ids=lambda own: own.name)
def test_the_harness_and_the_engine_tell_a_value_alike(own: Any) -> None:
    schema = avro_own.schema_for(own.native, column="c")
    for text in own.edges:
        value = avro_own.value_of(text, own.native)
        assert avro_own.text_of(value, own.native) == text
        assert avro_own.value_of_json(avro_own.json_of(value, own.native), own.native) == value
        assert travelled(schema, value) == text


def test_two_columns_of_a_type_have_names_of_their_own() -> None:
    pairs = [avro_own.schema_for(native, column=name) for native in AVRO_TYPES for name in ("c1", "c2")]
    fields = [{"name": f"f{place}", "type": kind} for place, kind in enumerate(pairs)]
    fastavro.parse_schema({"type": "record", "name": "All", "fields": fields})
