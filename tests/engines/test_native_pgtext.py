from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dpone.engines.native.changes import KEPT
from pytest_dpone.engines.native.pgtext import from_text
from pytest_dpone.errors import EngineFailed

DAY = 86_400_000_000


def one(text: str, kind: pa.DataType) -> pa.Scalar:
    return from_text([text], kind)[0]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("t", pa.bool_(), True),
        ("f", pa.bool_(), False),
        ("-32768", pa.int16(), -(2**15)),
        ("-9223372036854775808", pa.int64(), -(2**63)),
        ("1.4e-45", pa.float32(), 1.401298464324817e-45),
        ("5e-324", pa.float64(), 5e-324),
        ("-Infinity", pa.float64(), float("-inf")),
        ("9" * 28 + "." + "9" * 10, pa.decimal128(38, 10), Decimal("9" * 28 + "." + "9" * 10)),
        ("-0.0000000001", pa.decimal128(38, 10), Decimal("-0.0000000001")),
        ("1" * 70 + ".123456", pa.decimal256(76, 6), Decimal("1" * 70 + ".123456")),
        ("", pa.string(), ""),
        ("a\\N\t🦆", pa.string(), "a\\N\t🦆"),
        ("\\x", pa.binary(), b""),
        ("\\x00ff", pa.binary(), b"\0\xff"),
        ("24:00:00", pa.time64("us"), None),
        ("23:59:59.999999", pa.time64("us"), dt.time(23, 59, 59, 999999)),
        ("12:00:00.5", pa.time64("us"), dt.time(12, 0, 0, 500000)),
        ("1969-12-31 23:59:59.999999", pa.timestamp("us"), dt.datetime(1969, 12, 31, 23, 59, 59, 999999)),
        ("2024-02-29 12:00:00+00", pa.timestamp("us", tz="UTC"), dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)),
        ("{}", pa.list_(pa.int64()), []),
        ("{1,NULL,-3}", pa.list_(pa.int64()), [1, None, -3]),
        (
            '{"",NULL,"NULL","a\\"b\\\\","{,}",plain}',
            pa.list_(pa.string()),
            ["", None, "NULL", 'a"b\\', "{,}", "plain"],
        ),
        ('{"two\nlines"}', pa.list_(pa.string()), ["two\nlines"]),
    ],
)
def test_a_text_becomes_exactly_its_value(text: str, kind: pa.DataType, value: object) -> None:
    found = one(text, kind)
    assert found.type == kind
    if text == "24:00:00":
        assert found.cast(pa.int64()).as_py() == DAY
    else:
        assert found.as_py() == value


def test_signs_and_nan_survive() -> None:
    zero, nan = from_text(["-0", "NaN"], pa.float64()).to_pylist()
    assert (str(zero), nan != nan) == ("-0.0", True)


@given(st.dates())
def test_days_are_those_of_the_calendar(day: dt.date) -> None:
    assert one(day.isoformat(), pa.date32()).as_py() == day


@pytest.mark.parametrize(
    ("text", "days"),
    # as `date - '1970-01-01'` in Postgres gives them
    [
        ("4714-11-24 BC", -2440588),
        ("0001-12-31 BC", -719163),
        ("10000-01-01", 2932897),
        ("5874897-12-31", 2145042905),
    ],
)
def test_days_outside_of_pythons_calendar(text: str, days: int) -> None:
    assert one(text, pa.date32()).cast(pa.int32()).as_py() == days


def test_an_instant_before_christ() -> None:
    micros = one("4714-11-24 00:00:00+00 BC", pa.timestamp("us", tz="UTC")).cast(pa.int64()).as_py()
    assert micros == -2440588 * DAY


def test_extension_types_nulls_and_kept_values() -> None:
    key = "00112233-4455-6677-8899-aabbccddeeff"
    assert [str(value) for value in from_text([key], pa.uuid()).to_pylist()] == [key]
    assert from_text(['{"a": 1}', None], pa.json_()).storage.to_pylist() == ['{"a": 1}', None]
    for kind in (pa.int64(), pa.string(), pa.uuid(), pa.json_(), pa.list_(pa.string()), pa.date32(), pa.binary()):
        assert from_text([None, KEPT], kind).null_count == 2


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("infinity", pa.date32()),
        ("-infinity", pa.timestamp("us")),
        ("2024-01-01 00:00:00+01", pa.timestamp("us", tz="UTC")),
        ("01/02/2024", pa.date32()),
        ("\\134", pa.binary()),
        ("NaN", pa.decimal128(10, 2)),
        ("70000", pa.int16()),
        ("{{1},{2}}", pa.list_(pa.int64())),
        ("[0:1]={1,2}", pa.list_(pa.int64())),
        ("{1;2}", pa.list_(pa.int64())),
        ("1.234", pa.decimal128(10, 2)),
    ],
)
def test_what_does_not_fit_is_refused(text: str, kind: pa.DataType) -> None:
    with pytest.raises((EngineFailed, pa.ArrowInvalid)):
        from_text([text], kind)
