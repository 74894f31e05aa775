"""The load strategies over files. A new one is a function from `Load` to `RunFacts`, and a row of `STRATEGIES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from ...core.model import Strategy
from ...core.wire import RunFacts
from .history import scd2
from .load import Load
from .merge import Merged, appended, merge
from .rewrites import backfill, partition_replace
from .rewrites import replace as replace_window
from .tables import Content

_SWAP = 0.05
"""Seconds between the staging of a table and its swap: a reader that polls must get a look in."""


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


def xmin(load: Load) -> RunFacts:
    """The rows that commits after the last run have written, by key; to reconcile, as `incremental_merge`."""
    before = load.state()
    source = load.content()
    known = int(before.watermark or 0)
    whole = load.job.mode == "reconcile"
    fresh = source.rows if whole else source.rows.filter(pc.greater(source.commits, known))
    after = replace(before, watermark=str(source.last)).to_text()
    return merged(load, load.tapped(fresh), after=after, delete=whole)


def cdc(load: Load) -> RunFacts:
    """Files have no log: what it would tell is the difference between the sink and what the source holds."""
    before = load.state()
    source = load.content()
    after = replace(before, watermark=str(source.last)).to_text()
    return merged(load, load.tapped(source.rows), after=after, delete=True)


Strategies: TypeAlias = Mapping[Strategy, Callable[[Load], RunFacts]]

STRATEGIES: Strategies = MappingProxyType(
    {
        Strategy.FULL_REFRESH: full_refresh,
        Strategy.INCREMENTAL_APPEND: incremental_append,
        Strategy.INCREMENTAL_MERGE: incremental_merge,
        Strategy.REPLACE: replace_window,
        Strategy.PARTITION_REPLACE: partition_replace,
        Strategy.SNAPSHOT_DIFF: snapshot_diff,
        Strategy.SCD2: scd2,
        Strategy.BACKFILL: backfill,
        Strategy.XMIN: xmin,
        Strategy.CDC: cdc,
    }
)
