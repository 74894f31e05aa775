"""What the contracts of a sink's family make of a value: kept, widened, changed by a rule, or refused."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from ...core.contracts import Contract, default_contracts
from ...core.kinds import arrow_type, kind_of
from ...errors import EngineFailed, ValueRejected

_FIRST, _BEYOND = pa.scalar(dt.date(1900, 1, 1)), pa.scalar(dt.date(2300, 1, 1))


def _early(values: pa.Array) -> pa.Array:
    return pc.less(values, _FIRST.cast(values.type))


def _late(values: pa.Array) -> pa.Array:
    return pc.greater_equal(values, _BEYOND.cast(values.type))


def _nul(values: pa.Array) -> pa.Array:
    return pc.match_substring(values, "\0")


def _not_finite(values: pa.Array) -> pa.Array:
    return pc.invert(pc.is_finite(values))


def _subnormal(values: pa.Array) -> pa.Array:
    smallest = 1.1754943508222875e-38 if values.type == pa.float32() else 2.2250738585072014e-308
    size = pc.abs(values.cast(pa.float64()))
    return pc.and_(pc.greater(size, 0.0), pc.less(size, smallest))


_FEATURES: Mapping[str, tuple[str, Callable[[pa.Array], pa.Array]]] = MappingProxyType(
    {
        "nul": ("a text with a NUL character", _nul),
        "before_1900": ("a date out of range, before 1900", _early),
        "after_2299": ("a date out of range, after 2299", _late),
        "one_megabyte": (
            "a value that is too large",
            lambda values: pc.greater_equal(pc.binary_length(values), 2**20),
        ),
        "not_finite": ("a number that is NaN or infinity", _not_finite),
        "subnormal": ("a number out of range, too small", _subnormal),
        "null_array": ("a NULL array", pc.is_null),
    }
)
"""Class of values → how it is called, and which values belong to it."""


def _to_empty(values: pa.Array) -> pa.Array:
    return pc.coalesce(values, pa.scalar([], values.type))


_RULES: Mapping[str, Callable[[pa.Array], pa.Array]] = MappingProxyType({"null_array_as_empty": _to_empty})


def unknown_to(family: str) -> str:
    """Why the engine can't keep to the contracts of `family`; empty if it can."""
    rows = [row for row in default_contracts().rows if row.family == family]
    if not rows:
        return f"there are no contracts for {family}"
    for row in rows:
        if row.feature and row.feature not in _FEATURES:
            return f"the mock engine does not know the values {row.feature} of {family}"
        if row.rule and row.rule not in _RULES:
            return f"the mock engine does not know the rule {row.rule} of {family}"
        if row.how == "widened" and _wider(row) is None:
            return f"the mock engine does not know how {family} stores {row.kind}"
    return ""


def obeyed(rows: pa.Table, family: str) -> pa.Table:
    """`rows` as a table of `family` has them. Raises `ValueRejected` for a value that it refuses."""
    columns = [
        _column(values.combine_chunks(), name, family)
        for name, values in zip(rows.column_names, rows.columns, strict=True)
    ]
    fields = [field.with_type(column.type) for field, column in zip(rows.schema, columns, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _column(values: pa.Array, name: str, family: str) -> pa.Array:
    kind = kind_of(values.type)
    whole = default_contracts().find(family, kind) if kind is not None else None
    if kind is None or whole is None:
        raise EngineFailed(
            f"{family} has no contract for the column {name!r}, which is {values.type}",
            hint="leave the column out, or store it as another type",
        )
    for contract in default_contracts().features(family, kind):
        words, belongs = _FEATURES[contract.feature]
        if contract.how == "rejected" and pc.any(belongs(values)).as_py():
            raise _refused(name, words, family)
        if contract.how == "lossy":
            values = _RULES[contract.rule](values)
    if whole.how == "rejected" and values.null_count < len(values):
        raise _refused(name, f"a value of the kind {kind}", family)
    if whole.how == "lossy":
        return _RULES[whole.rule](values)
    return _widened(values, whole) if whole.how == "widened" else values


def _refused(name: str, words: str, family: str) -> ValueRejected:
    return ValueRejected(
        f"the column {name!r} holds {words}: {family} refuses it", hint="leave such rows out, or change the value"
    )


def _widened(values: pa.Array, contract: Contract) -> pa.Array:
    target = _wider(contract)
    plain = values.storage if isinstance(values, pa.ExtensionArray) else values
    if pa.types.is_list(plain.type):
        return pa.array([None if value is None else json.dumps(value) for value in plain.to_pylist()], target)
    return plain.cast(target)


@cache
def _wider(contract: Contract) -> pa.DataType | None:
    """The Arrow type of the kind that the family stores exactly in the column type which `contract` names first."""
    for row in default_contracts().rows:
        if row.family != contract.family or row.how != "exact" or row.feature:
            continue
        pattern = re.escape(row.native[0]).replace(r"\{p\}", r"(\d+)").replace(r"\{s\}", r"(\d+)")
        if found := re.fullmatch(pattern, contract.native[0]):
            digits = ",".join(found.groups())
            return arrow_type(f"decimal({digits})" if digits else row.kind)
    return None
