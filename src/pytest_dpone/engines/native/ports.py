"""The two seams of the native engine: what it reads from and what it writes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from ...core.wire import Job, Window
from .arrow import Batches
from .state import State


@dataclass(frozen=True, slots=True)
class Counts:
    """What a merge did, in rows."""

    inserted: int
    updated: int
    deleted: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Extract:
    """Which rows of a source are read: those that meet all that is given."""

    since: str | None = None
    """Rows with cursor ≥ this value, as `ties.cursor_text` writes it."""
    days: tuple[Window, ...] | None = None
    """Rows whose partition column lies in one of these windows. A row without a day lies in none."""
    keys: pa.Table | None = None
    """Rows with one of these keys (the job's key columns). Not for MinIO and the API; at most a few hundred."""
    xid: str | None = None
    """Rows that a transaction from this one on has written (`xids.written_since`). For Postgres."""


ALL = Extract()


class Source(Protocol):
    """One table to read, as it was at one moment."""

    @property
    def schema(self) -> pa.Schema:
        """The columns in travel types (`arrow.travel_type`), in the table's order; nullable as the table says."""
        ...

    def read(self, extract: Extract) -> Batches:
        """The rows that `extract` asks for, in batches of at most the job's size; again when they have been read."""
        ...

    def close(self) -> None:
        """Give connections back; may be called twice."""
        ...


class Sink(Protocol):
    """One table to write. Calls come in this order: prepare, state, stage, then what applies it; a backfill stages and
    rewrites again and again.
    """

    def prepare(self, schema: pa.Schema) -> bool:
        """Remove or finish what a killed run left, and say if the table exists.

        Raises `EngineFailed` if the table's columns are not those that `schema` would get.
        """
        ...

    def has_rows(self) -> bool:
        """If the existing table holds a row."""
        ...

    def state(self) -> State | None:
        """The committed state of this table, None if there is none. Raises `EngineFailed` if it is damaged."""
        ...

    def stage(self, batches: Batches) -> int:
        """Write rows where no reader of the table sees them; returns their number."""
        ...

    def replace(self) -> None:
        """What is staged becomes the table, in one step for a reader."""
        ...

    def append(self, state: State) -> None:
        """Add what is staged to the table and commit `state` with it, or after it so that a repeat is safe."""
        ...

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """Insert and update by key what is staged and differs; with `delete`, remove keys that are not staged.

        `gone` are keys (the job's key columns) that are removed, too. Unchanged rows are not rewritten. Then commit
        `state`, if there is one. Raises `EngineFailed` if a key is staged twice.
        """
        ...

    def rewrite(self, days: tuple[Window, ...] | None, state: State | None) -> None:
        """Rows of `days` (None: all rows) go, and what is staged comes. Then commit `state`, if there is one."""
        ...

    def history(self) -> Counts:
        """Close the current versions that are not staged, or staged with other values; open what is staged and new.

        The columns of the interval are `HistoryColumns`. Counts: opened new keys, changed keys, gone keys, the rest.
        """
        ...

    def close(self) -> None:
        """Remove what is staged and give connections back; may be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Seams:
    """Places where a run can be watched, or broken on purpose.

    `tap` sees and may change the stream between source and sink. `source` and `sink` wrap what was opened.
    `moment` is called as a run gets on: `begun` (nothing is staged), `staged`, `committing` (the last step of a sink
    is next: it shows the rows, or commits the state of rows that are visible already), `applied`; and by the
    ClickHouse sink with `uploaded` (the staging area is full, and nothing is loaded from it) and `pending` (its intent
    is written).
    """

    tap: Callable[[Job, Batches], Batches] | None = None
    source: Callable[[Job, Source], Source] | None = None
    sink: Callable[[Job, Sink], Sink] | None = None
    moment: Callable[[str], None] = field(default=lambda _moment: None)
