"""The change log of a Postgres table: a publication, a logical replication slot, and the snapshot where it begins."""

# ruff: noqa: S608 - names are quoted by `ident`, values by `literal`

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, TypeAlias

import pyarrow as pa

from ...core.wire import Job
from ...errors import EngineFailed, UsageError, require
from . import pgoutput
from .address import place, told
from .changes import KEPT, Change, Emptied, Gone, Put, Values, key_of
from .pgtext import SESSION, from_text
from .postgres import PostgresSource, ident, literal

PATIENCE = 120.0
"""Seconds that the creation of a slot waits for the transactions of others to end."""

_GRACE = 10.0
"""Seconds in which the server notices that a killed run, which still uses the slot, is gone."""
_FETCH = 100
_PUBLISHED = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
_Row: TypeAlias = tuple[Any, ...]


class PostgresLog(PostgresSource):
    """A Postgres table with its log; implements `LogSource`. Slot and publication have the name that the job gives."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._sql: Any = None
        self._name = job.slot
        self._table_name = (job.source.namespace, job.source.table)

    @property
    def log(self) -> str:
        """See `LogSource.log`."""
        if not self._name:
            raise UsageError("a job of cdc names no slot", hint="give the job `slot`: a name in a-z, 0-9 and _")
        return f"the slot {self._name}"

    def begin(self) -> str:
        """See `LogSource.begin`: the publication, then the slot, then the snapshot that the slot exports."""
        with told(self._endpoint, "beginning the change log"):
            self._check_server()
            self._drop()
            self._ask(f"CREATE PUBLICATION {ident(self._name)} FOR TABLE {self._table} WITH ({_PUBLISHED})")
            with closing(self._connect(replication="database")) as walsender:
                position, snapshot = self._create_slot(walsender)
                self._see(snapshot)
        return position

    def end(self, since: str) -> str:
        """See `LogSource.end`. What is not flushed yet belongs to the next run."""
        with told(self._endpoint, "looking at the change log"):
            self._check_server()
            self._check_log(since)
            flushed = str(self._ask("SELECT pg_current_wal_flush_lsn()::text")[0][0])
        return flushed if number(flushed) > number(since) else since

    def changes(self, since: str, until: str) -> Iterator[Change]:
        """See `LogSource.changes`. The server keeps what it has decoded in a file of its own, not in memory."""
        query = (
            f"SELECT data FROM pg_logical_slot_peek_binary_changes({literal(self._name)}, {literal(until)}, NULL,"
            f" 'proto_version', '1', 'publication_names', {literal(ident(self._name))})"
        )
        follower = _Follower(self, number(since), number(until))
        with told(self._endpoint, "reading the change log"), closing(self._connect()) as connection:
            connection.execute("; ".join(f"SET {setting}" for setting in SESSION).encode())
            with connection.transaction(), connection.cursor("dpone_log") as cursor:
                cursor.itersize = _FETCH
                cursor.execute(query.encode(), binary=True)
                for (data,) in cursor:
                    yield from follower.take(data)

    def decode(self, rows: list[Values], schema: pa.Schema) -> pa.RecordBatch:
        """See `LogSource.decode`."""
        with told(self._endpoint, "reading the change log"):
            columns = [from_text([row[i] for row in rows], field.type) for i, field in enumerate(schema)]
            return pa.RecordBatch.from_arrays(columns, schema=schema)

    def release(self, position: str) -> None:
        """See `LogSource.release`."""
        with told(self._endpoint, "advancing the slot"):
            if number(self._slot()[0]) < number(position):
                self._ask(f"SELECT pg_replication_slot_advance({literal(self._name)}, {literal(position)})")

    def close(self) -> None:
        """End the transaction and close what was opened beside it."""
        super().close()
        if self._sql is not None:
            self._sql.close()

    def places(self, relation: pgoutput.Relation) -> tuple[int, ...]:
        """Where the key's columns are in a row of `relation`, which is this source's table.

        Raises `EngineFailed` if its columns or its identity are not what the load needs. The table may have got more
        columns since, if these are NULL in the rows of before.
        """
        types = ", ".join(f"format_type({column.oid}, {column.modifier})" for column in relation.columns)
        found = dict(zip((c.name for c in relation.columns), self._ask(f"SELECT {types}")[0], strict=True))
        known = list(self._types.items())
        if list(found.items()) != known[: len(found)] or not self._are_null([name for name, _ in known[len(found) :]]):
            raise EngineFailed(
                f"the columns of {place(self._endpoint)} in the log are {found}, and the table has {self._types}",
                hint="the native engine follows new columns that may be NULL only: load into a new table",
            )
        identity = {column.name for column in relation.columns if column.identity}
        if missing := [name for name in self._job.key if name not in identity]:
            raise EngineFailed(
                f"{', '.join(missing)} is not in the REPLICA IDENTITY of {place(self._endpoint)}",
                hint="the log must tell the key: make it the primary key, or ALTER TABLE … REPLICA IDENTITY FULL",
            )
        names = list(found)
        return tuple(names.index(name) for name in self._job.key)

    def is_ours(self, relation: pgoutput.Relation) -> bool:
        """If `relation` is this source's table: somebody may have added others to the publication."""
        return (relation.namespace, relation.name) == self._table_name

    def _are_null(self, names: list[str]) -> bool:
        """If these columns are NULL in every row that was there before them: they may be, and have no default."""
        if not names:
            return True
        listed = ", ".join(map(literal, names))
        given = self._ask(
            f"SELECT 1 FROM pg_attribute WHERE attrelid = {literal(self._table)}::regclass"
            f" AND attname IN ({listed}) AND (attnotnull OR atthasdef)"
        )
        return not given

    def _check_server(self) -> None:
        level, encoding = self._ask("SELECT current_setting('wal_level'), current_setting('server_encoding')")[0]
        if level != "logical":
            raise EngineFailed(
                f"wal_level is {level!r} at {place(self._endpoint)}, and cdc needs 'logical'",
                hint="set wal_level = logical in postgresql.conf and start the server again",
            )
        if encoding != "UTF8":
            raise EngineFailed(
                f"the database at {place(self._endpoint)} is in {encoding}, and its log can be read in UTF8 only",
                hint="use another strategy",
            )

    def _check_log(self, since: str) -> None:
        """The slot has everything from `since` on, and the publication still has the table."""
        confirmed, status = self._slot()
        if status == "lost" or confirmed is None or number(confirmed) > number(since):
            raise EngineFailed(
                f"the slot {self._name} has the log from {confirmed} on ({status}), the state is at {since}",
                hint="changes between the two are lost: remove the table and its state to load anew",
            )
        namespace, table = map(literal, self._table_name)
        published = self._ask(
            f"SELECT 1 FROM pg_publication_tables WHERE pubname = {literal(self._name)}"
            f" AND schemaname = {namespace} AND tablename = {table}"
        )
        if not published:
            raise EngineFailed(
                f"the publication {self._name} does not have {place(self._endpoint)} any more",
                hint="the table was dropped or made anew: remove the table and its state to load anew",
            )

    def _slot(self) -> _Row:
        found = self._ask(
            "SELECT confirmed_flush_lsn::text, wal_status FROM pg_replication_slots"
            f" WHERE slot_name = {literal(self._name)} AND database = current_database()"
        )
        if not found:
            raise EngineFailed(
                f"there is a state and no slot {self._name} at {place(self._endpoint)}",
                hint="changes since then are lost: remove the table and its state to load anew",
            )
        return found[0]

    def _drop(self) -> None:
        """Remove what an earlier run has left before it had a state. Its backend may live a moment longer."""
        errors: Any = require("psycopg.errors", extra="postgres")
        patience = time.monotonic() + _GRACE
        while self._ask(f"SELECT 1 FROM pg_replication_slots WHERE slot_name = {literal(self._name)}"):
            try:
                self._ask(f"SELECT pg_drop_replication_slot({literal(self._name)})")
            except errors.ObjectInUse:
                if time.monotonic() > patience:
                    raise
                time.sleep(0.1)
        self._ask(f"DROP PUBLICATION IF EXISTS {ident(self._name)}")

    def _create_slot(self, walsender: Any) -> tuple[str, str]:
        """Create the slot; returns the position where it begins, and the name of the snapshot that is exactly there.

        That waits for every transaction of the cluster that has written something and is open.
        """
        errors: Any = require("psycopg.errors", extra="postgres")
        walsender.execute(f"SET lock_timeout = {int(PATIENCE * 1000)}".encode())
        try:
            slot = f"CREATE_REPLICATION_SLOT {ident(self._name)} LOGICAL pgoutput EXPORT_SNAPSHOT"
            _, position, snapshot, _ = walsender.execute(slot.encode()).fetchone()
        except errors.LockNotAvailable:
            raise EngineFailed(
                f"the slot {self._name} waited {PATIENCE:g} seconds for open transactions: {self._writers()}",
                hint="a slot begins when every transaction that has written has ended: end these, then run again",
            ) from None
        return position, snapshot

    def _writers(self) -> str:
        found = self._ask(
            "SELECT format('process %s (%s, %s) since %s: %s', pid, usename, state, xact_start::timestamptz(0),"
            " left(query, 200)) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
            " UNION ALL SELECT format('prepared transaction %s since %s', gid, prepared::timestamptz(0))"
            " FROM pg_prepared_xacts LIMIT 5"
        )
        return "; ".join(row[0] for row in found) or "none of them is left"

    def _see(self, snapshot: str) -> None:
        """Let `read` see the table as it is in `snapshot`, with the columns that were found before."""
        self._connection.rollback()
        self._cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._cursor.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
        if {name: native for name, native, _ in self._columns()} != self._types:
            raise EngineFailed(
                f"the columns of {place(self._endpoint)} changed while the load began", hint="run it again"
            )

    def _ask(self, statement: str) -> list[_Row]:
        """Run a statement in a transaction of its own."""
        if self._sql is None:
            self._sql = self._connect()
        cursor = self._sql.execute(statement.encode())
        return list(cursor.fetchall()) if cursor.description else []

    def _connect(self, **options: str) -> Any:
        psycopg: Any = require("psycopg", extra="postgres")
        return psycopg.connect(self._endpoint.url.get_secret_value(), autocommit=True, **options)


class _Follower:
    """Follows messages through the transactions that are asked for, and tells the changes of one table."""

    def __init__(self, source: PostgresLog, since: int, until: int) -> None:
        self._source = source
        self._since, self._until = since, until
        self._wanted = False
        self._places: dict[int, tuple[int, ...]] = {}
        self._width = len(source.schema)

    def take(self, data: bytes) -> Iterator[Change]:
        """The changes in one message."""
        message = pgoutput.decode(data)
        if isinstance(message, pgoutput.Begin):
            self._wanted = self._since <= message.lsn < self._until
        elif isinstance(message, pgoutput.Relation):
            self._meet(message)
        elif self._wanted and isinstance(message, pgoutput.Truncate):
            if not self._places.keys().isdisjoint(message.relations):
                yield Emptied()
        elif self._wanted and isinstance(message, pgoutput.Insert | pgoutput.Update | pgoutput.Delete):
            places = self._places.get(message.relation)
            if places is not None:
                yield self._change(message, places)

    def _meet(self, relation: pgoutput.Relation) -> None:
        if self._source.is_ours(relation):
            self._places[relation.oid] = self._source.places(relation)

    def _change(self, message: pgoutput.Insert | pgoutput.Update | pgoutput.Delete, places: tuple[int, ...]) -> Change:
        if isinstance(message, pgoutput.Delete):
            return Gone(key_of(message.old, places))
        row, before = message.row, None
        if isinstance(message, pgoutput.Update) and message.old is not None:
            before = key_of(message.old, places)
            row = _with_identity(row, message.old)
        return Put(row + (None,) * (self._width - len(row)), before)


def _with_identity(row: Values, old: Values) -> Values:
    """`row` with what the old row tells of values that the update kept."""
    return tuple(known if value is KEPT and known is not None else value for value, known in zip(row, old, strict=True))


def number(position: str) -> int:
    """A position in the log, such as `16/B374D848`, as a number."""
    high, low = position.split("/")
    return int(high, 16) << 32 | int(low, 16)
