"""What is certain of an engine's counts, computed from the dataset alone: an engine may not say anything else.

Engines count in different ways: a row that is merged again as it was is written by one and unchanged for another, and
a key that was deleted and inserted again is an update, or both. What no way of counting allows is a lie.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from .dataset import Dataset, partitions
from .model import ActName, Strategy
from .oracle import expected_counts

_REWRITING = (Strategy.REPLACE, Strategy.PARTITION_REPLACE, Strategy.BACKFILL)
_WATERMARKED = (Strategy.INCREMENTAL_APPEND, Strategy.INCREMENTAL_MERGE)
"""Strategies that miss what is committed late, until they reconcile."""


@dataclass(frozen=True, slots=True)
class Count:
    """What a count may be, in rows: from `least` to `most`, both included. No `most`: as many as it likes."""

    least: int
    most: int | None

    def allows(self, told: int) -> bool:
        """If an engine may tell this number."""
        return self.least <= told and (self.most is None or told <= self.most)

    def __str__(self) -> str:
        return f"at least {self.least}" if self.most is None else f"{self.least} to {self.most}"


@dataclass(frozen=True, slots=True)
class _Fresh:
    """Rows that an act must bring to the sink: of new keys, and of keys that it holds."""

    new: int
    changed: int

    @property
    def rows(self) -> int:
        return self.new + self.changed


def certain_counts(dataset: Dataset, strategy: Strategy, act: ActName, *, folded: bool = False) -> dict[str, Count]:
    """What each count of `RunFacts` may be after `act`, by its name; of a count that is not in it nothing is certain.

    `inserted` are rows that the sink did not have, by their key; `updated` those that it had with other values;
    `deleted` those that it has no more; `written` those that were put into it. `folded`: the sink keeps events.
    """
    if strategy is Strategy.SNAPSHOT_DIFF:
        return _compared(dataset, act)
    if act is ActName.LOAD:
        return {}
    if strategy is Strategy.FULL_REFRESH or strategy in _REWRITING:
        return _rewritten(dataset, strategy, act, folded=folded)
    fresh, most = _fresh(dataset, strategy, act), _most(dataset)
    found = {"read": Count(fresh.rows, None), "written": Count(fresh.rows, most)}
    if act is ActName.REPEAT:
        return found | {"inserted": _exactly(0), "deleted": _exactly(0)}
    if act is ActName.RECONCILE:  # what it deletes has a check of its own
        return found | {"inserted": _exactly(fresh.new), "updated": Count(fresh.changed, most)}
    if act is ActName.RETURN:
        return found | {"inserted": Count(0, fresh.new), "deleted": _exactly(0)}
    return found | _changed(dataset, strategy, fresh, most, folded=folded)


def _changed(dataset: Dataset, strategy: Strategy, fresh: _Fresh, most: int, *, folded: bool) -> dict[str, Count]:
    """What the act `change` brings, where only what is new or differs is certain to be written."""
    gone, again = dataset.counts.delete, dataset.counts.reinsert
    if strategy is Strategy.INCREMENTAL_APPEND:
        inserted = Count(fresh.new if folded else fresh.rows, fresh.rows)
        return {"written": _exactly(fresh.rows), "inserted": inserted, "deleted": _exactly(0)}
    if strategy is Strategy.SCD2:  # rows are keys for one engine, versions for another
        updated = Count(0, fresh.changed + gone)
        return {"inserted": Count(fresh.new, fresh.rows), "updated": updated, "deleted": Count(0, gone)}
    if strategy is Strategy.CDC:  # a key that went and came is one change, or two
        return {
            "inserted": Count(fresh.new, fresh.new + again),
            "updated": Count(fresh.changed - again, fresh.changed),
            "deleted": Count(gone, gone + again),
        }
    return {"inserted": _exactly(fresh.new), "updated": Count(fresh.changed, most), "deleted": _exactly(0)}


def _compared(dataset: Dataset, act: ActName) -> dict[str, Count]:
    """snapshot_diff counts all, and writes nothing that did not change (DESIGN §4)."""
    counts = expected_counts(dataset, act)
    found = {name: _exactly(getattr(counts, name)) for name in ("inserted", "updated", "deleted", "unchanged")}
    fresh = counts.inserted + counts.updated
    return found if act is ActName.LOAD else found | {"written": Count(fresh, fresh + counts.deleted)}


def _rewritten(dataset: Dataset, strategy: Strategy, act: ActName, *, folded: bool) -> dict[str, Count]:
    """What is written anew is written whole; to a topic also a tombstone for what leaves it.

    Of days that are written anew some count the rows that went, too.
    """
    if strategy is Strategy.BACKFILL and act is ActName.REPEAT:  # that it writes nothing has a check of its own
        return {"inserted": _exactly(0), "deleted": _exactly(0)}
    if strategy is Strategy.FULL_REFRESH:
        rows = dataset.rows_after
        most = rows + (dataset.counts.delete if folded else 0)
    else:
        rows, most = _inside(dataset, strategy), _most(dataset)
    return {"read": Count(rows, None), "written": Count(rows, most)}


def _inside(dataset: Dataset, strategy: Strategy) -> int:
    """Rows of S1 on the days that the strategy rewrites after the change."""
    first, stop = (pa.scalar(day) for day in partitions.WINDOW)
    named = pa.array(partitions.NAMED, pa.date32())
    rows = 0
    for days in dataset.days_after():
        if strategy is Strategy.PARTITION_REPLACE:
            inside = pc.is_in(days, named)
        else:
            inside = pc.and_(pc.greater_equal(days, first), pc.less(days, stop))
        rows += pc.sum(inside).as_py() or 0
    return rows


def _fresh(dataset: Dataset, strategy: Strategy, act: ActName) -> _Fresh:
    counts = dataset.counts
    # without a row in S0 there is no watermark that anything could be late for
    late = strategy in _WATERMARKED and dataset.spec.rows_before > 0
    if act is ActName.RETURN:
        return _Fresh(dataset.returns().inserts.num_rows, 0)
    if act is ActName.RECONCILE:
        return _Fresh(counts.insert_late, counts.update_late) if late else _Fresh(0, 0)
    if act is ActName.REPEAT:
        return _Fresh(0, 0)
    missed = (counts.insert_late, counts.update_late) if late else (0, 0)
    return _Fresh(counts.inserted - missed[0], counts.touched - counts.delete - missed[1])


def _most(dataset: Dataset) -> int:
    """Each row of the table once taken out and once put in."""
    return 2 * max(dataset.spec.rows_before, dataset.rows_after)


def _exactly(count: int) -> Count:
    return Count(count, count)
