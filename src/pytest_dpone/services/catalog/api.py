"""The API of ours by its door for the harness, as Arrow; no code shared with any engine, and none with its clients."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import SecretStr

from ...core.contracts import default_contracts
from ...core.kinds import Field, TableSchema
from ...core.wire import Endpoint
from ...errors import DponeError
from .address import parse_address
from .convert import to_kind
from .protocol import Commit, Fingerprint
from .runs import SortedRuns
from .shape import canonical, parts, require_columns

_TIMEOUT = 120.0


class ApiCatalog:
    """`Catalog` on a namespace of the API's server; implements `Witness`, too."""

    family = "api"

    def __init__(self, url: SecretStr) -> None:
        self._url = url
        address = parse_address(url.get_secret_value(), schemes=("http",))
        login = base64.b64encode(f"{address.user}:{address.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        self._connection = http.client.HTTPConnection(address.host, address.port, timeout=_TIMEOUT)

    def open(self, namespace: str) -> None:
        """Create the namespace."""
        self._ask("PUT", namespace)

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        """What an engine gets to reach `table`."""
        return Endpoint(family=self.family, url=self._url, namespace=namespace, table=table)

    def create(self, namespace: str, table: str, schema: TableSchema) -> None:
        """Create an empty table with the kinds of `schema`."""
        for field in schema.fields:
            default_contracts().native_type(self.family, field.kind)
        columns = [(f.name, f.kind, f.nullable) for f in schema.fields]
        told = {"columns": columns, "key": schema.key, "cursor": schema.cursor, "partition": schema.partition}
        self._ask("PUT", namespace, "tables", table, body=json.dumps(told).encode())

    def load(self, namespace: str, table: str, schema: TableSchema, batches: Iterable[pa.RecordBatch]) -> int:
        """Append canonical batches in parts of at most 256k rows or about 64 MiB; returns rows."""
        rows = 0
        for part in parts(canonical(batch, schema) for batch in batches):
            rows += int(json.loads(self._ask("POST", namespace, "tables", table, "rows", body=_arrow(part)))["rows"])
        return rows

    def change(self, namespace: str, table: str, schema: TableSchema, commits: Sequence[Commit]) -> None:
        """Apply each commit at once. Raises `DponeError` if a delete or an update finds no row."""
        del schema
        for commit in commits:
            body = b"".join(map(_arrow, (commit.deletes, commit.updates, commit.inserts)))
            self._ask("POST", namespace, "tables", table, "commit", body=body)

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        """Column name → kind, in order; empty if there is no such table."""
        content = self._ask("GET", namespace, "tables", table, missing=b"{}")
        columns: dict[str, str] = json.loads(content)
        return columns

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """All rows of one moment in canonical types, sorted on disk (see `runs`)."""
        require_columns(f"{namespace}.{table}", self.columns(namespace, table), [*(f.name for f in fields), *order_by])
        schema = TableSchema(tuple(fields)).arrow()
        with SortedRuns(order_by) as runs:
            for batch in pa.ipc.open_stream(self._ask("GET", namespace, "tables", table, "rows")):
                runs.add(batch)
            for batch in runs.batches(batch_rows):
                columns = [to_kind(batch.column(f.name), f) for f in fields]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        """Rows and the sum of `column` of one moment; None if there is no such table."""
        content = self._ask("GET", namespace, "tables", table, "rows", missing=b"")
        if not content:
            return None
        values = pa.ipc.open_stream(content).read_all().column(column)
        # As a decimal: the sum of int64 values may be larger than an int64, and Arrow would wrap it.
        return Fingerprint(len(values), int(pc.sum(values.cast(pa.decimal128(38, 0))).as_py() or 0))

    def contents(self, namespace: str) -> Mapping[str, int]:
        """The tables of the namespace with their rows."""
        tables: dict[str, int] = json.loads(self._ask("GET", namespace, missing=b"{}"))
        return tables

    def damage(self, namespace: str, table: str) -> bool:  # noqa: ARG002
        """False: nobody but the harness writes here, so there is no state of an engine."""
        return False

    def row_versions(self, namespace: str, table: str, key: str) -> pa.Table | None:  # noqa: ARG002
        """None: the API does not show when a row was written."""
        return None

    def witnessed(self, namespace: str) -> Mapping[str, int]:
        """What the server has counted since the last time: requests, pages, answers by status, `early` requests."""
        counts: dict[str, int] = json.loads(self._ask("POST", namespace, "conduct"))
        return counts

    def close(self, namespace: str) -> None:
        """Remove the namespace with its tables."""
        self._ask("DELETE", namespace)

    def disconnect(self) -> None:
        """Close the connection; a later call opens it again."""
        self._connection.close()

    def _ask(self, method: str, *path: str, body: bytes = b"", missing: bytes | None = None) -> Any:
        """The body of the answer; `missing` for what is not there, if that may be."""
        target = "/admin/" + "/".join(quote(part, safe="") for part in path)
        self._connection.request(method, target, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status == 404 and missing is not None:
            return missing
        if answer.status != 200:
            told = content.decode(errors="replace")[:300]
            raise DponeError(f"the API answered {answer.status}: {told}", hint="the harness asked for what it can't do")
        return content


def _arrow(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())
