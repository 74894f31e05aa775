"""The four load strategies, written once over any source and any sink."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from types import MappingProxyType

from ...core.model import Strategy
from ...core.wire import Job, RunFacts
from ...errors import EngineFailed, UsageError
from .arrow import Batches
from .ports import Counts, Seams, Sink, Source
from .state import State
from .stream import ahead
from .ties import Follower, check_cursor


class Run:
    """One job between an open source and a prepared sink, with its clock and its count of rows."""

    def __init__(self, job: Job, source: Source, sink: Sink, seams: Seams) -> None:
        self.job = job
        self.source = source
        self.sink = sink
        self.read = 0
        self.seconds: dict[str, float] = {}
        self._seams = seams
        self._ahead: Batches = iter(())

    def rows(self, since: str | None) -> Batches:
        """The source's rows, read ahead, tapped and counted."""
        self._ahead = ahead(self.source.read(since))
        tap = self._seams.tap
        for batch in tap(self.job, self._ahead) if tap else self._ahead:
            self.read += batch.num_rows
            yield batch

    def close(self) -> None:
        """End the thread that reads ahead, if a failure left it behind."""
        if close := getattr(self._ahead, "close", None):
            close()

    @contextmanager
    def phase(self, name: str, *, reached: str) -> Iterator[None]:
        """Time a phase and tell the moment that it reached."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        self._seams.moment(reached)


def full_refresh(run: Run) -> RunFacts:
    """The whole source, staged, then swapped in."""
    _no_watermark(run)
    with run.phase("stage", reached="staged"):
        written = run.sink.stage(run.rows(None))
    with run.phase("apply", reached="applied"):
        run.sink.replace()
    return RunFacts(read=run.read, written=written, seconds=run.seconds)


def incremental_append(run: Run) -> RunFacts:
    """Rows from the watermark on, but those at the watermark that were loaded before."""
    before = _resume(run)
    follower = Follower(before or _fresh(run.job), once=True)
    with run.phase("stage", reached="staged"):
        written = run.sink.stage(follower.through(run.rows(before.watermark if before else None)))
    after = follower.after()
    with run.phase("apply", reached="applied"):
        run.sink.append(after)
    return RunFacts(
        read=run.read,
        written=written,
        inserted=written,
        state_before=before.to_text() if before else "",
        state_after=after.to_text(),
        seconds=run.seconds,
    )


def incremental_merge(run: Run) -> RunFacts:
    """Rows from the watermark on, by key; in the mode `reconcile` a whole snapshot, and what it lacks goes."""
    before = _resume(run)
    whole = run.job.mode == "reconcile"
    follower = Follower(before or _fresh(run.job), once=False)
    since = before.watermark if before and not whole else None
    with run.phase("stage", reached="staged"):
        run.sink.stage(follower.through(run.rows(since)))
    after = follower.after()
    with run.phase("apply", reached="applied"):
        counts = run.sink.merge(after, delete=whole)
    return _merged(run, counts, before=before.to_text() if before else "", after=after.to_text())


def snapshot_diff(run: Run) -> RunFacts:
    """A whole snapshot, compared with the table: only what differs is written, and what it lacks goes."""
    _no_watermark(run)
    with run.phase("stage", reached="staged"):
        run.sink.stage(run.rows(None))
    with run.phase("apply", reached="applied"):
        counts = run.sink.merge(None, delete=True)
    return _merged(run, counts)


STRATEGIES: Mapping[Strategy, Callable[[Run], RunFacts]] = MappingProxyType(
    {
        Strategy.FULL_REFRESH: full_refresh,
        Strategy.INCREMENTAL_APPEND: incremental_append,
        Strategy.INCREMENTAL_MERGE: incremental_merge,
        Strategy.SNAPSHOT_DIFF: snapshot_diff,
    }
)


def play(job: Job, source: Source, sink: Sink, seams: Seams) -> RunFacts:
    """Do the job's strategy. Raises `UsageError` for a mode that the strategy does not have."""
    if job.mode == "reconcile" and job.strategy is not Strategy.INCREMENTAL_MERGE:
        raise UsageError(
            f"{job.strategy} has no mode `reconcile`", hint="only incremental_merge reconciles; use the mode `load`"
        )
    with closing(Run(job, source, sink, seams)) as run:
        return STRATEGIES[job.strategy](run)


def _merged(run: Run, counts: Counts, *, before: str = "", after: str = "") -> RunFacts:
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


def _fresh(job: Job) -> State:
    return State(strategy=str(job.strategy), cursor=job.cursor)


def _resume(run: Run) -> State | None:
    """The state to go on from; None before the first load. Table and state must both be there, or neither."""
    job, sink = run.job, run.sink
    check_cursor(run.source.schema, job.cursor)
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
    if (state.strategy, state.cursor) != (str(job.strategy), job.cursor):
        raise EngineFailed(
            f"the state of {job.sink.table!r} is of {state.strategy} by {state.cursor!r}, "
            f"the job is {job.strategy} by {job.cursor!r}",
            hint="load with the same strategy and cursor, or into another table",
        )
    return state


def _no_watermark(run: Run) -> None:
    """Prepare the sink for a strategy without a state, which must not leave another strategy's state stale."""
    run.sink.prepare(run.source.schema)
    if run.sink.state() is not None:
        raise EngineFailed(
            f"the table {run.job.sink.table!r} is loaded incrementally: {run.job.strategy} would make its state stale",
            hint="load into another table, or remove the state and the table first",
        )
