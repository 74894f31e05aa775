"""A family of one's own: DuckDB as a sink. What the harness needs to judge it, and nothing of how rows get there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
from pydantic import SecretStr

from pytest_dpone import Contract, Endpoint, Family, Field, Fingerprint, Strategy, to_kind

# Kind → the column type of DuckDB in which such values come back as they were.
EXACT = {
    "bool": "BOOLEAN", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT", "float32": "FLOAT",
    "float64": "DOUBLE", "decimal": "DECIMAL({p},{s})", "text": "VARCHAR", "binary": "BLOB", "date": "DATE",
    "time": "TIME", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMP WITH TIME ZONE", "uuid": "UUID",
    "json": "JSON", "array<int64>": "BIGINT[]", "array<text>": "VARCHAR[]",
}  # fmt: skip
CONTRACTS = [Contract("duckdb", kind, native=(native,)) for kind, native in EXACT.items()]
FAMILY = Family("duckdb", source=False, case_blind=True, excluded_as_sink={Strategy.CDC: "we load it in batches"})


class DuckDbSink:
    """The harness's hands on a DuckDB file; a namespace is a schema. It shares no code with the mover."""

    family = "duckdb"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "sink.duckdb"

    def open(self, namespace: str) -> None:
        self._rows(f"CREATE SCHEMA {quoted(namespace)}")

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        return Endpoint(family=self.family, url=SecretStr(f"duckdb://{self._path}"), namespace=namespace, table=table)

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        query = "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? AND table_name = ?"
        return dict(self._rows(query, namespace, table))

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        names = ", ".join(quoted(field.name) for field in fields)
        order = ", ".join(f"{quoted(name)} NULLS LAST" for name in order_by)
        with duckdb.connect(self._path) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            query = f"SELECT {names} FROM {quoted(namespace)}.{quoted(table)} ORDER BY {order}"
            for batch in connection.execute(query).to_arrow_reader(batch_rows):
                columns = [to_kind(column, field) for column, field in zip(batch.columns, fields, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, names=[field.name for field in fields])

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        if column not in self.columns(namespace, table):
            return None
        query = f"SELECT count(*), coalesce(sum({quoted(column)}), 0) FROM {quoted(namespace)}.{quoted(table)}"
        return Fingerprint(*map(int, self._rows(query)[0]))

    def close(self, namespace: str) -> None:
        self._rows(f"DROP SCHEMA IF EXISTS {quoted(namespace)} CASCADE")

    def disconnect(self) -> None:
        """Each statement has a connection of its own: the mover needs the file, too."""

    def _rows(self, query: str, *values: str) -> list[tuple[object, ...]]:
        with duckdb.connect(self._path) as connection:
            return connection.execute(query, values).fetchall()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
