"""A source whose columns change between two runs (act 6, DESIGN §3), and the rows that it has afterwards."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from ..kinds import ID, Field, TableSchema, arrow_type
from ..model import Evolution
from .change import Commit

ADDED = Field("added", "int64")
"""The column that the source gains: NULL in the rows that it had, their number in those that are written later."""
WIDENED = Field("medium", "int64", nullable=False)
"""The column that becomes wider: it was an int32."""
DROPPED = "flag"
RENAMED = ("note", "remark")
_BEYOND = 1 << 32
"""What an int32 is moved by, away from zero, so that it is none any more."""


@dataclass(frozen=True, slots=True)
class Evolved:
    """What becomes of a table of the narrow dataset by one change of its columns."""

    change: Evolution
    before: TableSchema
    wide: bool = True
    """If the rows that are written after a column was widened have values that its old type can't hold."""

    @property
    def schema(self) -> TableSchema:
        """The columns afterwards."""
        fields = self.before.fields
        if self.change is Evolution.ADD:
            fields = (*fields, ADDED)
        elif self.change is Evolution.WIDEN:
            fields = tuple(WIDENED if f.name == WIDENED.name else f for f in fields)
        elif self.change is Evolution.DROP:
            fields = tuple(f for f in fields if f.name != DROPPED)
        else:
            old, new = RENAMED
            fields = tuple(replace(f, name=new) if f.name == old else f for f in fields)
        return replace(self.before, fields=fields)

    def rows(self, batches: Callable[[], Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
        """Rows with the old columns as they are with the new ones; later revisions alone have the added one."""
        for batch in batches():
            yield self._changed(batch, later=pc.greater(batch.column("revision"), 0))

    def frozen(self, batches: Callable[[], Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
        """Rows as a sink has them that keeps the old columns: what the source no longer has is NULL in later rows."""
        lost = {Evolution.DROP: DROPPED, Evolution.RENAME: RENAMED[0]}.get(self.change)
        for batch in batches():
            if lost is not None:
                place = batch.schema.get_field_index(lost)
                later = pc.greater(batch.column("revision"), 0)
                values = pc.if_else(later, pa.scalar(None, batch.schema.field(place).type), batch.column(place))
                batch = batch.set_column(place, batch.schema.field(place).with_nullable(True), values)
            yield batch

    def commit(self, commit: Commit) -> Commit:
        """A commit that is made after the change."""
        return replace(commit, updates=self._table(commit.updates), inserts=self._table(commit.inserts))

    def unfit(self, commits: Sequence[Commit]) -> Commit:
        """One more change: of the row with the latest cursor, to a value that the widened column's old type can't hold.

        `commits` are those that were made after the change, of which there is one with a row.
        """
        rows = pa.concat_tables([rows for commit in commits for rows in (commit.updates, commit.inserts)])
        row = rows.sort_by(self.before.cursor).slice(rows.num_rows - 1)
        second = pa.scalar(dt.timedelta(seconds=1), pa.duration("us"))
        for name, values in (
            (self.before.cursor, pc.add(row.column(self.before.cursor), second)),
            ("revision", pc.add(row.column("revision"), 1)),
            (WIDENED.name, _beyond(row.column(WIDENED.name))),
        ):
            place = row.schema.get_field_index(name)
            row = row.set_column(place, row.schema.field(place), values)
        return Commit(rows.slice(0, 0).select(list(self.before.key)), row, rows.slice(0, 0))

    def _table(self, rows: pa.Table) -> pa.Table:
        batches = [self._changed(batch, later=pa.repeat(pa.scalar(True), len(batch))) for batch in rows.to_batches()]
        return pa.Table.from_batches(batches, self.schema.arrow())

    def _changed(self, batch: pa.RecordBatch, *, later: pa.Array) -> pa.RecordBatch:
        columns = [self._column(batch, field, later) for field in self.schema.fields]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema.arrow())

    def _column(self, batch: pa.RecordBatch, field: Field, later: pa.Array) -> pa.Array:
        if self.change is Evolution.ADD and field == ADDED:
            return pc.if_else(later, batch.column(ID), pa.scalar(None, pa.int64()))
        if self.change is Evolution.WIDEN and field == WIDENED:
            values = batch.column(field.name).cast(pa.int64())
            return pc.if_else(later, _beyond(values), values) if self.wide else values
        if self.change is Evolution.RENAME and field.name == RENAMED[1]:
            return batch.column(RENAMED[0])
        return batch.column(field.name).cast(arrow_type(field.kind))


def _beyond(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Numbers of an int32 as others, which it can't hold; the sign stays."""
    return pc.if_else(pc.less(values, 0), pc.subtract(values, _BEYOND), pc.add(values, _BEYOND))
