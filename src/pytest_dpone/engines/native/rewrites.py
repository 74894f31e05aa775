"""Strategies that write days anew: what the sink has of them goes, what the source has of them comes."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace as changed

import pyarrow as pa
import pyarrow.compute as pc

from ...core.wire import RunFacts, Window
from ...errors import EngineFailed, UsageError
from .arrow import Batches
from .ports import ALL, Extract
from .run import Run, fresh, no_watermark, resume


def replace(run: Run) -> RunFacts:
    """The days of the job's window; without one the whole table, in one step."""
    _check_partition(run)
    no_watermark(run)
    window = run.job.window
    days = None if window is None else (window,)
    with run.phase("stage", reached="staged"):
        written = run.sink.stage(run.rows(Extract(days=days)))
    with run.phase("apply", reached="applied"):
        run.sink.rewrite(days, None)
    return RunFacts(read=run.read, written=written, seconds=run.seconds)


def partition_replace(run: Run) -> RunFacts:
    """The days that the job names, or all that the source has; of a named day without rows as the job's policy says."""
    _check_partition(run)
    no_watermark(run)
    named = run.job.partitions
    found: set[dt.date] = set()
    extract = ALL if named is None else Extract(days=_windows(named))
    with run.phase("stage", reached="staged"):
        written = run.sink.stage(_watched(run, run.rows(extract), found))
    cleared = set(named or ()) if run.job.empty_partition == "clear" else set()
    with run.phase("apply", reached="applied"):
        run.sink.rewrite(_windows(found | cleared), None)
    return RunFacts(read=run.read, written=written, seconds=run.seconds)


def backfill(run: Run) -> RunFacts:
    """The window chunk by chunk; each is committed with the first day that is not done, where the same id goes on."""
    _check_partition(run)
    job, window = run.job, run.job.window
    if window is None or not job.backfill_id:
        raise UsageError("a backfill needs a window and an id", hint="give the job `window` and `backfill_id`")
    before = resume(run, cursor=job.partition)
    state = before or fresh(job, cursor=job.partition)
    start = window.start
    if state.load == job.backfill_id and state.watermark is not None:
        start = max(start, dt.date.fromisoformat(state.watermark))
    written = 0
    while start < window.stop:
        days = min(job.chunk_days, (window.stop - start).days)
        chunk = Window(start=start, stop=start + dt.timedelta(days=days))
        state = changed(state, load=job.backfill_id, watermark=chunk.stop.isoformat())
        with run.phase("stage", reached="staged"):
            written += run.sink.stage(run.rows(Extract(days=(chunk,))))
        with run.phase("apply", reached="applied"):
            run.sink.rewrite((chunk,), state)
        start = chunk.stop
    return RunFacts(
        read=run.read,
        written=written,
        state_before=before.to_text() if before else "",
        state_after=state.to_text(),
        seconds=run.seconds,
    )


def _check_partition(run: Run) -> None:
    name, schema = run.job.partition, run.source.schema
    if name not in schema.names or not pa.types.is_date(schema.field(name).type):
        raise EngineFailed(
            f"the source has no column {name!r} of dates to cut it by", hint=f"its columns: {schema.names}"
        )


def _watched(run: Run, batches: Batches, found: set[dt.date]) -> Batches:
    """The same batches; `found` gets the days that are in them."""
    for batch in batches:
        days = pc.unique(batch.column(run.job.partition))
        if days.null_count:
            raise EngineFailed(
                f"a row has no {run.job.partition}, so it belongs to no partition",
                hint="fill the column, or load with another strategy",
            )
        found.update(days.to_pylist())
        yield batch


def _windows(days: set[dt.date] | tuple[dt.date, ...]) -> tuple[Window, ...]:
    """The days as windows, as few as there can be: each is a term of what a server is asked."""
    if dt.date.max in days:
        raise EngineFailed(
            f"the day {dt.date.max} has no day after it, so no window ends with it",
            hint="leave its rows out, or load with another strategy",
        )
    windows: list[Window] = []
    for day in sorted(set(days)):
        after = day + dt.timedelta(days=1)
        if windows and windows[-1].stop == day:
            windows[-1] = Window(start=windows[-1].start, stop=after)
        else:
            windows.append(Window(start=day, stop=after))
    return tuple(windows)
