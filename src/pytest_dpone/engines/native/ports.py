"""The two seams of the native engine: what it reads from and what it writes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from ...core.wire import Job
from .arrow import Batches
from .state import State


@dataclass(frozen=True, slots=True)
class Counts:
    """What a merge did, in rows."""

    inserted: int
    updated: int
    deleted: int
    unchanged: int


class Source(Protocol):
    """One table to read, as it was at one moment."""

    @property
    def schema(self) -> pa.Schema:
        """The columns in travel types (`arrow.travel_type`), in the table's order; nullable as the table says."""
        ...

    def read(self, since: str | None) -> Batches:
        """All rows, or those with cursor ≥ `since`, in batches of at most the job's size. One use."""
        ...

    def close(self) -> None:
        """Give connections back; may be called twice."""
        ...


class Sink(Protocol):
    """One table to write. Calls come in this order: prepare, state, stage, then one of replace, append, merge."""

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

    def merge(self, state: State | None, *, delete: bool) -> Counts:
        """Insert and update by key what is staged and differs; with `delete`, remove keys that are not staged.

        Unchanged rows are not rewritten. Then commit `state`, if there is one. Raises `EngineFailed` if a key is
        staged twice.
        """
        ...

    def close(self) -> None:
        """Remove what is staged and give connections back; may be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Seams:
    """Places where a run can be watched, or broken on purpose.

    `tap` sees and may change the stream between source and sink. `source` and `sink` wrap what was opened.
    `moment` is called with `staged` and `applied` as they are reached, and by the ClickHouse sink with `pending` (its
    intent is written) and `moved` (the rows are in the table, the state is not).
    """

    tap: Callable[[Job, Batches], Batches] | None = None
    source: Callable[[Job, Source], Source] | None = None
    sink: Callable[[Job, Sink], Sink] | None = None
    moment: Callable[[str], None] = field(default=lambda _moment: None)
