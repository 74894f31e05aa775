"""Tables in topics: what the engine writes the harness reads, and the other way round; two codes, one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import Dataset, DatasetSpec
from pytest_dpone.core.kinds import Field, TableSchema
from pytest_dpone.core.own import OWN
from pytest_dpone.engines.native.kafka_form import (
    AvroForm,
    JsonForm,
    avro_name,
    changes_of,
    columns_of,
    event_schema,
    keys,
    true_name,
)
from pytest_dpone.errors import DponeError, EngineFailed
from pytest_dpone.services.catalog import kafka_form as harness

NAMES = ["id", "a b", 'quo"te', "имя", "_x_61", "_x_", "1st", "ümlaut", "x" * 63, "Order", "order", "_", "a.b"]


def rows_from(source: str) -> tuple[pa.RecordBatch, TableSchema]:
    dataset = Dataset(DatasetSpec(seed=9, rows=200), source=source, sink="kafka", contracts=default_contracts())
    (batch,) = dataset.before()
    return batch, dataset.schema


def travelling(batch: pa.RecordBatch, schema: TableSchema) -> pa.RecordBatch:
    """Canonical columns as the engine has them."""
    columns = []
    for column, field in zip(batch.columns, schema.fields, strict=True):
        if field.kind == "uuid":
            raw = pa.array([v and bytes.fromhex(v.replace("-", "")) for v in column.to_pylist()], pa.binary(16))
            column = pa.ExtensionArray.from_storage(pa.uuid(), raw)
        elif field.kind == "json":
            column = pa.ExtensionArray.from_storage(pa.json_(), column)
        columns.append(column)
    fields = [pa.field(f.name, c.type, nullable=f.nullable) for f, c in zip(schema.fields, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def same(left: pa.RecordBatch, right: pa.RecordBatch) -> None:
    for name, one, other in zip(left.schema.names, left.columns, right.columns, strict=True):
        one = one.storage if isinstance(one, pa.ExtensionArray) else one
        other = other.storage if isinstance(other, pa.ExtensionArray) else other
        assert repr(one.to_pylist()) == repr(other.to_pylist()), name


@pytest.mark.parametrize("source", ["postgres", "clickhouse", "minio"])
@pytest.mark.parametrize("avro", [True, False])
def test_what_the_engine_writes_the_harness_reads(source: str, avro: bool) -> None:
    batch, schema = rows_from(source)
    rows = travelling(batch, schema)
    told = event_schema(rows.schema)
    columns = columns_of(told, where="x")
    form = AvroForm(columns, lookup={7: told}.__getitem__, written=7) if avro else JsonForm(columns)
    values = [form.event("insert", {"run_id": "r", "table": "t"}, data) for data in form.rows(rows)]
    known = harness.columns_of_events(json.dumps(told))
    assert [column.name for column in known] == rows.schema.names
    contracts = default_contracts()
    for column, field in zip(known, schema.fields, strict=True):
        assert contracts.accepts("kafka", field.kind, column.native), (field, column)
    reader = harness.Avro({7: json.dumps(told)}.__getitem__)
    events = [reader.read(value) if avro else harness.from_json(value, known) for value in values]
    assert {(e["op"], e["metadata"]["run_id"], e["metadata"]["table"]) for e in events} == {("insert", "r", "t")}
    arrays = harness.batch_of([event["data"] for event in events], known, schema.fields)
    same(pa.RecordBatch.from_arrays(arrays, schema=schema.arrow()), batch)
    assert [key.decode() for key in keys(rows, ["id"])] == [key for key, _ in harness.rows_of(batch, schema)]


@pytest.mark.parametrize("avro", [True, False])
def test_what_the_harness_writes_the_engine_reads(avro: bool) -> None:
    batch, schema = rows_from("kafka")
    kinds = {field.kind for field in schema.fields}
    assert kinds >= {"uuid", "json", "decimal(38,10)", "timestamp", "array<text>", "kafka:enum", "kafka:record"}
    texts = {1: harness.schema_of_events(schema), 2: harness.schema_of_events(schema, changed=True)}
    writer = harness.Avro(texts.__getitem__)
    metadata = {"run_id": "r", "table": "t", "changed_by": "x"}
    values = [
        writer.event(1 + number % 2, "insert", metadata, row)
        if avro
        else harness.json_event("insert", metadata, row, schema)
        for number, (_, row) in enumerate(harness.rows_of(batch, schema))
    ]
    columns = columns_of(json.loads(texts[2]), where="x")
    schemas: Mapping[int, Any] = {number: json.loads(text) for number, text in texts.items()}
    changes = changes_of(schemas[2], avro=avro)
    assert set(changes) == {field.name for field in schema.fields if field.kind in OWN}
    form = (
        AvroForm(columns, lookup=schemas.__getitem__, changes=changes) if avro else JsonForm(columns, changes=changes)
    )
    assert columns.names == batch.schema.names
    found = form.batch(values)
    wanted = travelling(batch, schema)
    assert found.schema.field("token_25").type == pa.uuid()
    same(found, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_names_come_back(name: str) -> None:
    encoded = avro_name(name)
    assert encoded == harness.encoded_name(name)
    assert true_name(encoded) == harness.decoded_name(encoded) == name
    assert encoded.isascii()
    assert encoded.isidentifier()


def test_no_two_names_become_one() -> None:
    assert len({avro_name(name) for name in NAMES}) == len(NAMES)
    assert avro_name("a b") == "_x_612062"
    assert avro_name("_x_61") == "_x_5f785f3631"


def test_the_name_of_a_column_is_told_to_people() -> None:
    (field,) = event_schema(pa.schema([pa.field("имя", pa.string())]))["fields"][-1]["type"]["fields"]
    assert field == {"name": "_x_d0b8d0bcd18f", "type": ["null", "string"], "default": None, "doc": "имя"}


def test_json_is_json() -> None:
    schema = TableSchema((Field("id", "int64", nullable=False), Field("f", "float64"), Field("b", "binary")))
    values = [[1, 2, 3, 4], [float("nan"), float("-inf"), -0.0, None], [b"\0\xff", b"", None, b"x"]]
    batch = pa.record_batch(
        [pa.array(v, f.type) for v, f in zip(values, schema.arrow(), strict=True)], schema=schema.arrow()
    )
    form = JsonForm(batch.schema)
    assert form.event("insert", {"run_id": "r", "table": "t"}, form.rows(batch)[0]) == (
        b'{"op":"insert","metadata":{"run_id":"r","table":"t"},"data":{"id":1,"f":"NaN","b":"AP8="}}'
    )
    assert [json.loads(row)["f"] for row in form.rows(batch)] == ["NaN", "-Infinity", 0.0, None]


@pytest.mark.parametrize(
    "schema",
    [{}, {"fields": []}, {"fields": [{"name": "data", "type": {"fields": [{"name": "x", "type": {"type": "map"}}]}}]}],
)
def test_a_schema_of_another_form_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(EngineFailed, match="somewhere"):
        columns_of(schema, where="somewhere")


def test_a_type_that_can_not_be_kept_is_refused() -> None:
    with pytest.raises(EngineFailed, match="can't be kept exactly in a topic"):
        event_schema(pa.schema([pa.field("x", pa.float16())]))


def test_an_event_that_is_no_avro_is_refused() -> None:
    columns = pa.schema([pa.field("id", pa.int64())])
    with pytest.raises(EngineFailed, match="id of an Avro schema"):
        AvroForm(columns, lookup={}.__getitem__).batch([b"{}"])
    with pytest.raises(DponeError, match="no Avro"):
        harness.Avro({}.__getitem__).read(b"{}")


def test_a_decimal_with_too_many_digits_is_refused() -> None:
    form = JsonForm(pa.schema([pa.field("d", pa.decimal128(10, 2))]))
    assert form.batch([b'{"data":{"d":"1E+1"}}']).to_pylist()[0]["d"] == 10
    with pytest.raises(EngineFailed, match="more than 2 digits"):
        form.batch([b'{"data":{"d":"1.123"}}'])
