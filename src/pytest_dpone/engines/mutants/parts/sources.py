"""Sources that are broken in one way each."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from ...native import Extract
from ...native.xids import Horizon, TransactionSource
from .passing import PassingSource, execute
from .streams import Batches


class StrictlyAfter(PassingSource):
    """Reads cursor > watermark, so rows that came late to the watermark are missed."""

    def read(self, extract: Extract) -> Batches:
        """Without the rows at the watermark."""
        for batch in self._inner.read(extract):
            column = batch.column(self._job.cursor)
            floor = None if extract.since is None else pa.scalar(extract.since).cast(column.type)
            yield batch if floor is None else batch.filter(pc.greater(column, floor))


class FromTheStart(PassingSource):
    """Forgets the watermark and reads everything again."""

    def read(self, extract: Extract) -> Batches:
        """All rows, whatever the state says."""
        return self._inner.read(replace(extract, since=None))


class MaxXmin(PassingSource):
    """Goes on from the greatest `xmin` of the table, not from what was open. For Postgres."""

    def horizon(self) -> Horizon:
        """The snapshot's, but for its oldest transaction."""
        assert isinstance(self._inner, TransactionSource)
        greatest = execute(self._job, "SELECT max(xmin::text::bigint) FROM {table}", end=self._job.source)[0][0]
        return replace(self._inner.horizon(), oldest=greatest)


class EmptiesNewColumn(PassingSource):
    """Knows the column that the source gained, and none of its values."""

    def read(self, extract: Extract) -> Batches:
        """With NULL in it."""
        for batch in self._inner.read(extract):
            place = batch.schema.get_field_index("added")
            yield batch if place < 0 else batch.set_column(place, batch.schema.field(place), _nulls(batch, place))


class KnowsTheOldColumns(PassingSource):
    """Does not see the column that the source gained."""

    @property
    def schema(self) -> pa.Schema:
        """Without it."""
        schema = self._inner.schema
        return pa.schema([field for field in schema if field.name != "added"])

    def read(self, extract: Extract) -> Batches:
        """Without it."""
        for batch in self._inner.read(extract):
            yield batch.select(self.schema.names)


class ClipsWidened(PassingSource):
    """Bends the values of the column that the source has widened into the range of its old type."""

    def read(self, extract: Extract) -> Batches:
        """With the nearest value of an int32."""
        for batch in self._inner.read(extract):
            place = batch.schema.get_field_index("medium")
            if place < 0:
                yield batch
                continue
            clipped = pc.max_element_wise(pc.min_element_wise(batch.column(place), 2**31 - 1), -(2**31))
            yield batch.set_column(place, batch.schema.field(place), clipped.cast(batch.schema.field(place).type))


class KnowsTheOldType(ClipsWidened):
    """Takes the column that the source has widened for one of its old type."""

    @property
    def schema(self) -> pa.Schema:
        """With the old type."""
        schema = self._inner.schema
        place = schema.get_field_index("medium")
        return schema if place < 0 else schema.set(place, schema.field(place).with_type(pa.int32()))

    def read(self, extract: Extract) -> Batches:
        """Of the old type."""
        return (batch.cast(self.schema) for batch in super().read(extract))


def _nulls(batch: pa.RecordBatch, place: int) -> pa.Array:
    return pa.nulls(batch.num_rows, batch.schema.field(place).type)
