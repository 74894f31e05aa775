"""A source and a sink that do what others do, the bases of broken ones; and a way past them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ....core.kinds import ID
from ....core.wire import Endpoint, Job, Window
from ....errors import require
from ...native import Counts, Extract, Sink, Source, State
from .streams import Batches


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


def execute(job: Job, statement: str, *, end: Endpoint | None = None) -> list[Any]:
    """Run a statement in Postgres, by default at the sink.

    `{table}` is that of the job, `{name}` the same as a text; `{key}` is the number that each row of a dataset has.
    """
    end = end or job.sink
    psycopg: Any = require("psycopg", extra="postgres")
    sql: Any = require("psycopg.sql", extra="postgres")
    table = sql.Identifier(end.namespace, end.table)
    with psycopg.connect(end.url.get_secret_value(), autocommit=True) as connection:
        names = {"table": table, "key": sql.Identifier(ID), "name": sql.Literal(table.as_string(connection))}
        cursor = connection.execute(sql.SQL(statement).format(**names))
        return list(cursor.fetchall()) if cursor.description else []
