"""What only a change log tells apart: keys that change, and a table that is emptied and filled anew.

The key is an integer here, the row's number (`Registry.why_integer`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ..kinds import ID
from .dataset import Dataset
from .values import remainder, u64

OFFSET = 10**12
"""What is added to a key that changes: more than any key of a dataset."""
_EVERY = 7
_LEFT = 8


def rekeyed(dataset: Dataset) -> list[int]:
    """The keys of S1 that change: each seventh."""
    return [key for batch in dataset.after() for key in batch.filter(_moves(batch)).column(ID).to_pylist()]


def after_rekeying(dataset: Dataset) -> Iterator[pa.RecordBatch]:
    """S1 with the changed keys, sorted by key."""
    for batch in dataset.after():
        yield batch.filter(pc.invert(_moves(batch)))
    for batch in dataset.after():
        moved = batch.filter(_moves(batch))
        yield moved.set_column(0, moved.schema.field(0), pc.add(moved.column(ID), OFFSET))


def after_truncating(dataset: Dataset) -> Iterator[pa.RecordBatch]:
    """The rows that are inserted again when the table was emptied: the first ones of S1."""
    left = _LEFT
    for batch in dataset.after():
        yield batch.slice(0, left)
        left -= min(left, batch.num_rows)
        if not left:
            return


def _moves(batch: pa.RecordBatch) -> pa.Array:
    return pc.equal(remainder(batch.column(ID).view(pa.uint64()), _EVERY), u64(0))
