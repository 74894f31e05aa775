"""Strategies that write whole days anew: what the sink has of them goes, what the source has of them comes."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace as changed

import pyarrow as pa
import pyarrow.compute as pc

from ...core.wire import RunFacts, Window
from .load import Load
from .merge import appended
from .tables import Content


def replace(load: Load) -> RunFacts:
    """The days of the job's window; without one, the whole table."""
    rows = load.content().rows
    window = load.job.window
    return _rewritten(load, rows, None if window is None else _days(window))


def partition_replace(load: Load) -> RunFacts:
    """The days that the job names; without names, those that the source has."""
    rows = load.content().rows
    found = set(rows.column(load.job.partition).unique().to_pylist())
    named = found if load.job.partitions is None else set(load.job.partitions)
    if load.job.empty_partition == "keep":
        named &= found
    return _rewritten(load, rows, sorted(named))


def backfill(load: Load) -> RunFacts:
    """The window chunk by chunk, each committed with the day up to which this backfill has come."""
    window = load.job.window
    assert window is not None  # a backfill without a range is no job
    before = load.sink.content()
    text = before.state if before else ""
    done = json.loads(text) if text else {}
    start = dt.date.fromisoformat(done["done"]) if done.get("id") == load.job.backfill_id else window.start
    total = RunFacts(read=0, written=0, state_before=text, state_after=text)
    while start < window.stop:
        stop = min(start + dt.timedelta(days=load.job.chunk_days), window.stop)
        state = json.dumps({"id": load.job.backfill_id, "done": stop.isoformat()})
        part = _rewritten(load, load.content().rows, _days(Window(start=start, stop=stop)), state=state)
        total = total.model_copy(
            update={"read": total.read + part.read, "written": total.written + part.written, "state_after": state}
        )
        start = stop
    return total


def _days(window: Window) -> list[dt.date]:
    return [window.start + dt.timedelta(days=number) for number in range((window.stop - window.start).days)]


def _rewritten(load: Load, rows: pa.Table, days: list[dt.date] | None, *, state: str = "") -> RunFacts:
    """Rewrite the rows of `days`, or all rows."""
    inside = rows if days is None else rows.filter(_of(rows, load.job.partition, days))
    read = load.tapped(inside)
    fresh = load.obeyed(read)
    old = load.target(fresh.schema)
    kept = pc.invert(_of(old.rows, load.job.partition, days))
    content = Content(old.rows.filter(kept), old.commits.filter(kept), old.last, old.state)
    load.put(changed(appended(content, fresh), state=state))
    return RunFacts(read=read.num_rows, written=fresh.num_rows)


def _of(rows: pa.Table, column: str, days: list[dt.date] | None) -> pa.ChunkedArray:
    """Per row, if it is of one of `days`; each is, if there are none."""
    if days is None:
        return pa.chunked_array([pa.repeat(pa.scalar(True), rows.num_rows)])
    return pc.is_in(rows.column(column), pa.array(days, pa.date32()))
