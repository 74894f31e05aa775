"""Postgres as a sink: staged by ADBC with COPY BINARY, applied with the state in one transaction."""

# ruff: noqa: S608 - names are quoted by `ident`, values by `literal`

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...core.model import Strategy
from ...core.wire import HistoryColumns, Job, Window
from ...errors import EngineFailed, require
from .address import place, told
from .arrow import Batches, additions, check_range, convert, is_json, stored, texts
from .ports import Counts
from .postgres import (
    DATE_RANGE,
    TIMESTAMP_RANGE,
    adbc_connect,
    column_type,
    columns_query,
    days_condition,
    driver_type,
    ident,
    literal,
)
from .state import State
from .stream import Guarded

_PATIENCE_MS = 60_000
_LOCK_SEED = 4_217_007
"""Tells our locks from others on the same names."""
_NAMES = HistoryColumns()
_HISTORY = {
    _NAMES.valid_from: ("timestamp with time zone", " NOT NULL"),
    _NAMES.valid_to: ("timestamp with time zone", ""),
    _NAMES.is_current or "": ("boolean", " NOT NULL"),
    _NAMES.row_hash or "": ("text", " NOT NULL"),
}
_FROM, _TO, _CURRENT, _HASH = map(ident, _HISTORY)
_INTERVAL = ", ".join(f"{ident(name)} {native}{required}" for name, (native, required) in _HISTORY.items())


class PostgresSink:
    """A Postgres table; implements `Sink`.

    The staging table lies beside the table, under a name derived from its name. It is a plain table if it will become
    the table itself, and unlogged if its rows are copied. The state is a row of the state table, keyed by table.
    """

    def __init__(self, job: Job, moment: Callable[[str], None]) -> None:
        self._job = job
        self._moment = moment
        self._endpoint = job.sink
        self._space = job.sink.namespace
        self._stage_name = "dpone_stage_" + hashlib.sha256(job.sink.table.encode()).hexdigest()[:24]
        self._target = self._qualified(job.sink.table)
        self._stage = self._qualified(self._stage_name)
        self._states = self._qualified(job.state_table)
        self._schema = pa.schema([])
        self._exists = False
        psycopg: Any = require("psycopg", extra="postgres")
        with told(self._endpoint, "opening the sink"):
            self._connection = psycopg.connect(self._endpoint.url.get_secret_value(), autocommit=True)
            self._lock()

    def _lock(self) -> None:
        """Keep a second run away from the table until this connection ends; it waits, for a while."""
        try:
            self._run(f"SET lock_timeout = {_PATIENCE_MS}")
            self._run(f"SELECT pg_advisory_lock(hashtextextended({literal(self._target)}, {_LOCK_SEED}))")
            self._run("SET lock_timeout = 0")
        except BaseException:
            self._connection.close()
            raise

    def prepare(self, schema: pa.Schema) -> bool:
        """See `Sink.prepare`."""
        self._schema = pa.schema([f.with_nullable(f.nullable and f.name not in self._job.key) for f in schema])
        with told(self._endpoint, "preparing the sink"):
            self._run(f"DROP TABLE IF EXISTS {self._stage}")
            found = self._columns()
        wanted = [(f.name, column_type(f.type)) for f in self._schema]
        if self._job.strategy is Strategy.SCD2:
            wanted += [(name, native) for name, (native, _) in _HISTORY.items()]
        self._exists = found is not None
        if found is not None and (added := additions(found, self._schema, wanted)):
            with told(self._endpoint, "adding columns"):
                for name, native in added:
                    self._run(f"ALTER TABLE {self._target} ADD COLUMN {ident(name)} {native}")
        elif found is not None and found != wanted:
            raise EngineFailed(
                f"the columns of {place(self._endpoint)} are {found}, the source now needs {wanted}",
                hint="the native engine follows new columns that may be NULL only: load into a new table",
            )
        return self._exists

    def has_rows(self) -> bool:
        """See `Sink.has_rows`."""
        with told(self._endpoint, "looking into the sink"):
            return bool(self._value(f"SELECT EXISTS (SELECT FROM {self._target})"))

    def state(self) -> State | None:
        """See `Sink.state`."""
        with told(self._endpoint, "reading the state"):
            if self._value(f"SELECT to_regclass({literal(self._states)})") is None:
                return None
            query = f"SELECT state FROM {self._states} WHERE table_name = {literal(self._job.sink.table)}"
            row = self._connection.execute(query.encode()).fetchone()
        return State.from_text(row[0], where=f"{place(self._endpoint)} ({self._job.state_table})") if row else None

    def stage(self, batches: Batches) -> int:
        """See `Sink.stage`."""
        guarded = Guarded(convert(batch, _for_driver) for batch in batches)
        with guarded.kept(), told(self._endpoint, "staging"):
            self._run(f"CREATE {'UNLOGGED ' if self._copies else ''}TABLE {self._stage} ({self._definitions()})")
            self._ingest(guarded)
        return guarded.rows

    def replace(self) -> None:
        """See `Sink.replace`."""
        with told(self._endpoint, "swapping"), self._transaction():
            self._run(f"DROP TABLE IF EXISTS {self._target}")
            self._adopt()

    def append(self, state: State) -> None:
        """See `Sink.append`."""
        with told(self._endpoint, "appending"), self._transaction():
            if self._exists:
                self._run(f"INSERT INTO {self._target} ({self._names()}) SELECT {self._names()} FROM {self._stage}")
                self._run(f"DROP TABLE {self._stage}")
            else:
                self._adopt()
            self._put(state)

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """See `Sink.merge`."""
        with told(self._endpoint, "merging"):
            staged = self._keyed()
            with self._transaction():
                if self._exists:
                    removed = self._remove(gone) if gone is not None else 0
                    counts = self._upsert(staged, delete=delete)
                    counts = replace(counts, deleted=counts.deleted + removed)
                else:
                    self._adopt()
                    counts = Counts(inserted=staged, updated=0, deleted=0, unchanged=0)
                if state is not None:
                    self._put(state)
        return counts

    def rewrite(self, days: tuple[Window, ...] | None, state: State | None) -> None:
        """See `Sink.rewrite`."""
        with told(self._endpoint, "rewriting"), self._transaction():
            if self._exists and days is not None:
                self._run(f"DELETE FROM {self._target} WHERE {days_condition(self._job.partition, days)}")
                self._run(f"INSERT INTO {self._target} ({self._names()}) SELECT {self._names()} FROM {self._stage}")
                self._run(f"DROP TABLE {self._stage}")
            else:
                self._run(f"DROP TABLE IF EXISTS {self._target}")
                self._adopt()
            if state is not None:
                self._put(state)
        self._exists = True

    def history(self) -> Counts:
        """See `Sink.history`."""
        with told(self._endpoint, "writing the history"):
            self._keyed()
            with self._transaction():
                if not self._exists:
                    self._run(f"CREATE TABLE {self._target} ({self._definitions()}, {_INTERVAL})")
                counts = self._versions()
                self._run(f"DROP TABLE {self._stage}")
        return counts

    def close(self) -> None:
        """See `Sink.close`."""
        if self._connection.closed:
            return
        with suppress(EngineFailed), told(self._endpoint, "cleaning up"):
            self._run(f"DROP TABLE IF EXISTS {self._stage}")
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            yield
            self._moment("committing")

    @property
    def _copies(self) -> bool:
        """If the rows of the staging table are copied, so that it does not become the table itself."""
        strategy = self._job.strategy
        whole = strategy is Strategy.FULL_REFRESH or (strategy is Strategy.REPLACE and self._job.window is None)
        return strategy is Strategy.SCD2 or (self._exists and not whole)

    def _keyed(self) -> int:
        """Give the staging table its key, which refuses double rows; returns its number of rows."""
        keys = ", ".join(ident(name) for name in self._job.key)
        self._run(f"ALTER TABLE {self._stage} ADD PRIMARY KEY ({keys})")
        if self._copies:
            self._run(f"ANALYZE {self._stage}")
        return int(self._value(f"SELECT count(*) FROM {self._stage}"))

    def _versions(self) -> Counts:
        """Close and open versions at one instant, later than any in the table even if the clock went back."""
        names = [ident(f.name) for f in self._schema]
        same_key, same = self._same_key(), f"NOT {_record('t', names)} *<> {_record('s', names)}"
        moment = self._value(
            f"SELECT greatest(clock_timestamp(), max({_FROM}) + interval '1 us', max({_TO}) + interval '1 us')::text"
            f" FROM {self._target}"
        )
        now = f"{literal(moment)}::timestamptz"
        known = int(self._value(f"SELECT count(*) FROM {self._target} WHERE {_CURRENT}"))
        lost = f"t.{_CURRENT} AND NOT EXISTS (SELECT FROM {self._stage} s WHERE {same_key})"
        gone = int(self._value(f"SELECT count(*) FROM {self._target} t WHERE {lost}"))
        closed = self._run(
            f"UPDATE {self._target} t SET {_TO} = {now}, {_CURRENT} = false WHERE t.{_CURRENT}"
            f" AND NOT EXISTS (SELECT FROM {self._stage} s WHERE {same_key} AND {same})"
        )
        listed = ", ".join(names)
        opened = self._run(
            f"INSERT INTO {self._target} ({listed}, {_FROM}, {_TO}, {_CURRENT}, {_HASH})"
            f" SELECT {listed}, {now}, NULL, true,"
            f" encode(sha256(convert_to({_record('s', names)}::text, 'UTF8')), 'hex')"
            f" FROM {self._stage} s WHERE NOT EXISTS (SELECT FROM {self._target} t WHERE {same_key} AND t.{_CURRENT})"
        )
        changed = closed - gone
        return Counts(inserted=opened - changed, updated=changed, deleted=gone, unchanged=known - closed)

    def _same_key(self) -> str:
        return " AND ".join(f"t.{ident(name)} = s.{ident(name)}" for name in self._job.key)

    def _remove(self, gone: pa.Table) -> int:
        """Delete the rows with these keys, sent as a table of their own: they may be many."""
        keys = ", ".join(ident(name) for name in gone.column_names)
        self._run(f"CREATE TEMP TABLE dpone_gone ON COMMIT DROP AS SELECT {keys} FROM {self._target} WITH NO DATA")
        with self._connection.cursor().copy(f"COPY dpone_gone ({keys}) FROM STDIN".encode()) as copy:
            for row in zip(*map(texts, gone.columns), strict=True):
                copy.write_row(row)
        return self._run(f"DELETE FROM {self._target} t USING dpone_gone s WHERE {self._same_key()}")

    def _ingest(self, guarded: Guarded) -> None:
        schema = pa.schema([pa.field(f.name, driver_type(f.type)) for f in self._schema])
        reader = pa.RecordBatchReader.from_batches(schema, iter(guarded))
        with adbc_connect(self._endpoint) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest(self._stage_name, reader, mode="append", db_schema_name=self._space)
            connection.commit()

    def _upsert(self, staged: int, *, delete: bool) -> Counts:
        names = [ident(f.name) for f in self._schema]
        same_key = self._same_key()
        rest = [name for name in names if name not in {ident(key) for key in self._job.key}]
        updated = inserted = deleted = 0
        if rest:
            changes = ", ".join(f"{name} = s.{name}" for name in rest)
            # *<> compares the stored bytes: -0.0, NaN and a numeric's trailing zeros count, and NULL is a value
            images = f"{_record('t', rest)} *<> {_record('s', rest)}"
            updated = self._run(
                f"UPDATE {self._target} t SET {changes} FROM {self._stage} s WHERE {same_key} AND {images}"
            )
        inserted = self._run(
            f"INSERT INTO {self._target} ({', '.join(names)}) SELECT {', '.join(names)} FROM {self._stage} s"
            f" WHERE NOT EXISTS (SELECT FROM {self._target} t WHERE {same_key})"
        )
        if delete:
            deleted = self._run(
                f"DELETE FROM {self._target} t WHERE NOT EXISTS (SELECT FROM {self._stage} s WHERE {same_key})"
            )
        self._run(f"DROP TABLE {self._stage}")
        return Counts(inserted, updated, deleted, unchanged=staged - inserted - updated)

    def _adopt(self) -> None:
        self._run(f"ALTER TABLE {self._stage} RENAME TO {ident(self._job.sink.table)}")

    def _put(self, state: State) -> None:
        self._run(
            f"CREATE TABLE IF NOT EXISTS {self._states} (table_name text PRIMARY KEY, state text NOT NULL,"
            " committed_at timestamptz NOT NULL DEFAULT now())"
        )
        self._run(
            f"INSERT INTO {self._states} AS old (table_name, state)"
            f" VALUES ({literal(self._job.sink.table)}, {literal(state.to_text())}) ON CONFLICT (table_name)"
            " DO UPDATE SET state = excluded.state, committed_at = now() WHERE old.state <> excluded.state"
        )

    def _columns(self) -> list[tuple[str, str]] | None:
        if self._value(f"SELECT to_regclass({literal(self._target)})") is None:
            return None
        rows = self._connection.execute(columns_query(self._target).encode()).fetchall()
        return [(name, native) for name, native, _ in rows]

    def _definitions(self) -> str:
        return ", ".join(
            f"{ident(f.name)} {column_type(f.type)}{'' if f.nullable else ' NOT NULL'}" for f in self._schema
        )

    def _names(self) -> str:
        return ", ".join(ident(f.name) for f in self._schema)

    def _qualified(self, name: str) -> str:
        return f"{ident(self._space)}.{ident(name)}"

    def _run(self, statement: str) -> int:
        """Execute; returns the number of rows that the statement touched."""
        return int(self._connection.execute(statement.encode()).rowcount)

    def _value(self, query: str) -> Any:
        return self._connection.execute(query.encode()).fetchone()[0]


def _record(alias: str, names: Sequence[str]) -> str:
    """A row as one value: without the cast the operator would be applied column by column."""
    return "ROW(" + ", ".join(f"{alias}.{name}" for name in names) + ")::record"


def _for_driver(array: pa.Array, name: str) -> pa.Array:
    """A column as the driver writes it right into the column's type."""
    kind = array.type
    if pa.types.is_date(kind):
        check_range(array, name, low=DATE_RANGE[0], high=DATE_RANGE[1], says="Postgres has years -4713 to 5874897")
    elif pa.types.is_timestamp(kind):
        low, high = TIMESTAMP_RANGE
        check_range(array, name, low=low, high=high, says="Postgres has years -4713 to 294276")
    elif is_json(kind):
        # the binary form of jsonb is a version byte, then the text
        return pc.binary_join_element_wise(pa.scalar(b"\x01"), stored(array).cast(pa.binary()), pa.scalar(b""))
    return stored(array).cast(driver_type(kind))
