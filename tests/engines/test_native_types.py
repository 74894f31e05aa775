from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from pydantic import SecretStr

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.kinds import arrow_type
from pytest_dpone.core.wire import Endpoint
from pytest_dpone.engines.native import clickhouse, mssql, postgres, postgres_sink
from pytest_dpone.engines.native.address import Address, told
from pytest_dpone.engines.native.arrow import check_names, check_range, conform, travel_type
from pytest_dpone.engines.native.minio import Manifest
from pytest_dpone.errors import EngineFailed, UsageError, ValueRejected

PLAIN_KINDS = ("bool", "int16", "int32", "int64", "uint64", "float32", "float64", "text", "binary", "uuid", "json")
MORE_KINDS = (
    "decimal(38,10)",
    "decimal(18,4)",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "array<int64>",
    "array<text>",
)
KINDS = PLAIN_KINDS + MORE_KINDS
TRAVEL = {kind: arrow_type(kind) for kind in KINDS} | {"uuid": pa.uuid(), "json": pa.json_()}


@pytest.mark.parametrize("kind", KINDS)
def test_column_types_keep_the_contracts(kind: str) -> None:
    contracts = default_contracts()
    travel = TRAVEL[kind]
    assert travel_type(travel) == travel
    assert contracts.accepts("postgres", kind, postgres.column_type(travel))
    assert contracts.accepts("mssql", kind, mssql.column_type(travel))
    assert contracts.accepts("clickhouse", kind, clickhouse.column_type(travel, nullable=False))
    assert contracts.accepts("minio", kind, str(travel))


def test_nullable_in_clickhouse() -> None:
    assert clickhouse.column_type(pa.int64(), nullable=True) == "Nullable(Int64)"
    assert clickhouse.column_type(pa.list_(pa.string()), nullable=True) == "Array(Nullable(String))"
    assert clickhouse.column_type(pa.timestamp("us"), nullable=True) == "Nullable(DateTime64(6, 'UTC'))"


@pytest.mark.parametrize(
    ("found", "travels"),
    [
        (pa.uint8(), pa.int16()),
        (pa.uint32(), pa.int64()),
        (pa.large_string(), pa.string()),
        (pa.dictionary(pa.int8(), pa.string()), pa.string()),
        (pa.timestamp("ns", tz="Europe/Berlin"), pa.timestamp("us", tz="UTC")),
        (pa.time32("ms"), pa.time64("us")),
        (pa.binary(16), pa.binary()),
        (pa.large_list(pa.large_string()), pa.list_(pa.string())),
        (pa.float16(), None),
        (pa.list_(pa.list_(pa.int64())), None),
        (pa.struct([("a", pa.int64())]), None),
        (pa.null(), None),
    ],
)
def test_travel_types(found: pa.DataType, travels: pa.DataType | None) -> None:
    assert travel_type(found) == travels


def test_conform_refuses_what_would_lose_something() -> None:
    batch = pa.record_batch({"t": pa.array([1], pa.timestamp("ns"))})
    with pytest.raises(pa.ArrowInvalid, match="would lose data"):
        conform(batch, pa.schema([("t", pa.timestamp("us"))]))


@pytest.mark.parametrize("name", ["a b", 'quo"te', "Order", "имя", "x" * 63, "per%cent"])
def test_postgres_names(name: str) -> None:
    quoted = postgres.ident(name)
    assert quoted[0] == quoted[-1] == '"'
    assert quoted[1:-1].replace('""', '"') == name


@pytest.mark.parametrize("name", ["", "x" * 64, "й" * 32, "a\0b"])
def test_postgres_names_that_would_be_cut_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="can't be a name in Postgres"):
        postgres.ident(name)


def test_quoting() -> None:
    assert postgres.ident('a"b') == '"a""b"'
    assert postgres.literal("it's") == "'it''s'"
    assert postgres.literal("a\\'b") == "E'a\\\\''b'"
    assert clickhouse.ident("back`tick\\") == "`back``tick\\\\`"
    assert clickhouse.literal("it's \\") == "'it\\'s \\\\'"


@pytest.mark.parametrize(
    ("native", "kind", "expression"),
    [
        ("Nullable(Int64)", pa.int64(), "`c`"),
        ("LowCardinality(Nullable(String))", pa.string(), "CAST(`c` AS Nullable(String))"),
        ("Date", pa.date32(), "toDate32(`c`)"),
        ("DateTime", pa.timestamp("us", tz="UTC"), "toDateTime64(`c`, 6, 'UTC')"),
        ("DateTime('Europe/Berlin')", pa.timestamp("us", tz="UTC"), "toDateTime64(`c`, 6, 'UTC')"),
        ("DateTime64(3)", pa.timestamp("us", tz="UTC"), "toDateTime64(`c`, 6, 'UTC')"),
        ("Decimal(76, 10)", pa.decimal256(76, 10), "`c`"),
        ("Array(Nullable(String))", pa.list_(pa.string()), "`c`"),
        ("Enum8('a' = 1)", pa.string(), "toString(`c`)"),
        ("DateTime64(9, 'UTC')", pa.string(), "toString(`c`)"),
        ("Int256", pa.string(), "toString(`c`)"),
        ("Map(String, String)", pa.string(), "toString(`c`)"),
        ("Array(UUID)", pa.string(), "toString(`c`)"),
    ],
)
def test_clickhouse_columns(native: str, kind: pa.DataType, expression: str) -> None:
    column = clickhouse._column("c", native)
    assert (column.kind, column.expression) == (kind, expression)
    assert column.nullable == ("Nullable" in native and "Array" not in native)


@pytest.mark.parametrize("native", ["numeric", "numeric(3,-2)", "numeric(100,2)", "interval", "point", "uuid[]"])
def test_postgres_columns_that_arrow_would_change_come_as_the_text_that_the_server_prints(native: str) -> None:
    assert postgres._travel(native) is None
    assert postgres._expression("c", native) == """CASE num_nulls("c") WHEN 0 THEN format('%s', "c") END"""


def test_postgres_driver_gets_what_it_writes_right() -> None:
    json = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}", None]))
    assert postgres_sink._for_driver(json, "c").to_pylist() == [b"\x01{}", None]
    huge = postgres_sink._for_driver(pa.array([2**64 - 1, None], pa.uint64()), "c")
    assert str(huge[0]) == "18446744073709551615"
    uuid = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\1" * 16], pa.binary(16)))
    assert postgres_sink._for_driver(uuid, "c").type == pa.binary(16)


def test_clickhouse_server_gets_what_it_reads_right() -> None:
    def sent(values: list[object], kind: pa.DataType) -> list[object]:
        return clickhouse.for_server(pa.array(values, kind), "c").to_pylist()

    assert sent([None, [], [None]], pa.list_(pa.int64())) == [[], [], [None]]
    assert sent([0, 86_400_000_000, 3_723_000_004, None], pa.time64("us")) == [
        "00:00:00.000000",
        "24:00:00.000000",
        "01:02:03.000004",
        None,
    ]


@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize(
    ("moment", "fits"),
    [
        (dt.datetime(1900, 1, 1), True),
        (dt.datetime(2299, 12, 31, 23, 59, 59, 999999), True),
        (dt.datetime(1899, 12, 31, 23, 59, 59, 999999), False),
        (dt.datetime(2300, 1, 1), False),
        (dt.datetime(1, 1, 1), False),
    ],
)
def test_clickhouse_range(moment: dt.datetime, fits: bool, zone: str | None) -> None:
    for value, kind in ((moment, pa.timestamp("us", tz=zone)), (moment.date(), pa.date32())):
        array = pa.array([None, value], kind)
        if fits:
            assert clickhouse.for_server(array, "c").null_count == 1
        else:
            with pytest.raises(ValueRejected, match="'c' is out of range: ClickHouse holds the years 1900 to 2299"):
                clickhouse.for_server(array, "c")


def test_range_of_nothing_is_fine() -> None:
    check_range(pa.array([None], pa.date32()), "c", low=0, high=0, says="x")


def test_double_and_missing_columns_are_refused() -> None:
    check_names(pa.schema([("a", pa.int64())]), where="x")
    for schema in (pa.schema([]), pa.schema([("a", pa.int64()), ("a", pa.int64())])):
        with pytest.raises(EngineFailed, match="no columns, or two with the same name"):
            check_names(schema, where="x")


def test_manifest_round_trip_and_damage() -> None:
    manifest = Manifest(("a", "b"), 3, "{}", {"a": 1, "b": 2})
    assert Manifest.from_json(manifest.to_json(), where="x") == manifest
    assert Manifest.from_json(b'{"objects": ["a"]}', where="x") == Manifest(("a",))
    for damaged in (b"", b"[]", b"{}", b'{"objects": 1}', manifest.to_json()[:-3]):
        with pytest.raises(EngineFailed, match="the manifest of x can't be read"):
            Manifest.from_json(damaged, where="x")


def test_addresses_hide_their_secrets() -> None:
    endpoint = Endpoint(
        family="minio", url=SecretStr("s3://key:ca%2Fnary@host:9000/bucket?region=eu"), namespace="n", table="t"
    )
    address = Address.of(endpoint)
    assert (address.user, address.password, address.path, address.query) == (
        "key",
        "ca/nary",
        "bucket",
        {"region": "eu"},
    )
    assert "nary" not in repr(address)
    with (
        pytest.raises(EngineFailed, match=r"trying failed at minio s3://host:9000/bucket n\.t: bad") as caught,
        told(endpoint, "trying"),
    ):
        raise RuntimeError("bad ca/nary ca%2Fnary s3://key:ca%2Fnary@host:9000/bucket?region=eu")
    assert "nary" not in str(caught.value)
    assert caught.value.__cause__ is None
