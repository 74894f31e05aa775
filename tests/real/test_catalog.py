"""Every catalog against its real service: what goes in comes out, bit for bit, and nothing is left behind."""

from __future__ import annotations

import datetime as dt
import json
import math
import secrets
import struct
from collections.abc import Iterator, Sequence
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.kinds import Field, TableSchema, arrow_type
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.errors import DponeError, UsageError
from pytest_dpone.services.catalog import Catalog, Commit, Fingerprint, open_catalog
from pytest_dpone.services.catalog.convert import UnreadableColumnError
from pytest_dpone.services.catalog.objects import Bucket

pytestmark = pytest.mark.real

FAMILIES = ("postgres", "clickhouse", "minio")
NASTY_NAMES = (
    "from",
    "select",
    "Order",
    "order",
    "a b",
    'quo"te',
    "back`tick",
    "back\\slash",
    "dot.ted",
    ".",
    "%s{}",
    "🦆",
    "x" * 63,
)
NASTY_TEXT = (
    *("", " ", "NULL", "null", "\\N", "\\.", "a\n\\.\nb", '"', '""', "'", "a\tb", "a\nb", "a\r\nb", "\r", "\n", "\\"),
    *("\\\\n", "🦆", "Привет", "e\u0301", ",", ",,", "\u2028", "\ufeff", "\x01", "{}", '{"a"}', "x" * 1_000_000),
)
VALUES: dict[str, Sequence[object]] = {
    "bool": (True, False),
    "int16": (-(2**15), 2**15 - 1, 0),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1, 2**53 + 1),
    "uint64": (0, 2**64 - 1, 2**63),
    "float32": (struct.unpack("f", struct.pack("f", 1.1))[0], -0.0, math.nan, math.inf, -math.inf, 2.0**-149),
    "float64": (0.1, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 2.2250738585072014e-308),
    "decimal(38,10)": tuple(Decimal(f"{n}E-10") for n in (10**38 - 1, 1 - 10**38, 11 * 10**9, 0, 1, -1)),
    "decimal(12,0)": (Decimal(5), Decimal(10**12 - 1)),
    "text": NASTY_TEXT,
    "binary": (b"", b"\0", b"\\x00", bytes(range(256)), b'\n"', b"\xff" * 1_000_000),
    "date": (
        *(dt.date(1, 1, 1), dt.date(1582, 10, 10), dt.date(1899, 12, 31), dt.date(1900, 1, 1), dt.date(1970, 1, 1)),
        *(dt.date(2038, 1, 19), dt.date(2299, 12, 31), dt.date(9999, 12, 31)),
    ),
    "time": (dt.time(0, 0), dt.time(23, 59, 59, 999999), dt.time(1, 2, 3, 500000)),
    "timestamp": (
        dt.datetime(1, 1, 1),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
        dt.datetime(2021, 3, 28, 2, 30),
    ),
    "timestamptz": (
        dt.datetime(1, 1, 1),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
        dt.datetime(1900, 1, 1),
        dt.datetime(2021, 3, 28, 1, 30, 0, 1),
        dt.datetime(2299, 12, 31, 23, 59, 59, 999999),
    ),
    "uuid": ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "json": ('{"a": [1, "\\n", null], "b": {"": "é"}}', "null", '"x"', "[]"),
    "array<int64>": ([], [None], [1, None, -(2**63), 2**63 - 1]),
    "array<text>": ([], [None], ["", "NULL", "null", 'a"b', "a\\b", "{", "}", ",", " ", "\n", "🦆", None, "'", "\x01"]),
}


@pytest.fixture(params=FAMILIES)
def catalog(request: pytest.FixtureRequest, services: dict[str, ServiceInfo]) -> Iterator[Catalog]:
    """A catalog of each family, with a bucket of its own."""
    bucket = f"dpone-test-{secrets.token_hex(6)}"
    made = open_catalog(services[request.param], bucket=bucket)
    yield made
    made.disconnect()
    if request.param == "minio":
        left = Bucket(services["minio"].url, name=bucket)
        assert left.keys("") == [], "a test left objects behind"
        left.drop()
        left.disconnect()


@pytest.fixture
def namespace(catalog: Catalog) -> Iterator[str]:
    """A name that needs quoting; what it holds is removed."""
    name = f'dpone "test` 🦆 {secrets.token_hex(4)}'
    catalog.open(name)
    yield name
    catalog.close(name)


def wide(family: str) -> tuple[TableSchema, pa.RecordBatch]:
    """One column of each kind that `family` can create, with all its nasty values and NULL."""
    contracts = default_contracts()
    values = {kind: list(v) for kind, v in VALUES.items() if contracts.is_source_kind(family, kind)}
    if family == "clickhouse":
        for kind in ("date", "timestamptz"):
            values[kind] = [v for v in values[kind] if 1900 <= v.year <= 2299]  # type: ignore[attr-defined]
    rows = max(map(len, values.values())) + 1
    fields = [Field("id", "int64", nullable=False)]
    columns = [pa.array(range(rows), pa.int64())]
    for position, (kind, of_kind) in enumerate(values.items()):
        name = NASTY_NAMES[position] if position < len(NASTY_NAMES) else f"column {position}"
        is_array_there = family == "clickhouse" and kind.startswith("array")
        fields.append(Field(name, kind, nullable=not is_array_there))
        filler = [] if is_array_there else None
        columns.append(pa.array([*of_kind, *[filler] * (rows - len(of_kind))], arrow_type(kind)))
    schema = TableSchema(tuple(fields))
    return schema, pa.RecordBatch.from_arrays(columns, schema=schema.arrow())


def table_of(kind: str, values: Sequence[object]) -> tuple[TableSchema, pa.RecordBatch]:
    schema = TableSchema((Field("id", "int64", nullable=False), Field("v", kind)))
    columns = [pa.array(range(len(values)), pa.int64()), pa.array(values, arrow_type(kind))]
    return schema, pa.RecordBatch.from_arrays(columns, schema=schema.arrow())


def rows_of(batches: Iterator[pa.RecordBatch], schema: TableSchema) -> pa.Table:
    made = list(batches)
    assert all(batch.schema.equals(schema.arrow()) for batch in made)
    return pa.Table.from_batches(made, schema.arrow())


def same(left: pa.Table | pa.RecordBatch, right: pa.Table | pa.RecordBatch) -> None:
    """Equal bit for bit: `repr` tells -0.0 from 0.0, shows every digit, and NaN equals NaN."""
    assert left.schema.names == right.schema.names
    for name in left.schema.names:
        a, b = left[name].to_pylist(), right[name].to_pylist()
        differing = [
            (i, repr(x)[:80], repr(y)[:80]) for i, (x, y) in enumerate(zip(a, b, strict=True)) if repr(x) != repr(y)
        ]
        assert not differing, (name, differing[:3])


def plain_json(table: pa.Table, schema: TableSchema) -> pa.Table:
    """JSON columns as Python spells them: they are compared as values, and jsonb has an order and spaces of its own."""
    for position, field in enumerate(schema.fields):
        if field.kind == "json":
            values = table.column(position).to_pylist()
            texts = [None if v is None else json.dumps(json.loads(v), sort_keys=True) for v in values]
            table = table.set_column(position, table.schema.field(position), pa.array(texts, pa.string()))
    return table


class TestRoundTrip:
    def test_every_kind_with_every_nasty_value(self, catalog: Catalog, namespace: str) -> None:
        schema, batch = wide(catalog.family)
        table = 'ta"b`le \\ 🦆'
        catalog.create(namespace, table, schema)
        assert catalog.load(namespace, table, schema, [batch.slice(0, 3), batch.slice(3)]) == batch.num_rows
        natives = catalog.columns(namespace, table)
        assert list(natives) == [f.name for f in schema.fields]
        refused = [f for f in schema.fields if not default_contracts().accepts(catalog.family, f.kind, natives[f.name])]
        assert not refused, natives
        got = rows_of(catalog.read(namespace, table, schema.fields, order_by=["id"], batch_rows=7), schema)
        same(plain_json(got, schema), plain_json(pa.Table.from_batches([batch]), schema))

    def test_an_empty_table(self, catalog: Catalog, namespace: str) -> None:
        schema, batch = wide(catalog.family)
        catalog.create(namespace, "t", schema)
        assert catalog.load(namespace, "t", schema, []) == 0
        assert catalog.load(namespace, "t", schema, [batch.slice(0, 0)]) == 0
        assert list(catalog.columns(namespace, "t")) == batch.schema.names
        assert rows_of(catalog.read(namespace, "t", schema.fields, order_by=["id"]), schema).num_rows == 0
        assert catalog.fingerprint(namespace, "t", "id") == Fingerprint(0, 0)

    def test_no_table(self, catalog: Catalog, namespace: str) -> None:
        assert catalog.columns(namespace, "none") == {}
        assert catalog.fingerprint(namespace, "none", "id") is None
        assert catalog.fingerprint("no such namespace", "none", "id") is None
        with pytest.raises(UsageError, match="there is no such table"):
            list(catalog.read(namespace, "none", [Field("id", "int64")], order_by=["id"]))

    def test_a_single_text_column_of_nulls(self, catalog: Catalog, namespace: str) -> None:
        schema, batch = table_of("text", [None, "", None, "a"])
        catalog.create(namespace, "t", schema)
        catalog.load(namespace, "t", schema, [batch])
        batches = catalog.read(namespace, "t", [Field("v", "text")], order_by=["id"])
        assert [v for b in batches for v in b.column(0).to_pylist()] == [None, "", None, "a"]

    def test_text_is_ordered_by_its_bytes_with_null_last(self, catalog: Catalog, namespace: str) -> None:
        values = ["b", "B", "a", "Ä", "z", "é", "e\u0301", "", None, "🦆", "\uffff", "_", "a b", "ab"]
        schema, batch = table_of("text", values)
        catalog.create(namespace, "t", schema)
        catalog.load(namespace, "t", schema, [batch])
        got = rows_of(catalog.read(namespace, "t", schema.fields, order_by=["v", "id"]), schema)
        assert got["v"].to_pylist() == [*sorted((v for v in values if v is not None), key=str.encode), None]

    def test_uuids_are_ordered_as_their_text(self, catalog: Catalog, namespace: str) -> None:
        values = [f"{a}0000000-0000-0000-{b}000-000000000000" for a, b in ("19", "28", "37", "91")]
        schema, batch = table_of("uuid", values)
        catalog.create(namespace, "t", schema)
        catalog.load(namespace, "t", schema, [batch])
        batches = catalog.read(namespace, "t", [schema.fields[0]], order_by=["v"])
        assert [v for b in batches for v in b.column(0).to_pylist()] == [0, 1, 2, 3]

    def test_a_wrong_kind_raises(self, catalog: Catalog, namespace: str) -> None:
        schema, batch = table_of("text", ["x"])
        catalog.create(namespace, "t", schema)
        catalog.load(namespace, "t", schema, [batch])
        with pytest.raises(UnreadableColumnError, match="'v'"):
            list(catalog.read(namespace, "t", [Field("v", "int64")], order_by=["id"]))
        with pytest.raises(UsageError, match="no column 'w'"):
            list(catalog.read(namespace, "t", [Field("w", "text")], order_by=["id"]))

    def test_a_null_where_none_may_be_raises(self, catalog: Catalog, namespace: str) -> None:
        if catalog.family == "minio":
            pytest.skip("Parquet objects are written as they are given")
        schema = TableSchema((Field("id", "int64", nullable=False), Field("v", "int64", nullable=False)))
        catalog.create(namespace, "t", schema)
        batch = pa.RecordBatch.from_arrays([pa.array([1, 2]), pa.array([None, 1], pa.int64())], names=["id", "v"])
        with pytest.raises(Exception, match=r"(?i)null"):
            catalog.load(namespace, "t", schema, [batch])

    def test_many_rows_over_several_batches_and_parts(self, catalog: Catalog, namespace: str) -> None:
        schema, _ = table_of("text", [])
        rows = 300_000
        ids = pa.array([i * 7919 % rows for i in range(rows)], pa.int64())
        batch = pa.RecordBatch.from_arrays([ids, ids.cast(pa.string())], schema=schema.arrow())
        catalog.create(namespace, "t", schema)
        assert catalog.load(namespace, "t", schema, pa.Table.from_batches([batch]).to_batches(65_536)) == rows
        seen = 0
        for got in catalog.read(namespace, "t", schema.fields, order_by=["id"], batch_rows=10_000):
            assert 0 < got.num_rows <= 10_000
            expected = pa.array(range(seen, seen + got.num_rows), pa.int64())
            assert got.column(0).equals(expected)
            assert got.column(1).equals(expected.cast(pa.string()))
            seen += got.num_rows
        assert seen == rows
        assert catalog.fingerprint(namespace, "t", "id") == Fingerprint(rows, rows * (rows - 1) // 2)

    def test_the_sum_of_a_fingerprint_does_not_wrap(self, catalog: Catalog, namespace: str) -> None:
        schema, batch = table_of("int64", [2**63 - 1, 2**63 - 1, None])
        catalog.create(namespace, "t", schema)
        catalog.load(namespace, "t", schema, [batch])
        assert catalog.fingerprint(namespace, "t", "v") == Fingerprint(3, 2**64 - 2)

    def test_a_reader_that_is_left_early_leaves_the_catalog_usable(self, catalog: Catalog, namespace: str) -> None:
        schema, batch = table_of("text", ["x" * 1000] * 20_000)
        catalog.create(namespace, "t", schema)
        catalog.load(namespace, "t", schema, [batch])
        reader = catalog.read(namespace, "t", schema.fields, order_by=["id"], batch_rows=100)
        assert next(reader).num_rows == 100
        reader.close()  # type: ignore[attr-defined]
        assert catalog.fingerprint(namespace, "t", "id") is not None


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
GENERATED = {
    "text": texts,
    "binary": st.binary(max_size=30),
    "float64": st.floats(),
    "float32": st.floats(width=32),
    "decimal(38,10)": st.integers(1 - 10**38, 10**38 - 1).map(lambda n: Decimal(f"{n}E-10")),
    "array<int64>": st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=5),
    "array<text>": st.lists(st.none() | texts, max_size=5),
}


@pytest.mark.parametrize("kind", GENERATED)
def test_generated_values(kind: str, catalog: Catalog, namespace: str) -> None:
    if not default_contracts().is_source_kind(catalog.family, kind):
        pytest.skip(f"{catalog.family} has no type for {kind}")
    with_null = (
        GENERATED[kind] if catalog.family == "clickhouse" and kind.startswith("array") else st.none() | GENERATED[kind]
    )
    table = iter(range(1_000_000))

    @given(st.lists(with_null, min_size=1, max_size=25))
    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(values: list[object]) -> None:
        name = f"t{next(table)}"
        schema, batch = table_of(kind, values)
        catalog.create(namespace, name, schema)
        catalog.load(namespace, name, schema, [batch])
        same(rows_of(catalog.read(namespace, name, schema.fields, order_by=["id"]), schema), batch)

    check()


class TestChange:
    def test_deletes_then_updates_then_inserts_commit_by_commit(self, catalog: Catalog, namespace: str) -> None:
        schema, batch = wide(catalog.family)
        catalog.create(namespace, "t", schema)
        catalog.load(namespace, "t", schema, [batch.slice(0, 5), batch.slice(5)])
        s0 = pa.Table.from_batches([batch])
        moved = s0.slice(7, 2).set_column(0, schema.arrow().field("id"), pa.array([1, 2], pa.int64()))
        again = s0.slice(9, 1).set_column(0, schema.arrow().field("id"), pa.array([0], pa.int64()))
        none = s0.slice(0, 0)
        commits = [
            Commit(s0.select(["id"]).slice(0, 1), moved, none),
            Commit(s0.select(["id"]).slice(3, 2), none, again),
            Commit(none.select(["id"]), none, none),
        ]
        catalog.change(namespace, "t", schema, commits)
        got = rows_of(catalog.read(namespace, "t", schema.fields, order_by=["id"]), schema)
        same(plain_json(got, schema), plain_json(pa.concat_tables([again, moved, s0.slice(5)]), schema))

    def test_composite_text_keys(self, catalog: Catalog, namespace: str) -> None:
        fields = (Field("a", "text", nullable=False), Field("b", "int64", nullable=False), Field("v", "text"))
        schema = TableSchema(fields, key=("a", "b"))
        s0 = pa.table({"a": ["x'", "x'", "y\\"], "b": [1, 2, 1], "v": ["1", "2", "3"]}, schema.arrow())
        catalog.create(namespace, "t", schema)
        catalog.load(namespace, "t", schema, s0.to_batches())
        update = pa.table({"a": ["y\\"], "b": [1], "v": [None]}, schema.arrow())
        catalog.change(namespace, "t", schema, [Commit(s0.select(["a", "b"]).slice(0, 1), update, s0.slice(0, 0))])
        got = rows_of(catalog.read(namespace, "t", fields, order_by=["a", "b"]), schema)
        assert got.to_pylist() == [{"a": "x'", "b": 2, "v": "2"}, {"a": "y\\", "b": 1, "v": None}]

    @pytest.mark.parametrize("what", ["deletes", "updates"])
    def test_a_row_that_is_not_there_raises(self, catalog: Catalog, namespace: str, what: str) -> None:
        schema, batch = table_of("text", ["a", "b"])
        catalog.create(namespace, "t", schema)
        catalog.load(namespace, "t", schema, [batch.slice(0, 1)])
        s0 = pa.Table.from_batches([batch])
        none = s0.slice(0, 0)
        commit = Commit(s0.select(["id"]), none, none) if what == "deletes" else Commit(none.select(["id"]), s0, none)
        with pytest.raises(DponeError, match="names 2 rows by their keys and 1 of them are in the source"):
            catalog.change(namespace, "t", schema, [commit])
        assert rows_of(catalog.read(namespace, "t", schema.fields, order_by=["id"]), schema).num_rows == 1

    def test_everything_may_be_deleted(self, catalog: Catalog, namespace: str) -> None:
        schema, batch = table_of("text", ["a", "b"])
        catalog.create(namespace, "t", schema)
        catalog.load(namespace, "t", schema, [batch])
        s0 = pa.Table.from_batches([batch])
        catalog.change(namespace, "t", schema, [Commit(s0.select(["id"]), s0.slice(0, 0), s0.slice(0, 0))])
        assert catalog.fingerprint(namespace, "t", "id") == Fingerprint(0, 0)
        assert list(catalog.columns(namespace, "t")) == ["id", "v"]


class TestNamespace:
    def test_close_removes_everything_and_nothing_else(self, catalog: Catalog, namespace: str) -> None:
        schema, batch = table_of("text", ["a"])
        other = namespace + "x"
        catalog.open(other)
        try:
            for space in (namespace, other):
                catalog.create(space, "t", schema)
                catalog.load(space, "t", schema, [batch])
            catalog.close(namespace)
            assert catalog.columns(namespace, "t") == {}
            assert catalog.fingerprint(other, "t", "id") == Fingerprint(1, 0)
            catalog.close(namespace)
        finally:
            catalog.close(other)

    def test_open_twice_and_two_catalogs_at_once(
        self, catalog: Catalog, namespace: str, services: dict[str, ServiceInfo]
    ) -> None:
        schema, batch = table_of("text", ["a"])
        catalog.open(namespace)
        catalog.create(namespace, "t", schema)
        bucket = catalog.endpoint(namespace, "t").url.get_secret_value().split("?")[0].rsplit("/", 1)[1]
        second = open_catalog(services[catalog.family], bucket=bucket)
        try:
            assert second.fingerprint(namespace, "t", "id") == Fingerprint(0, 0)
            catalog.load(namespace, "t", schema, [batch])
            assert second.fingerprint(namespace, "t", "id") == Fingerprint(1, 0)
        finally:
            second.disconnect()

    def test_a_catalog_reconnects_after_disconnect(self, catalog: Catalog, namespace: str) -> None:
        catalog.disconnect()
        assert catalog.columns(namespace, "t") == {}

    def test_the_endpoint_names_the_place(self, catalog: Catalog, namespace: str) -> None:
        endpoint = catalog.endpoint(namespace, "t")
        assert (endpoint.family, endpoint.namespace, endpoint.table) == (catalog.family, namespace, "t")


def test_a_lock_that_an_engine_left_makes_nobody_wait_for_ever(
    services: dict[str, ServiceInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg
    from psycopg import errors, sql

    from pytest_dpone.services.catalog import postgres

    short = [line.replace("'60s'", "'100ms'") for line in postgres.SESSION]
    assert short != list(postgres.SESSION), "every session of the harness has a lock_timeout"
    monkeypatch.setattr(postgres, "SESSION", short)
    space = f"attack_{secrets.token_hex(4)}"
    catalog = open_catalog(services["postgres"], bucket="unused")
    schema = TableSchema((Field("id", "int64", nullable=False),), key=("id",))
    catalog.open(space)
    catalog.create(space, "t", schema)
    with psycopg.connect(services["postgres"].url.get_secret_value()) as engine:
        engine.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(space, "t")))
        with pytest.raises(errors.LockNotAvailable):
            list(catalog.read(space, "t", schema.fields, order_by=("id",)))
        with pytest.raises(errors.LockNotAvailable):
            catalog.fingerprint(space, "t", "id")
        with pytest.raises(errors.LockNotAvailable):
            catalog.close(space)
    catalog.close(space)
    assert catalog.columns(space, "t") == {}
    catalog.disconnect()
