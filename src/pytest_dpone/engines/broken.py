"""The parts of which mutants are made: streams, sources and sinks of the native engine, broken in one way each."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from ..core.wire import Endpoint, HistoryColumns, Job, RunFacts, Window
from ..errors import DponeError, EngineFailed, require
from .native import Counts, Extract, NativeEngine, Seams, Sink, Source, State
from .native.xids import Horizon, TransactionSource

Batches = Iterator[pa.RecordBatch]
Change = Callable[[pa.Array], pa.Array]


def tapped(stream: Callable[[Batches], Batches]) -> NativeEngine:
    """The native engine with `stream` between source and sink."""
    return NativeEngine(Seams(tap=lambda _job, batches: stream(batches)))


def changing(applies: Callable[[pa.DataType], bool], change: Change, *, required: bool = False) -> NativeEngine:
    """The native engine that passes each column of a type that `applies` through `change`; the type stays.

    Columns that must not be NULL are left alone unless `required`: a NULL there is something that a sink refuses.
    """

    def stream(batches: Batches) -> Batches:
        for batch in batches:
            hit = [(required or field.nullable) and applies(field.type) for field in batch.schema]
            columns = [change(c).cast(c.type) if h else c for c, h in zip(batch.columns, hit, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    return tapped(stream)


def without_last_batch(batches: Batches) -> Batches:
    """All batches but the last."""
    held: pa.RecordBatch | None = None
    for batch in batches:
        if held is not None:
            yield held
        held = batch


def without_last_row(batches: Batches) -> Batches:
    """All rows but the last."""
    held: pa.RecordBatch | None = None
    for batch in batches:
        if held is not None:
            yield held
        held = batch
    if held is not None:
        yield held.slice(0, held.num_rows - 1)


def first_batch_twice(batches: Batches) -> Batches:
    """The first batch, then all batches."""
    for number, batch in enumerate(batches):
        if number == 0:
            yield batch
        yield batch


def swapped_texts(batches: Batches) -> Batches:
    """The first two nullable text columns with each other's values."""
    for batch in batches:
        texts = [i for i, field in enumerate(batch.schema) if pa.types.is_string(field.type) and field.nullable]
        columns = list(batch.columns)
        one, other = texts[0], texts[1]
        columns[one], columns[other] = columns[other], columns[one]
        yield pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def without_nul(array: pa.Array) -> pa.Array:
    """Texts without their NUL characters."""
    return pc.replace_substring(array, "\0", "")


def clamped(array: pa.Array) -> pa.Array:
    """Dates at least 1900-01-01 and at most 2299-12-31."""
    first, last = pa.scalar(dt.date(1900, 1, 1)), pa.scalar(dt.date(2299, 12, 31))
    return pc.max_element_wise(pc.min_element_wise(array, last, skip_nulls=False), first, skip_nulls=False)


def reviving() -> NativeEngine:
    """Each run after the first brings one row of the first run again that the source has lost since."""
    first: list[pa.Table] = []

    def stream(batches: Batches) -> Batches:
        rows = list(batches)
        yield from rows
        if not first:
            first.append(pa.Table.from_batches(rows))
            return
        keys = pa.concat_arrays([batch.column("id") for batch in rows])
        lost = first[0].filter(pc.invert(pc.is_in(first[0].column("id"), keys)))
        yield from lost.slice(0, 1).to_batches()

    return tapped(stream)


class PassingSource:
    """A source that does what another does; the base of broken ones."""

    def __init__(self, job: Job, inner: Source) -> None:
        self._job = job
        self._inner = inner

    @property
    def schema(self) -> pa.Schema:
        """See `Source.schema`."""
        return self._inner.schema

    def read(self, extract: Extract) -> Batches:
        """See `Source.read`."""
        return self._inner.read(extract)

    def close(self) -> None:
        """See `Source.close`."""
        self._inner.close()


class StrictlyAfter(PassingSource):
    """Reads cursor > watermark, so rows that came late to the watermark are missed."""

    def read(self, extract: Extract) -> Batches:
        """Without the rows at the watermark."""
        for batch in self._inner.read(extract):
            column = batch.column(self._job.cursor)
            floor = None if extract.since is None else pa.scalar(extract.since).cast(column.type)
            yield batch if floor is None else batch.filter(pc.greater(column, floor))


class FromTheStart(PassingSource):
    """Forgets the watermark and reads everything again."""

    def read(self, extract: Extract) -> Batches:
        """All rows, whatever the state says."""
        return self._inner.read(replace(extract, since=None))


class MaxXmin(PassingSource):
    """Goes on from the greatest `xmin` of the table, not from what was open. For Postgres."""

    def horizon(self) -> Horizon:
        """The snapshot's, but for its oldest transaction."""
        assert isinstance(self._inner, TransactionSource)
        greatest = _execute(self._job, "SELECT max(xmin::text::bigint) FROM {table}", end=self._job.source)[0][0]
        return replace(self._inner.horizon(), oldest=greatest)


class PassingSink:
    """A sink that does what another does; the base of broken ones."""

    def __init__(self, job: Job, inner: Sink) -> None:
        self._job = job
        self._inner = inner

    def prepare(self, schema: pa.Schema) -> bool:
        """See `Sink.prepare`."""
        return self._inner.prepare(schema)

    def has_rows(self) -> bool:
        """See `Sink.has_rows`."""
        return self._inner.has_rows()

    def state(self) -> State | None:
        """See `Sink.state`."""
        return self._inner.state()

    def stage(self, batches: Batches) -> int:
        """See `Sink.stage`."""
        return self._inner.stage(batches)

    def replace(self) -> None:
        """See `Sink.replace`."""
        self._inner.replace()

    def append(self, state: State) -> None:
        """See `Sink.append`."""
        self._inner.append(state)

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """See `Sink.merge`."""
        return self._inner.merge(state, delete=delete, gone=gone)

    def rewrite(self, days: tuple[Window, ...] | None, state: State | None) -> None:
        """See `Sink.rewrite`."""
        self._inner.rewrite(days, state)

    def history(self) -> Counts:
        """See `Sink.history`."""
        return self._inner.history()

    def close(self) -> None:
        """See `Sink.close`."""
        self._inner.close()


class KeepsDeleted(PassingSink):
    """Deletes nothing, and owns up to it."""

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """Without the deletes."""
        del delete, gone
        return self._inner.merge(state, delete=False)


class ForgetsTies(PassingSink):
    """Does not know which rows at the watermark were loaded before."""

    def state(self) -> State | None:
        """Without the hashes."""
        state = self._inner.state()
        return state and replace(state, hashes=())


class LosesState(PassingSink):
    """Commits the data, and a state that knows nothing."""

    def append(self, state: State) -> None:
        """With a fresh state."""
        self._inner.append(State(state.strategy, state.cursor))


class StateFirst(PassingSink):
    """Commits the state, and then the data. For Postgres."""

    def append(self, state: State) -> None:
        """In two steps."""
        inner: Any = self._inner
        inner._put(state)
        self._inner.append(state)


class DataFirst(PassingSink):
    """Commits the data, and then the state. For Postgres."""

    def append(self, state: State) -> None:
        """In two steps, with the moment between them."""
        inner: Any = self._inner
        moment, inner._moment = inner._moment, lambda _name: None
        self._inner.rewrite((), None)
        moment("committing")
        inner._put(state)


class RefusesToWrite(PassingSink):
    """Fails whenever it should write."""

    def stage(self, batches: Batches) -> int:
        """Always raises."""
        del batches
        raise EngineFailed("the mutant's sink is out of order", hint="this is on purpose")


class EmptiesFirst(PassingSink):
    """Empties the table, and takes its time before the new rows are there. For Postgres."""

    _exists = False

    def prepare(self, schema: pa.Schema) -> bool:
        """Remembers if there is anything to empty."""
        self._exists = self._inner.prepare(schema)
        return self._exists

    def replace(self) -> None:
        """Not in one step."""
        if self._exists:
            _execute(self._job, "TRUNCATE {table}")
            time.sleep(0.5)
        self._inner.replace()


class RewritesAll(PassingSink):
    """Writes each row of the table again, as it is. For Postgres."""

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """With an update of everything."""
        counts = self._inner.merge(state, delete=delete, gone=gone)
        _execute(self._job, "UPDATE {table} SET {key} = {key}")
        return counts


class RewritesEverything(PassingSink):
    """Takes the days that a job names for the whole table."""

    def rewrite(self, days: tuple[Window, ...] | None, state: State | None) -> None:
        """Whatever the days."""
        del days
        self._inner.rewrite(None, state)


class KeepsWhatWasThere(PassingSink):
    """Adds the new rows of the days, and lets the old ones stay."""

    def rewrite(self, days: tuple[Window, ...] | None, state: State | None) -> None:
        """Of no day, but the first time."""
        self._inner.rewrite(() if days is not None else None, state)


class ForgetsState(PassingSink):
    """Finds no state, though there is one, and does not mind the rows."""

    def state(self) -> State | None:
        """None."""
        return None

    def has_rows(self) -> bool:
        """Never."""
        return False


class MindsNoDamage(PassingSink):
    """Takes a state that can't be read for none, and the rows for nothing to mind."""

    def state(self) -> State | None:
        """None if it can't be read."""
        try:
            return self._inner.state()
        except DponeError:
            return None

    def has_rows(self) -> bool:
        """Never."""
        return False


class KnowsTheOldColumns(PassingSource):
    """Does not see the column that the source gained."""

    @property
    def schema(self) -> pa.Schema:
        """Without it."""
        schema = self._inner.schema
        return pa.schema([field for field in schema if field.name != "added"])

    def read(self, extract: Extract) -> Batches:
        """Without it."""
        for batch in self._inner.read(extract):
            yield batch.select(self.schema.names)


class DropsColumns(PassingSink):
    """Makes the table fit to the source, whatever that takes. For Postgres."""

    def prepare(self, schema: pa.Schema) -> bool:
        """Drops the column that the source has no more."""
        try:
            return self._inner.prepare(schema)
        except EngineFailed:
            if "flag" not in schema.names:
                _execute(self._job, "ALTER TABLE {table} DROP COLUMN flag")
            return self._inner.prepare(schema)


class NeverBackfillsAgain(PassingSink):
    """Takes another backfill for the one that is done."""

    def state(self) -> State | None:
        """As if its chunks were those of this job."""
        state = self._inner.state()
        return state and replace(state, load=self._job.backfill_id)


def other_policy(job: Job) -> Job:
    """A job with the other policy for empty partitions."""
    other: Literal["clear", "keep"] = "keep" if job.empty_partition == "clear" else "clear"
    return job.model_copy(update={"empty_partition": other})


class Misreading:
    """An engine that does another job than the one that it was given."""

    name = "native"

    def __init__(self, change: Callable[[Job], Job]) -> None:
        self._inner = NativeEngine()
        self._change = change
        self.supports = self._inner.supports

    def run(self, job: Job) -> RunFacts:
        """The changed job."""
        return self._inner.run(self._change(job))


class _HistoryThen(PassingSink):
    """Writes a history, then changes it. For Postgres."""

    def __init__(self, job: Job, inner: Sink, statement: str) -> None:
        super().__init__(job, inner)
        self._statement = statement

    def history(self) -> Counts:
        """With the statement behind it."""
        counts = self._inner.history()
        _execute(self._job, self._statement)
        return counts


def history_then(statement: str) -> NativeEngine:
    """The native engine with `statement` behind each history; `<f> <t> <c> <h>` are its columns."""
    columns = dict(zip("ftch", (f'"{name}"' for name in HistoryColumns().names), strict=True))
    for short, name in columns.items():
        statement = statement.replace(f"<{short}>", name)
    return NativeEngine(Seams(sink=lambda job, inner: _HistoryThen(job, inner, statement)))


def stale() -> NativeEngine:
    """Rows whose key came in the first run are never updated."""
    first: list[pa.Array] = []

    def stream(batches: Batches) -> Batches:
        known = pa.concat_arrays(first) if first else None
        for batch in batches:
            keys = batch.column("id")
            if known is None:
                first.append(keys)
                yield batch
            else:
                yield batch.filter(pc.invert(pc.is_in(keys, known)))

    return tapped(stream)


class Swallowing:
    """An engine that takes any error for success."""

    name = "native"

    def __init__(self) -> None:
        self._inner = NativeEngine(Seams(sink=RefusesToWrite))
        self.supports = self._inner.supports

    def run(self, job: Job) -> RunFacts:
        """Facts that are always happy."""
        try:
            return self._inner.run(job)
        except DponeError:
            return RunFacts(read=0, written=0)


class Lying:
    """An engine that does its work right and takes a changed row for an unchanged one in its facts."""

    name = "native"

    def __init__(self) -> None:
        self._inner = NativeEngine()
        self.supports = self._inner.supports

    def run(self, job: Job) -> RunFacts:
        """Facts in which one row is in the wrong place."""
        facts = self._inner.run(job)
        moved = min(1, facts.updated or 0)
        changed = {"updated": (facts.updated or 0) - moved, "unchanged": (facts.unchanged or 0) + moved}
        return facts.model_copy(update=changed)


def _execute(job: Job, statement: str, *, end: Endpoint | None = None) -> list[Any]:
    end = end or job.sink
    psycopg: Any = require("psycopg", extra="postgres")
    sql: Any = require("psycopg.sql", extra="postgres")
    table = sql.Identifier(end.namespace, end.table)
    with psycopg.connect(end.url.get_secret_value(), autocommit=True) as connection:
        cursor = connection.execute(sql.SQL(statement).format(table=table, key=sql.Identifier(job.key[0])))
        return list(cursor.fetchall()) if cursor.description else []
