"""The harness's own hands on a service: address, create, seed, change, read back. Never used by an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pyarrow as pa

from ...core.dataset import Commit
from ...core.kinds import Field, TableSchema
from ...core.wire import Endpoint

__all__ = [
    "Catalog",
    "Commit",
    "Events",
    "Evolving",
    "Fingerprint",
    "SinkCatalog",
    "Slotted",
    "Transactions",
    "Witness",
]


LOCKED = -1
"""Stands for the rows of a table that nobody else may look into now."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a polling reader can see of a table cheaply: rows, and the sum of an int64 column. Both 0 for no rows."""

    rows: int
    total: int


class SinkCatalog(Protocol):
    """A place as the harness sees it where an engine writes: what is needed to judge a sink, and no more.

    A namespace is created by `open`, belongs to one side of one case and is removed by `close`: each table by its
    own name, then the namespace itself, never CASCADE and never by pattern. Names are always quoted.
    """

    family: str

    def open(self, namespace: str) -> None:
        """Create the namespace (Postgres schema, ClickHouse database, S3 prefix)."""
        ...

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        """What an engine gets to reach `table`."""
        ...

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        """Column name → native type as the service spells it, in order; empty if there is no such table."""
        ...

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """All rows, sorted by `order_by` (bytewise for text, NULL last), in the canonical Arrow types of `fields`.

        A value that can't be brought into the field's kind raises; the caller has compared the native types before.
        ClickHouse reads with FINAL on Replacing and Collapsing engines only. Streams with bounded memory.
        """
        ...

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        """Rows and the sum of `column`, from one consistent statement; None if there is no such table."""
        ...

    def close(self, namespace: str) -> None:
        """Remove everything in the namespace and the namespace itself; nothing to do is fine."""
        ...

    def disconnect(self) -> None:
        """Close the client's connections."""
        ...


@runtime_checkable
class Catalog(SinkCatalog, Protocol):
    """One service as the harness sees it: source and sink, and looks behind the scenes.

    All methods raise the client library's errors.
    """

    def create(self, namespace: str, table: str, schema: TableSchema) -> None:
        """Create an empty source table with the native types of `core.contracts` and the primary key."""
        ...

    def load(self, namespace: str, table: str, schema: TableSchema, batches: Iterable[pa.RecordBatch]) -> int:
        """Append canonical batches in bulk, bounded memory; returns rows."""
        ...

    def change(self, namespace: str, table: str, schema: TableSchema, commits: Sequence[Commit]) -> None:
        """Apply real DML, one transaction a commit where the service has transactions."""
        ...

    def contents(self, namespace: str) -> Mapping[str, int]:
        """Whatever lies in the namespace, by name, with its rows (bytes where rows can't be counted)."""
        ...

    def damage(self, namespace: str, table: str) -> bool:
        """Spoil every text that is no key in a table, as a bad disk or a hasty hand would; False if there is none."""
        ...

    def row_versions(self, namespace: str, table: str, key: str) -> pa.Table | None:
        """(key, version) of each row, where `version` changes whenever the row is rewritten; None if not observable.

        `key` is a column that tells the rows apart, which need not be the table's declared key.
        """
        ...


@runtime_checkable
class Transactions(Protocol):
    """What the catalog of a database can do beside `Catalog`, for the strategies that look into its history."""

    def hold(self, namespace: str, table: str, schema: TableSchema, commit: Commit) -> Callable[[], None]:
        """Apply `commit` in a transaction that stays open; returns the function that commits it."""
        ...

    def rekey(self, namespace: str, table: str, key: str, keys: Sequence[int], *, offset: int) -> None:
        """Add `offset` to the key of the rows `keys`, by UPDATE, in one transaction. Raises if one is not there."""
        ...

    def truncate(self, namespace: str, table: str) -> None:
        """Empty the table by TRUNCATE."""
        ...


@runtime_checkable
class Slotted(Protocol):
    """What the catalog of a server can do beside `Catalog` if it has room for a few change logs only."""

    def release(self, namespace: str, table: str) -> None:
        """Drop what an engine has made to follow the table's changes; nothing to do is fine."""
        ...


@runtime_checkable
class Events(Protocol):
    """What the catalog of a family whose tables are events can do beside `Catalog`."""

    def events(self, namespace: str, table: str, columns: Sequence[str]) -> pa.Table:
        """Every committed event of the table, in order within each partition; none if there is no such table.

        Columns: `partition` and `offset`; `key`, the text of the event's key; `op` and `run_id` by the event's headers,
        and by its body as `told_op` and `told_run_id`; the row's int64 `columns`, NULL for a tombstone.
        """
        ...


@runtime_checkable
class Witness(Protocol):
    """What the catalog of a server can do beside `Catalog`, if the server puts its clients to the test."""

    def witnessed(self, namespace: str) -> Mapping[str, int]:
        """What was counted since the last time: `requests`, answers by status, requests that came `early`."""
        ...


@runtime_checkable
class Evolving(Protocol):
    """What a catalog can do beside `Catalog` if a source table's columns may change."""

    def add_column(self, namespace: str, table: str, field: Field) -> None:
        """Add a column behind the others, NULL in every row."""
        ...

    def widen_column(self, namespace: str, table: str, field: Field) -> None:
        """Give the column the type of a wider kind; its values stay."""
        ...

    def drop_column(self, namespace: str, table: str, name: str) -> None:
        """Remove a column."""
        ...

    def rename_column(self, namespace: str, table: str, name: str, to: str) -> None:
        """Give a column another name."""
        ...
