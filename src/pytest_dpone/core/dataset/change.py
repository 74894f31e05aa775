"""What happens to each key between S0 and S1: fates drawn without replacement, and the commits they make."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of a source change: first the deletes, then the updates, then the inserts.

    `deletes` holds the columns of the declared key only; `updates` and `inserts` are whole rows in the schema's
    canonical Arrow types. An update finds its row by the key. Each table may have zero rows.
    """

    deletes: pa.Table
    updates: pa.Table
    inserts: pa.Table


class Fate(IntEnum):
    """What happens to a row of S0 in act 2, or how a row that is new in S1 came."""

    KEEP = 0
    UPDATE = 1
    UPDATE_AT_TIE = 2
    """Changed, and its cursor equals S0's maximum: a mover that takes cursor > watermark misses it."""
    UPDATE_LATE = 3
    """Changed by a commit that comes late with a cursor older than the watermark."""
    DELETE = 4
    REINSERT = 5
    """Deleted, and inserted again with the same key in a later commit."""
    INSERT = 6
    INSERT_AT_TIE = 7
    INSERT_LATE = 8
    RETURN = 9
    """Deleted in act 2, and there again, with other content, in the act `return`."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many keys meet each fate; all ≥ 0."""

    update: int
    update_at_tie: int
    update_late: int
    delete: int
    reinsert: int
    insert: int
    insert_at_tie: int
    insert_late: int

    @property
    def touched(self) -> int:
        """Rows of S0 that don't stay as they are."""
        return self.update + self.update_at_tie + self.update_late + self.delete + self.reinsert

    @property
    def inserted(self) -> int:
        """Keys that are new in S1."""
        return self.insert + self.insert_at_tie + self.insert_late


def plan_counts(rows: int, *, change_ratio: float, delete_ratio: float) -> Counts:
    """Split the change: `delete_ratio` of the rows go; of the rest of `change_ratio` a third are inserts (DESIGN §3).

    With a change ratio above zero there is at least one insert, and with rows at least one update, so that act 2
    is never vacuous; the special fates (tie, late, reinsert) come as soon as there are rows enough for them.
    """
    if change_ratio == 0:
        return Counts(0, 0, 0, 0, 0, 0, 0, 0)
    deletes = round(rows * delete_ratio)
    inserts = max(1, round(rows * (change_ratio - delete_ratio) / 3))
    updates = max(min(1, rows), round(rows * (change_ratio - delete_ratio)) - inserts)
    updates = min(updates, rows - deletes)
    reinserts = 1 if deletes >= 2 else 0
    tie_updates, late_updates = _shares(updates)
    tie_inserts, late_inserts = _shares(inserts)
    return Counts(
        update=updates - tie_updates - late_updates,
        update_at_tie=tie_updates,
        update_late=late_updates,
        delete=deletes - reinserts,
        reinsert=reinserts,
        insert=inserts - tie_inserts - late_inserts,
        insert_at_tie=tie_inserts,
        insert_late=late_inserts,
    )


def _shares(count: int) -> tuple[int, int]:
    """How many of `count` rows are ties and how many come late: a tenth each, at least one from three rows on."""
    if count < 3:
        return 0, 0
    share = max(1, count // 10)
    return share, share
