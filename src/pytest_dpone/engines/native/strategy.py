"""The load strategies, each on the same two seams; `play` does the one that a job names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace as replaced
from types import MappingProxyType

from ...core.model import Strategy
from ...core.wire import HistoryColumns, Job, RunFacts
from ...errors import EngineFailed, UsageError
from .follow import cdc
from .ports import Extract, Seams, Sink, Source
from .rewrites import backfill, partition_replace, replace
from .run import Run, fresh, merged, no_watermark, resume, upsert
from .ties import Follower, check_cursor
from .xids import TransactionSource

RECONCILED = (Strategy.INCREMENTAL_MERGE, Strategy.XMIN)
"""Strategies with the mode `reconcile`."""


def full_refresh(run: Run) -> RunFacts:
    """The whole source, staged, then swapped in."""
    no_watermark(run)
    with run.phase("stage", reached="staged"):
        written = run.sink.stage(run.rows())
    with run.phase("apply", reached="applied"):
        run.sink.replace()
    return RunFacts(read=run.read, written=written, seconds=run.seconds)


def incremental_append(run: Run) -> RunFacts:
    """Rows from the watermark on, but those at the watermark that were loaded before."""
    check_cursor(run.source.schema, run.job.cursor)
    before = resume(run)
    follower = Follower(before or fresh(run.job), once=True)
    with run.phase("stage", reached="staged"):
        written = run.sink.stage(follower.through(run.rows(Extract(since=before.watermark if before else None))))
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
    check_cursor(run.source.schema, run.job.cursor)
    before = resume(run)
    whole = run.job.mode == "reconcile"
    follower = Follower(before or fresh(run.job), once=False)
    since = before.watermark if before and not whole else None
    return upsert(run, follower.through(run.rows(Extract(since=since))), before, follower.after, delete=whole)


def xmin(run: Run) -> RunFacts:
    """Rows by transactions that had not ended at the last run's snapshot, by key; reconciles as `incremental_merge`."""
    source = run.source
    if not isinstance(source, TransactionSource):
        raise EngineFailed(
            f"a row of {run.job.source.family} does not tell which transaction wrote it", hint="use another strategy"
        )
    horizon = source.horizon()
    before = resume(run, cursor=horizon.counter)
    after = replaced(before or fresh(run.job, cursor=horizon.counter), watermark=str(horizon.oldest))
    whole = run.job.mode == "reconcile"
    since = before.watermark if before and not whole else None
    return upsert(run, run.rows(Extract(xid=since)), before, lambda: after, delete=whole)


def snapshot_diff(run: Run) -> RunFacts:
    """A whole snapshot, compared with the table: only what differs is written, and what it lacks goes."""
    no_watermark(run)
    with run.phase("stage", reached="staged"):
        run.sink.stage(run.rows())
    with run.phase("apply", reached="applied"):
        counts = run.sink.merge(None, delete=True)
    return merged(run, counts)


def scd2(run: Run) -> RunFacts:
    """A whole snapshot, compared with the current versions: what differs or is gone is closed, what is new is open."""
    no_watermark(run)
    names = HistoryColumns().names
    if taken := [name for name in names if name in run.source.schema.names]:
        raise EngineFailed(
            f"the source has columns called {', '.join(taken)}, which a history needs for itself",
            hint="rename them in a view",
        )
    with run.phase("stage", reached="staged"):
        run.sink.stage(run.rows())
    with run.phase("apply", reached="applied"):
        counts = run.sink.history()
    return merged(run, counts)


STRATEGIES: Mapping[Strategy, Callable[[Run], RunFacts]] = MappingProxyType(
    {
        Strategy.FULL_REFRESH: full_refresh,
        Strategy.INCREMENTAL_APPEND: incremental_append,
        Strategy.INCREMENTAL_MERGE: incremental_merge,
        Strategy.REPLACE: replace,
        Strategy.PARTITION_REPLACE: partition_replace,
        Strategy.SNAPSHOT_DIFF: snapshot_diff,
        Strategy.SCD2: scd2,
        Strategy.BACKFILL: backfill,
        Strategy.XMIN: xmin,
        Strategy.CDC: cdc,
    }
)


def play(job: Job, source: Source, sink: Sink, seams: Seams, held: Callable[[], Source]) -> RunFacts:
    """Do the job's strategy; `held` opens the sink's table to be read.

    Raises `UsageError` for a mode that the strategy does not have.
    """
    if job.mode == "reconcile" and job.strategy not in RECONCILED:
        raise UsageError(
            f"{job.strategy} has no mode `reconcile`",
            hint=f"only {' and '.join(RECONCILED)} reconcile; use the mode `load`",
        )
    with closing(Run(job, source, sink, seams, held)) as run:
        return STRATEGIES[job.strategy](run)
