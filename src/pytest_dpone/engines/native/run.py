"""One job between an open source and a prepared sink, and the state that it goes on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from ...core.wire import Job, RunFacts
from ...errors import EngineFailed
from .arrow import Batches
from .ports import ALL, Counts, Extract, Seams, Sink, Source
from .state import State
from .stream import ahead


class Run:
    """One job between an open source and a prepared sink, with its clock and its count of rows."""

    def __init__(self, job: Job, source: Source, sink: Sink, seams: Seams, held: Callable[[], Source]) -> None:
        self.job = job
        self.source = source
        self.sink = sink
        self.held = held
        """Opens the sink's table to be read."""
        self.read = 0
        self.seconds: dict[str, float] = {}
        self._seams = seams
        self._ahead: Batches = iter(())

    def rows(self, extract: Extract = ALL) -> Batches:
        """The source's rows, read ahead, tapped and counted."""
        self._ahead = ahead(self.source.read(extract))
        yield from self.tapped(self._ahead)

    def tapped(self, batches: Batches) -> Batches:
        """The batches, tapped and counted."""
        tap = self._seams.tap
        for batch in tap(self.job, batches) if tap else batches:
            self.read += batch.num_rows
            yield batch

    def close(self) -> None:
        """End the thread that reads ahead, if a failure left it behind."""
        if close := getattr(self._ahead, "close", None):
            close()

    @contextmanager
    def phase(self, name: str, *, reached: str) -> Iterator[None]:
        """Time a phase and tell the moment that it reached; what comes before the first is `begun`."""
        if not self.seconds:
            self._seams.moment("begun")
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        self._seams.moment(reached)


def merged(run: Run, counts: Counts, *, before: str = "", after: str = "") -> RunFacts:
    """The facts of a merge."""
    return RunFacts(
        read=run.read,
        written=counts.inserted + counts.updated,
        inserted=counts.inserted,
        updated=counts.updated,
        deleted=counts.deleted,
        unchanged=counts.unchanged,
        state_before=before,
        state_after=after,
        seconds=run.seconds,
    )


def upsert(
    run: Run,
    batches: Batches,
    before: State | None,
    after: Callable[[], State],
    *,
    delete: bool,
    gone: pa.Table | None = None,
) -> RunFacts:
    """Merge `batches` by key, and commit with them the state that is known `after` them."""
    with run.phase("stage", reached="staged"):
        run.sink.stage(batches)
    state = after()
    with run.phase("apply", reached="applied"):
        counts = run.sink.merge(state, delete=delete, gone=gone)
    return merged(run, counts, before=before.to_text() if before else "", after=state.to_text())


def fresh(job: Job, *, cursor: str | None = None) -> State:
    """The state of a load that has not begun; `cursor` is what it goes by, by default the job's."""
    return State(strategy=str(job.strategy), cursor=cursor or job.cursor)


def resume(run: Run, *, cursor: str | None = None) -> State | None:
    """The state to go on from; None before the first load. Table and state must both be there, or neither."""
    job, sink, cursor = run.job, run.sink, cursor or run.job.cursor
    exists = sink.prepare(run.source.schema)
    state = sink.state()
    if state is None:
        if exists and sink.has_rows():
            raise EngineFailed(
                f"the table {job.sink.table!r} holds rows and its state is gone",
                hint="a full reload would repeat rows: restore the state, or remove the table to load anew",
            )
        return None
    if not exists:
        raise EngineFailed(
            f"the state knows the table {job.sink.table!r}, and the table is gone",
            hint="restore the table, or remove its state to load anew",
        )
    if (state.strategy, state.cursor) != (str(job.strategy), cursor):
        raise EngineFailed(
            f"the state of {job.sink.table!r} is of {state.strategy} by {state.cursor!r}, "
            f"the job is {job.strategy} by {cursor!r}",
            hint="load with the same strategy and cursor, or into another table",
        )
    return state


def no_watermark(run: Run) -> None:
    """Prepare the sink for a strategy without a state, which must not leave another strategy's state stale."""
    run.sink.prepare(run.source.schema)
    if run.sink.state() is not None:
        raise EngineFailed(
            f"the table {run.job.sink.table!r} is loaded incrementally: {run.job.strategy} would make its state stale",
            hint="load into another table, or remove the state and the table first",
        )
