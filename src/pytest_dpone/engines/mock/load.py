"""One job of the mock engine: where its rows are, and where they go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pyarrow as pa

from ...core.registry import default_registry
from ...core.wire import Job
from ...errors import EngineFailed
from .contract import obeyed
from .merge import folded
from .state import State
from .tables import Content, TableFile

Tap: TypeAlias = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""Sees, and may change, the batches between source and sink."""


class Load:
    """One job: where its rows are, and where they go."""

    def __init__(self, job: Job, tap: Tap | None) -> None:
        self.job = job
        self.source = TableFile(job.source, state=job.state_table)
        self.sink = TableFile(job.sink, state=job.state_table)
        self._tap = tap

    def content(self) -> Content:
        """What the source holds; raises `EngineFailed` if there is no such table."""
        content = self.source.content()
        if content is None:
            raise EngineFailed(f"there is no table {self.job.source.table!r} to read", hint="create the source first")
        return content

    def extract(self, since: State | None = None) -> pa.Table:
        """The source's rows, or those that `since` reaches."""
        rows = self.content().rows
        return self.tapped(rows if since is None else since.reached(rows))

    def tapped(self, rows: pa.Table) -> pa.Table:
        """`rows` on their way from the source; every strategy sends its rows through here."""
        batches = iter(rows.to_batches(max_chunksize=self.job.batch_rows))
        taken = self._tap(batches) if self._tap is not None else batches
        return pa.Table.from_batches(taken, rows.schema)

    def obeyed(self, rows: pa.Table) -> pa.Table:
        """`rows` as the sink's family has them; raises `ValueRejected` for a value that it refuses."""
        return obeyed(rows, self.sink.family)

    def target(self, schema: pa.Schema) -> Content:
        """What the sink holds now. Raises `EngineFailed` if it has other columns than `schema`."""
        content = self.sink.content()
        if content is None:
            return Content.empty(schema)
        if not content.rows.schema.equals(schema):
            raise EngineFailed(
                f"the sink's columns are not those of the source: {content.rows.schema.names}",
                hint="load into another table",
            )
        return content

    def state(self) -> State:
        """The state to go on from; raises `EngineFailed` if it is of another load, or gone while rows are there."""
        fresh = State(str(self.job.strategy), self.job.cursor)
        content = self.sink.content()
        if content is None:
            return fresh
        if not content.state:
            if content.rows.num_rows:
                raise EngineFailed("the sink holds rows and no state", hint="remove the table to load anew")
            return fresh
        state = State.from_text(content.state)
        if (state.strategy, state.cursor) != (fresh.strategy, fresh.cursor):
            raise EngineFailed(f"the state is of {state.strategy}", hint="load with the same strategy and cursor")
        return state

    def put(self, content: Content, *, pause: float = 0.0) -> None:
        """Rows and state take the place of what the sink holds, at once, after `pause` seconds.

        Where the family keeps events, the last row of a key is all that there is of it.
        """
        family = default_registry().families.get(self.sink.family)
        if family is not None and family.folds:
            content = folded(content, self.job.key)
        self.sink.put(content, batch_rows=self.job.batch_rows, before=lambda: time.sleep(pause))
