from __future__ import annotations

import pyarrow as pa
import pytest

from pytest_dpone.core.contracts import RULES, Contract, Contracts, default_contracts
from pytest_dpone.core.dataset.columns import Column, schema_for
from pytest_dpone.core.kinds import Field, TableSchema, arrow_type, decimal_of, kind_of
from pytest_dpone.errors import UsageError

TABLE = default_contracts()
KINDS = [
    "bool",
    "int16",
    "int32",
    "int64",
    "uint64",
    "float32",
    "float64",
    "decimal(38,10)",
    "text",
    "binary",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "json",
    "array<int64>",
    "array<text>",
]


@pytest.mark.parametrize("family", ["postgres", "clickhouse", "minio"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_family_has_a_contract_for_every_kind(family: str, kind: str) -> None:
    found = TABLE.find(family, kind)
    assert found is not None
    assert found.native
    if found.source:
        assert TABLE.accepts(family, kind, TABLE.native_type(family, kind))


def test_every_row_is_complete() -> None:
    for row in TABLE.rows:
        assert (row.how == "rejected") == bool(row.error), row
        assert (row.how == "lossy") == bool(row.rule), row
        assert row.rule in {*RULES, ""}
        assert row.feature or row.native, row


@pytest.mark.parametrize(
    ("family", "kind", "native", "accepted"),
    [
        ("postgres", "int16", "bigint", True),
        ("postgres", "int64", "integer", False),
        ("postgres", "decimal(38,10)", "numeric(38,10)", True),
        ("postgres", "decimal(38,10)", "numeric", True),
        ("postgres", "decimal(38,10)", "numeric(38,9)", False),
        ("postgres", "decimal(18,4)", "numeric(20,5)", True),
        ("postgres", "decimal(18,4)", "numeric(18,5)", False),
        ("postgres", "decimal(18,4)", "double precision", False),
        ("postgres", "timestamptz", "timestamp without time zone", False),
        ("clickhouse", "timestamptz", "DateTime64(6, 'Asia/Tokyo')", True),
        ("clickhouse", "timestamptz", "DateTime64(3, 'UTC')", False),
        ("clickhouse", "decimal(18,4)", "Decimal(38, 10)", True),
        ("clickhouse", "text", "LowCardinality(String)", False),
        ("minio", "array<int64>", "list<element: int64>", True),
        ("minio", "array<int64>", "list<element: int32>", False),
        ("minio", "text", "dictionary<values=string, indices=int32, ordered=0>", True),
        ("minio", "text", "dictionary<values=int64, indices=int32, ordered=0>", False),
        ("minio", "time", "time64[ns]", True),
        ("minio", "time", "time32[ms]", False),
        ("minio", "timestamptz", "timestamp[us, tz=Europe/Berlin]", True),
        ("minio", "timestamptz", "timestamp[us]", False),
        ("minio", "timestamp", "timestamp[us, tz=UTC]", False),
        ("postgres", "text", "character varying(10000)", True),
        ("postgres", "text", "character(10)", False),
        ("postgres", "postgres:enum", "case_src.mood", True),
        ("postgres", "postgres:enum", '"a b".mood', True),
        ("postgres", "postgres:enum", "mood", True),
        ("postgres", "postgres:enum", "case_src.moody", False),
        ("postgres", "postgres:enum", "case_src.mood[]", False),
        ("oracle", "text", "text", False),
    ],
)
def test_accepted_types(family: str, kind: str, native: str, accepted: bool) -> None:
    assert TABLE.accepts(family, kind, native) is accepted


def test_what_a_family_can_hold() -> None:
    assert not TABLE.holds("postgres", "text", "nul")
    assert TABLE.holds("clickhouse", "text", "nul")
    assert not TABLE.holds("clickhouse", "date", "before_1900")
    assert not TABLE.holds("clickhouse", "array<int64>", "null_array")
    assert not TABLE.holds("nowhere", "text", "")
    assert not TABLE.is_source_kind("clickhouse", "json")
    assert not TABLE.is_source_kind("nowhere", "json")


@pytest.mark.parametrize(("family", "kind"), [("clickhouse", "binary"), ("nowhere", "text")])
def test_a_source_without_a_native_type_says_so(family: str, kind: str) -> None:
    with pytest.raises(UsageError, match=f"{family} has no native type for {kind}"):
        TABLE.native_type(family, kind)


def test_a_feature_falls_back_to_its_kind() -> None:
    plain, special = Contract("f", "text", native=("t",)), Contract("f", "text", "lossy", feature="x", rule="r")
    table = Contracts((plain, special))
    assert table.find("f", "text", "x") is special
    assert table.find("f", "text", "y") is plain
    assert table.find("f", "date") is None


def test_the_declared_loss_of_null_arrays() -> None:
    values = pa.array([[1], None, []], pa.list_(pa.int64()))
    assert RULES["null_array_as_empty"](values).to_pylist() == [[1], [], []]


def test_kinds() -> None:
    assert arrow_type("decimal(20,3)") == pa.decimal128(20, 3)
    assert decimal_of("text") is None
    with pytest.raises(UsageError, match="unknown kind 'money'"):
        arrow_type("money")
    schema = TableSchema((Field("id", "int64", nullable=False), Field("note", "text")))
    assert schema.arrow() == pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("note", pa.string())])
    assert schema.field("note").kind == "text"
    with pytest.raises(KeyError):
        schema.field("nope")


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_tells_its_kind(kind: str) -> None:
    as_text = {"uuid": "text", "json": "text"}
    assert kind_of(arrow_type(kind)) == as_text.get(kind, kind)


def test_columns_of_other_types_have_a_kind_of_their_own_or_none() -> None:
    assert (kind_of(pa.uuid()), kind_of(pa.json_())) == ("uuid", "json")
    assert kind_of(pa.timestamp("ns")) is None
    assert kind_of(pa.decimal256(50, 1)) == "decimal(50,1)"


def test_a_sink_says_of_every_kind_what_it_makes_of_it() -> None:
    columns = (Column("a", "text", 0), Column("b", "postgres:money", 0), Column("c", "json", 0))
    silent = Contracts((*TABLE.rows, Contract("f", "text", native=("t",))))
    with pytest.raises(UsageError, match="the contracts of f say nothing of json"):
        schema_for(columns, source="postgres", sink="f", contracts=silent)
    told = Contracts((*silent.rows, Contract("f", "json", "rejected", native=("j",), error="no JSON")))
    names = [field.name for field in schema_for(columns, source="postgres", sink="f", contracts=told).fields]
    assert "a" in names
    assert not {"b", "c"} & set(names)
    takes_all = Contracts((*told.rows, Contract("f", "*:*", "widened", native=("t",))))
    assert "b" in [field.name for field in schema_for(columns, source="postgres", sink="f", contracts=takes_all).fields]


@pytest.mark.parametrize(("sink", "held"), [("mssql", ["narrow"]), ("clickhouse", ["narrow", "wide"])])
def test_a_decimal_has_as_many_digits_as_the_sink_holds(sink: str, held: list[str]) -> None:
    columns = (Column("narrow", "decimal(38,10)", 0), Column("wide", "decimal(39,10)", 0))
    schema = schema_for(columns, source="postgres", sink=sink, contracts=TABLE)
    assert [field.name for field in schema.fields if field.kind.startswith("decimal")] == held
