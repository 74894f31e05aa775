"""SQL Server by pymssql and statements that hold the values as text: the harness's hands, no code of any engine."""

# ruff: noqa: S608 - every name goes through `quoted`, every text through `literal`

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pyarrow as pa
from pydantic import SecretStr

from ...core.contracts import default_contracts
from ...core.kinds import Field, TableSchema
from ...core.wire import Endpoint
from ...errors import DponeError, require
from ..mssql import login
from .protocol import LOCKED, Commit, Fingerprint
from .runs import SortedRuns
from .shape import canonical, parts, require_columns
from .tsql import Reading, column_type, decoded, inserts, literal, quoted, reading, spelled

_ROLLBACK = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
"""Some errors have rolled back already."""
_SESSION = ("SET LOCK_TIMEOUT 60000", "SET XACT_ABORT ON")
"""An engine may leave a lock behind: the harness then says so instead of waiting for ever."""
_NO_SUCH_TABLE = 208
_LOCK_TIMEOUT = 1222
_OBJECTS = (
    "SELECT CAST(name AS nvarchar(128)), RTRIM(type) FROM sys.objects"
    " WHERE schema_id = SCHEMA_ID({}) AND parent_object_id = 0"
    " AND type IN ('U', 'V', 'P', 'FN', 'IF', 'TF', 'SO', 'SN') ORDER BY 1"
)
_WORDS = {
    "U": "TABLE",
    "V": "VIEW",
    "P": "PROCEDURE",
    "FN": "FUNCTION",
    "IF": "FUNCTION",
    "TF": "FUNCTION",
    "SO": "SEQUENCE",
    "SN": "SYNONYM",
}


class MssqlCatalog:
    """`Catalog` on a schema per namespace, in the database of the address. Connects at the first use."""

    family = "mssql"

    def __init__(self, url: SecretStr) -> None:
        require("pymssql", extra="mssql")
        self._url = url
        self._connection: Any = None

    def open(self, namespace: str) -> None:
        """Create the schema `namespace`."""
        if self._value(f"SELECT SCHEMA_ID({literal(namespace)})") is None:
            self._do(f"CREATE SCHEMA {quoted(namespace)}")

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        """What an engine gets to reach `table`."""
        return Endpoint(family=self.family, url=self._url, namespace=namespace, table=table)

    def create(self, namespace: str, table: str, schema: TableSchema) -> None:
        """Create an empty table with the native types of the contracts, NOT NULL as told, and the primary key."""
        columns = [_definition(field, schema.key) for field in schema.fields]
        columns.append(f"PRIMARY KEY ({', '.join(map(quoted, schema.key))})")
        self._do(f"CREATE TABLE {quoted(namespace, table)} ({', '.join(columns)})")

    def load(self, namespace: str, table: str, schema: TableSchema, batches: Iterable[pa.RecordBatch]) -> int:
        """Append canonical batches in one transaction; returns rows."""
        natives = [column_type(field, schema.key) for field in schema.fields]
        with self._transaction():
            return self._insert(quoted(namespace, table), natives, (canonical(batch, schema) for batch in batches))

    def change(self, namespace: str, table: str, schema: TableSchema, commits: Sequence[Commit]) -> None:
        """Apply each commit in a transaction of its own. Raises `DponeError` if a delete or update finds no row."""
        for commit in commits:
            with self._transaction():
                self._commit(namespace, table, schema, commit)

    def hold(self, namespace: str, table: str, schema: TableSchema, commit: Commit) -> Callable[[], None]:
        """Apply `commit` in a transaction of a connection of its own; returns the function that commits it."""
        other = MssqlCatalog(self._url)
        with ExitStack() as opened:
            opened.callback(other.disconnect)
            opened.enter_context(other._transaction())
            other._commit(namespace, table, schema, commit)
            return opened.pop_all().close

    def rekey(self, namespace: str, table: str, key: str, keys: Sequence[int], *, offset: int) -> None:
        """Add `offset` to the key of the rows `keys`. Raises `DponeError` if one of them is not there."""
        target, column = quoted(namespace, table), quoted(key)
        listed = ", ".join(str(int(number)) for number in keys)
        with self._transaction():
            found = self._do(f"UPDATE {target} SET {column} = {column} + {int(offset)} WHERE {column} IN ({listed})")
            if found != len(keys):
                raise DponeError(f"{len(keys)} keys were to change and {found} are there", hint="report this as a bug")

    def truncate(self, namespace: str, table: str) -> None:
        """Empty the table by TRUNCATE."""
        self._do(f"TRUNCATE TABLE {quoted(namespace, table)}")

    def add_column(self, namespace: str, table: str, field: Field) -> None:
        """Add a column behind the others, NULL in every row."""
        self._do(f"ALTER TABLE {quoted(namespace, table)} ADD {_definition(field, ())}")

    def widen_column(self, namespace: str, table: str, field: Field) -> None:
        """Give the column the type of a wider kind."""
        self._do(f"ALTER TABLE {quoted(namespace, table)} ALTER COLUMN {_definition(field, ())}")

    def drop_column(self, namespace: str, table: str, name: str) -> None:
        """Remove a column."""
        self._do(f"ALTER TABLE {quoted(namespace, table)} DROP COLUMN {quoted(name)}")

    def rename_column(self, namespace: str, table: str, name: str, to: str) -> None:
        """Give a column another name."""
        self._do(f"EXEC sp_rename {literal(quoted(namespace, table, name))}, {literal(to)}, N'COLUMN'")

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        """Column name → type as the contracts spell it, in order; empty if there is no such table or view."""
        rows = self._rows(
            "SELECT CAST(c.name AS nvarchar(128)), COALESCE(t.name, TYPE_NAME(c.user_type_id)), c.max_length,"
            " c.precision, c.scale FROM sys.columns AS c LEFT JOIN sys.types AS t ON t.user_type_id = c.system_type_id"
            f" WHERE c.object_id = OBJECT_ID({literal(quoted(namespace, table))}) ORDER BY c.column_id"
        )
        return {name: spelled(native, *sizes) for name, native, *sizes in rows}

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """All rows in canonical types, sorted on disk (see `runs`); streams over a connection of its own."""
        natives = self.columns(namespace, table)
        require_columns(f"{namespace}.{table}", natives, [*(f.name for f in fields), *order_by])
        known = {field.name: field for field in fields}
        more = [Field(name, _kind(natives[name])) for name in dict.fromkeys(order_by) if name not in known]
        readings = [reading(field, natives[field.name]) for field in (*fields, *more)]
        schema = TableSchema(tuple(fields)).arrow()
        query = f"SELECT {', '.join(how.sql for how in readings)} FROM {quoted(namespace, table)}"
        with SortedRuns(order_by) as runs:
            for batch in self._stream(query, readings, batch_rows):
                runs.add(batch)
            for batch in runs.batches(batch_rows):
                yield pa.RecordBatch.from_arrays(batch.columns[: len(fields)], schema=schema)

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        """Rows and the sum of `column` from one statement; None if there is no such table."""
        import pymssql

        total = f"COALESCE(SUM(CAST({quoted(column)} AS decimal(38, 0))), 0)"
        try:
            row = self._rows(f"SELECT COUNT_BIG(*), CAST({total} AS varchar(40)) FROM {quoted(namespace, table)}")[0]
        except pymssql.Error as error:
            if _number(error) == _NO_SUCH_TABLE or not self.columns(namespace, table):
                return None  # not every server that speaks the protocol has the same numbers
            raise
        return Fingerprint(int(row[0]), int(row[1]))

    def contents(self, namespace: str) -> Mapping[str, int]:
        """The tables of the schema with their rows; `LOCKED` for one that a transaction keeps for itself."""
        names = [name for name, kind in self._rows(_OBJECTS.format(literal(namespace))) if kind == "U"]
        return {name: self._count(namespace, name) for name in names}

    def damage(self, namespace: str, table: str) -> bool:
        """Cut every text of the table that is not in its primary key to its first half; False if there is none."""
        target = quoted(namespace, table)
        found = self._rows(
            "SELECT CAST(c.name AS nvarchar(128)) FROM sys.columns AS c"
            " JOIN sys.types AS t ON t.user_type_id = c.system_type_id"
            f" WHERE c.object_id = OBJECT_ID({literal(target)}) AND t.name IN ('nvarchar', 'varchar')"
            " AND NOT EXISTS (SELECT 1 FROM sys.index_columns AS k JOIN sys.indexes AS i"
            " ON i.object_id = k.object_id AND i.index_id = k.index_id WHERE i.is_primary_key = 1"
            " AND k.object_id = c.object_id AND k.column_id = c.column_id)"
        )
        for (name,) in found:
            column = quoted(name)
            self._do(f"UPDATE {target} SET {column} = LEFT({column}, LEN({column}) / 2)")
        return bool(found)

    def row_versions(self, namespace: str, table: str, key: str) -> pa.Table | None:  # noqa: ARG002
        """None: SQL Server does not show when a row was written, unless the table has a column for it."""
        return None

    def close(self, namespace: str) -> None:
        """Drop everything in the schema by name, then the schema.

        What others depend on goes in a later round. Raises `DponeError` with the names that can't be dropped.
        """
        import pymssql

        left: list[tuple[Any, ...]] = []
        while found := self._rows(_OBJECTS.format(literal(namespace))):
            if found == left:
                names = ", ".join(name for name, _ in found)
                raise DponeError(
                    f"the schema {namespace!r} can't be emptied: something outside depends on {names}",
                    hint="drop what depends on them, then the schema",
                )
            left = found
            for name, kind in found:
                with suppress(pymssql.Error):
                    self._do(f"DROP {_WORDS[kind]} IF EXISTS {quoted(namespace, name)}")
        if self._value(f"SELECT SCHEMA_ID({literal(namespace)})") is not None:
            self._do(f"DROP SCHEMA {quoted(namespace)}")

    def disconnect(self) -> None:
        """Close the connection; a later call opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> Any:
        if self._connection is None:
            self._connection = self._fresh()
        return self._connection

    def _fresh(self) -> Any:
        import pymssql

        connection = pymssql.connect(**login(self._url.get_secret_value(), timeout=10))
        try:
            with connection.cursor() as cursor:
                cursor.execute("; ".join(_SESSION))
        except BaseException:
            connection.close()
            raise
        return connection

    def _do(self, statement: str) -> int:
        """Run one statement; returns the rows that it touched. Without parameters the driver leaves its text alone."""
        with self._connect().cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.rowcount)

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with self._connect().cursor() as cursor:
            cursor.execute(query)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def _value(self, query: str) -> Any:
        return self._rows(query)[0][0]

    def _count(self, namespace: str, table: str) -> int:
        import pymssql

        self._do("SET LOCK_TIMEOUT 200")
        try:
            return int(self._value(f"SELECT COUNT_BIG(*) FROM {quoted(namespace, table)}"))
        except pymssql.Error as error:
            if _number(error) == _LOCK_TIMEOUT:
                return LOCKED
            raise
        finally:
            self._do(_SESSION[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._do("BEGIN TRANSACTION")
        try:
            yield
            self._do("COMMIT TRANSACTION")
        except BaseException:
            self._do(_ROLLBACK)
            raise

    def _insert(self, target: str, natives: Sequence[str], batches: Iterable[pa.RecordBatch]) -> int:
        rows = 0
        for part in parts(batches):
            for statement, count in inserts(target, part, natives):
                stored = self._do(statement)
                if stored != count:
                    raise DponeError(f"{count} rows were sent and {stored} stored", hint="report this as a bug")
                rows += count
        return rows

    def _commit(self, namespace: str, table: str, schema: TableSchema, commit: Commit) -> None:
        target = quoted(namespace, table)
        natives = [column_type(field, schema.key) for field in schema.fields]
        self._apply(namespace, table, schema, commit.deletes.select(list(schema.key)), "DELETE t FROM {} AS t {}")
        self._apply(namespace, table, schema, commit.updates, "UPDATE t SET {assign} FROM {} AS t {}")
        self._insert(target, natives, (canonical(batch, schema) for batch in commit.inserts.to_batches()))

    def _apply(self, namespace: str, table: str, schema: TableSchema, rows: pa.Table, statement: str) -> None:
        """Send `rows` to a table of their own and run `statement` over it; each row must meet exactly one."""
        if rows.num_rows == 0:
            return
        changes = quoted(namespace, "pytest_dpone_changes")
        fields = [schema.field(name) for name in rows.column_names]
        self._do(f"CREATE TABLE {changes} ({', '.join(_definition(field, schema.key) for field in fields)})")
        self._insert(changes, [column_type(field, schema.key) for field in fields], rows.to_batches())
        same = " AND ".join(f"t.{quoted(k)} = c.{quoted(k)}" for k in schema.key)
        kept = {*schema.key, *(field.name for field in schema.fields if field.steady)}
        assign = ", ".join(f"{quoted(name)} = c.{quoted(name)}" for name in rows.column_names if name not in kept)
        join = f"JOIN {changes} AS c ON {same}"
        count = self._do(statement.format(quoted(namespace, table), join, assign=assign))
        self._do(f"DROP TABLE {changes}")
        if count != rows.num_rows:
            raise DponeError(
                f"a commit names {rows.num_rows} rows by their keys and {count} of them are in the source",
                hint="the dataset's change does not fit the rows that were seeded",
            )

    def _stream(self, query: str, readings: Sequence[Reading], batch_rows: int) -> Iterator[pa.RecordBatch]:
        connection = self._fresh()
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                while rows := cursor.fetchmany(min(batch_rows, 8192)):
                    yield decoded(rows, readings)
        finally:
            connection.close()


def _definition(field: Field, key: Sequence[str]) -> str:
    native = column_type(field, key)
    if field.name in key and native.startswith("nvarchar"):
        native += " COLLATE Latin1_General_100_BIN2"
    return f"{quoted(field.name)} {native} {'NULL' if field.nullable else 'NOT NULL'}"


def _kind(native: str) -> str:
    """The kind as which a column is read that only sorts."""
    contracts = default_contracts()
    kinds = [row.kind for row in contracts.rows if row.family == "mssql" and row.kind != "decimal" and not row.feature]
    return next((kind for kind in kinds if contracts.accepts("mssql", kind, native)), "text")


def _number(error: Exception) -> int:
    """The number of a server's error, which may be told as a pair of number and text, or as two arguments."""
    first = error.args[0] if error.args else 0
    number = first[0] if isinstance(first, tuple) else first
    return number if isinstance(number, int) else 0
