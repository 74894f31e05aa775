from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dpone.core.diff import canonical_json, compare, show, visible
from pytest_dpone.core.kinds import Field, arrow_type

FIELDS = (Field("id", "int64"), Field("note", "text"))
SCHEMA = pa.schema([("id", pa.int64()), ("note", pa.string())])


def batches(rows: list[tuple[int | None, str | None]], size: int):  # type: ignore[no-untyped-def]
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield pa.record_batch([[r[0] for r in part], [r[1] for r in part]], schema=SCHEMA)


def diff(expected, actual, *, size=3, other=2, identity=("id",)):  # type: ignore[no-untyped-def]
    return compare(batches(expected, size), batches(actual, other), fields=FIELDS, identity=identity)


def counts(report) -> tuple[int, int, int, int]:  # type: ignore[no-untyped-def]
    return report.missing, report.extra, report.changed, report.duplicated


NOTES = st.sampled_from([None, "", "a", "b"])
EXPECTED = st.dictionaries(st.integers(0, 12), NOTES, max_size=10)
ACTUAL = st.lists(st.tuples(st.integers(0, 12), NOTES), max_size=14)


@given(expected=EXPECTED, actual=ACTUAL, size=st.integers(1, 5), other=st.integers(1, 5))
def test_counts_agree_with_plain_python(expected, actual, size, other) -> None:
    actual = sorted(actual, key=lambda row: row[0])
    report = diff(sorted(expected.items()), actual, size=size, other=other)
    first: dict[int, str | None] = {}
    for key, note in actual:
        first.setdefault(key, note)
    assert report.missing == len(expected.keys() - first.keys())
    assert report.extra == sum(key not in expected for key, _ in actual)
    assert report.duplicated == sum(key in expected for key, _ in actual) - len(first.keys() & expected.keys())
    assert report.changed == sum(key in expected and expected[key] != note for key, note in first.items())
    assert (report.expected_rows, report.actual_rows) == (len(expected), len(actual))
    assert report.equal == (sorted(expected.items()) == actual)


def test_nothing_on_both_sides_is_equal() -> None:
    assert diff([], []).equal


@pytest.mark.parametrize(
    ("expected", "actual", "found"),
    [
        ([(1, "a")], [], (1, 0, 0, 0)),
        ([], [(1, "a")], (0, 1, 0, 0)),
        ([(1, "a")], [(1, None)], (0, 0, 1, 0)),
        ([(1, None)], [(1, "")], (0, 0, 1, 0)),
        ([(1, "a")], [(1, "a"), (1, "a")], (0, 0, 0, 1)),
        ([(1, "a"), (2, "b")], [(1, "a"), (1, "b")], (1, 0, 0, 1)),
        ([(1, "a")], [(1, "a"), (None, "a")], (0, 1, 0, 0)),
        ([(1, "a")], [(1, "a"), (None, "a"), (None, "b")], (0, 2, 0, 0)),
    ],
)
def test_each_kind_of_difference(expected, actual, found) -> None:
    report = diff(expected, actual)
    assert counts(report) == found
    assert not report.equal
    assert report.samples


def test_a_composite_identity() -> None:
    rows = [(1, "a"), (1, "b"), (2, "a")]
    assert diff(rows, rows, identity=("id", "note"), size=1).equal
    assert counts(diff(rows, [(1, "a"), (2, "a"), (2, "a")], identity=("id", "note"), size=2)) == (1, 0, 0, 1)
    tricky = [(1, "a\x1f2"), (1, "a\x1e12")]
    assert counts(diff(sorted(tricky), sorted(tricky)[:1], identity=("id", "note"))) == (1, 0, 0, 0)


def test_rows_are_sorted_by_one_column_and_matched_and_named_by_another() -> None:
    def keyed(actual: list[tuple[int | None, str | None]]):  # type: ignore[no-untyped-def]
        expected = [(1, "b"), (2, "a"), (3, "a ")]
        streams = batches(expected, 2), batches(actual, 2)
        return compare(*streams, fields=FIELDS, identity=("note",), order=("id",))

    assert keyed([(1, "b"), (2, "a"), (3, "a ")]).equal
    trimmed = keyed([(1, "b"), (2, "a"), (3, "a")])
    assert counts(trimmed) == (1, 1, 0, 0)
    assert [(each.kind, each.key) for each in trimmed.samples] == [
        ("missing", {"note": "'a '"}),
        ("extra", {"note": "'a'"}),
    ]
    swapped = keyed([(1, "a"), (2, "b"), (3, "a ")])
    assert counts(swapped) == (0, 0, 2, 0)
    assert swapped.columns == {"id": 2}
    with pytest.raises(ValueError, match="not sorted by id"):
        keyed([(2, "a"), (1, "b")])


def test_a_long_text_in_a_key_is_cut() -> None:
    report = diff([(1, "x" * 500)], [], identity=("note",))
    assert report.samples[0].key == {"note": f"'{'x' * 120}…'"}


def test_rows_that_are_not_sorted_are_an_error_never_a_verdict() -> None:
    with pytest.raises(ValueError, match="not sorted by id"):
        diff([(1, "a"), (2, "b")], [(2, "b"), (1, "a")])
    with pytest.raises(ValueError, match="not sorted by id"):
        diff([(1, "a"), (2, "b")], [(2, "b"), (1, "a")], other=1)
    with pytest.raises(ValueError, match="not sorted by id"):
        diff([(1, "a")], [(None, "b"), (1, "a")], other=1)


def column(kind: str, expected: list[object], actual: list[object]):  # type: ignore[no-untyped-def]
    fields = (Field("id", "int64"), Field("v", kind))
    schema = pa.schema([("id", pa.int64()), ("v", arrow_type(kind))])

    def one(values: list[object]):  # type: ignore[no-untyped-def]
        yield pa.record_batch(
            [pa.array(range(len(values)), pa.int64()), pa.array(values, arrow_type(kind))], schema=schema
        )

    return compare(one(expected), one(actual), fields=fields, identity=("id",))


NAN = float("nan")


@pytest.mark.parametrize(
    ("kind", "one", "other", "equal"),
    [
        ("float64", NAN, NAN, True),
        ("float64", 0.0, -0.0, False),
        ("float64", 0.1, 0.1 + 1e-18, True),
        ("float64", 0.1, 0.10000000000000002, False),
        ("float64", NAN, None, False),
        ("float32", -0.0, 0.0, False),
        ("float32", NAN, NAN, True),
        ("json", '{"a": 1, "b": [1.0]}', '{"b":[1],"a":1.00}', True),
        ("json", '{"a": 1}', '{"a": "1"}', False),
        ("json", "12345678901234567890123", "12345678901234567890124", False),
        ("json", "null", None, False),
        ("json", "{}", "{", False),
        ("array<int64>", [1, None], [1, None], True),
        ("array<int64>", [], None, False),
        ("array<text>", [""], [None], False),
        ("decimal(38,10)", Decimal("1.1"), Decimal("1.1000000000"), True),
        ("decimal(38,10)", Decimal("1.1"), Decimal("1.1000000001"), False),
        ("timestamptz", dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 1, 1, tzinfo=dt.UTC), False),
        ("binary", b"", b"\0", False),
        ("bool", True, False, False),
        ("uuid", "a", "A", False),
    ],
)
def test_values(kind: str, one: object, other: object, equal: bool) -> None:
    report = column(kind, [None, one, one], [None, one, other])
    assert report.equal is equal
    assert report.changed == (0 if equal else 1)
    if not equal:
        assert report.columns == {"v": 1}
        assert report.samples[0].key == {"id": "2"}
        shown = report.samples[0].columns["v"]
        assert shown == (
            show(pa.scalar(one, arrow_type(kind)).as_py(), kind),
            show(pa.scalar(other, arrow_type(kind)).as_py(), kind),
        )


def test_samples_are_bounded_whatever_happens() -> None:
    many = [(n, "x" * 10_000) for n in range(200)]
    other = [(n, "y" * 10_000) for n in range(100, 300)]
    report = diff(many, other, size=50, other=70)
    assert counts(report) == (100, 100, 100, 0)
    assert len(report.samples) == 15
    assert len(report.model_dump_json()) < 10_000


def test_what_is_shown_is_safe_and_tells_values_apart() -> None:
    assert show(None, "text") == "NULL (text)"
    assert show("NULL", "text") == "'NULL' (text)"
    assert show("a\tb\x1b[31m\u202e", "text") == r"'a\tb\x1b[31m\u202e' (text)"
    assert show(b"\0\xff", "binary") == "00ff (binary)"
    assert show("x" * 500, "text").endswith("… 500 characters' (text)")
    assert visible("é🦆 ok") == "é🦆 ok"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(max_size=3), s, max_size=3)))  # fmt: skip
def test_canonical_json_is_a_fixed_point_for_equal_values(value: object) -> None:
    import json

    assert canonical_json(json.dumps(value)) == canonical_json(json.dumps(value, indent=2, ensure_ascii=False))


@pytest.mark.parametrize(
    ("one", "other"), [("1", "1.0"), ("100", "1e2"), ("0", "-0.0"), ("0.10", "1e-1"), ("-5", "-5.0")]
)
def test_numbers_that_are_the_same(one: str, other: str) -> None:
    assert canonical_json(one) == canonical_json(other)


@pytest.mark.parametrize(("one", "other"), [("1", '"1"'), ("1", "10"), ("1", "-1"), ("0.1", "0.11"), ("1", "true")])
def test_numbers_that_differ(one: str, other: str) -> None:
    assert canonical_json(one) != canonical_json(other)


@pytest.mark.parametrize("text", ["", "{", "NaN", "Infinity", "'a'", "{} {}"])
def test_what_is_not_json_raises(text: str) -> None:
    with pytest.raises(ValueError):
        canonical_json(text)


def test_empty_batches_are_no_rows() -> None:
    def stream():  # type: ignore[no-untyped-def]
        empty = pa.RecordBatch.from_pylist([], schema=SCHEMA)
        yield empty
        yield from batches([(1, "a")], 1)
        yield empty

    assert compare(stream(), stream(), fields=FIELDS, identity=("id",)).equal
