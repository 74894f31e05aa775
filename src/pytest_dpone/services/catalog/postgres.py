"""Postgres by psycopg and COPY … CSV: the harness's hands, no code shared with any engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pyarrow as pa
from pydantic import SecretStr

from ...core.contracts import default_contracts
from ...core.kinds import Field, TableSchema, arrow_type
from ...core.own import POSTGRES_TYPES
from ...core.wire import Endpoint, slot_name
from ...errors import DponeError, require
from .pgcopy import copy_out, copy_statement, quoted, quoted_list
from .pgslots import drop_slots
from .pgtext import SESSION, Reading, decode_rows, encode_rows, reading
from .protocol import LOCKED, Commit, Fingerprint
from .shape import canonical, require_columns

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

_OBJECTS = """
SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
       WHEN 'S' THEN 'SEQUENCE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, format('%%I.%%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(namespace)s AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c')
UNION ALL
SELECT 'ROUTINE', p.oid::regprocedure::text
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = %(namespace)s
UNION ALL
SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, format('%%I.%%I', n.nspname, t.typname)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = %(namespace)s AND t.typtype IN ('d', 'e', 'r')
ORDER BY 1, 2
"""


class PostgresCatalog:
    """`Catalog` on a Postgres schema per namespace. `url` is a libpq URI; connects at the first use."""

    family = "postgres"

    def __init__(self, url: SecretStr) -> None:
        require("psycopg", extra="postgres")
        self._url = url
        self._connection: psycopg.Connection | None = None

    def open(self, namespace: str) -> None:
        """Create the schema `namespace`."""
        self._execute("CREATE SCHEMA IF NOT EXISTS {}", (namespace,))

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        """What an engine gets to reach `table`."""
        return Endpoint(family=self.family, url=self._url, namespace=namespace, table=table)

    def create(self, namespace: str, table: str, schema: TableSchema) -> None:
        """Create an empty table with the native types of the contracts, NOT NULL as told, and the primary key."""
        from psycopg import sql

        self._create_types(namespace, schema)
        columns = [
            sql.SQL("{} " + _type(f) + ("" if f.nullable else " NOT NULL")).format(quoted(f.name), n=quoted(namespace))
            for f in schema.fields
        ]
        columns.append(sql.SQL("PRIMARY KEY ({})").format(quoted_list(schema.key)))
        body = sql.SQL("CREATE TABLE {} ({})").format(quoted(namespace, table), sql.SQL(", ").join(columns))
        self._connect().execute(body)

    def _create_types(self, namespace: str, schema: TableSchema) -> None:
        """Create the types that the columns need, if the namespace has none yet."""
        from psycopg import errors, sql

        for name, definition in POSTGRES_TYPES.items():
            if any(f"{{n}}.{name}" in _type(f) for f in schema.fields):
                with suppress(errors.DuplicateObject):
                    self._connect().execute(sql.SQL("CREATE " + definition).format(n=quoted(namespace)))

    def load(self, namespace: str, table: str, schema: TableSchema, batches: Iterable[pa.RecordBatch]) -> int:
        """Append canonical batches by COPY in one transaction; returns rows."""
        names = [f.name for f in schema.fields]
        return self._copy_in(quoted(namespace, table), names, (canonical(batch, schema) for batch in batches))

    def change(self, namespace: str, table: str, schema: TableSchema, commits: Sequence[Commit]) -> None:
        """Apply each commit in a transaction of its own. Raises `DponeError` if a delete or update finds no row."""
        for commit in commits:
            with self._connect().transaction():
                self._delete(quoted(namespace, table), schema, commit.deletes)
                self._update(quoted(namespace, table), schema, commit.updates)
                self.load(namespace, table, schema, commit.inserts.to_batches())

    def hold(self, namespace: str, table: str, schema: TableSchema, commit: Commit) -> Callable[[], None]:
        """Apply `commit` in a transaction of a connection of its own; returns the function that commits it."""
        other = PostgresCatalog(self._url)
        with ExitStack() as opened:
            opened.callback(other.disconnect)
            opened.enter_context(other._connect().transaction())
            other.change(namespace, table, schema, [commit])
            return opened.pop_all().close

    def rekey(self, namespace: str, table: str, key: str, keys: Sequence[int], *, offset: int) -> None:
        """Add `offset` to the key of the rows `keys`. Raises `DponeError` if one of them is not there."""
        from psycopg import sql

        target, column = quoted(namespace, table), quoted(key)
        statement = sql.SQL("UPDATE {} SET {} = {} + %s WHERE {} = ANY(%s)").format(target, column, column, column)
        found = self._connect().execute(statement, (offset, list(keys))).rowcount
        if found != len(keys):
            raise DponeError(f"{len(keys)} keys were to change and {found} are there", hint="report this as a bug")

    def truncate(self, namespace: str, table: str) -> None:
        """Empty the table by TRUNCATE."""
        self._execute("TRUNCATE {}", (namespace, table))

    def add_column(self, namespace: str, table: str, field: Field) -> None:
        """Add a column behind the others, NULL in every row."""
        self._execute("ALTER TABLE {} ADD COLUMN {} " + _type(field), (namespace, table), (field.name,))

    def widen_column(self, namespace: str, table: str, field: Field) -> None:
        """Give the column the type of a wider kind."""
        self._execute("ALTER TABLE {} ALTER COLUMN {} TYPE " + _type(field), (namespace, table), (field.name,))

    def drop_column(self, namespace: str, table: str, name: str) -> None:
        """Remove a column."""
        self._execute("ALTER TABLE {} DROP COLUMN {}", (namespace, table), (name,))

    def rename_column(self, namespace: str, table: str, name: str, to: str) -> None:
        """Give a column another name."""
        self._execute("ALTER TABLE {} RENAME COLUMN {} TO {}", (namespace, table), (name,), (to,))

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        """Column name → type as `format_type` spells it, in order; empty if there is no such table or view."""
        rows = self._connect().execute(
            """SELECT a.attname, format_type(a.atttypid, a.atttypmod)
               FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum""",
            (namespace, table),
        )
        return {str(name): str(native) for name, native in rows}

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """All rows in canonical types, sorted by the server; streams over a connection of its own.

        Holds about three batches, each of at most `batch_rows` rows and 8 MiB of text (one row may be longer).
        """
        natives = self._known_columns(namespace, table, [*(f.name for f in fields), *order_by])
        readings = [reading(field, natives[field.name]) for field in fields]
        query = copy_statement(quoted(namespace, table), readings, {name: natives[name] for name in order_by})
        return self._stream(query, readings, batch_rows)

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        """Rows and the sum of `column` from one statement; None if there is no such table."""
        from psycopg import errors

        try:
            row = self._execute(
                "SELECT count(*), coalesce(sum({}), 0) FROM {}", (column,), (namespace, table)
            ).fetchone()
        except (errors.UndefinedTable, errors.InvalidSchemaName):
            return None
        assert row is not None  # an aggregate without GROUP BY gives one row
        return Fingerprint(int(row[0]), int(row[1]))

    def contents(self, namespace: str) -> Mapping[str, int]:
        """The tables of the schema with their rows; `LOCKED` for one that a transaction keeps for itself."""
        found = self._connect().execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relkind = 'r' ORDER BY 1",
            (namespace,),
        )
        names = [str(name) for (name,) in found.fetchall()]
        return {name: self._count(namespace, name) for name in names}

    def damage(self, namespace: str, table: str) -> bool:
        """Cut every text of the table that is not in its primary key to its first half; False if there is none."""
        found = (
            self._connect()
            .execute(
                """SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
               JOIN pg_namespace n ON n.oid = c.relnamespace
               LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
               WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND a.atttypid = 'text'::regtype
                 AND NOT a.attnum = ANY(coalesce(i.indkey::int2[], '{}'))""",
                (namespace, table),
            )
            .fetchall()
        )
        for (name,) in found:
            self._execute("UPDATE {} SET {} = left({}, length({}) / 2)", (namespace, table), (name,), (name,), (name,))
        return bool(found)

    def row_versions(self, namespace: str, table: str, key: str) -> pa.Table | None:
        """Columns `key` and `version` (int64), sorted by key: a row's `xmin`, new whenever the row is written.

        `ctid` would also move by VACUUM FULL. Integer keys come as int64, others as their text.
        """

        native = self._known_columns(namespace, table, [key])[key]
        kind = "int64" if native in ("smallint", "integer", "bigint") else "text"
        readings = [
            Reading(Field(key, kind), "{0}" if kind == "int64" else "{0}::text", arrow_type(kind)),
            Reading(Field("version", "int64"), "xmin::text::bigint", pa.int64()),
        ]
        names = [quoted(key), quoted("xmin")]
        query = copy_statement(quoted(namespace, table), readings, {key: native}, names=names)
        batches = [b.rename_columns(["key", "version"]) for b in self._stream(query, readings, 65536)]
        return pa.Table.from_batches(batches, pa.schema([("key", arrow_type(kind)), ("version", pa.int64())]))

    def release(self, namespace: str, table: str) -> None:
        """See `Slotted.release`."""
        drop_slots(self._connect(), [slot_name(namespace, table)])

    def close(self, namespace: str) -> None:
        """Drop everything in the schema by name, without CASCADE, then the schema; the tables' slots go first.

        What others depend on goes in a later round. Raises `DponeError` with the names that can't be dropped.
        """
        from psycopg import errors, sql

        connection = self._connect()
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (namespace,)).fetchall()
        drop_slots(connection, [slot_name(namespace, table) for (table,) in tables])
        left: list[tuple[str, str]] = []
        while found := connection.execute(_OBJECTS, {"namespace": namespace}).fetchall():
            if found == left:
                names = ", ".join(identity for _, identity in found)
                raise DponeError(
                    f"the schema {namespace!r} can't be emptied: something outside depends on {names}",
                    hint="drop what depends on them, then the schema",
                )
            left = found
            for kind, identity in found:
                try:
                    # Both come from the server, which has quoted the identity.
                    connection.execute(sql.SQL("DROP " + kind + " IF EXISTS " + identity))
                except errors.DependentObjectsStillExist:
                    continue
        self._execute("DROP SCHEMA IF EXISTS {}", (namespace,))

    def disconnect(self) -> None:
        """Close the connection; a later call opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._fresh()
        return self._connection

    def _fresh(self) -> psycopg.Connection:
        import psycopg

        connection = psycopg.connect(
            self._url.get_secret_value(), autocommit=True, application_name="pytest-dpone", connect_timeout=10
        )
        try:
            # The client reads no notice while it sends rows: many of them would stop both sides for ever.
            connection.execute("; ".join((*SESSION, "SET client_min_messages = error")).encode())
        except BaseException:
            connection.close()
            raise
        return connection

    def _count(self, namespace: str, table: str) -> int:
        from psycopg import errors

        try:
            with self._connect().transaction():
                self._connect().execute("SET LOCAL lock_timeout = '200ms'")
                row = self._execute("SELECT count(*) FROM {}", (namespace, table)).fetchone()
        except errors.LockNotAvailable:
            return LOCKED
        assert row is not None  # an aggregate without GROUP BY gives one row
        return int(row[0])

    def _execute(self, statement: str, *names: tuple[str, ...]) -> psycopg.Cursor:
        """Run `statement` with each {} replaced by a quoted name of one or two parts."""
        from psycopg import sql

        return self._connect().execute(sql.SQL(statement).format(*(quoted(*parts) for parts in names)))

    def _copy_in(self, target: sql.Composable, names: Sequence[str], batches: Iterable[pa.RecordBatch]) -> int:
        from psycopg import sql

        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(target, quoted_list(names))
        rows = 0
        connection = self._connect()
        with connection.transaction(), connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for batch in batches:
                    copy.write(encode_rows(batch))
                    rows += batch.num_rows
            if cursor.rowcount != rows:
                raise DponeError(f"{rows} rows were sent and {cursor.rowcount} stored", hint="report this as a bug")
        return rows

    def _delete(self, target: sql.Composable, schema: TableSchema, keys: pa.Table) -> None:
        statement = "DELETE FROM {target} AS t USING {changes} AS c WHERE {same}"
        self._apply(target, schema, keys.select(list(schema.key)), statement)

    def _update(self, target: sql.Composable, schema: TableSchema, rows: pa.Table) -> None:
        statement = "UPDATE {target} AS t SET {assign} FROM {changes} AS c WHERE {same}"
        self._apply(target, schema, rows, statement)

    def _apply(self, target: sql.Composable, schema: TableSchema, rows: pa.Table, statement: str) -> None:
        """Send `rows` to a temporary table and run `statement` over it; each row must meet exactly one of `target`."""
        from psycopg import sql

        if rows.num_rows == 0:
            return
        changes = sql.Identifier("pg_temp", "pytest_dpone_changes")
        names = rows.column_names
        connection = self._connect()
        connection.execute(
            sql.SQL("CREATE TEMP TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
                changes, quoted_list(names), target
            )
        )
        self._copy_in(changes, names, rows.to_batches())
        same = [sql.SQL("t.{0} = c.{0}").format(quoted(k)) for k in schema.key]
        kept = {*schema.key, *(field.name for field in schema.fields if field.steady)}
        assign = [sql.SQL("{0} = c.{0}").format(quoted(n)) for n in names if n not in kept]
        count = connection.execute(
            sql.SQL(statement).format(
                target=target, changes=changes, same=sql.SQL(" AND ").join(same), assign=sql.SQL(", ").join(assign)
            )
        ).rowcount
        connection.execute(sql.SQL("DROP TABLE {}").format(changes))
        if count != rows.num_rows:
            raise DponeError(
                f"a commit names {rows.num_rows} rows by their keys and {count} of them are in the source",
                hint="the dataset's change does not fit the rows that were seeded",
            )

    def _known_columns(self, namespace: str, table: str, names: Iterable[str]) -> Mapping[str, str]:
        natives = self.columns(namespace, table)
        require_columns(f"{namespace}.{table}", natives, names)
        return natives

    def _stream(self, query: sql.Composable, readings: Sequence[Reading], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Batches of `query`; while one is being decoded, the next one is received."""
        connection = self._fresh()
        pending: deque[Future[pa.RecordBatch]] = deque()
        try:
            # The whole table is read: a sort of a sequential scan beats an index scan over rows that lie in no order.
            connection.execute("SET enable_indexscan TO off")
            with ThreadPoolExecutor(1) as decoder:
                for rows in copy_out(connection, query, batch_rows):
                    pending.append(decoder.submit(_decode, rows, readings))
                    if len(pending) > 1:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
        finally:
            connection.close()


def _type(field: Field) -> str:
    return default_contracts().column_type(PostgresCatalog.family, field)


def _decode(rows: list[bytes], readings: Sequence[Reading]) -> pa.RecordBatch:
    return decode_rows(b"".join(rows), readings)
