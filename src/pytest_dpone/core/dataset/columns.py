"""Which columns a dataset has: a table of name, kind and share of NULLs."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError
from ..contracts import Contracts
from ..kinds import ID, Field, TableSchema, decimal_of
from ..model import KeyForm
from ..own import OWN, is_own
from .keyed import FIELDS, KEYS


@dataclass(frozen=True, slots=True)
class Column:
    """A payload column: `nulls` is the share of NULLs in per mille; see `Field` for `steady`.

    With `source` it is a column of that family only, which declares it by the type `native`, if there is one. A `large`
    column is NULL but in the first row, where it has a megabyte, if both ends hold that.
    """

    name: str
    kind: str
    nulls: int
    steady: bool = False
    source: str = ""
    native: str = ""
    large: bool = False


ROLES = (
    Field(ID, "int64", nullable=False),
    Field("updated_at", "timestamptz", nullable=False),
    Field("business_date", "date", nullable=False),
    Field("revision", "int64", nullable=False),
)
"""Number of the row, cursor, partition column, and a number that grows with each change of a row."""

LONGEST_NAME = "column_with_a_name_of_exactly_sixty_three_bytes_which_is_the_mx"

_NAMES = (
    Column("from", "text", 250),
    Column("select", "text", 500),
    Column("Order", "text", 0),
    Column("order", "text", 0),
    Column("a b", "text", 250),
    Column('quo"te', "text", 250),
    Column("back`tick", "int32", 250),
    Column("per%cent", "text", 250),
    Column("имя", "text", 250),
    Column(LONGEST_NAME, "text", 900),
)

_STEADY = (
    Column("steady", "text", 250, steady=True),
    Column("steady_blob", "binary", 500, steady=True),
    Column("one_megabyte", "text", 1000, steady=True, large=True),
    Column("one_megabyte_blob", "binary", 1000, steady=True, large=True),
)

_KINDS = (
    ("flag", "bool"),
    ("small", "int16"),
    ("medium", "int32"),
    ("large", "int64"),
    ("huge", "uint64"),
    ("ratio", "float32"),
    ("score", "float64"),
    ("amount", "decimal(38,10)"),
    ("price", "decimal(18,4)"),
    ("note", "text"),
    ("blob", "binary"),
    ("day", "date"),
    ("clock", "time"),
    ("wall", "timestamp"),
    ("instant", "timestamptz"),
    ("token", "uuid"),
    ("doc", "json"),
    ("numbers", "array<int64>"),
    ("tags", "array<text>"),
)

_OTHER_TYPES = (
    Column("varchar", "text", 250, source="postgres", native="character varying(10000)"),
    Column("plain json", "json", 250, source="postgres", native="json"),
    Column("LowCardinality", "text", 0, source="clickhouse", native="LowCardinality(String)"),
    Column("LowCardinality(Nullable)", "text", 250, source="clickhouse", native="LowCardinality(Nullable(String))"),
    Column("instant in a zone", "timestamptz", 250, source="clickhouse", native="DateTime64(6, 'Europe/Berlin')"),
    Column("Decimal256", "decimal(76,20)", 250, source="clickhouse"),
    Column("decimal256", "decimal(76,20)", 250, source="minio"),
    Column("large_string", "text", 250, source="minio", native="large_string"),
    Column("large_binary", "binary", 250, source="minio", native="large_binary"),
    Column("dictionary", "text", 250, source="minio", native="dictionary<values=string, indices=int32, ordered=0>"),
    Column("nanoseconds", "time", 250, source="minio", native="time64[ns]"),
    Column("instant of Berlin", "timestamptz", 250, source="minio", native="timestamp[us, tz=Europe/Berlin]"),
    Column("tinyint", "int16", 250, source="mssql", native="tinyint"),
    Column("smalldatetime", "timestamp", 250, source="mssql", native="smalldatetime"),
    Column("datetime", "timestamp", 250, source="mssql", native="datetime"),
)
"""Common kinds in another type of a family."""

_OWN = (
    *(Column(f"own {own.name}", own.kind, 250 if own.nullable else 0) for own in OWN.values()),
    *(Column(f"own {own.name} 2", own.kind, 900 if own.nullable else 0) for own in tuple(OWN.values())[::2]),
)

STANDARD = (
    *(Column(f"{name}_{nulls}", kind, nulls * 10) for name, kind in _KINDS for nulls in (25, 90)),
    *_NAMES,
    *_STEADY,
    *_OTHER_TYPES,
    *_OWN,
)
"""Every kind twice, with 25 % and 90 % NULLs, the names that break careless SQL, what no update touches, and what
the source has types of its own for."""

NARROW = (
    Column("medium", "int32", 0),
    Column("large", "int64", 0),
    Column("score", "float64", 250),
    Column("amount", "decimal(18,4)", 0),
    Column("note", "text", 250),
    Column("flag", "bool", 0),
)
"""With the four roles ten columns, beside those of the key: for benchmarks."""


def schema_for(
    columns: tuple[Column, ...], *, source: str, sink: str, contracts: Contracts, key: KeyForm = KeyForm.INTEGER
) -> TableSchema:
    """The columns that `source` has a native type for and `sink` may keep, behind the roles and the key's columns.

    NULL arrays only where the source has them. Of names that differ by case alone only the first is there, if one of
    both ends does not tell them apart. Raises `UsageError` if the sink's contracts say nothing of a kind.
    """
    blind = not contracts.case_blind.isdisjoint((source, sink))
    taken: set[str] = set()
    fields = [*ROLES, *FIELDS[key]]
    for column in columns:
        if column.source not in ("", source) or not contracts.is_source_kind(source, column.kind):
            continue
        if not _kept(sink, column.kind, contracts) or (blind and column.name.casefold() in taken):
            continue
        taken.add(column.name.casefold())
        nullable = column.nulls > 0
        if column.kind.startswith("array"):
            nullable = nullable and contracts.holds(source, column.kind, "null_array")
        fields.append(Field(column.name, column.kind, nullable=nullable, steady=column.steady, native=column.native))
    return TableSchema(tuple(fields), KEYS[key])


def _kept(sink: str, kind: str, contracts: Contracts) -> bool:
    """If a sink takes such a column at all; it may leave the types of other families' own out by saying nothing."""
    found = contracts.find(sink, kind)
    if found is None and not is_own(kind):
        raise UsageError(
            f"the contracts of {sink} say nothing of {kind}",
            hint=f"give the family a Contract({sink!r}, {kind!r}, …); such columns are left out by "
            f"Contract({sink!r}, {kind!r}, 'rejected', error=\"…\")",
        )
    if found is None or found.how == "rejected":
        return False
    decimal = decimal_of(kind)
    return decimal is None or decimal[0] <= found.digits
