"""A family of one's own: DuckDB as a sink. What the harness needs to judge it, and nothing of how rows get there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
from pydantic import SecretStr

from pytest_dpone import Contract, Endpoint, Family, Field, Fingerprint, Strategy, to_kind

# DuckDB holds no NULL for a NaN, no year before 290309 BC, and everything else that Postgres sends as it is.
EXACT = {
    "bool": "BOOLEAN",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "decimal": "DECIMAL({p},{s})",
    "text": "VARCHAR",
    "binary": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "uuid": "UUID",
    "json": "JSON",
    "array<int64>": "BIGINT[]",
    "array<text>": "VARCHAR[]",
}
CONTRACTS = [Contract("duckdb", kind, native=(native,)) for kind, native in EXACT.items()]
FAMILY = Family(
    "duckdb", source=False, excluded_as_sink={Strategy.CDC: "our pipelines load DuckDB in batches, not from a log"}
)


class DuckDbSink:
    """The harness's hands on a DuckDB file; a namespace is a schema. It shares no code with the mover."""

    family = "duckdb"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "sink.duckdb"

    def open(self, namespace: str) -> None:
        with duckdb.connect(self._path) as connection:
            connection.execute(f"CREATE SCHEMA {quoted(namespace)}")

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        return Endpoint(family=self.family, url=SecretStr(f"duckdb://{self._path}"), namespace=namespace, table=table)

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        query = "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? AND table_name = ?"
        with duckdb.connect(self._path) as connection:
            return dict(connection.execute(query, [namespace, table]).fetchall())

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        names = ", ".join(quoted(field.name) for field in fields)
        order = ", ".join(f"{quoted(name)} NULLS LAST" for name in order_by)
        query = f"SELECT {names} FROM {quoted(namespace)}.{quoted(table)} ORDER BY {order}"
        with duckdb.connect(self._path) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for batch in connection.execute(query).fetch_record_batch(batch_rows):
                columns = [to_kind(column, field) for column, field in zip(batch.columns, fields, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, names=[field.name for field in fields])

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        if column not in self.columns(namespace, table):
            return None
        query = f"SELECT count(*), coalesce(sum({quoted(column)}), 0) FROM {quoted(namespace)}.{quoted(table)}"
        with duckdb.connect(self._path) as connection:
            return Fingerprint(*map(int, connection.execute(query).fetchone()))

    def close(self, namespace: str) -> None:
        self._path.unlink(missing_ok=True)

    def disconnect(self) -> None:
        pass


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
