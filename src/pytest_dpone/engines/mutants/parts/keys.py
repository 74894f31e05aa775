"""Sinks and streams that take keys for others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ....core.wire import Job
from ...native import Counts, Sink, State
from .passing import PassingSink
from .streams import Batches


class _Joining(PassingSink):
    """Matches rows by a condition of its own. For Postgres."""

    form = "{t} = {s}"

    def __init__(self, job: Job, inner: Sink) -> None:
        super().__init__(job, inner)
        sink: Any = inner
        sink._same_key = lambda: " AND ".join(map(self._term, self._matched(job.key)))

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """With counts that can be: an update may have met more rows than are staged."""
        counts = self._inner.merge(state, delete=delete, gone=gone)
        return replace(counts, unchanged=max(0, counts.unchanged))

    def _matched(self, key: tuple[str, ...]) -> tuple[str, ...]:
        return key

    def _term(self, name: str) -> str:
        return self.form.format(t=f't."{name}"', s=f's."{name}"')


class ByFirstColumn(_Joining):
    """Looks at the first column of a key only."""

    def _matched(self, key: tuple[str, ...]) -> tuple[str, ...]:
        return key[:1]


class WhateverCase(_Joining):
    """Does not tell upper from lower case."""

    form = "lower({t}) = lower({s})"


def trimmed(job: Job, batches: Batches) -> Batches:
    """The texts of keys without the spaces at their ends."""
    for batch in batches:
        columns = [
            pc.utf8_trim(column, " ") if name in job.key and pa.types.is_string(column.type) else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=batch.schema)
