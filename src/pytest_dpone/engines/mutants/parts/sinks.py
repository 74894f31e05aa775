"""Sinks that are broken in one way each."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ....core.wire import HistoryColumns, Job, Window
from ....errors import DponeError, EngineFailed
from ...native import Counts, NativeEngine, Seams, Sink, State
from .passing import PassingSink, execute
from .streams import Batches


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


class IsDeaf(PassingSink):
    """Goes on as if nothing had happened when its server is gone."""

    def stage(self, batches: Batches) -> int:
        """Whatever becomes of the rows."""
        try:
            return self._inner.stage(batches)
        except EngineFailed:
            return 0

    def append(self, state: State) -> None:
        """Whatever becomes of the rows."""
        with suppress(EngineFailed):
            self._inner.append(state)


class RefusesToWrite(PassingSink):
    """Fails whenever it should write."""

    def stage(self, batches: Batches) -> int:
        """Always raises."""
        del batches
        raise EngineFailed("the mutant's sink is out of order", hint="this is on purpose")


class EmptiesFirst(PassingSink):
    """Empties the table, and takes its time before the new rows are there. For Postgres."""

    _exists = False
    _statement = "TRUNCATE {table}"

    def prepare(self, schema: pa.Schema) -> bool:
        """Remembers if there is anything to empty."""
        self._exists = self._inner.prepare(schema)
        return self._exists

    def replace(self) -> None:
        """Not in one step."""
        if self._exists:
            execute(self._job, self._statement)
            time.sleep(0.5)
        self._inner.replace()


class EditsFirst(EmptiesFirst):
    """Brings the rows up to date where they are, and takes its time before the new ones are there. For Postgres."""

    _statement = "UPDATE {table} SET revision = revision + 1"


class AddsColumn(PassingSink):
    """Gives the table a column of its own. For Postgres."""

    def prepare(self, schema: pa.Schema) -> bool:
        """Without it, for a while."""
        execute(self._job, "ALTER TABLE IF EXISTS {table} DROP COLUMN IF EXISTS surplus")
        return self._inner.prepare(schema)

    def replace(self) -> None:
        """And one column more."""
        self._inner.replace()
        execute(self._job, "ALTER TABLE {table} ADD COLUMN surplus int")


class RewritesAll(PassingSink):
    """Writes each row of the table again, as it is, when any has changed. For Postgres."""

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """With an update of everything."""
        counts = self._inner.merge(state, delete=delete, gone=gone)
        if counts.updated:
            execute(self._job, "UPDATE {table} SET {key} = {key}")
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


class DropsColumns(PassingSink):
    """Makes the table fit to the source, whatever that takes. For Postgres."""

    def prepare(self, schema: pa.Schema) -> bool:
        """Drops the column that the source has no more."""
        try:
            return self._inner.prepare(schema)
        except EngineFailed:
            if "flag" not in schema.names:
                execute(self._job, "ALTER TABLE {table} DROP COLUMN flag")
            return self._inner.prepare(schema)


class BackfillsInSecret(PassingSink):
    """Finds a backfill that is done, and writes its rows again as they are. For Postgres."""

    def state(self) -> State | None:
        """As it is."""
        state = self._inner.state()
        window = self._job.window
        if state and window and state.load == self._job.backfill_id and state.watermark == window.stop.isoformat():
            execute(self._job, "UPDATE {table} SET {key} = {key}")
        return state


class BeginsAnew(PassingSink):
    """Does not know how far a backfill has come that has not come to its end."""

    _forgets = False

    def state(self) -> State | None:
        """None in the midst of a backfill."""
        state, window = self._inner.state(), self._job.window
        if state and window and state.load == self._job.backfill_id:
            self._forgets = state.watermark != window.stop.isoformat()
        return None if self._forgets else state

    def has_rows(self) -> bool:
        """Without a state there are none."""
        return not self._forgets and self._inner.has_rows()


class WidensColumns(PassingSink):
    """Gives the table the wider type that the source has. For Postgres."""

    def prepare(self, schema: pa.Schema) -> bool:
        """Alters the column that the source has widened."""
        try:
            return self._inner.prepare(schema)
        except EngineFailed:
            if "medium" in schema.names and schema.field("medium").type == pa.int64():
                execute(self._job, "ALTER TABLE {table} ALTER COLUMN medium TYPE bigint")
            return self._inner.prepare(schema)


class NeverBackfillsAgain(PassingSink):
    """Takes another backfill for the one that is done."""

    def state(self) -> State | None:
        """As if its chunks were those of this job."""
        state = self._inner.state()
        return state and replace(state, load=self._job.backfill_id)


class _HistoryThen(PassingSink):
    """Writes a history, then changes it. For Postgres."""

    def __init__(self, job: Job, inner: Sink, statement: str) -> None:
        super().__init__(job, inner)
        self._statement = statement

    def history(self) -> Counts:
        """With the statement behind it."""
        counts = self._inner.history()
        execute(self._job, self._statement)
        return counts


def history_then(statement: str) -> NativeEngine:
    """The native engine with `statement` behind each history; `<f> <t> <c> <h>` are its columns."""
    columns = dict(zip("ftch", (f'"{name}"' for name in HistoryColumns().names), strict=True))
    for short, name in columns.items():
        statement = statement.replace(f"<{short}>", name)
    return NativeEngine(Seams(sink=lambda job, inner: _HistoryThen(job, inner, statement)))
