"""What a change log tells, whatever database it is of, and what is left of it for each key in the end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from ...errors import EngineFailed
from .ports import Source


class Kept(Enum):
    """Marks a value that the log does not have, because the change left it as it was."""

    KEPT = "kept"


KEPT: Final = Kept.KEPT
Value: TypeAlias = str | Kept | None
"""A value as the text of its type, NULL, or `KEPT`: TOASTed, and the update did not touch it."""
Values: TypeAlias = tuple[Value, ...]
Key: TypeAlias = tuple[str, ...]
"""The values of the key's columns, as text."""


@dataclass(frozen=True, slots=True)
class Put:
    """A row is there now, with these values. `before`: the key under which it was, if that is another one."""

    row: Values
    before: Key | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """The row with this key is no more."""

    key: Key


@dataclass(frozen=True, slots=True)
class Emptied:
    """All rows are gone."""


Change: TypeAlias = Put | Gone | Emptied


@runtime_checkable
class LogSource(Source, Protocol):
    """A source with a log of its changes. A position in the log is a text, which is kept as the watermark."""

    @property
    def log(self) -> str:
        """What the log is called: a state belongs to one log."""
        ...

    def begin(self) -> str:
        """Have the log kept from now on; `read` reads the table as it is exactly there. Returns the position.

        Whatever an earlier run has left of it without committing a state is removed first.
        """
        ...

    def end(self, since: str) -> str:
        """Up to where the log can be read now. Raises `EngineFailed` if it is not whole from `since` on."""
        ...

    def changes(self, since: str, until: str) -> Iterator[Change]:
        """What was committed from `since` to below `until`, in the order of the commits."""
        ...

    def decode(self, rows: list[Values], schema: pa.Schema) -> pa.RecordBatch:
        """Texts of the columns of `schema` in travel types; `KEPT` gives NULL."""
        ...

    def release(self, position: str) -> None:
        """The log below `position` is no longer needed."""
        ...


@dataclass(frozen=True, slots=True)
class Partial:
    """A row that keeps values which the log does not have: they are in the sink's row with the key `origin`."""

    row: Values
    origin: Key


class Net:
    """The last word of a log about each key. It lies in a file that only this process sees, so memory is bounded."""

    def __init__(self, places: tuple[int, ...]) -> None:
        """`places` are the positions of the key's columns in a row."""
        self._places = places
        self.emptied = False
        """If the table was emptied, so that what the sink holds counts no more."""
        # without a name SQLite makes a file that it removes at once; another thread may read what is written here
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-16384"):
            self._file.execute(f"PRAGMA {pragma}")
        self._file.execute("CREATE TABLE net (key TEXT PRIMARY KEY, row TEXT, origin TEXT) WITHOUT ROWID")

    def take(self, change: Change) -> None:
        """Let `change` follow all that came before."""
        if isinstance(change, Emptied):
            self.emptied = True
            self._file.execute("DELETE FROM net")
        elif isinstance(change, Gone):
            self._put(change.key, None, None)
        else:
            self._put_row(change)

    def rows(self) -> Iterator[Values]:
        """The rows whose values are all known."""
        for (row,) in self._file.execute("SELECT row FROM net WHERE row IS NOT NULL AND origin IS NULL"):
            yield _values(row)

    def partial(self) -> Iterator[Partial]:
        """The rows of which the log does not have all values."""
        for row, origin in self._file.execute("SELECT row, origin FROM net WHERE origin IS NOT NULL"):
            yield Partial(_values(row), tuple(json.loads(origin)))

    def gone(self) -> Iterator[Key]:
        """The keys that are gone."""
        for (key,) in self._file.execute("SELECT key FROM net WHERE row IS NULL"):
            yield tuple(json.loads(key))

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _put_row(self, change: Put) -> None:
        key = key_of(change.row, self._places)
        before = change.before or key
        row, origin = change.row, None
        if KEPT in row:
            row, origin = self._completed(row, before)
        if before != key:
            self._put(before, None, None)
        self._put(key, row, origin)

    def _completed(self, row: Values, before: Key) -> tuple[Values, Key | None]:
        """`row` with what is known of the row that it was before; and the sink's key of what is not."""
        found = self._file.execute("SELECT row, origin FROM net WHERE key = ?", (json.dumps(before),)).fetchone()
        if found is None and not self.emptied:
            return row, before
        if found is None or found[0] is None:
            raise EngineFailed(
                f"the log changes a row with the key {before}, which is not there", hint="report this as a bug"
            )
        known = _values(found[0])
        row = tuple(old if new is KEPT else new for new, old in zip(row, known, strict=True))
        return row, tuple(json.loads(found[1])) if KEPT in row else None

    def _put(self, key: Key, row: Values | None, origin: Key | None) -> None:
        values = None if row is None else json.dumps([False if value is KEPT else value for value in row])
        place = None if origin is None else json.dumps(origin)
        self._file.execute("INSERT OR REPLACE INTO net VALUES (?, ?, ?)", (json.dumps(key), values, place))


def key_of(row: Values, places: tuple[int, ...]) -> Key:
    """The key of a row. Raises `EngineFailed` if a part of it is NULL or not in the log."""
    return tuple(_part(row[place]) for place in places)


def _part(value: Value) -> str:
    if isinstance(value, str):
        return value
    raise EngineFailed(
        "the log tells of a row without telling its whole key",
        hint="the key must be the table's REPLICA IDENTITY, or that must be FULL",
    )


def _values(text: str) -> Values:
    return tuple(KEPT if value is False else value for value in json.loads(text))
