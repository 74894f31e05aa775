"""Tables of a simulated run: Arrow files in a folder, which stand for a service; no code shared with any engine.

The form of the files is told in docs/architecture.md, "Tables in memory".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import SecretStr

from ...core.contracts import default_contracts
from ...core.kinds import Field, TableSchema, arrow_type, decimal_of, kind_of
from ...core.wire import Endpoint
from ...errors import DponeError, UsageError
from .convert import hex_bytes, to_kind
from .protocol import Commit, Fingerprint
from .runs import SortedRuns
from .shape import among, canonical, require_columns

COMMIT = "__dpone_commit"
"""The system column of every table: the number of the commit that wrote the row."""
_LAST = b"dpone.commit"
"""Metadata of a file: the number of its table's last commit."""
_SHOWS_VERSIONS = frozenset({"postgres"})
"""Families of which a reader can see when a row was written."""
_OF_THEIR_OWN = {"uuid": pa.uuid(), "json": pa.json_()}
"""Arrow types of kinds that are text in canonical form."""


class MemoryCatalog:
    """`Catalog` on a folder per namespace, with a file per table. `url` is `memory:///folder?family=name`."""

    def __init__(self, url: SecretStr) -> None:
        parts = urlsplit(url.get_secret_value())
        self._url = url
        self._folder = Path(unquote(parts.path))
        self.family = parse_qs(parts.query).get("family", [""])[0]

    def open(self, namespace: str) -> None:
        """Create the folder of the namespace."""
        self._space(namespace).mkdir(parents=True, exist_ok=True)

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        """What an engine gets to reach `table`."""
        return Endpoint(family=self.family, url=self._url, namespace=namespace, table=table)

    def create(self, namespace: str, table: str, schema: TableSchema) -> None:
        """Create an empty table with the columns that the family's contracts give to `schema`."""
        fields = [pa.field(f.name, _stored_type(self.family, f.kind), nullable=f.nullable) for f in schema.fields]
        _replace(self._path(namespace, table), pa.schema([*fields, pa.field(COMMIT, pa.int64())]), 0, ())

    def load(self, namespace: str, table: str, schema: TableSchema, batches: Iterable[pa.RecordBatch]) -> int:
        """Append canonical batches in one commit; returns rows."""
        path = self._path(namespace, table)
        kept = _schema(path)
        number = _last_commit(kept) + 1
        rows = 0

        def appended() -> Iterator[pa.RecordBatch]:
            nonlocal rows
            yield from _batches(path)
            for batch in batches:
                rows += batch.num_rows
                yield _stored(canonical(batch, schema), kept, number)

        _replace(path, kept, number, appended())
        return rows

    def change(self, namespace: str, table: str, schema: TableSchema, commits: Sequence[Commit]) -> None:
        """Apply each commit at once. Raises `DponeError` if a delete or an update finds no row."""
        for commit in commits:
            self._commit(self._path(namespace, table), schema, commit)

    def hold(self, namespace: str, table: str, schema: TableSchema, commit: Commit) -> Callable[[], None]:
        """Nobody can look into what is not committed: the commit is applied when it is closed."""
        return lambda: self.change(namespace, table, schema, [commit])

    def rekey(self, namespace: str, table: str, key: str, keys: Sequence[int], *, offset: int) -> None:
        """Add `offset` to the key of the rows `keys`, as one commit."""
        path = self._path(namespace, table)
        kept = _schema(path)
        number = _last_commit(kept) + 1

        def changed() -> Iterator[pa.RecordBatch]:
            for batch in _batches(path):
                place = batch.schema.get_field_index(key)
                values, commits = batch.column(place), batch.column(COMMIT)
                hit = pc.is_in(values, pa.array(keys, values.type))
                moved = pc.if_else(hit, pc.add(values, offset), values)
                written = pc.if_else(hit, pa.scalar(number, pa.int64()), commits)
                fresh = batch.set_column(place, batch.schema.field(place), moved)
                last = fresh.schema.get_field_index(COMMIT)
                yield fresh.set_column(last, fresh.schema.field(last), written)

        _replace(path, kept, number, changed())

    def truncate(self, namespace: str, table: str) -> None:
        """Empty the table, as one commit."""
        path = self._path(namespace, table)
        kept = _schema(path)
        _replace(path, kept, _last_commit(kept) + 1, ())

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        """Column name → what a table of the family calls such a column, in order; empty if there is no such table."""
        path = self._path(namespace, table)
        if not path.exists():
            return {}
        return {f.name: _native(self.family, f.type) for f in _schema(path) if f.name != COMMIT}

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """All rows of one moment in canonical types, sorted on disk (see `runs`)."""
        more = [name for name in dict.fromkeys(order_by) if name not in {f.name for f in fields}]
        names = [*(f.name for f in fields), *more]
        require_columns(f"{namespace}.{table}", self.columns(namespace, table), names)
        with SortedRuns(order_by) as runs:
            for batch in _batches(self._path(namespace, table)):
                columns = [to_kind(batch.column(f.name), f) for f in fields]
                runs.add(pa.RecordBatch.from_arrays([*columns, *(batch.column(name) for name in more)], names=names))
            schema = TableSchema(tuple(fields)).arrow()
            for batch in runs.batches(batch_rows):
                yield pa.RecordBatch.from_arrays(batch.columns[: len(fields)], schema=schema)

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        """Rows and the sum of `column` in the file of one moment; None if there is no such table."""
        rows = total = 0
        try:
            for batch in _batches(self._path(namespace, table)):
                rows += batch.num_rows
                # As a decimal: the sum of int64 values may be larger than an int64, and Arrow would wrap it.
                total += int(pc.sum(batch.column(column).cast(pa.decimal128(38, 0))).as_py() or 0)
        except FileNotFoundError:
            return None
        return Fingerprint(rows, total)

    def contents(self, namespace: str) -> Mapping[str, int]:
        """The files of the namespace with their rows."""
        paths = sorted(self._space(namespace).glob("*.arrow"))
        return {unquote(path.stem): sum(batch.num_rows for batch in _batches(path)) for path in paths}

    def damage(self, namespace: str, table: str) -> bool:  # noqa: ARG002
        """False: no table holds an engine's state."""
        return False

    def row_versions(self, namespace: str, table: str, key: str) -> pa.Table | None:
        """Columns `key` and `version`, sorted by key: the commit that wrote the row; None where no family shows it."""
        if self.family not in _SHOWS_VERSIONS:
            return None
        path = self._path(namespace, table)
        schema = _schema(path)
        require_columns(f"{namespace}.{table}", {f.name: str(f.type) for f in schema}, [key, COMMIT])
        kept = pa.schema([("key", schema.field(key).type), ("version", pa.int64())])
        rows = [
            pa.RecordBatch.from_arrays([batch.column(key), batch.column(COMMIT)], schema=kept)
            for batch in _batches(path)
        ]
        return pa.Table.from_batches(rows, kept).sort_by("key")

    def close(self, namespace: str) -> None:
        """Remove the files of the namespace and its folder."""
        folder = self._space(namespace)
        if folder.exists():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    def disconnect(self) -> None:
        """Nothing is held open."""

    def _space(self, namespace: str) -> Path:
        return self._folder / _file_name(namespace)

    def _path(self, namespace: str, table: str) -> Path:
        return self._space(namespace) / f"{_file_name(table)}.arrow"

    def _commit(self, path: Path, schema: TableSchema, commit: Commit) -> None:
        gone = pa.concat_tables([commit.deletes.select(list(schema.key)), commit.updates.select(list(schema.key))])
        kept = _schema(path)
        number = _last_commit(kept) + 1
        found = 0

        def changed() -> Iterator[pa.RecordBatch]:
            nonlocal found
            for batch in _batches(path):
                rows = batch.filter(pc.invert(among(pa.Table.from_batches([batch]), gone, schema.key)))
                found += batch.num_rows - rows.num_rows
                yield rows
            if found != gone.num_rows:
                raise DponeError(
                    f"a commit names {gone.num_rows} rows by their keys and {found} of them are in the source",
                    hint="the dataset's change does not fit the rows that were seeded",
                )
            for batch in (*commit.updates.to_batches(), *commit.inserts.to_batches()):
                yield _stored(canonical(batch, schema), kept, number)

        _replace(path, kept, number, changed())


def _file_name(name: str) -> str:
    """`name` as the name of a file; raises `UsageError` for one that can't be."""
    if not name.strip("."):
        raise UsageError(f"{name!r} can't be a name in memory", hint="use a name that is not empty and not dots alone")
    return quote(name, safe="")


def _stored_type(family: str, kind: str) -> pa.DataType:
    """The type in which a source table keeps `kind`; raises `UsageError` if the family has none."""
    contracts = default_contracts()
    native = contracts.native_type(family, kind)
    own = _OF_THEIR_OWN.get(kind)
    return arrow_type(kind) if own is None or native == contracts.native_type(family, "text") else own


def _native(family: str, found: pa.DataType) -> str:
    """What a table of `family` calls a column of this Arrow type; a text that no contract accepts if it has none."""
    kind = kind_of(found)
    contract = default_contracts().find(family, kind) if kind is not None else None
    if kind is None or contract is None or contract.how in ("widened", "rejected"):
        return f"no type of {family} ({found})"
    precision, scale = decimal_of(kind) or (0, 0)
    return contract.native[0].replace("{p}", str(precision)).replace("{s}", str(scale))


def _stored(batch: pa.RecordBatch, schema: pa.Schema, number: int) -> pa.RecordBatch:
    """A canonical batch in the types of a table's `schema`, written by the commit `number`."""
    columns = [_as_stored(batch.column(f.name), f.type) for f in schema if f.name != COMMIT]
    columns.append(pa.repeat(pa.scalar(number, pa.int64()), batch.num_rows))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as_stored(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if values.type == kind:
        return values
    if kind == _OF_THEIR_OWN["uuid"]:
        values = hex_bytes(pc.replace_substring(values, "-", "")).cast(pa.binary(16))
    return pa.ExtensionArray.from_storage(kind, values)


def _schema(path: Path) -> pa.Schema:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).schema


def _last_commit(schema: pa.Schema) -> int:
    return int((schema.metadata or {}).get(_LAST, b"0"))


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of the file that is there now, whatever takes its place meanwhile."""
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def _replace(path: Path, schema: pa.Schema, number: int, batches: Iterable[pa.RecordBatch]) -> None:
    """Put a file in the place of another at once: a reader sees the old rows or the new ones."""
    kept = schema.with_metadata({**(schema.metadata or {}), _LAST: str(number)})
    fresh = path.with_suffix(".new")
    with pa.OSFile(str(fresh), "wb") as file, pa.ipc.new_file(file, kept) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(kept.metadata))
    fresh.replace(path)
