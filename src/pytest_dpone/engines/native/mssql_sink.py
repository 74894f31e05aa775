"""SQL Server as a sink: staged beside the table, applied with the state in one transaction, without MERGE."""

# ruff: noqa: S608 - names are quoted by `ident`, values by `literal`

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ...core.model import Strategy
from ...core.wire import HistoryColumns, Job, Window
from ...errors import EngineFailed
from .address import place, told
from .arrow import Batches, additions
from .mssql import BINARY, column_type, connect, days_condition, described, fetch, ident, literal, run
from .mssql_rows import call, insertion, packed
from .ports import Counts
from .state import State
from .ties import row_hashes

_PATIENCE_MS = 60_000
_NAMES = HistoryColumns()
_HASH_NAME = _NAMES.row_hash or ""
_HISTORY = {
    _NAMES.valid_from: ("datetimeoffset(6)", " NOT NULL"),
    _NAMES.valid_to: ("datetimeoffset(6)", " NULL"),
    _NAMES.is_current or "": ("bit", " NOT NULL"),
    _HASH_NAME: ("varchar(32)", " NOT NULL"),
}
_FROM, _TO, _CURRENT, _HASH = map(ident, _HISTORY)
_INTERVAL = ", ".join(f"{ident(name)} {native}{required}" for name, (native, required) in _HISTORY.items())
_ROLLBACK = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
"""Some errors have rolled back already."""


class MssqlSink:
    """A SQL Server table; implements `Sink`.

    The staging table lies beside the table, under a name derived from its name, and may become the table itself. The
    state is a row of the state table, keyed by table. A lock of the session keeps a second run of the table waiting.
    """

    def __init__(self, job: Job, moment: Callable[[str], None]) -> None:
        self._job = job
        self._moment = moment
        self._endpoint = job.sink
        digest = hashlib.sha256(job.sink.table.encode()).hexdigest()[:24]
        self._target = self._qualified(job.sink.table)
        self._stage = self._qualified(f"dpone_stage_{digest}")
        self._gone = self._qualified(f"dpone_gone_{digest}")
        self._states = self._qualified(job.state_table)
        self._schema = pa.schema([])
        self._exists = False
        self._closed = False
        with told(self._endpoint, "opening the sink"):
            self._connection = connect(self._endpoint)
            self._lock()

    def prepare(self, schema: pa.Schema) -> bool:
        """See `Sink.prepare`."""
        self._schema = pa.schema([f.with_nullable(f.nullable and f.name not in self._job.key) for f in schema])
        with told(self._endpoint, "preparing the sink"):
            self._drop_staging()
            found = [(name, native) for name, native, _ in described(self._connection, self._target)]
        wanted = [(f.name, self._type(f)) for f in self._schema]
        if self._job.strategy is Strategy.SCD2:
            wanted += [(name, native) for name, (native, _) in _HISTORY.items()]
        self._exists = bool(found)
        if found and (added := additions(found, self._schema, wanted)):
            with told(self._endpoint, "adding columns"):
                for name, native in added:
                    self._run(f"ALTER TABLE {self._target} ADD {ident(name)} {native} NULL")
        elif found and _folded(found) != _folded(wanted):
            raise EngineFailed(
                f"the columns of {place(self._endpoint)} are {found}, the source now needs {wanted}",
                hint="the native engine follows new columns that may be NULL only: load into a new table",
            )
        return self._exists

    def has_rows(self) -> bool:
        """See `Sink.has_rows`."""
        with told(self._endpoint, "looking into the sink"):
            return bool(self._value(f"SELECT CASE WHEN EXISTS (SELECT 1 FROM {self._target}) THEN 1 ELSE 0 END"))

    def state(self) -> State | None:
        """See `Sink.state`."""
        with told(self._endpoint, "reading the state"):
            if not self._there(self._states):
                return None
            rows = fetch(
                self._connection,
                f"SELECT [state] FROM {self._states} WHERE [table_name] = {literal(self._job.sink.table)}",
            )
        return State.from_text(rows[0][0], where=f"{place(self._endpoint)} ({self._job.state_table})") if rows else None

    def stage(self, batches: Batches) -> int:
        """See `Sink.stage`."""
        hashed = self._job.strategy is Strategy.SCD2
        schema = self._schema.append(pa.field(_HASH_NAME, pa.string())) if hashed else self._schema
        more = f", {_HASH} {_HISTORY[_HASH_NAME][0]} NOT NULL" if hashed else ""
        count = 0
        with told(self._endpoint, "staging"):
            self._run(f"CREATE TABLE {self._stage} ({self._definitions()}{more})")
            statement = insertion(self._stage, schema)
            for batch in batches:
                count += batch.num_rows
                for rows in packed(_with_hashes(batch) if hashed else batch):
                    self._run(call(statement, rows))
        return count

    def replace(self) -> None:
        """See `Sink.replace`."""
        with told(self._endpoint, "swapping"), self._transaction():
            self._run(f"DROP TABLE IF EXISTS {self._target}")
            self._adopt()

    def append(self, state: State) -> None:
        """See `Sink.append`."""
        with told(self._endpoint, "appending"), self._transaction():
            if self._exists:
                self._copy()
            else:
                self._adopt()
            self._put(state)

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """See `Sink.merge`."""
        with told(self._endpoint, "merging"):
            staged = self._keyed()
            keys = self._send(gone) if gone is not None and self._exists else 0
            with self._transaction():
                if self._exists:
                    removed = self._remove() if keys else 0
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
                self._copy()
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
        if self._closed:
            return
        self._closed = True
        with suppress(EngineFailed), told(self._endpoint, "cleaning up"):
            self._drop_staging()
        with suppress(Exception):  # the server forgets a broken connection and its lock by itself
            self._connection.close()

    def _lock(self) -> None:
        """Keep a second run away from the table until this connection ends; it waits, for a while."""
        name = hashlib.sha256(self._target.encode()).hexdigest()
        try:
            got = self._value(
                f"DECLARE @got int; EXEC @got = sp_getapplock @Resource = N'dpone_{name}', @LockMode = N'Exclusive',"
                f" @LockOwner = N'Session', @LockTimeout = {_PATIENCE_MS}; SELECT @got"
            )
            if got < 0:
                raise EngineFailed(
                    f"another run writes to {place(self._endpoint)}: no lock within {_PATIENCE_MS // 1000} s",
                    hint="wait until it has ended",
                )
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("SET XACT_ABORT ON")
        self._run("BEGIN TRANSACTION")
        try:
            yield
            self._moment("committing")
            self._run("COMMIT TRANSACTION")
        except BaseException:
            with suppress(Exception):  # a broken connection has rolled back by itself
                self._run(_ROLLBACK)
            raise

    def _keyed(self) -> int:
        """Give the staging table its key, which refuses double rows; returns its number of rows."""
        self._run(f"ALTER TABLE {self._stage} ADD PRIMARY KEY ({', '.join(map(ident, self._job.key))})")
        return self._count(f"SELECT COUNT_BIG(*) FROM {self._stage}")

    def _versions(self) -> Counts:
        """Close and open versions at one instant, later than any in the table even if the clock went back."""
        names = [ident(f.name) for f in self._schema]
        same_key, now = self._same_key(), self._instant()
        known = self._count(f"SELECT COUNT_BIG(*) FROM {self._target} WHERE {_CURRENT} = 1")
        lost = f"t.{_CURRENT} = 1 AND NOT EXISTS (SELECT 1 FROM {self._stage} AS s WHERE {same_key})"
        gone = self._count(f"SELECT COUNT_BIG(*) FROM {self._target} AS t WHERE {lost}")
        closed = self._run(
            f"UPDATE t SET {_TO} = {now}, {_CURRENT} = 0 FROM {self._target} AS t WHERE t.{_CURRENT} = 1 AND NOT EXISTS"
            f" (SELECT 1 FROM {self._stage} AS s WHERE {same_key} AND NOT {self._differs(self._schema)})"
        )
        listed = ", ".join(names)
        opened = self._run(
            f"INSERT INTO {self._target} ({listed}, {_FROM}, {_TO}, {_CURRENT}, {_HASH})"
            f" SELECT {', '.join(f's.{name}' for name in names)}, {now}, NULL, 1, s.{_HASH} FROM {self._stage} AS s"
            f" WHERE NOT EXISTS (SELECT 1 FROM {self._target} AS t WHERE {same_key} AND t.{_CURRENT} = 1)"
        )
        changed = closed - gone
        return Counts(inserted=opened - changed, updated=changed, deleted=gone, unchanged=known - closed)

    def _instant(self) -> str:
        """Now, or right after the last instant in the table."""
        later = [f"SELECT DATEADD(microsecond, 1, MAX({column})) FROM {self._target}" for column in (_FROM, _TO)]
        moments = " UNION ALL ".join(["SELECT CAST(SYSUTCDATETIME() AS datetimeoffset(6))", *later])
        now = self._value(
            "SELECT CONVERT(varchar(27), CAST(SWITCHOFFSET(MAX(m), '+00:00') AS datetime2(6)), 121)"
            f" FROM ({moments}) AS moments (m)"
        )
        return f"CAST({literal(f'{now} +00:00')} AS datetimeoffset(6))"

    def _same_key(self) -> str:
        return " AND ".join(f"t.{ident(name)} = s.{ident(name)}" for name in self._job.key)

    def _differs(self, fields: Sequence[pa.Field]) -> str:
        """A condition: the rows `t` and `s` do not hold the same. NULL is a value, and text is compared exactly."""
        mine, theirs = (", ".join(_exactly(f"{side}.{ident(f.name)}", f.type) for f in fields) for side in "ts")
        return f"EXISTS (SELECT {mine} EXCEPT SELECT {theirs})"

    def _upsert(self, staged: int, *, delete: bool) -> Counts:
        names = [ident(f.name) for f in self._schema]
        same_key = self._same_key()
        rest = [f for f in self._schema if f.name not in self._job.key]
        updated = deleted = 0
        if rest:
            changes = ", ".join(f"{name} = s.{name}" for name in (ident(f.name) for f in rest))
            updated = self._run(
                f"UPDATE t SET {changes} FROM {self._target} AS t JOIN {self._stage} AS s ON {same_key}"
                f" WHERE {self._differs(rest)}"
            )
        inserted = self._run(
            f"INSERT INTO {self._target} ({', '.join(names)}) SELECT {', '.join(f's.{name}' for name in names)}"
            f" FROM {self._stage} AS s WHERE NOT EXISTS (SELECT 1 FROM {self._target} AS t WHERE {same_key})"
        )
        if delete:
            deleted = self._run(
                f"DELETE t FROM {self._target} AS t"
                f" WHERE NOT EXISTS (SELECT 1 FROM {self._stage} AS s WHERE {same_key})"
            )
        self._run(f"DROP TABLE {self._stage}")
        return Counts(inserted, updated, deleted, unchanged=staged - inserted - updated)

    def _send(self, gone: pa.Table) -> int:
        """Keep the keys that go in a table of their own: they may be many. Returns their number."""
        schema = pa.schema([self._schema.field(name) for name in self._job.key])
        self._run(f"CREATE TABLE {self._gone} ({', '.join(self._definition(f) for f in schema)})")
        statement = insertion(self._gone, schema)
        for batch in gone.select(list(self._job.key)).to_batches():
            for rows in packed(batch):
                self._run(call(statement, rows))
        return int(gone.num_rows)

    def _remove(self) -> int:
        return self._run(
            f"DELETE t FROM {self._target} AS t WHERE EXISTS (SELECT 1 FROM {self._gone} AS s WHERE {self._same_key()})"
        )

    def _copy(self) -> None:
        names = ", ".join(ident(f.name) for f in self._schema)
        self._run(f"INSERT INTO {self._target} ({names}) SELECT {names} FROM {self._stage}")
        self._run(f"DROP TABLE {self._stage}")

    def _adopt(self) -> None:
        """Until the commit nobody else can look at either name: whoever does waits."""
        # the first argument is a name with its brackets; the second is the bare new name
        self._run(f"EXEC sp_rename {literal(self._stage)}, {literal(self._job.sink.table)}, N'OBJECT'")

    def _put(self, state: State) -> None:
        if not self._there(self._states):
            self._run(
                f"CREATE TABLE {self._states} ([table_name] nvarchar(128) {BINARY} NOT NULL PRIMARY KEY,"
                " [state] nvarchar(max) NOT NULL, [committed_at] datetime2(6) NOT NULL DEFAULT SYSUTCDATETIME())"
            )
        name, text = literal(self._job.sink.table), literal(state.to_text())
        self._run(
            f"UPDATE {self._states} SET [state] = {text}, [committed_at] = SYSUTCDATETIME()"
            f" WHERE [table_name] = {name} AND [state] {BINARY} <> {text}"
        )
        self._run(
            f"INSERT INTO {self._states} ([table_name], [state]) SELECT {name}, {text}"
            f" WHERE NOT EXISTS (SELECT 1 FROM {self._states} WHERE [table_name] = {name})"
        )

    def _type(self, field: pa.Field) -> str:
        return column_type(field.type, key=field.name in self._job.key)

    def _definition(self, field: pa.Field) -> str:
        native = self._type(field)
        collation = f" {BINARY}" if field.name in self._job.key and native.startswith("nvarchar") else ""
        return f"{ident(field.name)} {native}{collation} {'NULL' if field.nullable else 'NOT NULL'}"

    def _definitions(self) -> str:
        return ", ".join(map(self._definition, self._schema))

    def _drop_staging(self) -> None:
        for name in (self._stage, self._gone):
            self._run(f"DROP TABLE IF EXISTS {name}")

    def _there(self, table: str) -> bool:
        return self._value(f"SELECT OBJECT_ID({literal(table)}, N'U')") is not None

    def _qualified(self, name: str) -> str:
        return f"{ident(self._job.sink.namespace)}.{ident(name)}"

    def _run(self, statement: str) -> int:
        return run(self._connection, statement)

    def _count(self, query: str) -> int:
        return int(self._value(query))

    def _value(self, query: str) -> Any:
        return fetch(self._connection, query)[0][0]


def _exactly(column: str, kind: pa.DataType) -> str:
    """What is compared instead of `column`: SQL Server takes values for equal that are not the same."""
    if pa.types.is_floating(kind):
        return f"CAST({column} AS binary({kind.bit_width // 8}))"  # tells 0 from -0
    if pa.types.is_binary(kind):
        return f"{column}, DATALENGTH({column})"  # zeros at the end don't count
    if column_type(kind) == "nvarchar(max)":
        return f"{column} {BINARY}, DATALENGTH({column})"  # nor do spaces
    return column


def _with_hashes(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.append_column(_HASH_NAME, pa.array(row_hashes(batch), pa.string()))


def _folded(columns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """With names as a database has them that does not tell case."""
    return [(name.casefold(), native) for name, native in columns]
