"""MinIO or any S3 by boto3, tables as Parquet objects: the harness's hands, no code shared with any engine."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import SecretStr

from ...core.contracts import default_contracts
from ...core.kinds import Field, TableSchema, arrow_type
from ...core.own import PARQUET_TYPES, is_own
from ...core.wire import Endpoint
from ...errors import DponeError, ServiceFailed, UsageError
from .convert import nested_values, plainly_named, to_kind
from .objects import Bucket, ObjectGoneError
from .protocol import Commit, Fingerprint
from .runs import SortedRuns
from .shape import among, canonical, parts, require_columns

MANIFEST = "_manifest.json"
_READ_ROWS = 16_384
_ATTEMPTS = 20

Result = TypeVar("Result")


class MinioCatalog:
    """`Catalog` on a key prefix per namespace inside of one bucket, which belongs to the case."""

    family = "minio"

    def __init__(self, url: SecretStr, *, bucket: str) -> None:
        self._url = url
        self._bucket = Bucket(url, name=bucket)

    def open(self, namespace: str) -> None:
        """Create the bucket if it is missing; a prefix needs no creation."""
        _prefix(namespace)
        self._bucket.ensure()

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        """What an engine gets to reach `table`: the service's address with the bucket as its path."""
        server = urlsplit(self._url.get_secret_value())
        url = urlunsplit((server.scheme, server.netloc, "/" + quote(self._bucket.name), server.query, ""))
        return Endpoint(family=self.family, url=SecretStr(url), namespace=namespace, table=table)

    def create(self, namespace: str, table: str, schema: TableSchema) -> None:
        """Create an empty table: one Parquet object without rows, which holds the schema."""
        self._put_part(_prefix(namespace, table), _stored(pa.Table.from_batches([], schema.arrow()), schema))

    def load(self, namespace: str, table: str, schema: TableSchema, batches: Iterable[pa.RecordBatch]) -> int:
        """Append canonical batches as Parquet objects of at most 256k rows or about 128 MiB; returns rows."""
        rows = 0
        for part in parts(canonical(batch, schema) for batch in batches):
            self._put_part(_prefix(namespace, table), _stored(part, schema))
            rows += part.num_rows
        return rows

    def change(self, namespace: str, table: str, schema: TableSchema, commits: Sequence[Commit]) -> None:
        """Apply each commit: objects with rows that go are rewritten, new rows get an object of their own.

        New objects are put first, then old ones deleted; a reader in between sees rows twice. Memory: one object and
        the commit. Raises `DponeError` if a delete or an update finds no row, or for a table with a manifest.
        """
        prefix = _prefix(namespace, table)
        for commit in commits:
            if self._bucket.get(prefix + MANIFEST) is not None:
                raise DponeError(f"{prefix} has a manifest", hint="only source tables, which have none, are changed")
            gone = pa.concat_tables([commit.deletes.select(list(schema.key)), commit.updates.select(list(schema.key))])
            old: list[str] = []
            found = 0
            for key in (self._objects(prefix) or []) if gone.num_rows else []:
                with self._open(key) as file:
                    rows = file.read()
                kept = rows.filter(pc.invert(among(rows, gone, schema.key)))
                if kept.num_rows < rows.num_rows:
                    found += rows.num_rows - kept.num_rows
                    self._put_part(prefix, kept)
                    old.append(key)
            if found != gone.num_rows:
                raise DponeError(
                    f"a commit names {gone.num_rows} rows by their keys and {found} of them are in the source",
                    hint="the dataset's change does not fit the rows that were seeded",
                )
            self.load(namespace, table, schema, [*commit.updates.to_batches(), *commit.inserts.to_batches()])
            self._bucket.delete(old)

    def add_column(self, namespace: str, table: str, field: Field) -> None:
        """Write every object anew with a column more, NULL in every row."""
        kind = arrow_type(field.kind)
        self._rewrite(namespace, table, lambda rows: rows.append_column(field.name, pa.nulls(rows.num_rows, kind)))

    def widen_column(self, namespace: str, table: str, field: Field) -> None:
        """Write every object anew with a column of a wider type."""

        def widened(rows: pa.Table) -> pa.Table:
            place = rows.schema.get_field_index(field.name)
            wider = rows.schema.field(place).with_type(arrow_type(field.kind))
            return rows.set_column(place, wider, rows.column(place).cast(wider.type))

        self._rewrite(namespace, table, widened)

    def drop_column(self, namespace: str, table: str, name: str) -> None:
        """Write every object anew without a column."""
        self._rewrite(namespace, table, lambda rows: rows.drop_columns([name]))

    def rename_column(self, namespace: str, table: str, name: str, to: str) -> None:
        """Write every object anew with another name for a column."""
        self._rewrite(
            namespace, table, lambda rows: rows.rename_columns([to if n == name else n for n in rows.column_names])
        )

    def _rewrite(self, namespace: str, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
        for key in self._objects(_prefix(namespace, table)) or []:
            with self._open(key) as file:
                rows = change(file.read())
            sink = io.BytesIO()
            pq.write_table(rows, sink, compression="zstd")
            self._bucket.put(key, sink.getvalue())

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        """Column name → Arrow type as text, from the objects that exist for a reader; empty if there are none.

        Raises `DponeError` if the objects have different columns.
        """
        return self._consistently(_prefix(namespace, table), self._common_columns)

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """All rows of the objects that exist for a reader, sorted, in canonical types; sorts on disk (see `runs`)."""
        prefix = _prefix(namespace, table)
        with self._consistently(prefix, lambda keys: self._sort(prefix, keys, fields, order_by)) as runs:
            for batch in runs.batches(batch_rows):
                yield pa.RecordBatch.from_arrays(
                    batch.columns[: len(fields)], schema=TableSchema(tuple(fields)).arrow()
                )

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        """Rows and the sum of `column` of the objects of one manifest, or of one listing; None without any."""
        return self._consistently(_prefix(namespace, table), lambda keys: self._sum(keys, column))

    def contents(self, namespace: str) -> Mapping[str, int]:
        """The objects below the prefix with their bytes."""
        start = _prefix(namespace)
        return {key.removeprefix(start): len(self._bucket.get(key) or b"") for key in self._bucket.keys(start)}

    def damage(self, namespace: str, table: str) -> bool:  # noqa: ARG002
        """False: what an engine keeps beside its objects has no common form."""
        return False

    def row_versions(self, namespace: str, table: str, key: str) -> pa.Table | None:  # noqa: ARG002
        """None: an object does not show when a row was written."""
        return None

    def close(self, namespace: str) -> None:
        """Delete the objects below the prefix, and the bucket with the last of them."""
        self._bucket.delete(self._bucket.keys(_prefix(namespace)))
        self._bucket.drop()

    def disconnect(self) -> None:
        """Close the client; a later call opens a new one."""
        self._bucket.disconnect()

    def _objects(self, prefix: str) -> list[str] | None:
        """The keys of the objects that exist for a reader: what the manifest names, else every Parquet object.

        None if there is no table: neither a manifest nor an object.
        """
        content = self._bucket.get(prefix + MANIFEST)
        if content is not None:
            return [prefix + name for name in _manifest_objects(content, prefix)]
        return [key for key in self._bucket.keys(prefix) if key.endswith(".parquet")] or None

    def _consistently(self, prefix: str, action: Callable[[list[str] | None], Result]) -> Result:
        """`action` on the objects of one moment. If one of them vanishes meanwhile, again, as a reader would.

        Raises `ServiceFailed` if an object is named and missing, with the same names at the next look.
        """
        before: list[str] | None = None
        for _ in range(_ATTEMPTS):
            keys = self._objects(prefix)
            try:
                return action(keys)
            except ObjectGoneError as gone:
                if keys == before:
                    raise ServiceFailed(
                        f"the table {prefix} names the object {gone}, which does not exist",
                        hint="an engine must delete objects only after a manifest without them is in place",
                    ) from None
                before = keys
        raise ServiceFailed(
            f"the objects of the table {prefix} changed {_ATTEMPTS} times while they were read",
            hint="no engine may be running while the harness reads",
        )

    def _open(self, key: str) -> closing[pq.ParquetFile]:
        return closing(pq.ParquetFile(self._bucket.open(key), pre_buffer=True))

    def _put_part(self, prefix: str, rows: pa.Table) -> None:
        taken = [key for key in self._bucket.keys(prefix + "part-") if key.endswith(".parquet")]
        number = int(taken[-1].removeprefix(prefix + "part-").removesuffix(".parquet")) + 1 if taken else 0
        sink = io.BytesIO()
        pq.write_table(rows, sink, compression="zstd")
        self._bucket.put(f"{prefix}part-{number:05d}.parquet", sink.getvalue())

    def _common_columns(self, keys: list[str] | None) -> dict[str, str]:
        common: dict[str, str] = {}
        for key in keys or []:
            with self._open(key) as file:
                found = {field.name: str(plainly_named(field.type)) for field in file.schema_arrow}
            if common and list(found.items()) != list(common.items()):
                raise DponeError(
                    f"the object {key} has the columns {found}, another one of its table has {common}",
                    hint="all objects of a table must have the same columns in the same order",
                )
            common = found
        return common

    def _sort(
        self, prefix: str, keys: list[str] | None, fields: Sequence[Field], order_by: Sequence[str]
    ) -> SortedRuns:
        natives = self._common_columns(keys)
        by = [name for name in dict.fromkeys(order_by) if name not in {f.name for f in fields}]
        names = [*(f.name for f in fields), *by]
        if keys is None or keys:
            require_columns(prefix, natives, names)
        runs = SortedRuns(order_by)
        try:
            for key in keys or []:
                with self._open(key) as file:
                    for batch in file.iter_batches(_READ_ROWS, columns=names):
                        runs.add(_canonical_rows(batch.select(names), fields))
        except BaseException:
            runs.discard()
            raise
        return runs

    def _sum(self, keys: list[str] | None, column: str) -> Fingerprint | None:
        if keys is None:
            return None
        rows = total = 0
        for key in keys:
            with self._open(key) as file:
                rows += file.metadata.num_rows
                # As a decimal: the sum of int64 values may be larger than an int64, and Arrow would wrap it.
                values = file.read(columns=[column]).column(column).cast(pa.decimal128(38, 0))
                total += int(pc.sum(values).as_py() or 0)
        return Fingerprint(rows, total)


def _stored(rows: pa.Table, schema: TableSchema) -> pa.Table:
    """Canonical rows in the types that a source table has; raises `UsageError` if there is none for a column."""
    for place, field in enumerate(schema.fields):
        kind = PARQUET_TYPES.get(default_contracts().column_type("minio", field))
        if kind is not None:
            column = rows.column(place)
            values = nested_values(column, kind) if is_own(field.kind) else column.cast(kind)
            rows = rows.set_column(place, rows.schema.field(place).with_type(kind), values)
    return rows


def _prefix(*parts: str) -> str:
    """`{namespace}/` or `{namespace}/{table}/`, exact with its slash; raises `UsageError` for what would be another."""
    for part in parts:
        if not part or part.startswith("/") or part.endswith("/") or "\0" in part:
            raise UsageError(
                f"{part!r} can't be a name in S3", hint="names are not empty and begin and end without a slash"
            )
    return "/".join(parts) + "/"


def _manifest_objects(content: bytes, prefix: str) -> list[str]:
    try:
        names = json.loads(content)["objects"]
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    except (ValueError, TypeError, KeyError):
        pass
    raise DponeError(
        f"the manifest of {prefix} can't be read: {content[:200]!r}",
        hint='it must be JSON with the key "objects", a list of names relative to the table',
    )


def _canonical_rows(batch: pa.RecordBatch, fields: Sequence[Field]) -> pa.RecordBatch:
    """`batch` with its first columns as `fields`; what follows is for the order only."""
    columns = [to_kind(column, field) for column, field in zip(batch.columns, fields, strict=False)]
    return pa.RecordBatch.from_arrays([*columns, *batch.columns[len(columns) :]], names=batch.schema.names)
