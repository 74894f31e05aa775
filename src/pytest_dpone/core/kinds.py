"""The logical types of dataset columns and their canonical Arrow types."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from ..errors import UsageError
from .own import OTHER, OWN

_ARROW: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "text": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "uuid": pa.string(),
    "json": pa.string(),
    "array<int64>": pa.list_(pa.int64()),
    "array<text>": pa.list_(pa.string()),
}
KINDS = tuple(_ARROW)
"""Every kind but the decimals, which have digits of their own."""
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")


def decimal_of(kind: str) -> tuple[int, int] | None:
    """(precision, scale) of a kind such as `decimal(38,10)`, or None for another kind."""
    found = _DECIMAL.fullmatch(kind)
    return (int(found[1]), int(found[2])) if found else None


def arrow_type(kind: str) -> pa.DataType:
    """The canonical Arrow type of `kind`. `uuid` is lower-case text, `json` its text, `timestamptz` in UTC.

    Of a family's own type (`core.own`) it is the text that the server prints.
    """
    if decimal := decimal_of(kind):
        return pa.decimal128(*decimal) if decimal[0] <= 38 else pa.decimal256(*decimal)
    if kind in OWN or kind == OTHER:
        return pa.string()
    try:
        return _ARROW[kind]
    except KeyError:
        raise UsageError(f"unknown kind {kind!r}", hint=f"kinds are {', '.join(_ARROW)} and decimal(p,s)") from None


def kind_of(found: pa.DataType) -> str | None:
    """The kind whose values an Arrow column of the type `found` holds, or None. Plain strings are `text`."""
    if isinstance(found, pa.UuidType):
        return "uuid"
    if isinstance(found, pa.JsonType):
        return "json"
    if isinstance(found, pa.Decimal128Type | pa.Decimal256Type):
        return f"decimal({found.precision},{found.scale})"
    return next((kind for kind, canonical in _ARROW.items() if canonical == found), None)


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a dataset: its name as the user's database would have it, its kind, and if NULL may occur.

    The values of a `steady` column never change, so an update must not name it: what is stored apart from its row
    (TOAST) then stays as it is, and a change log does not repeat it. `native` is the type that a source table declares,
    if it is not the one that the contract of the kind names first.
    """

    name: str
    kind: str
    nullable: bool = True
    steady: bool = False
    native: str = ""


ID = "id"
"""The harness's own number of a row: a unique integer in every table, by which it reads, sorts and adds up rows,
whatever the key is that a case declares."""


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The columns of a source table and the roles that strategies need.

    `key` is the key that the case declares: the source's primary key, and what the engine is told.
    """

    fields: tuple[Field, ...]
    key: tuple[str, ...] = (ID,)
    cursor: str = "updated_at"
    partition: str = "business_date"

    def arrow(self) -> pa.Schema:
        """The canonical Arrow schema."""
        return pa.schema([pa.field(f.name, arrow_type(f.kind), nullable=f.nullable) for f in self.fields])

    def field(self, name: str) -> Field:
        """The field called `name`; raises KeyError."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)
