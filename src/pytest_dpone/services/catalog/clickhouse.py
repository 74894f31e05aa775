"""ClickHouse over HTTP with Parquet both ways: the harness's hands, no code shared with any engine."""

from __future__ import annotations

import ast
import datetime as dt
import io
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import SecretStr

from ...core.contracts import RULES, default_contracts
from ...core.kinds import Field, TableSchema
from ...core.own import is_own
from ...core.wire import Endpoint
from ...errors import DponeError, ServiceFailed, UsageError, ValueRejected, require
from .address import parse_address
from .convert import UnreadableColumnError, to_kind
from .protocol import Commit, Fingerprint
from .shape import canonical, parts, require_columns

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


_READ_SETTINGS = {
    "session_timezone": "UTC",
    # A String holds any bytes: they come as binary, and become text here or raise.
    "output_format_parquet_string_as_string": 0,
    "output_format_parquet_compression_method": "lz4",
    "output_format_parquet_row_group_size": 65536,
    "max_bytes_before_external_sort": 512 << 20,
}
_INSERT_SETTINGS = {
    "session_timezone": "UTC",
    # A NULL in a column that can't hold it raises instead of becoming the type's default.
    "input_format_null_as_default": 0,
}
_DELETE_SETTINGS = {"lightweight_deletes_sync": 2, "mutations_sync": 2}


class ClickHouseCatalog:
    """`Catalog` on a ClickHouse database per namespace. Connects at the first use."""

    family = "clickhouse"

    def __init__(self, url: SecretStr) -> None:
        require("clickhouse_connect", extra="clickhouse")
        self._url = url
        self._client: Client | None = None

    def open(self, namespace: str) -> None:
        """Create the database `namespace`."""
        self._connect().command(f"CREATE DATABASE IF NOT EXISTS {_quote(namespace)}")

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        """What an engine gets to reach `table`."""
        return Endpoint(family=self.family, url=self._url, namespace=namespace, table=table)

    def create(self, namespace: str, table: str, schema: TableSchema) -> None:
        """Create an empty MergeTree table ordered by the key; nullable columns are Nullable, but for arrays."""
        columns = [f"{_quote(f.name)} {_column_type(f, schema.key)}" for f in schema.fields]
        self._create(_quote(namespace, table), columns, schema.key)

    def load(self, namespace: str, table: str, schema: TableSchema, batches: Iterable[pa.RecordBatch]) -> int:
        """Append canonical batches as Parquet, one insert per 256k rows or 64 MiB; returns rows.

        Raises `ValueRejected` for dates and times that the server would wrap or clip.
        """
        rows = 0
        for part in parts(canonical(batch, schema) for batch in batches):
            _check_ranges(part)
            self._insert(_quote(namespace, table), _with_maps(_without_null_lists(part), schema))
            rows += part.num_rows
        return rows

    def change(self, namespace: str, table: str, schema: TableSchema, commits: Sequence[Commit]) -> None:
        """Apply each commit: one delete of all its deleted and updated keys, then one insert of its new rows.

        ClickHouse has no transactions: a reader in between sees updated rows missing. Raises `DponeError` if a delete
        or an update finds no row.
        """
        for commit in commits:
            keys = pa.concat_tables([commit.deletes.select(list(schema.key)), commit.updates.select(list(schema.key))])
            if keys.num_rows:
                self._delete(namespace, table, schema, keys)
            self.load(namespace, table, schema, [*commit.updates.to_batches(), *commit.inserts.to_batches()])

    def add_column(self, namespace: str, table: str, field: Field) -> None:
        """Add a column behind the others, NULL in every row."""
        self._alter(namespace, table, f"ADD COLUMN {_quote(field.name)} {_column_type(field, ())}")

    def widen_column(self, namespace: str, table: str, field: Field) -> None:
        """Give the column the type of a wider kind."""
        self._alter(namespace, table, f"MODIFY COLUMN {_quote(field.name)} {_column_type(field, ())}")

    def drop_column(self, namespace: str, table: str, name: str) -> None:
        """Remove a column."""
        self._alter(namespace, table, f"DROP COLUMN {_quote(name)}")

    def rename_column(self, namespace: str, table: str, name: str, to: str) -> None:
        """Give a column another name."""
        self._alter(namespace, table, f"RENAME COLUMN {_quote(name)} TO {_quote(to)}")

    def _alter(self, namespace: str, table: str, change: str) -> None:
        settings = {"mutations_sync": 2, "alter_sync": 2}
        self._connect().command(f"ALTER TABLE {_quote(namespace, table)} {change}", settings=settings)

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        """Column name → type in order, without an outer `Nullable(…)`; empty if there is no such table."""
        return {name: re.sub(r"^Nullable\((.*)\)$", r"\1", native) for name, native in self._types(namespace, table)}

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """All rows in canonical types, sorted by the server; spooled to a temporary file as Parquet, read in batches.

        With FINAL on Replacing and Collapsing engines. Memory: a row group of 64k rows.
        """
        natives = self.columns(namespace, table)
        require_columns(f"{namespace}.{table}", natives, [*(f.name for f in fields), *order_by])
        _check_zones(natives, fields)
        columns = ", ".join(_expression(f, natives[f.name]) for f in fields)
        query = f"SELECT {columns} FROM {_quote(namespace, table)} AS t{self._final(namespace, table)}"  # noqa: S608
        if order_by:
            query += " ORDER BY " + ", ".join(_order_term(name, natives[name]) for name in order_by)
        return self._stream(query, fields, batch_rows)

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        """Rows and the sum of `column` from one statement; None if there is no such table."""
        from clickhouse_connect.driver.exceptions import DatabaseError

        final = self._final(namespace, table)
        query = f"SELECT count(), sum(toInt128({_quote(column)})) FROM {_quote(namespace, table)}{final}"  # noqa: S608
        try:
            rows, total = self._connect().query(query).result_rows[0]
        except DatabaseError as error:
            if re.search(r"\b(UNKNOWN_TABLE|UNKNOWN_DATABASE)\b", str(error)):
                return None
            raise
        return Fingerprint(int(rows), int(total or 0))

    def contents(self, namespace: str) -> Mapping[str, int]:
        """The tables of the database with their rows."""
        counting = "SELECT count() FROM {}"
        return {
            name: int(self._connect().query(counting.format(_quote(namespace, name))).result_rows[0][0])
            for name in self._objects(namespace)
        }

    def damage(self, namespace: str, table: str) -> bool:
        """Cut every text of the table that is in no key to its first half; False if there is none."""
        found = self._connect().query(
            "SELECT name FROM system.columns WHERE database = {n:String} AND table = {t:String} AND type = 'String'"
            " AND NOT (is_in_sorting_key OR is_in_partition_key)",
            parameters={"n": namespace, "t": table},
        )
        names = [_quote(str(name)) for (name,) in found.result_rows]
        if names:
            halves = ", ".join(f"{name} = left({name}, intDiv(length({name}), 2))" for name in names)
            change = f"ALTER TABLE {_quote(namespace, table)} UPDATE {halves} WHERE true"
            self._connect().command(change, settings={"mutations_sync": 2})
        return bool(names)

    def row_versions(self, namespace: str, table: str, key: str) -> pa.Table | None:  # noqa: ARG002
        """None: ClickHouse does not show when a row was written."""
        return None

    def close(self, namespace: str) -> None:
        """Drop every table, view and dictionary of the database by name, then the database.

        What others depend on goes in a later round. Raises `DponeError` with the names that can't be dropped.
        """
        from clickhouse_connect.driver.exceptions import DatabaseError

        client = self._connect()
        left: list[str] = []
        while found := self._objects(namespace):
            if list(found) == left:
                raise DponeError(
                    f"the database {namespace!r} can't be emptied: left are {', '.join(left)}",
                    hint="drop what depends on them, then the database",
                )
            left = list(found)
            for name, engine in found.items():
                what = "DICTIONARY" if engine == "Dictionary" else "TABLE"
                try:
                    client.command(f"DROP {what} IF EXISTS {_quote(namespace, name)} SYNC")
                except DatabaseError as error:
                    if "HAVE_DEPENDENT_OBJECTS" not in str(error):
                        raise
        client.command(f"DROP DATABASE IF EXISTS {_quote(namespace)} SYNC")

    def disconnect(self) -> None:
        """Close the client; a later call opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self) -> Client:
        if self._client is None:
            import clickhouse_connect

            address = parse_address(self._url.get_secret_value(), schemes=("clickhouse", "clickhouses"))
            self._client = clickhouse_connect.get_client(
                host=address.host,
                port=address.port or (8443 if address.http == "https" else 8123),
                username=address.user or "default",
                password=address.password,
                interface=address.http,
                compress=False,
                # A session would forbid two queries at once and outlive a lost connection.
                autogenerate_session_id=False,
                query_limit=0,
                connect_timeout=10,
                send_receive_timeout=600,
            )
        return self._client

    def _create(self, target: str, columns: Sequence[str], key: Sequence[str]) -> None:
        order = ", ".join(_quote(k) for k in key)
        statement = f"CREATE TABLE {target} ({', '.join(columns)}) ENGINE = MergeTree ORDER BY ({order})"
        # A Nested stays one column.
        self._connect().command(statement, settings={"flatten_nested": 0})

    def _insert(self, target: str, rows: pa.Table) -> None:
        names = ", ".join(_quote(name) for name in rows.column_names)
        sink = io.BytesIO()
        pq.write_table(rows, sink, compression="lz4")
        self._connect().raw_insert(
            f"{target} ({names})", insert_block=sink.getvalue(), fmt="Parquet", settings=dict(_INSERT_SETTINGS)
        )

    def _delete(self, namespace: str, table: str, schema: TableSchema, keys: pa.Table) -> None:
        """Delete the rows with `keys`, sent as a table of their own: they may be many."""
        target = _quote(namespace, table)
        sent = _quote(namespace, f"pytest_dpone_keys_{secrets.token_hex(8)}")
        names = ", ".join(_quote(k) for k in schema.key)
        condition = f"({names}) IN (SELECT {names} FROM {sent})"  # noqa: S608
        columns = [f"{_quote(k)} {_column_type(schema.field(k), schema.key)}" for k in schema.key]
        self._create(sent, columns, schema.key)
        try:
            self._insert(sent, keys)
            counting = f"SELECT count() FROM {target} WHERE {condition}"  # noqa: S608
            found = self._connect().query(counting).result_rows[0][0]
            if found != keys.num_rows:
                raise DponeError(
                    f"a commit names {keys.num_rows} rows by their keys and {found} of them are in the source",
                    hint="the dataset's change does not fit the rows that were seeded",
                )
            deletion = f"DELETE FROM {target} WHERE {condition}"  # noqa: S608
            self._connect().command(deletion, settings=dict(_DELETE_SETTINGS))
        finally:
            self._connect().command(f"DROP TABLE {sent} SYNC")

    def _types(self, namespace: str, table: str) -> list[tuple[str, str]]:
        rows = self._connect().query(
            "SELECT name, type FROM system.columns WHERE database = {n:String} AND table = {t:String} "
            "ORDER BY position",
            parameters={"n": namespace, "t": table},
        )
        return [(str(name), str(native)) for name, native in rows.result_rows]

    def _objects(self, namespace: str) -> dict[str, str]:
        rows = self._connect().query(
            "SELECT name, engine FROM system.tables WHERE database = {n:String} ORDER BY name",
            parameters={"n": namespace},
        )
        return {str(name): str(engine) for name, engine in rows.result_rows}

    def _final(self, namespace: str, table: str) -> str:
        engine = self._objects(namespace).get(table, "")
        return " FINAL" if re.search("Replacing|Collapsing", engine) else ""

    def _stream(self, query: str, fields: Sequence[Field], batch_rows: int) -> Iterator[pa.RecordBatch]:
        schema = TableSchema(tuple(fields)).arrow()
        with tempfile.TemporaryFile(prefix="pytest-dpone-") as spool:
            answer: Any = self._connect().raw_stream(query, fmt="Parquet", settings=dict(_READ_SETTINGS))
            try:
                shutil.copyfileobj(answer, spool, 1 << 20)
            finally:
                answer.close()
            with _parquet(spool) as file:
                for batch in file.iter_batches(batch_size=batch_rows):
                    columns = [_incoming(column, f) for column, f in zip(batch.columns, fields, strict=True)]
                    yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _check_zones(natives: Mapping[str, str], fields: Sequence[Field]) -> None:
    """A time without a zone may be stored with the zone UTC, and with no other: the server would shift it."""
    for field in fields:
        zone = re.search(r"'(.*)'", natives[field.name]) if field.kind == "timestamp" else None
        if zone and zone[1] != "UTC":
            raise UnreadableColumnError(
                f"the column {field.name!r} is {natives[field.name]} and can't be read as timestamp",
                hint="store times without a zone as DateTime64(6, 'UTC')",
            )


def _incoming(values: pa.Array, field: Field) -> pa.Array:
    if field.kind == "timestamp" and pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp(values.type.unit))
    return to_kind(values, field)


def _parquet(spool: IO[bytes]) -> pq.ParquetFile:
    """The spooled answer. A query that failed half-way leaves its error's text instead of Parquet's end."""
    try:
        return pq.ParquetFile(spool)
    except pa.ArrowInvalid as error:
        size = spool.seek(0, io.SEEK_END)
        spool.seek(max(0, size - 2000))
        tail = spool.read().decode("utf-8", "replace")
        said = tail[tail.rfind("Code:") :] if "Code:" in tail else str(error)
        raise ServiceFailed(
            f"ClickHouse's answer broke off after {size} bytes: {said}", hint="see the server's log"
        ) from None


def _quote(*parts: str) -> str:
    """A quoted name of one or two parts; raises `UsageError` for one that can't be a name."""
    for part in parts:
        if not part or "\0" in part:
            raise UsageError(f"{part!r} can't be a name in ClickHouse", hint="names are not empty and hold no NUL")
    return ".".join("`" + part.replace("\\", "\\\\").replace("`", "``") + "`" for part in parts)


def _column_type(field: Field, key: Sequence[str]) -> str:
    native = default_contracts().column_type("clickhouse", field)
    plain = not field.nullable or field.name in key or native.startswith(("Array(", "LowCardinality("))
    return native if plain else f"Nullable({native})"


def _expression(field: Field, native: str) -> str:
    """What is selected: types that Parquet has no equal for come as their text."""
    column = f"t.{_quote(field.name)}"
    as_text = is_own(field.kind) or re.match(r"(UUID|Time64|JSON|LowCardinality)\b", native)
    return f"{f'toString({column})' if as_text else column} AS {_quote(field.name)}"


def _order_term(name: str, native: str) -> str:
    # UUIDs are ordered by their second half first, unlike their text.
    column = f"t.{_quote(name)}"
    return f"{f'toString({column})' if native == 'UUID' else column} ASC NULLS LAST"


def _check_ranges(rows: pa.Table) -> None:
    first, last = dt.date(1900, 1, 1), dt.date(2299, 12, 31)
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if not (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
            continue
        bounds = pc.min_max(column)
        low, high = bounds["min"].cast(pa.date32()).as_py(), bounds["max"].cast(pa.date32()).as_py()
        if low is not None and (low < first or high > last):
            raise ValueRejected(
                f"a value of the column {name!r} is out of the range 1900-01-01 to 2299-12-31 of ClickHouse",
                hint="leave such values out for this source",
            )


def _without_null_lists(rows: pa.Table) -> pa.Table:
    """Arrays are never NULL in ClickHouse: the contract makes them empty, here and not by a silent default."""
    rule = RULES["null_array_as_empty"]
    for position, (name, column) in enumerate(zip(rows.column_names, rows.columns, strict=True)):
        if pa.types.is_list(column.type) and column.null_count:
            filled = pa.chunked_array([rule(chunk) for chunk in column.chunks], column.type)
            rows = rows.set_column(position, name, filled)
    return rows


def _with_maps(rows: pa.Table, schema: TableSchema) -> pa.Table:
    """Maps from their text: the server casts a text to any type but this one."""
    for position, field in enumerate(schema.fields):
        if field.kind == "clickhouse:Map":
            pairs = [list(ast.literal_eval(text).items()) for text in rows.column(position).to_pylist()]
            rows = rows.set_column(position, field.name, pa.array(pairs, pa.map_(pa.string(), pa.int64())))
    return rows
