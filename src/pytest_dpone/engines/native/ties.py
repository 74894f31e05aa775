"""The cursor: the greatest value seen, and the rows at the old watermark that were loaded before."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import EngineFailed
from .arrow import Batches, stored
from .state import State


def check_cursor(schema: pa.Schema, cursor: str) -> None:
    """Raise `EngineFailed` if `cursor` is no column, or of a type without an exact order and text."""
    if cursor not in schema.names:
        raise EngineFailed(f"the source has no column {cursor!r} for the cursor", hint=f"columns: {schema.names}")
    kind = schema.field(cursor).type
    ordered = (pa.types.is_integer, pa.types.is_decimal, pa.types.is_date, pa.types.is_timestamp, pa.types.is_string)
    if not any(test(kind) for test in ordered):
        raise EngineFailed(
            f"the column {cursor!r} of the type {kind} can't be a cursor",
            hint="a cursor is an integer, decimal, date, timestamp or text",
        )


def cursor_text(value: pa.Scalar) -> str:
    """Exact text of a cursor: ISO 8601 with six digits for timestamps (`Z` where in UTC), digits for numbers."""
    text = value.cast(pa.string()).as_py()
    if not cursor_value(text, value.type).equals(value):
        raise EngineFailed(
            f"the cursor value {text} can't be kept exactly", hint="timestamps must be in the years 1 to 9999"
        )
    return str(text)


def cursor_value(text: str, kind: pa.DataType) -> pa.Scalar:
    """The inverse of `cursor_text`."""
    try:
        return pa.scalar(text, pa.string()).cast(kind)
    except pa.ArrowInvalid as error:
        raise EngineFailed(
            f"the watermark {text!r} is no value of the cursor's type {kind}: {error}",
            hint="the state belongs to another table, or the cursor's type has changed",
        ) from None


class Follower:
    """Follows a stream by its cursor and knows the state that comes after it.

    With `once` it leaves out rows at the old watermark whose hash is in the old state, as often as it is there, and
    remembers the hashes of all rows at the new watermark. Rows without a cursor never move the watermark; as long as
    there is none, it is they that are remembered.
    """

    def __init__(self, before: State, *, once: bool) -> None:
        self._before = before
        self._once = once
        self._known = Counter(before.hashes)
        self._top: pa.Scalar | None = None
        self._hashes: list[str] = []

    def through(self, batches: Batches) -> Batches:
        """The batches without the rows that were loaded before."""
        for batch in batches:
            column = batch.column(self._before.cursor)
            self._follow(batch, column)
            kept = self._unseen(batch, column) if self._once else batch
            if kept.num_rows:
                yield kept

    def after(self) -> State:
        """The state after the stream's end: the watermark never goes back."""
        before = self._before
        if self._top is None:
            return replace(before, hashes=tuple(sorted(self._hashes))) if before.watermark is None else before
        if before.watermark is not None and _less(self._top, cursor_value(before.watermark, self._top.type)):
            return before
        return State(before.strategy, before.cursor, cursor_text(self._top), tuple(sorted(self._hashes)))

    def _follow(self, batch: pa.RecordBatch, column: pa.Array) -> None:
        top = pc.min_max(column)["max"]
        if not top.is_valid and self._top is None and self._once:
            self._hashes += row_hashes(batch)
        if not top.is_valid or (self._top is not None and _less(top, self._top)):
            return
        if self._top is None or _less(self._top, top):
            self._top, self._hashes = top, []
        if self._once:
            self._hashes += row_hashes(batch.filter(pc.equal(column, top)))

    def _unseen(self, batch: pa.RecordBatch, column: pa.Array) -> pa.RecordBatch:
        if not self._known.total():
            return batch
        mark = self._before.watermark
        tied = column.is_null() if mark is None else pc.equal(column, cursor_value(mark, column.type)).fill_null(False)
        positions = pc.indices_nonzero(tied).to_pylist()
        keep = [True] * batch.num_rows
        for position, row in zip(positions, row_hashes(batch.filter(tied)), strict=True):
            if self._known[row]:
                self._known[row] -= 1
                keep[position] = False
        return batch if all(keep) else batch.filter(pa.array(keep))


def row_hashes(batch: pa.RecordBatch) -> list[str]:
    """One hash a row, over the names and exact values of its columns: floats by their bits, text by its bytes.

    Columns that are NULL don't count, nor does the order: a column that the source gains leaves the hashes of rows that
    have nothing in it.
    """
    names = sorted(batch.schema.names)
    return [
        hashlib.sha256(
            json.dumps([pair for pair in zip(names, row, strict=True) if pair[1] is not None]).encode()
        ).hexdigest()[:32]
        for row in zip(*(_exact(batch.column(name)) for name in names), strict=True)
    ]


def _exact(column: pa.Array) -> list[object]:
    column = stored(column)
    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    elif pa.types.is_floating(kind) or pa.types.is_temporal(kind):
        column = column.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif pa.types.is_string(kind):
        column = column.cast(pa.binary())
    values: list[object] = column.to_pylist()
    if pa.types.is_binary(column.type) or pa.types.is_fixed_size_binary(column.type):
        return [value.hex() if isinstance(value, bytes) else value for value in values]
    return values


def _less(left: pa.Scalar, right: pa.Scalar) -> bool:
    return bool(pc.less(left, right).as_py())
