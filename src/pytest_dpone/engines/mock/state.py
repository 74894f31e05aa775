"""What an incremental load remembers: the greatest cursor, and the rows there that were loaded."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import EngineFailed


@dataclass(frozen=True, slots=True)
class State:
    """`watermark` is the greatest cursor as text, None before the first row; `seen` has a digest per row there."""

    strategy: str
    cursor: str
    watermark: str | None = None
    seen: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Canonical JSON: equal states give equal texts."""
        return json.dumps([self.strategy, self.cursor, self.watermark, sorted(self.seen)])

    @classmethod
    def from_text(cls, text: str) -> State:
        """The inverse of `to_text`; raises `EngineFailed` for anything else."""
        try:
            strategy, cursor, watermark, seen = json.loads(text)
            return cls(strategy, cursor, watermark, tuple(seen))
        except (ValueError, TypeError) as error:
            raise EngineFailed(f"the state can't be read: {error}", hint="remove the table to load anew") from None

    def reached(self, rows: pa.Table) -> pa.Table:
        """The rows with cursor ≥ watermark; all of them before there is one."""
        if self.watermark is None:
            return rows
        cursors = rows.column(self.cursor)
        return rows.filter(pc.greater_equal(cursors, _value(self.watermark, cursors.type)))

    def unseen(self, rows: pa.Table) -> pa.Table:
        """`rows` without those at the watermark that were loaded before, each as often as it was."""
        if self.watermark is None or not self.seen:
            return rows
        cursors = rows.column(self.cursor)
        known = Counter(self.seen)
        keep = [True] * rows.num_rows
        tied = pc.equal(cursors, _value(self.watermark, cursors.type)).to_pylist()
        places = [place for place, hit in enumerate(tied) if hit]
        for place, digest in zip(places, _digests(rows.take(pa.array(places, pa.int64()))), strict=True):
            if known[digest]:
                known[digest] -= 1
                keep[place] = False
        return rows.filter(pa.array(keep, pa.bool_()))

    def after(self, rows: pa.Table, *, remember: bool) -> State:
        """The state after `rows` were loaded, which are all that the watermark reached; it never goes back."""
        cursors = rows.column(self.cursor)
        top = pc.max(cursors)
        if not top.is_valid:
            return self
        if self.watermark is not None and pc.less(top, _value(self.watermark, cursors.type)).as_py():
            return self
        seen = _digests(rows.filter(pc.equal(cursors, top))) if remember else []
        return replace(self, watermark=top.cast(pa.string()).as_py(), seen=tuple(sorted(seen)))


def _value(text: str, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(text).cast(kind)


def _digests(rows: pa.Table) -> list[str]:
    # `repr` tells NULL from 'None', -0.0 from 0.0, and every digit of a decimal.
    return [hashlib.sha256(repr([*row.values()]).encode()).hexdigest()[:24] for row in rows.to_pylist()]
