"""Mutants that change values of one type."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from . import cases
from .mutant import Mutant
from .parts import streams

_HOUR_US = 3_600_000_000
_YEAR_2200_US = 7_258_118_400_000_000


def _shift_hour(array: pa.Array) -> pa.Array:
    # not the last years, which every service would refuse to hold an hour later
    micros = array.cast(pa.int64())
    return pc.if_else(pc.less(micros, _YEAR_2200_US), pc.add(micros, _HOUR_US), micros)


def _milliseconds(array: pa.Array) -> pa.Array:
    return pc.floor_temporal(array, unit="millisecond")


def _round(array: pa.Array) -> pa.Array:
    # through text, since rounding the largest decimals up would need one more digit
    cut = pc.replace_substring_regex(array.cast(pa.string()), r"(\.\d\d)\d*$", r"\1")
    return cut.cast(array.type)


def _empty_to_null(array: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)


def _null_to_zero(array: pa.Array) -> pa.Array:
    return pc.fill_null(array, 0)


def _through_float32(array: pa.Array) -> pa.Array:
    return array.cast(pa.float32())


def _through_float64(array: pa.Array) -> pa.Array:
    return array.cast(pa.float64(), safe=False).cast(pa.int64(), safe=False)


def _without_negative_zero(array: pa.Array) -> pa.Array:
    return pc.add(array, pa.scalar(0.0, array.type))


def _is_instant(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.tz is not None


def _values(
    name: str, breaks: str, *, case_id: str, applies: Callable[[pa.DataType], bool], change: streams.Change
) -> Mutant:
    """A mutant that changes values of one type: the comparison of rows must see it."""
    return Mutant(name, breaks, case_id, ("rows",), partial(streams.changing, applies, change))


_text = pa.types.is_string

VALUES = (
    _values(
        "shift_time_zone", "instants are an hour late", case_id=cases.PG_FULL, applies=_is_instant, change=_shift_hour
    ),
    _values(
        "strip_microseconds",
        "timestamps keep milliseconds only",
        case_id=cases.PG_FULL,
        applies=pa.types.is_timestamp,
        change=_milliseconds,
    ),
    _values(
        "round_decimals",
        "decimals keep two digits behind the point",
        case_id=cases.CH_FULL,
        applies=pa.types.is_decimal,
        change=_round,
    ),
    _values("empty_text_to_null", "'' becomes NULL", case_id=cases.PG_FULL, applies=_text, change=_empty_to_null),
    _values(
        "truncate_text",
        "text ends after 255 characters",
        case_id=cases.CH_FULL,
        applies=_text,
        change=partial(pc.utf8_slice_codeunits, start=0, stop=255),
    ),
    _values(
        "trim_text", "spaces at the end are lost", case_id=cases.S3_FULL, applies=_text, change=pc.utf8_rtrim_whitespace
    ),
    _values("case_fold_text", "text becomes lower case", case_id=cases.S3_FULL, applies=_text, change=pc.utf8_lower),
    _values(
        "normalize_unicode",
        "combining marks are composed",
        case_id=cases.PG_FULL,
        applies=_text,
        change=partial(pc.utf8_normalize, form="NFC"),
    ),
    _values(
        "float32_downcast",
        "doubles lose half of their bits",
        case_id=cases.CH_FULL,
        applies=pa.types.is_float64,
        change=_through_float32,
    ),
    _values(
        "lose_negative_zero",
        "-0.0 becomes 0.0",
        case_id=cases.PG_FULL,
        applies=pa.types.is_floating,
        change=_without_negative_zero,
    ),
    _values(
        "integers_through_double",
        "integers above 2^53 are rounded",
        case_id=cases.S3_FULL,
        applies=pa.types.is_int64,
        change=_through_float64,
    ),
    _values("null_to_zero", "NULL becomes 0", case_id=cases.CH_FULL, applies=pa.types.is_integer, change=_null_to_zero),
)
