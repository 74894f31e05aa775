"""What is certain of an engine's counts, against rows that are counted one by one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.counts import Count, certain_counts
from pytest_dpone.core.dataset import Dataset, DatasetSpec
from pytest_dpone.core.model import ActName, KeyForm, Strategy
from pytest_dpone.core.oracle import expect, reconciles

BEFORE = {ActName.CHANGE: ActName.LOAD, ActName.REPEAT: ActName.CHANGE, ActName.RECONCILE: ActName.CHANGE}
REWRITING = (Strategy.FULL_REFRESH, Strategy.REPLACE, Strategy.PARTITION_REPLACE, Strategy.BACKFILL)
KEYED = tuple(strategy for strategy in Strategy if strategy not in (*REWRITING, Strategy.INCREMENTAL_APPEND))


def dataset(**spec: object) -> Dataset:
    values: dict[str, Any] = {"seed": 3, "rows": 200, "batch_rows": 64, "kind": "narrow", **spec}
    made = DatasetSpec(**values)
    return Dataset(made, source="postgres", sink="postgres", contracts=default_contracts(), key=KeyForm.INTEGER)


def latest(data: Dataset, strategy: Strategy, act: ActName) -> dict[int, int]:
    """Number → revision of the rows that count in the sink after `act`."""
    found: dict[int, int] = {}
    for batch in expect(data, strategy, act).batches():
        for row in batch.to_pylist():
            if row.get("is current", True):
                found[row["id"]] = row["revision"]
    return found


@settings(max_examples=12)
@given(
    rows=st.integers(1, 200),
    change=st.floats(0, 1),
    share=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["narrow", "empty", "single"]),
)
@pytest.mark.parametrize("strategy", KEYED)
@pytest.mark.parametrize("act", BEFORE)
def test_who_counts_keys_is_right(
    strategy: Strategy, act: ActName, rows: int, change: float, share: float, seed: int, kind: str
) -> None:
    if act is ActName.RECONCILE and not reconciles(strategy):
        return
    data = dataset(rows=rows, seed=seed, kind=kind, change_ratio=change, delete_ratio=change * share)
    old, new = latest(data, strategy, BEFORE[act]), latest(data, strategy, act)
    inserted, deleted = len(new.keys() - old.keys()), len(old.keys() - new.keys())
    updated = sum(key in old and old[key] != new[key] for key in new)
    told = {"inserted": inserted, "updated": updated, "deleted": deleted, "unchanged": len(new) - inserted - updated}
    told |= {"written": inserted + updated, "read": len(new)}
    certain = certain_counts(data, strategy, act)
    assert {"inserted", "written"} <= certain.keys()
    assert {name: told[name] for name, count in certain.items() if not count.allows(told[name])} == {}
    assert not certain["written"].allows(inserted + updated - 1), "fewer rows than have come can't have been written"
    assert not certain["written"].allows(10**15)
    assert not certain["inserted"].allows(inserted + rows + 1)


@pytest.mark.parametrize("strategy", [*REWRITING, Strategy.INCREMENTAL_APPEND])
@pytest.mark.parametrize("kind", ["narrow", "empty"])
def test_what_is_written_anew_or_beside_is_counted_row_by_row(strategy: Strategy, kind: str) -> None:
    data = dataset(kind=kind)
    after = [row for batch in data.after() for row in batch.to_pylist()]
    if strategy is Strategy.INCREMENTAL_APPEND:
        held = sum(batch.num_rows for batch in expect(data, strategy, ActName.CHANGE).batches())
        written = held - data.spec.rows_before
    elif strategy is Strategy.PARTITION_REPLACE:
        written = sum(row["business_date"].day in (3, 5, 11, 13) for row in after)
    elif strategy is Strategy.FULL_REFRESH:
        written = len(after)
    else:
        written = sum(dt.date(2024, 1, 4) <= row["business_date"] < dt.date(2024, 1, 9) for row in after)
    assert written > 0
    certain = certain_counts(data, strategy, ActName.CHANGE)
    assert certain["written"].least == written
    if strategy in (Strategy.FULL_REFRESH, Strategy.INCREMENTAL_APPEND):
        assert certain["written"].most == written
    else:
        held = sum(batch.num_rows for batch in expect(data, strategy, ActName.CHANGE).batches())
        assert certain["written"].allows(written + held)
        assert not certain["written"].allows(10**15)
    assert certain.get("read", Count(written, None)) == Count(written, None)


def test_a_topic_may_count_its_tombstones() -> None:
    data = dataset()
    plain, folded = (
        certain_counts(data, Strategy.FULL_REFRESH, ActName.CHANGE, folded=folded) for folded in (False, True)
    )
    assert plain["written"].most == data.rows_after
    assert folded["written"].allows(data.rows_after + data.counts.delete)


def test_a_key_that_went_and_came_may_be_one_change_or_two() -> None:
    data = dataset()
    counts = data.counts
    assert counts.reinsert
    certain = certain_counts(data, Strategy.CDC, ActName.CHANGE)
    assert certain["deleted"] == Count(counts.delete, counts.delete + counts.reinsert)
    assert certain["inserted"] == Count(counts.inserted, counts.inserted + counts.reinsert)


def test_versions_may_be_counted_for_keys() -> None:
    data = dataset()
    changed = data.counts.touched - data.counts.delete
    certain = certain_counts(data, Strategy.SCD2, ActName.CHANGE)
    assert certain["inserted"] == Count(data.counts.inserted, data.counts.inserted + changed)
    back = certain_counts(data, Strategy.SCD2, ActName.RETURN)
    assert back["inserted"].most == data.returns().inserts.num_rows > 0


def test_of_a_first_load_only_a_comparison_tells_more_than_the_load_itself() -> None:
    data = dataset()
    found = {strategy: certain_counts(data, strategy, ActName.LOAD) for strategy in Strategy}
    assert [strategy for strategy, counts in found.items() if counts] == [Strategy.SNAPSHOT_DIFF]
    assert found[Strategy.SNAPSHOT_DIFF]["inserted"] == Count(200, 200)


def test_a_count_in_words() -> None:
    assert (str(Count(3, 9)), str(Count(3, None))) == ("3 to 9", "at least 3")
