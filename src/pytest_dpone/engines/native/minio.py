"""MinIO and S3: the file system, the manifest, and the source, Parquet objects read batch by batch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...core.wire import Endpoint, Job
from ...errors import EngineFailed
from .address import Address, place, told
from .arrow import Batches, conform, convert, sliced, travel_type, within
from .ports import Extract
from .ties import cursor_value

MANIFEST = "_manifest.json"

_BATCH_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a table consists of: object names relative to the table, the writer's generation, and its state."""

    objects: tuple[str, ...] = ()
    generation: int = 0
    state: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    """Object → rows."""

    def to_json(self) -> bytes:
        """The manifest as it is put beside the objects."""
        body = {
            "objects": list(self.objects),
            "generation": self.generation,
            "rows": self.rows,
            "state": self.state,
        }
        return json.dumps(body, ensure_ascii=False, sort_keys=True, indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes, *, where: str) -> Manifest:
        """The inverse; `generation`, `rows` and `state` may be missing. Raises `EngineFailed` for a damaged one."""
        try:
            body = json.loads(text)
            return cls(
                objects=tuple(str(name) for name in body["objects"]),
                generation=int(body.get("generation", 0)),
                state=str(body.get("state", "")),
                rows={str(name): int(count) for name, count in body.get("rows", {}).items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineFailed(
                f"the manifest of {where} can't be read: {error!r}",
                hint="without it nobody knows which objects are the table: restore it, or remove the table",
            ) from None


class Bucket:
    """The objects of one table in a bucket; names are relative to `{namespace}/{table}/`."""

    def __init__(self, endpoint: Endpoint) -> None:
        from pyarrow import fs

        address = Address.of(endpoint)
        host = f"[{address.host}]" if ":" in address.host else address.host
        port = f":{address.port}" if address.port else ""
        self.files: Any = fs.S3FileSystem(
            access_key=address.user,
            secret_key=address.password,
            session_token=address.query.get("token"),
            endpoint_override=f"{host}{port}",
            scheme="https" if address.scheme == "s3s" else "http",
            region=address.query.get("region", "us-east-1"),
        )
        self._root = f"{address.path}/{endpoint.namespace}/{endpoint.table}"
        self._where = place(endpoint)

    def path(self, name: str) -> str:
        """The object's path for the file system."""
        return f"{self._root}/{name}"

    def names(self) -> list[str]:
        """All objects of the table, sorted."""
        from pyarrow import fs

        found = self.files.get_file_info(fs.FileSelector(self._root, allow_not_found=True, recursive=True))
        start = len(self._root) + 1
        return sorted(info.path[start:] for info in found if info.type == fs.FileType.File)

    def manifest(self) -> Manifest | None:
        """The manifest, None if there is none."""
        if MANIFEST not in self.names():
            return None
        with self.files.open_input_stream(self.path(MANIFEST)) as stream:
            return Manifest.from_json(stream.read(), where=self._where)

    def put(self, manifest: Manifest) -> None:
        """Publish: one put, which a reader sees wholly or not at all."""
        with self.files.open_output_stream(self.path(MANIFEST)) as stream:
            stream.write(manifest.to_json())

    def delete(self, name: str) -> None:
        """Remove one object."""
        self.files.delete_file(self.path(name))

    def objects(self) -> list[str]:
        """The objects that exist for a reader: those of the manifest, else every `*.parquet`."""
        manifest = self.manifest()
        if manifest is not None:
            return list(manifest.objects)
        return [name for name in self.names() if name.endswith(".parquet")]

    def schema(self, name: str) -> pa.Schema:
        """The Arrow schema of one Parquet object, without its metadata."""
        import pyarrow.parquet as pq

        schema: pa.Schema = pq.read_schema(self.path(name), filesystem=self.files)
        return schema.remove_metadata()


class MinioSource:
    """A table of Parquet objects, as its manifest or listing says when the job starts; implements `Source`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._endpoint = job.source
        with told(self._endpoint, "opening the source"):
            self._bucket = Bucket(self._endpoint)
            self._objects = self._bucket.objects()
            if not self._objects:
                raise EngineFailed(
                    f"there is no Parquet object at {place(self._endpoint)}", hint="create the source first"
                )
            self._stored = self._bucket.schema(self._objects[0])
        self.schema = pa.schema([_travel(column) for column in self._stored])

    def read(self, extract: Extract) -> Batches:
        """See `Source.read`."""
        since = extract.since
        floor = None if since is None else cursor_value(since, self.schema.field(self._job.cursor).type)
        with told(self._endpoint, "reading the source"):
            for name in self._objects:
                found = (within(batch, extract.days, self._job.partition) for batch in self._scanned(name, floor))
                yield from sliced(found, rows=self._job.batch_rows)

    def close(self) -> None:
        """Nothing to give back."""

    def _scanned(self, name: str, floor: pa.Scalar | None) -> Batches:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._bucket.path(name), filesystem=self._bucket.files) as file:
            found = file.schema_arrow.remove_metadata()
            if not found.equals(self._stored):
                raise EngineFailed(
                    f"the object {name} at {place(self._endpoint)} has the columns {found}, others have {self._stored}",
                    hint="all objects of a table must have the same columns",
                )
            for batch in file.iter_batches(_rows_at_once(file.metadata, limit=self._job.batch_rows)):
                rows = conform(convert(batch, _readable), self.schema)
                if floor is not None:
                    rows = rows.filter(pc.greater_equal(rows.column(self._job.cursor), floor))
                yield rows


def _rows_at_once(metadata: Any, *, limit: int) -> int:
    """Rows of a batch: fewer than `limit` where rows are so wide that as many would fill the memory."""
    size: int = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    fitting = _BATCH_BYTES * int(metadata.num_rows) // max(size, 1)
    return max(1, min(limit, fitting))


def _travel(found: pa.Field) -> pa.Field:
    kind = pa.string() if _is_nested(found.type) else travel_type(found.type)
    if kind is None:
        raise EngineFailed(
            f"the column {found.name!r} is of the type {found.type}, which the native engine can't carry exactly",
            hint="leave the column out",
        )
    return pa.field(found.name, kind, nullable=found.nullable)


def _is_nested(found: pa.DataType) -> bool:
    """If columns of the type `found` travel as JSON: those of structs, maps and lists that are no plain lists."""
    return pa.types.is_nested(found) and travel_type(found) is None


def _readable(array: pa.Array, _name: str) -> pa.Array:
    if not _is_nested(array.type):
        return array
    values = array.to_pylist(maps_as_pydicts="strict")
    texts = (None if v is None else json.dumps(v, ensure_ascii=False, separators=(",", ":")) for v in values)
    return pa.array(texts, pa.string())
