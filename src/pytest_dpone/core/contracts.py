"""What each family may do to a value: the one table that the oracle, the catalogs and the docs share (DESIGN §5)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import UsageError
from .kinds import KINDS, Field, decimal_of
from .own import OTHER, OWN, is_own

How = Literal["exact", "widened", "lossy", "rejected"]


@dataclass(frozen=True, slots=True)
class Contract:
    """One family's promise for one kind, or for one feature (class of edge values) of that kind.

    `native`: type names that the family may store the kind in, as its catalog spells them; `{p}` and `{s}` stand for
    a decimal's precision and scale. The first one is what a source table is created with, if `source` is true.
    exact: the value comes back as it was. widened: it is stored in a wider type, from which it is recovered exactly.
    lossy: `rule` (a name in `RULES`) says what it becomes; that is asserted too.
    rejected: writing it must raise an error whose text matches the pattern `error`.
    """

    family: str
    kind: str
    how: How = "exact"
    native: tuple[str, ...] = ()
    source: bool = True
    feature: str = ""
    rule: str = ""
    error: str = ""
    note: str = ""
    digits: int = 76
    """The most digits that a decimal may have; columns of wider ones are left out."""


def _null_list_as_empty(values: pa.Array) -> pa.Array:
    """NULL arrays become empty arrays."""
    return pc.if_else(pc.is_null(values), pa.scalar([], values.type), values)


CASE_BLIND = frozenset({"mssql"})
"""Families that take `Order` and `order` for the same name, unless a database is set up otherwise."""

SPACE_BLIND = frozenset({"mssql"})
"""Families that take texts for the same of which one has spaces more at its end: SQL Server pads the shorter one before
it compares, whatever the collation. Keys that go through them don't differ by such spaces alone."""

RULES: dict[str, Callable[[pa.Array], pa.Array]] = {"null_array_as_empty": _null_list_as_empty}

_INT = {"int16": 0, "int32": 1, "int64": 2}


def _integers(family: str, names: tuple[str, str, str]) -> Iterator[Contract]:
    for kind, position in _INT.items():
        yield Contract(family, kind, native=names[position:])


def _postgres() -> Iterator[Contract]:
    text = ("text", "character varying", "character varying(*)")
    yield Contract("postgres", "bool", native=("boolean",))
    yield from _integers("postgres", ("smallint", "integer", "bigint"))
    yield Contract("postgres", "uint64", "widened", ("numeric(20,0)", "numeric"), source=False)
    yield Contract("postgres", "float32", native=("real", "double precision"))
    yield Contract("postgres", "float64", native=("double precision",))
    yield Contract("postgres", "decimal", native=("numeric({p},{s})", "numeric"))
    yield Contract("postgres", "text", native=text)
    yield Contract(
        "postgres", "text", "rejected", feature="nul", error=r"0x00|\bNUL\b|(?i:null (byte|character))", note="NUL byte"
    )
    yield Contract("postgres", "binary", native=("bytea",))
    yield Contract("postgres", "date", native=("date",))
    yield Contract("postgres", "time", native=("time without time zone",))
    yield Contract("postgres", "timestamp", native=("timestamp without time zone",))
    yield Contract("postgres", "timestamptz", native=("timestamp with time zone",))
    yield Contract("postgres", "uuid", native=("uuid", *text))
    yield Contract("postgres", "json", native=("jsonb", "json", *text), note="compared as JSON values, not as text")
    yield Contract("postgres", "array<int64>", native=("bigint[]",))
    yield Contract("postgres", "array<text>", native=("text[]", "character varying[]"))


def _clickhouse() -> Iterator[Contract]:
    range_error = r"(?i)\b(value|date|time)\w*\b.* out of .*range|OUT_OF_RANGE"
    yield Contract("clickhouse", "bool", native=("Bool", "UInt8"))
    yield from _integers("clickhouse", ("Int16", "Int32", "Int64"))
    yield Contract("clickhouse", "uint64", native=("UInt64",))
    yield Contract("clickhouse", "float32", native=("Float32", "Float64"))
    yield Contract("clickhouse", "float64", native=("Float64",))
    yield Contract("clickhouse", "decimal", native=("Decimal({p}, {s})",))
    yield Contract("clickhouse", "text", native=("String",))
    yield Contract("clickhouse", "binary", native=("String",), source=False, note="a String holds any bytes")
    yield Contract("clickhouse", "date", native=("Date32",))
    yield Contract(
        "clickhouse", "time", "widened", ("String", "Time64(6)"), source=False, note="text HH:MM:SS[.ffffff]"
    )
    yield Contract("clickhouse", "timestamp", native=("DateTime64(6, 'UTC')", "DateTime64(6)"), source=False)
    yield Contract("clickhouse", "timestamptz", native=("DateTime64(6, 'UTC')", "DateTime64(6, '*')"))
    for kind in ("date", "timestamp", "timestamptz"):
        for feature in ("before_1900", "after_2299"):
            yield Contract(
                "clickhouse", kind, "rejected", feature=feature, error=range_error, note="range is 1900 to 2299"
            )
    yield Contract("clickhouse", "uuid", native=("UUID", "String"))
    yield Contract("clickhouse", "json", "widened", ("String", "JSON"), source=False, note="compared as JSON values")
    for kind, native in (("array<int64>", "Array(Nullable(Int64))"), ("array<text>", "Array(Nullable(String))")):
        yield Contract("clickhouse", kind, native=(native,))
        yield Contract(
            "clickhouse", kind, "lossy", feature="null_array", rule="null_array_as_empty", note="arrays are never NULL"
        )


def _minio() -> Iterator[Contract]:
    text = ("string", "large_string", "string_view")
    yield Contract("minio", "bool", native=("bool",))
    yield from _integers("minio", ("int16", "int32", "int64"))
    yield Contract("minio", "uint64", native=("uint64",))
    yield Contract("minio", "float32", native=("float", "double"))
    yield Contract("minio", "float64", native=("double",))
    yield Contract("minio", "decimal", native=("decimal128({p}, {s})", "decimal256({p}, {s})"))
    dictionaries = tuple(f"dictionary<values={kind}, indices=*, ordered=*>" for kind in text)
    yield Contract("minio", "text", native=(*text, *dictionaries))
    yield Contract("minio", "binary", native=("binary", "large_binary"))
    yield Contract("minio", "date", native=("date32[day]",))
    yield Contract("minio", "time", native=("time64[us]", "time64[ns]"))
    yield Contract("minio", "timestamp", native=("timestamp[us]",))
    yield Contract("minio", "timestamptz", native=("timestamp[us, tz=UTC]", "timestamp[us, tz=*]"), note="any zone")
    yield Contract("minio", "uuid", native=(*text, "fixed_size_binary[16]", "extension<arrow.uuid>"))
    yield Contract("minio", "json", native=(*text, "extension<arrow.json>"), note="compared as JSON values")
    yield Contract("minio", "array<int64>", native=("list<*: int64>",))
    yield Contract("minio", "array<text>", native=("list<*: string>",))


def _mssql() -> Iterator[Contract]:
    text = ("nvarchar(max)", "nvarchar(*)", "varchar(*)")
    yield Contract("mssql", "bool", native=("bit",))
    yield from _integers("mssql", ("smallint", "int", "bigint"))
    yield Contract("mssql", "uint64", "widened", ("decimal(20,0)",), source=False)
    yield Contract("mssql", "float32", native=("real", "float"))
    yield Contract("mssql", "float64", native=("float",))
    for kind in ("float32", "float64"):
        yield Contract(
            "mssql",
            kind,
            "rejected",
            feature="not_finite",
            error=r"(?i)\bnan\b|\binf(inity)?\b|not a valid instance of data type (float|real)",
            note="no NaN, no infinity",
        )
        yield Contract(
            "mssql",
            kind,
            "rejected",
            feature="subnormal",
            error=r"(?i)out of .*range|too small|underflow|not a valid instance of data type (float|real)",
            note="as text they become 0",
        )
    yield Contract("mssql", "decimal", native=("decimal({p},{s})",), digits=38, note="38 digits at most")
    yield Contract("mssql", "text", native=text)
    yield Contract("mssql", "binary", native=("varbinary(max)", "varbinary(*)"))
    yield Contract("mssql", "date", native=("date",))
    yield Contract("mssql", "time", native=("time(6)", "time(7)"))
    yield Contract("mssql", "timestamp", native=("datetime2(6)", "datetime2(7)"))
    yield Contract("mssql", "timestamptz", native=("datetimeoffset(6)", "datetimeoffset(7)"), note="kept in UTC")
    yield Contract("mssql", "uuid", native=("uniqueidentifier", *text))
    yield Contract("mssql", "json", "widened", text, source=False, note="compared as JSON values")
    for kind in ("array<int64>", "array<text>"):
        yield Contract("mssql", kind, "widened", text, source=False, note="a JSON array")


def _kafka() -> Iterator[Contract]:
    yield Contract("kafka", "bool", native=("boolean",))
    yield Contract("kafka", "int16", native=("int", "long"))
    yield Contract("kafka", "int32", native=("int", "long"))
    yield Contract("kafka", "int64", native=("long",))
    yield Contract("kafka", "uint64", "widened", ("decimal(20,0)",), source=False)
    yield Contract("kafka", "float32", native=("float", "double"))
    yield Contract("kafka", "float64", native=("double",))
    yield Contract("kafka", "decimal", native=("decimal({p},{s})",))
    yield Contract("kafka", "text", native=("string",))
    yield Contract("kafka", "binary", native=("bytes",))
    for kind in ("text", "binary"):
        yield Contract(
            "kafka",
            kind,
            "rejected",
            feature="one_megabyte",
            error=r"(?i)too.?large",
            note="a message has 1 MB at most",
        )
    yield Contract("kafka", "date", native=("date",))
    yield Contract("kafka", "time", native=("time-micros",))
    yield Contract("kafka", "timestamp", native=("local-timestamp-micros",))
    yield Contract("kafka", "timestamptz", native=("timestamp-micros",))
    yield Contract("kafka", "uuid", native=("uuid", "string"))
    yield Contract("kafka", "json", native=("json", "string"), note="compared as JSON values, not as text")
    yield Contract("kafka", "array<int64>", native=("array<long>",))
    yield Contract("kafka", "array<text>", native=("array<string>",))


def _api() -> Iterator[Contract]:
    """What docs/api.md says of each kind: JSON carries all of them, the wide ones as text."""
    notes = {
        "int64": "as text",
        "uint64": "as text",
        "float32": "NaN and the infinities as text",
        "float64": "NaN and the infinities as text",
        "decimal": "as text",
        "binary": "as base64",
        "json": "compared as JSON values; a NULL is a member that is absent",
        "array<int64>": "numbers as text",
    }
    for kind in (*KINDS, "decimal"):
        native = "decimal({p},{s})" if kind == "decimal" else kind
        yield Contract("api", kind, native=(native,), note=notes.get(kind, ""))


_TEXTS = {
    "postgres": ("text", "character varying", "character varying(*)"),
    "mssql": ("nvarchar(max)",),
    "clickhouse": ("String",),
    "minio": ("string", "large_string", "string_view"),
    "kafka": ("string",),
}
"""Where a family keeps the text of another one's own types."""


def _own() -> Iterator[Contract]:
    """The types of each family's own, and what all others make of them: text."""
    for own in OWN.values():
        yield Contract(
            own.family, own.kind, native=(own.native, *_TEXTS[own.family]), note="as the server's text of it"
        )
    for family, native in _TEXTS.items():
        yield Contract(family, OTHER, "widened", native, source=False, note="other families' own types, as their text")


@dataclass(frozen=True)
class Contracts:
    """A table of contracts with look-ups. `default_contracts()` is the shipped one."""

    rows: tuple[Contract, ...]
    case_blind: frozenset[str] = CASE_BLIND
    space_blind: frozenset[str] = SPACE_BLIND

    @cached_property
    def version(self) -> str:
        """A short digest of the table: a scope lock names it, for other promises are another proof."""
        return hashlib.sha256("\n".join(sorted(map(repr, self.rows))).encode()).hexdigest()[:16]

    @cached_property
    def _by_kind(self) -> dict[tuple[str, str], dict[str, Contract]]:
        """(family, kind) → feature → contract."""
        found: dict[tuple[str, str], dict[str, Contract]] = {}
        for row in self.rows:
            found.setdefault((row.family, row.kind), {})[row.feature] = row
        return found

    def find(self, family: str, kind: str, feature: str = "") -> Contract | None:
        """The contract of `family` for `kind`; with a feature the feature's own row, else the kind's."""
        plain = "decimal" if decimal_of(kind) else kind
        rows = self._by_kind.get((family, plain)) or self._by_kind.get((family, OTHER if is_own(kind) else plain), {})
        return rows.get(feature) or rows.get("")

    def is_source_kind(self, family: str, kind: str) -> bool:
        """If `family` has a native type for `kind`, so that a source table can have such a column."""
        found = self.find(family, kind)
        return found is not None and found.source

    def native_type(self, family: str, kind: str) -> str:
        """The type that a source table of `family` declares for `kind`; raises `UsageError` if it has none."""
        found = self.find(family, kind)
        if found is None or not found.source:
            raise UsageError(
                f"{family} has no native type for {kind}", hint="the dataset leaves such columns out for this source"
            )
        return _spell(found.native[0], kind)

    def column_type(self, family: str, field: Field) -> str:
        """The type that a source table of `family` declares for `field`."""
        return field.native or self.native_type(family, field.kind)

    def losses(self, family: str, kind: str) -> list[str]:
        """The rules that `family` applies to values of `kind`, of all features."""
        return [row.rule for row in self._rows_of(family, kind).values() if row.how == "lossy"]

    def features(self, family: str, kind: str) -> list[Contract]:
        """The contracts of `family` for classes of values of `kind`."""
        return [row for row in self._rows_of(family, kind).values() if row.feature]

    def _rows_of(self, family: str, kind: str) -> Mapping[str, Contract]:
        return self._by_kind.get((family, "decimal" if decimal_of(kind) else kind), {})

    def holds(self, family: str, kind: str, feature: str) -> bool:
        """If a table of `family` can hold such a value as it is: neither rejected nor changed."""
        found = self.find(family, kind, feature)
        return found is not None and found.how in ("exact", "widened")

    def accepts(self, family: str, kind: str, native: str) -> bool:
        """If a sink column of `family` with the type `native` keeps the contract of `kind`.

        A decimal may also be stored with more digits on both sides of the point.
        """
        found = self.find(family, kind)
        if found is None:
            return False
        if any(_matches(_spell(pattern, kind), native) for pattern in found.native):
            return True
        return _wider_decimal(kind, native)


def _spell(pattern: str, kind: str) -> str:
    if decimal := decimal_of(kind):
        return pattern.replace("{p}", str(decimal[0])).replace("{s}", str(decimal[1]))
    return pattern


def _matches(pattern: str, native: str) -> bool:
    """`*` stands for anything, `{n}.` for the namespace of a type that its users made."""
    found = re.escape(pattern).replace(r"\*", ".*").replace(re.escape("{n}."), r"(?:.+\.)?")
    return re.fullmatch(found, native) is not None


def _wider_decimal(kind: str, native: str) -> bool:
    wanted = decimal_of(kind)
    found = re.fullmatch(r"(?:numeric|Decimal|decimal|decimal128|decimal256)\((\d+),\s*(\d+)\)", native)
    if wanted is None or found is None:
        return False
    precision, scale = int(found[1]), int(found[2])
    return scale >= wanted[1] and precision - scale >= wanted[0] - wanted[1]


@cache
def default_contracts() -> Contracts:
    """The contracts of the shipped families."""
    return Contracts((*_postgres(), *_mssql(), *_clickhouse(), *_minio(), *_kafka(), *_api(), *_own()))
