"""The load strategies over files. A new one is a function from `Load` to `RunFacts`, and a row of `STRATEGIES`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias

import pyarrow as pa

from ...core.model import Strategy
from ...core.wire import Job, RunFacts
from ...errors import EngineFailed
from .contract import obeyed
from .merge import Merged, appended, merge
from .state import State
from .tables import Content, TableFile

Tap: TypeAlias = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""Sees, and may change, the batches between source and sink."""

_SWAP = 0.05
"""Seconds between the staging of a table and its swap: a reader that polls must get a look in."""


class Load:
    """One job: where its rows are, and where they go."""

    def __init__(self, job: Job, tap: Tap | None) -> None:
        self.job = job
        self.source = TableFile(job.source, state=job.state_table)
        self.sink = TableFile(job.sink, state=job.state_table)
        self._tap = tap

    def extract(self, since: State | None = None) -> pa.Table:
        """The source's rows, or those that `since` reaches; the only place where rows are read."""
        content = self.source.content()
        if content is None:
            raise EngineFailed(f"there is no table {self.job.source.table!r} to read", hint="create the source first")
        rows = content.rows if since is None else since.reached(content.rows)
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
        """Rows and state take the place of what the sink holds, at once, after `pause` seconds."""
        self.sink.put(content, batch_rows=self.job.batch_rows, before=lambda: time.sleep(pause))


def full_refresh(load: Load) -> RunFacts:
    """The whole source takes the place of the sink."""
    rows = load.extract()
    fresh = load.obeyed(rows)
    old = load.sink.content() or Content.empty(fresh.schema)
    load.put(appended(replace(Content.empty(fresh.schema), last=old.last), fresh), pause=_SWAP)
    return RunFacts(read=rows.num_rows, written=fresh.num_rows)


def incremental_append(load: Load) -> RunFacts:
    """The rows that the watermark reaches, but those at the watermark that were loaded before."""
    before = load.state()
    rows = load.extract(before)
    fresh = load.obeyed(before.unseen(rows))
    after = before.after(rows, remember=True).to_text()
    old = load.target(fresh.schema)
    load.put(replace(appended(old, fresh), state=after))
    count = fresh.num_rows
    return RunFacts(read=rows.num_rows, written=count, inserted=count, state_before=old.state, state_after=after)


def incremental_merge(load: Load) -> RunFacts:
    """The rows that the watermark reaches, by key; to reconcile, all of them, and what is not among them goes."""
    before = load.state()
    whole = load.job.mode == "reconcile"
    rows = load.extract(None if whole else before)
    return merged(load, rows, after=before.after(rows, remember=False).to_text(), delete=whole)


def snapshot_diff(load: Load) -> RunFacts:
    """All rows against all rows: what differs is written, what is gone goes."""
    return merged(load, load.extract(), after="", delete=True)


def merged(load: Load, rows: pa.Table, *, after: str, delete: bool) -> RunFacts:
    """Merge `rows` into the sink, commit the state `after` with them, and tell what was done."""
    staged = load.obeyed(rows)
    old = load.target(staged.schema)
    done: Merged = merge(old, staged, load.job.key, delete=delete)
    load.put(replace(done.content, state=after))
    return RunFacts(
        read=rows.num_rows,
        written=done.inserted + done.updated,
        inserted=done.inserted,
        updated=done.updated,
        deleted=done.deleted,
        unchanged=done.unchanged,
        state_before=old.state,
        state_after=after,
    )


Strategies: TypeAlias = Mapping[Strategy, Callable[[Load], RunFacts]]

STRATEGIES: Strategies = MappingProxyType(
    {
        Strategy.FULL_REFRESH: full_refresh,
        Strategy.INCREMENTAL_APPEND: incremental_append,
        Strategy.INCREMENTAL_MERGE: incremental_merge,
        Strategy.SNAPSHOT_DIFF: snapshot_diff,
    }
)
