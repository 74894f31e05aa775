"""scd2 over files: versions with the interval in which each was current."""

from __future__ import annotations

import datetime as dt
import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from ...core.wire import HistoryColumns, RunFacts
from .load import Load
from .merge import appended, differing, places
from .tables import Content

_NAMES = HistoryColumns()
_INSTANT = pa.timestamp("us", tz="UTC")


def scd2(load: Load) -> RunFacts:
    """Close the versions that changed or are gone, open those that are new; what did not change is not touched."""
    rows = load.extract()
    staged = load.obeyed(rows)
    now = dt.datetime.now(dt.UTC)
    old = load.target(_opened(staged.slice(0, 0), now).schema).rows
    current = old.filter(old.column(_NAMES.is_current))
    plain = current.select(staged.column_names)
    found = places(plain, staged, load.job.key)
    differs = differing(plain, staged, found)
    same = found.filter(pc.invert(differs))
    kept = pc.is_in(pa.array(range(current.num_rows), pa.int64()), same)
    closed = current.filter(pc.invert(kept))
    fresh = _opened(staged.filter(differs), now)
    past = old.filter(pc.invert(old.column(_NAMES.is_current)))
    table = pa.concat_tables([past, current.filter(kept), _closed(closed, now), fresh])
    last = (load.sink.content() or Content.empty(table.schema)).last
    load.put(appended(Content(table.slice(0, 0), pa.chunked_array([], pa.int64()), last), table))
    return RunFacts(read=rows.num_rows, written=fresh.num_rows, inserted=fresh.num_rows, updated=closed.num_rows)


def _opened(rows: pa.Table, now: dt.datetime) -> pa.Table:
    """`rows` as versions that are current from `now` on."""
    count = rows.num_rows
    hashes = [hashlib.sha256(repr([*row.values()]).encode()).hexdigest() for row in rows.to_pylist()]
    values = (
        pa.repeat(pa.scalar(now, _INSTANT), count),
        pa.nulls(count, _INSTANT),
        pa.repeat(pa.scalar(True), count),
        pa.array(hashes, pa.string()),
    )
    for name, column in zip(_NAMES.names, values, strict=True):
        rows = rows.append_column(name, column)
    return rows


def _closed(rows: pa.Table, now: dt.datetime) -> pa.Table:
    """The versions `rows` as they are when they end at `now`."""
    changed = {
        _NAMES.valid_to: pa.repeat(pa.scalar(now, _INSTANT), rows.num_rows),
        _NAMES.is_current: pa.repeat(pa.scalar(False), rows.num_rows),
    }
    for name, column in changed.items():
        place = rows.schema.get_field_index(name or "")
        rows = rows.set_column(place, rows.schema.field(place), column)
    return rows
