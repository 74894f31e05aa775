"""Change data capture: the table as it is where its log begins, then what the log tells, up to the present."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from ...core.wire import RunFacts
from ...errors import EngineFailed
from .arrow import Batches, conformed, stored
from .changes import KEPT, Key, LogSource, Net, Partial, Values
from .ports import Extract, Source
from .run import Run, fresh, resume, upsert
from .state import State

_CHARACTERS = 4 << 20
"""About so much text is decoded at once."""
_KEYS = 200


def cdc(run: Run) -> RunFacts:
    """The first run takes the table as it is where its log begins; each later one what was committed since."""
    source = run.source
    if not isinstance(source, LogSource):
        raise EngineFailed(
            f"the native engine reads no change log of {run.job.source.family}", hint="use another strategy"
        )
    before = resume(run, cursor=source.log)
    if before is None or before.watermark is None:
        after = replace(fresh(run.job, cursor=source.log), watermark=source.begin())
        return upsert(run, run.rows(), None, lambda: after, delete=False)
    return _follow(run, source, before, before.watermark)


def _follow(run: Run, source: LogSource, before: State, since: str) -> RunFacts:
    """Commit what the log leaves of each key together with the position; only then let go of the log below it."""
    until = source.end(since)
    after = replace(before, watermark=until)
    names = source.schema.names
    with closing(Net(tuple(names.index(name) for name in run.job.key))) as net:
        with run.phase("log", reached="followed"):
            for change in source.changes(since, until) if since != until else ():
                net.take(change)
        gone = None if net.emptied else _keys(run, source, net.gone())
        rows = run.tapped(_rows(run, source, net))
        facts = upsert(run, rows, before, lambda: after, delete=net.emptied, gone=gone)
    source.release(until)
    return facts


def _rows(run: Run, source: LogSource, net: Net) -> Batches:
    for rows in _chunks(net.rows(), run.job.batch_rows):
        yield source.decode(rows, source.schema)
    partial = net.partial()
    first = next(partial, None)
    if first is not None:
        with closing(run.held()) as table:
            for some in _grouped(first, partial):
                yield from _completed(run, source, some, table)


def _completed(run: Run, source: LogSource, some: list[Partial], table: Source) -> Batches:
    """The rows with what the sink's own rows have for them, in the batches in which these come."""
    origins = _keys(run, source, (partial.origin for partial in some))
    waiting = dict(zip(_tuples(origins.columns), some, strict=True))
    for batch in table.read(Extract(keys=origins)):
        keys = [conformed(batch.column(field.name), field.type) for field in origins.schema]
        ours = [waiting.pop(found, None) for found in _tuples(keys)]
        old = batch.filter(pa.array([partial is not None for partial in ours], pa.bool_()))
        if old.num_rows:
            yield _filled(source, [partial.row for partial in ours if partial is not None], old)
    if waiting:
        raise EngineFailed(
            f"the log changes {len(waiting)} rows that the table {run.job.sink.table!r} does not hold, "
            f"such as {next(iter(waiting))}",
            hint="somebody has changed the table: remove it and its state to load anew",
        )


def _filled(source: LogSource, rows: list[Values], old: pa.RecordBatch) -> pa.RecordBatch:
    """`rows` with the values of `old` where they are kept."""
    fresh_rows = source.decode(rows, source.schema)
    columns = []
    for place, field in enumerate(source.schema):
        kept = pa.array([row[place] is KEPT for row in rows], pa.bool_())
        column = fresh_rows.column(place)
        if pc.any(kept).as_py():
            # the sink may keep the column as another type, such as JSON as text
            theirs = conformed(old.column(place), field.type)
            column = conformed(pc.if_else(kept, stored(theirs), stored(column)), field.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=source.schema)


def _keys(run: Run, source: LogSource, keys: Iterable[Key]) -> pa.Table:
    schema = pa.schema([source.schema.field(name) for name in run.job.key])
    return pa.Table.from_batches([source.decode(list(keys), schema)])


def _tuples(columns: Sequence[pa.Array]) -> list[tuple[object, ...]]:
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def _grouped(first: Partial, rest: Iterator[Partial]) -> Iterator[list[Partial]]:
    some = [first]
    for partial in rest:
        if len(some) == _KEYS:
            yield some
            some = []
        some.append(partial)
    yield some


def _chunks(rows: Iterator[Values], count: int) -> Iterator[list[Values]]:
    """The rows in lists of at most `count`, which end early if their texts are long."""
    some: list[Values] = []
    size = 0
    for row in rows:
        some.append(row)
        size += sum(len(value) for value in row if isinstance(value, str))
        if len(some) == count or size > _CHARACTERS:
            yield some
            some, size = [], 0
    if some:
        yield some
