"""The parts of which mutants of change data capture are made: logs that are told wrong in one way each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from ....core.wire import Job
from ...native import Source
from ...native.changes import KEPT, Change, Emptied, LogSource, Put, Values
from .passing import PassingSource


class PassingLog(PassingSource):
    """A log that tells what another one tells; the base of broken ones."""

    def __init__(self, job: Job, inner: Source) -> None:
        super().__init__(job, inner)
        assert isinstance(inner, LogSource)
        self._told = inner

    @property
    def log(self) -> str:
        """See `LogSource.log`."""
        return self._told.log

    def begin(self) -> str:
        """See `LogSource.begin`."""
        return self._told.begin()

    def end(self, since: str) -> str:
        """See `LogSource.end`."""
        return self._told.end(since)

    def changes(self, since: str, until: str) -> Iterator[Change]:
        """See `LogSource.changes`."""
        return self._told.changes(since, until)

    def decode(self, rows: list[Values], schema: pa.Schema) -> pa.RecordBatch:
        """See `LogSource.decode`."""
        return self._told.decode(rows, schema)

    def release(self, position: str) -> None:
        """See `LogSource.release`."""
        self._told.release(position)


class BeginsLate(PassingLog):
    """Has the log kept from the second run on, so what was committed after the first load's snapshot is lost."""

    def begin(self) -> str:
        """A position before every log, as a mark."""
        self._told.begin()
        return "0/1"

    def end(self, since: str) -> str:
        """The first time the log begins only here."""
        return self._told.begin() if since == "0/1" else self._told.end(since)

    def changes(self, since: str, until: str) -> Iterator[Change]:
        """Nothing of what was before."""
        return iter(()) if since == "0/1" else self._told.changes(since, until)


class _Retelling(PassingLog):
    """Tells each change in other words."""

    def retold(self, change: Change) -> Change | None:
        """The change as it is told; None if it is not."""
        raise NotImplementedError

    def changes(self, since: str, until: str) -> Iterator[Change]:
        """The changes, retold."""
        return (told for change in self._told.changes(since, until) if (told := self.retold(change)) is not None)


class LosesKept(_Retelling):
    """Takes a value that the log does not have for NULL."""

    def retold(self, change: Change) -> Change:
        """Without the marks."""
        if not isinstance(change, Put):
            return change
        return replace(change, row=tuple(None if value is KEPT else value for value in change.row))


class IgnoresTruncate(_Retelling):
    """Does not hear of a table that was emptied."""

    def retold(self, change: Change) -> Change | None:
        """Without it."""
        return None if isinstance(change, Emptied) else change


class KeepsOldKey(_Retelling):
    """Takes a row with a new key for a new row. Where the log leaves values out, so does it."""

    def retold(self, change: Change) -> Change:
        """As if the row had not been there."""
        if not isinstance(change, Put) or change.before is None or KEPT in change.row:
            return change
        return replace(change, before=None)


class ReleasesEarly(PassingLog):
    """Lets go of the log when it has been read, before the sink has committed what it told."""

    def changes(self, since: str, until: str) -> Iterator[Change]:
        """All changes, then nothing is left of them."""
        yield from self._told.changes(since, until)
        self._told.release(until)
