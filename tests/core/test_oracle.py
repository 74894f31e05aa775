"""The oracle against a second opinion: plain Python dictionaries that replay the commits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import Dataset, DatasetSpec, logged, partitions
from pytest_dpone.core.dataset.dataset import WATERMARK
from pytest_dpone.core.model import ActName, KeyForm, Strategy
from pytest_dpone.core.oracle import expect, expect_source, expect_table, expected_counts, reconciles, rules_for

Row = dict[str, object]


def dataset(key: KeyForm = KeyForm.INTEGER, **spec: object) -> Dataset:
    values = {"seed": 3, "rows": 300, "batch_rows": 64, "kind": "narrow", **spec}
    contracts = default_contracts()
    return Dataset(DatasetSpec(**values), source="postgres", sink="postgres", contracts=contracts, key=key)  # type: ignore[arg-type]


def key_of(row: Row, data: Dataset) -> tuple[object, ...]:
    return tuple(row[name] for name in data.schema.key)


def rows(batches) -> list[Row]:  # type: ignore[no-untyped-def]
    return [row for batch in batches for row in batch.to_pylist()]


def history(versions: list[Row], current: list[Row]) -> list[Row]:
    return [{**row, "is current": repr(row) in set(map(repr, current))} for row in versions]


def rewritten(before: list[Row], after: list[Row], inside: Callable[[dt.date], bool]) -> list[Row]:
    """Delete the rows of the chosen days, then insert those that the source has of these days."""
    kept = [row for row in before if not inside(row["business_date"])]  # type: ignore[arg-type]
    return kept + [row for row in after if inside(row["business_date"])]  # type: ignore[arg-type]


def replayed(data: Dataset) -> tuple[dict[object, Row], dict[object, Row]]:
    """S0 and S1 by the declared key."""
    before: dict[object, Row] = {key_of(row, data): row for row in rows(data.before())}
    after = dict(before)
    for commit in data.commits():
        for row in commit.deletes.to_pylist():
            del after[key_of(row, data)]
        for table in (commit.updates, commit.inserts):
            after.update({key_of(row, data): row for row in table.to_pylist()})
    return before, after


def watermarked(data: Dataset, strategy: Strategy) -> list[Row]:
    before, after = replayed(data)
    watermark = max((row["updated_at"] for row in before.values()), default=None)  # type: ignore[type-var]
    seen = [row for row in after.values() if watermark is None or row["updated_at"] >= watermark]  # type: ignore[operator]
    if strategy is Strategy.INCREMENTAL_APPEND:
        return list(before.values()) + [row for row in seen if repr(before.get(key_of(row, data))) != repr(row)]
    return list({**before, **{key_of(row, data): row for row in seen}}.values())


def versions(data: Dataset, act: ActName) -> list[Row]:
    before, after = replayed(data)
    old, new = list(before.values()), list(after.values())
    if act is ActName.LOAD:
        return history(old, old)
    changed = [row for row in new if repr(before.get(key_of(row, data))) != repr(row)]
    back = data.returns().inserts.to_pylist() if act is ActName.RETURN else []
    return history(old + changed + back, new + back)


def second_opinion(data: Dataset, strategy: Strategy, act: ActName) -> list[Row]:
    """DESIGN §4 in plain Python, by replaying the commits."""
    before, after = replayed(data)
    old, new = list(before.values()), list(after.values())
    if strategy is Strategy.SCD2:
        return versions(data, act)
    if act is ActName.LOAD:
        return old
    if act is ActName.RECONCILE or strategy in (Strategy.FULL_REFRESH, Strategy.SNAPSHOT_DIFF, Strategy.CDC):
        return new
    if strategy in (Strategy.REPLACE, Strategy.BACKFILL):
        return rewritten(old, new, lambda day: dt.date(2024, 1, 4) <= day < dt.date(2024, 1, 9))
    if strategy is Strategy.PARTITION_REPLACE:
        return rewritten(old, new, lambda day: day.day in (3, 5, 11, 13))
    if strategy is Strategy.XMIN:
        return list({**before, **after}.values())
    return watermarked(data, strategy)


@given(
    count=st.integers(1, 250),
    change=st.floats(0, 1),
    share=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    strategy=st.sampled_from(list(Strategy)),
    act=st.sampled_from([ActName.LOAD, ActName.CHANGE, ActName.REPEAT, ActName.RECONCILE, ActName.RETURN]),
    key=st.sampled_from(list(KeyForm)),
)
def test_the_oracle_agrees_with_a_replay(
    count: int, change: float, share: float, seed: int, strategy: Strategy, act: ActName, key: KeyForm
) -> None:
    data = dataset(key, rows=count, seed=seed, change_ratio=change, delete_ratio=change * share)
    expectation = expect(data, strategy, act)
    found = rows(expectation.batches())
    assert sorted(map(repr, found)) == sorted(map(repr, second_opinion(data, strategy, act)))
    assert expectation.identity[: len(data.schema.key)] == data.schema.key
    assert len({tuple(row[name] for name in expectation.identity) for row in found}) == len(found)
    places = [tuple(row[name] for name in expectation.order) for row in found]
    assert places == sorted(set(places))  # type: ignore[type-var]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_an_empty_source_has_no_watermark(strategy: Strategy) -> None:
    data = dataset(kind="empty")
    assert rows(expect(data, strategy, ActName.LOAD).batches()) == []
    found = rows(expect(data, strategy, ActName.CHANGE).batches())
    assert sorted(map(repr, found)) == sorted(map(repr, second_opinion(data, strategy, ActName.CHANGE)))
    assert found


def test_late_rows_are_a_declared_miss_until_reconciliation() -> None:
    data = dataset()
    late = data.commits()[2]
    ids = set(late.inserts["id"].to_pylist())
    assert ids
    for strategy in (Strategy.INCREMENTAL_APPEND, Strategy.INCREMENTAL_MERGE):
        assert not ids & {row["id"] for row in rows(expect(data, strategy, ActName.CHANGE).batches())}
    assert ids <= {row["id"] for row in rows(expect(data, Strategy.INCREMENTAL_MERGE, ActName.RECONCILE).batches())}


def test_ties_at_the_watermark_are_appended_only_if_changed() -> None:
    data = dataset()
    found = rows(expect(data, Strategy.INCREMENTAL_APPEND, ActName.CHANGE).batches())
    ties = [row for row in found if row["updated_at"] == WATERMARK]
    unchanged = [row for row in rows(data.before()) if row["updated_at"] == WATERMARK]
    assert len(ties) == len(unchanged) + data.counts.update_at_tie + data.counts.insert_at_tie


def test_declared_losses_are_applied() -> None:
    data = Dataset(DatasetSpec(seed=1, rows=200), source="postgres", sink="clickhouse", contracts=default_contracts())
    source = pa.Table.from_batches(list(expect_source(data, changed=False).batches()))
    sink = pa.Table.from_batches(list(expect(data, Strategy.FULL_REFRESH, ActName.LOAD).batches()))
    assert source["numbers_25"].null_count > 0
    assert sink["numbers_25"].null_count == 0
    assert pc.sum(pc.equal(pc.list_value_length(sink["numbers_25"]), 0)).as_py() >= source["numbers_25"].null_count
    assert rules_for(data, "array<int64>") == ["null_array_as_empty"]
    assert rules_for(data, "text") == []


def test_the_source_holds_s1_after_the_change() -> None:
    data = dataset()
    assert repr(rows(expect_source(data, changed=True).batches())) == repr(rows(data.after()))


def test_counts() -> None:
    data = dataset()
    before = {row["id"]: repr(row) for row in rows(data.before())}
    after = {row["id"]: repr(row) for row in rows(data.after())}
    counts = expected_counts(data, ActName.CHANGE)
    assert counts.inserted == len(after.keys() - before.keys())
    assert counts.deleted == len(before.keys() - after.keys())
    assert counts.unchanged == sum(before.get(key) == row for key, row in after.items())
    assert counts.updated == len(after.keys() & before.keys()) - counts.unchanged
    assert expected_counts(data, ActName.LOAD).inserted == len(before)
    assert expected_counts(data, ActName.REPEAT).unchanged == len(after)


def test_which_strategies_need_reconciliation() -> None:
    assert [strategy for strategy in Strategy if reconciles(strategy)] == [Strategy.INCREMENTAL_MERGE, Strategy.XMIN]


@pytest.mark.parametrize("key", list(KeyForm))
@pytest.mark.parametrize("strategy", [Strategy.INCREMENTAL_APPEND, Strategy.REPLACE])
def test_of_a_topic_the_last_event_of_a_key_counts(strategy: Strategy, key: KeyForm) -> None:
    data = dataset(key, rows=500)
    events = rows(expect(data, strategy, ActName.CHANGE).batches())
    folded = expect(data, strategy, ActName.CHANGE, folded=True)
    table = {key_of(row, data): row for row in sorted(events, key=lambda row: row["revision"])}  # type: ignore[arg-type,return-value]
    assert len(events) > len(table)
    assert folded.identity == data.schema.key
    assert repr(rows(folded.batches())) == repr(sorted(table.values(), key=lambda row: row["id"]))  # type: ignore[arg-type,return-value]


def test_a_partition_of_s0_is_empty_in_s1() -> None:
    data = dataset()
    old = [row for row in rows(data.before()) if row["business_date"] == partitions.VANISHING]
    assert old
    assert all(row["business_date"] != partitions.VANISHING for row in rows(data.after()))
    assert all(row["business_date"] != partitions.VANISHING for row in data.returns().inserts.to_pylist())


def test_keys_that_change_and_a_table_that_is_filled_anew() -> None:
    data = dataset()
    after = {row["id"]: row for row in rows(data.after())}
    moved = logged.rekeyed(data)
    assert moved
    wanted = {(key + 10**12 if key in moved else key): row for key, row in after.items()}  # type: ignore[operator]
    found = rows(expect_table(data, lambda: logged.after_rekeying(data)).batches())
    assert [row["id"] for row in found] == sorted(wanted)  # type: ignore[type-var]
    assert all(repr({**row, "id": 0}) == repr({**wanted[row["id"]], "id": 0}) for row in found)
    left = rows(expect_table(data, lambda: logged.after_truncating(data)).batches())
    assert repr(left) == repr(list(after.values())[:8])


def test_a_range_of_keys_without_expected_rows_gives_no_batch() -> None:
    data = dataset(batch_rows=1)
    found = list(expect(data, Strategy.INCREMENTAL_APPEND, ActName.CHANGE).batches())
    assert all(batch.num_rows for batch in found)
    assert len(found) < data.spec.rows_before + data.counts.inserted, "new rows that came late are not expected"
