from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from pytest_dpone.engines.native.state import State
from pytest_dpone.engines.native.ties import Follower, check_cursor, cursor_text, cursor_value, row_hashes
from pytest_dpone.errors import EngineFailed

FRESH = State("incremental_append", "at")


def batch(ats: list[int | None], names: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"at": pa.array(ats, pa.int64()), "name": names})


def follow(before: State, *batches: pa.RecordBatch, once: bool = True) -> tuple[list[str], State]:
    follower = Follower(before, once=once)
    names = [name for part in follower.through(iter(batches)) for name in part.column("name").to_pylist()]
    return names, follower.after()


def test_first_load_takes_all_and_remembers_the_rows_at_the_top() -> None:
    names, state = follow(FRESH, batch([1, 3, None], ["a", "b", "c"]), batch([3, 2], ["d", "e"]))
    assert names == ["a", "b", "c", "d", "e"]
    assert state.watermark == "3"
    assert sorted(state.hashes) == sorted(row_hashes(batch([3, 3], ["b", "d"])))


def test_loaded_ties_are_left_out_once_each() -> None:
    _, state = follow(FRESH, batch([3, 3], ["b", "b"]))
    names, after = follow(state, batch([3, 3, 3, 3], ["b", "changed", "b", "b"]))
    assert names == ["changed", "b"]
    assert len(after.hashes) == 4


def test_nothing_new_leaves_the_state_equal() -> None:
    _, state = follow(FRESH, batch([1, 3], ["a", "b"]))
    names, after = follow(state, batch([3], ["b"]))
    assert (names, after.to_text()) == ([], state.to_text())
    assert follow(state) == ([], state)


def test_hashes_of_an_old_watermark_are_dropped() -> None:
    _, state = follow(FRESH, batch([3], ["b"]))
    names, after = follow(state, batch([3, 4], ["b", "c"]))
    assert names == ["c"]
    assert (after.watermark, after.hashes) == ("4", tuple(row_hashes(batch([4], ["c"]))))


def test_the_watermark_never_goes_back() -> None:
    state = State("incremental_merge", "at", "9")
    assert follow(state, batch([3], ["b"]), once=False) == (["b"], state)


def test_no_cursor_at_all_gives_no_watermark() -> None:
    assert follow(FRESH, batch([None], ["a"]))[1].watermark is None
    assert follow(FRESH, batch([None], ["a"]), once=False)[1] == FRESH


def test_rows_are_loaded_once_also_as_long_as_none_has_a_cursor() -> None:
    _, state = follow(FRESH, batch([None], ["a"]), batch([None, None], ["b", "b"]))
    names, again = follow(state, batch([None] * 4, ["b", "a", "b", "c"]))
    assert (names, len(again.hashes)) == (["c"], 4)
    names, after = follow(again, batch([None] * 4, ["a", "b", "b", "c"]), batch([7, None], ["d", "e"]))
    assert names == ["d", "e"]
    assert (after.watermark, after.hashes) == ("7", tuple(row_hashes(batch([7], ["d"]))))


def test_a_column_that_the_source_gains_leaves_the_rows_that_were_loaded() -> None:
    _, state = follow(FRESH, batch([3, 3], ["a", "b"]))
    fresh = pa.array([None, None, 7], pa.int64())
    grown = batch([3, 3, 3], ["a", "b", "b"])
    for place in range(3):
        names, _ = follow(state, grown.add_column(place, "extra", fresh))
        assert names == ["b"]


def test_a_value_belongs_to_its_column() -> None:
    one, other = (pa.record_batch({"a": [left], "b": [right]}) for left, right in (("x", None), (None, "x")))
    assert row_hashes(one) != row_hashes(other)


def test_empty_batches_vanish() -> None:
    _, state = follow(FRESH, batch([3], ["b"]))
    assert list(Follower(state, once=True).through(iter([batch([3], ["b"])]))) == []


@pytest.mark.parametrize(
    ("left", "right", "kind"),
    [
        (0.0, -0.0, pa.float64()),
        (None, 0.0, pa.float64()),
        ("", None, pa.string()),
        ("e\u0301", "\u00e9", pa.string()),
        (Decimal("1.1"), Decimal("1.2"), pa.decimal128(38, 10)),
        ([], None, pa.list_(pa.int64())),
        ([None], [], pa.list_(pa.int64())),
        (b"\0", b"", pa.binary()),
        (dt.time(0, 0, 0, 1), dt.time(0), pa.time64("us")),
        (dt.date(1, 1, 1), dt.date(1, 1, 2), pa.date32()),
    ],
)
def test_hashes_differ(left, right, kind) -> None:
    one, other = (pa.record_batch({"c": pa.array([value], kind)}) for value in (left, right))
    assert row_hashes(one) != row_hashes(other)
    assert row_hashes(one) == row_hashes(pa.record_batch({"c": pa.array([left], kind)}))


def test_hash_does_not_depend_on_slices_and_is_stable() -> None:
    whole = pa.record_batch(
        {
            "u": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\1" * 16, None], pa.binary(16))),
            "f": pa.array([float("nan"), 1.5], pa.float32()),
            "t": pa.array([0, None], pa.timestamp("us", tz="UTC")),
            "s": ["\x00ü", "b"],
            "l": pa.array([["x", None], None], pa.list_(pa.string())),
        }
    )
    assert row_hashes(whole)[1:] == row_hashes(whole.slice(1))
    # a stored state must keep its meaning: a change here repeats rows in everybody's tables
    assert row_hashes(whole) == ["8af604f6044baed1fedfb063b63d66c7", "b0e2a59c953fce876d4f5626cc13b04a"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pa.scalar(2**64 - 1, pa.uint64()), "18446744073709551615"),
        (pa.scalar(-(2**63), pa.int64()), "-9223372036854775808"),
        (pa.scalar(Decimal("1.1000000000"), pa.decimal128(38, 10)), "1.1000000000"),
        (pa.scalar(dt.date(1, 1, 1)), "0001-01-01"),
        (pa.scalar(dt.datetime(1, 1, 1, 0, 0, 0, 1), pa.timestamp("us")), "0001-01-01 00:00:00.000001"),
        (pa.scalar(253402300799999999, pa.timestamp("us", tz="UTC")), "9999-12-31 23:59:59.999999Z"),
        (pa.scalar("a\0'b"), "a\0'b"),
    ],
)
def test_cursor_text_is_exact(value: pa.Scalar, text: str) -> None:
    assert cursor_text(value) == text
    assert cursor_value(text, value.type).equals(value)


def test_cursor_that_has_no_exact_text_is_refused() -> None:
    with pytest.raises(EngineFailed, match="10000-01-01"):
        cursor_text(pa.scalar(253402300800000000, pa.timestamp("us")))


def test_watermark_of_another_type_is_refused() -> None:
    with pytest.raises(EngineFailed, match="'2024-01-01' is no value of the cursor's type int64"):
        cursor_value("2024-01-01", pa.int64())


def test_cursor_column_is_checked() -> None:
    schema = pa.schema([("at", pa.int64()), ("f", pa.float64())])
    check_cursor(schema, "at")
    with pytest.raises(EngineFailed, match="the column 'f' of the type double can't be a cursor"):
        check_cursor(schema, "f")
    with pytest.raises(EngineFailed, match="no column 'nope'"):
        check_cursor(schema, "nope")
