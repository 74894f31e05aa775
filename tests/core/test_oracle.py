"""The oracle against a second opinion: plain Python dictionaries that replay the commits."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import Dataset, DatasetSpec
from pytest_dpone.core.dataset.dataset import WATERMARK
from pytest_dpone.core.model import ActName, Strategy
from pytest_dpone.core.oracle import expect, expect_source, expected_counts, implemented, reconciles, rules_for

Row = dict[str, object]
JUDGED = [strategy for strategy in Strategy if implemented(strategy)]


def dataset(**spec: object) -> Dataset:
    values = {"seed": 3, "rows": 300, "batch_rows": 64, "kind": "narrow", **spec}
    return Dataset(DatasetSpec(**values), source="postgres", sink="postgres", contracts=default_contracts())  # type: ignore[arg-type]


def rows(batches) -> list[Row]:  # type: ignore[no-untyped-def]
    return [row for batch in batches for row in batch.to_pylist()]


def second_opinion(data: Dataset, strategy: Strategy, act: ActName) -> list[Row]:
    """DESIGN §4 in plain Python, by replaying the commits."""
    before = {row["id"]: row for row in rows(data.before())}
    after = dict(before)
    for commit in data.commits():
        for row in commit.deletes.to_pylist():
            del after[row["id"]]
        for table in (commit.updates, commit.inserts):
            after.update({row["id"]: row for row in table.to_pylist()})
    if act is ActName.LOAD:
        return list(before.values())
    if act is ActName.RECONCILE or strategy in (Strategy.FULL_REFRESH, Strategy.SNAPSHOT_DIFF):
        return list(after.values())
    watermark = max((row["updated_at"] for row in before.values()), default=None)  # type: ignore[type-var]
    seen = [row for row in after.values() if watermark is None or row["updated_at"] >= watermark]  # type: ignore[operator]
    if strategy is Strategy.INCREMENTAL_APPEND:
        return list(before.values()) + [row for row in seen if repr(before.get(row["id"])) != repr(row)]
    merged = dict(before)
    merged.update({row["id"]: row for row in seen})
    return list(merged.values())


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 250),
    change=st.floats(0, 1),
    share=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    strategy=st.sampled_from(JUDGED),
    act=st.sampled_from([ActName.LOAD, ActName.CHANGE, ActName.REPEAT, ActName.RECONCILE]),
)
def test_the_oracle_agrees_with_a_replay(
    count: int, change: float, share: float, seed: int, strategy: Strategy, act: ActName
) -> None:
    data = dataset(rows=count, seed=seed, change_ratio=change, delete_ratio=change * share)
    expectation = expect(data, strategy, act)
    found = rows(expectation.batches())
    assert sorted(map(repr, found)) == sorted(map(repr, second_opinion(data, strategy, act)))
    identities = [tuple(row[name] for name in expectation.identity) for row in found]
    assert identities == sorted(set(identities))  # type: ignore[type-var]


@pytest.mark.parametrize("strategy", JUDGED)
def test_an_empty_source_has_no_watermark(strategy: Strategy) -> None:
    data = dataset(kind="empty")
    assert rows(expect(data, strategy, ActName.LOAD).batches()) == []
    found = rows(expect(data, strategy, ActName.CHANGE).batches())
    assert sorted(map(repr, found)) == sorted(map(repr, rows(data.after())))
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


def test_a_strategy_without_an_expectation_is_an_error() -> None:
    with pytest.raises(KeyError):
        expect(dataset(), Strategy.SCD2, ActName.CHANGE)


def test_a_range_of_keys_without_expected_rows_gives_no_batch() -> None:
    data = dataset(batch_rows=1)
    found = list(expect(data, Strategy.INCREMENTAL_APPEND, ActName.CHANGE).batches())
    assert all(batch.num_rows for batch in found)
    assert len(found) < data.spec.rows_before + data.counts.inserted, "new rows that came late are not expected"
