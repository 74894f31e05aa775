"""MinIO and S3 as a sink: Parquet objects first, the manifest last."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from ...core.model import Strategy
from ...core.wire import Job, Window
from ...errors import EngineFailed, UsageError, ValueRejected
from .address import place, told
from .arrow import Batches, grouped, inside
from .minio import Bucket, Manifest
from .ports import Counts
from .state import State
from .stream import Guarded

_OBJECT_ROWS = 1 << 18
_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 32 << 20
# Not `*.parquet`: before the first manifest such an object would count as the table already.
_OBJECT = "part-{generation:08d}-{number:05d}.parquet-part"
_OURS = re.compile(r"part-(\d{8})-\d{5}\.parquet-part")


class MinioSink:
    """A table of Parquet objects with a manifest; implements `Sink`.

    Each run writes objects of a new generation, which no reader knows until the manifest names them. The state is in
    the manifest, so data and state are committed by one put.
    """

    def __init__(self, job: Job, moment: Callable[[str], None]) -> None:
        self._job = job
        self._moment = moment
        self._endpoint = job.sink
        self._schema = pa.schema([])
        self._old: Manifest | None = None
        self._new: dict[str, int] = {}
        with told(self._endpoint, "opening the sink"):
            self._bucket = Bucket(self._endpoint)

    def prepare(self, schema: pa.Schema) -> bool:
        """See `Sink.prepare`."""
        self._schema = schema
        with told(self._endpoint, "preparing the sink"):
            self._old = self._bucket.manifest()
            self._remove_leftovers()
            if self._old is None:
                if foreign := self._bucket.objects():
                    raise EngineFailed(
                        f"{place(self._endpoint)} holds {len(foreign)} Parquet objects and no manifest",
                        hint="the engine replaces only what it wrote: choose another table",
                    )
                return False
            if self._old.objects:
                self._refuse_drift(self._old.objects[0])
        return True

    def has_rows(self) -> bool:
        """See `Sink.has_rows`."""
        return self._old is not None and sum(self._old.rows.values()) > 0

    def state(self) -> State | None:
        """See `Sink.state`."""
        if self._old is None or not self._old.state:
            return None
        return State.from_text(self._old.state, where=f"the manifest of {place(self._endpoint)}")

    def stage(self, batches: Batches) -> int:
        """See `Sink.stage`. Text that is not UTF-8, which only ClickHouse can send, is refused."""
        guarded = Guarded(map(_valid, batches))
        with guarded.kept(), told(self._endpoint, "staging"):
            tables = grouped(iter(guarded), rows=_GROUP_ROWS, size=_GROUP_BYTES)
            first = next(tables, None)
            # an empty first load still makes a table, of one object without rows
            if first is None and self._must_write:
                first = self._schema.empty_table()
            if first is not None:
                self._write_all(chain([first], tables))
        return guarded.rows

    def _write_all(self, tables: Iterator[pa.Table]) -> None:
        first = next(tables, None)
        while first is not None:
            first = self._write(first, tables)

    def replace(self) -> None:
        """See `Sink.replace`."""
        with told(self._endpoint, "publishing"):
            self._publish({}, "")
            for name in self._old.objects if self._old else ():
                self._bucket.delete(name)

    def append(self, state: State) -> None:
        """See `Sink.append`."""
        old = self._old or Manifest()
        text = state.to_text()
        with told(self._endpoint, "publishing"):
            if self._new or text != old.state:
                self._publish({name: old.rows.get(name, 0) for name in old.objects}, text)

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:  # noqa: ARG002
        """Not possible: Parquet objects can't be updated in place."""
        raise _in_place()

    def history(self) -> Counts:
        """Not possible: Parquet objects can't be updated in place."""
        raise _in_place()

    def rewrite(self, days: tuple[Window, ...] | None, state: State | None) -> None:
        """See `Sink.rewrite`. An object with rows of `days` is written anew without them."""
        old = self._old or Manifest()
        with told(self._endpoint, "rewriting"):
            kept = {} if days is None else {n: old.rows.get(n, 0) for n in old.objects if not self._trimmed(n, days)}
            self._publish(kept, state.to_text() if state else "")
            for name in old.objects:
                if name not in kept:
                    self._bucket.delete(name)
            self._old = self._bucket.manifest()

    def _trimmed(self, name: str, days: tuple[Window, ...]) -> bool:
        """Write the rows of the object `name` that are not of `days` into new objects; False if that is all of them."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._bucket.path(name), filesystem=self._bucket.files) as file:
            column = [self._job.partition]
            if not any(pc.any(inside(b.column(0), days)).as_py() for b in file.iter_batches(columns=column)):
                return False
            outside = (b.filter(pc.invert(inside(b.column(column[0]), days))) for b in file.iter_batches(_GROUP_ROWS))
            self._write_all(grouped(outside, rows=_GROUP_ROWS, size=_GROUP_BYTES))
        return True

    def close(self) -> None:
        """See `Sink.close`."""
        with suppress(EngineFailed), told(self._endpoint, "cleaning up"):
            for name in self._new:
                self._bucket.delete(name)
        self._new = {}

    @property
    def _must_write(self) -> bool:
        whole = self._job.strategy is Strategy.REPLACE and self._job.window is None
        return whole or self._job.strategy is Strategy.FULL_REFRESH or self._old is None or not self._old.objects

    @property
    def _generation(self) -> int:
        return (self._old.generation if self._old else 0) + 1

    def _remove_leftovers(self) -> None:
        """Delete objects that a killed run wrote before its manifest, or kept after it."""
        known = self._old.objects if self._old else ()
        for name in self._bucket.names():
            if _OURS.fullmatch(name) and name not in known:
                self._bucket.delete(name)

    def _refuse_drift(self, name: str) -> None:
        found = self._bucket.schema(name)
        if not found.equals(self._schema.remove_metadata()):
            raise EngineFailed(
                f"the columns of {place(self._endpoint)} are {_told(found)}, "
                f"the source now needs {_told(self._schema)}",
                hint="the native engine follows no schema change: load into a new table",
            )

    def _write(self, first: pa.Table, rest: Iterator[pa.Table]) -> pa.Table | None:
        """Write one object that starts with `first`; returns the table that the next one starts with."""
        import pyarrow.parquet as pq

        name = _OBJECT.format(generation=self._generation, number=len(self._new))
        self._new[name] = 0
        with (
            self._bucket.files.open_output_stream(self._bucket.path(name)) as stream,
            pq.ParquetWriter(stream, self._schema, compression="zstd", compression_level=1) as writer,
        ):
            table: pa.Table | None = first
            while table is not None and self._new[name] < _OBJECT_ROWS:
                writer.write_table(pa.Table.from_arrays(table.columns, schema=self._schema))
                self._new[name] += table.num_rows
                table = next(rest, None)
        return table

    def _publish(self, kept: dict[str, int], state: str) -> None:
        rows = {**kept, **self._new}
        # From here on they may be the table, even if the answer to the put is lost; what is not, `prepare` removes.
        self._new = {}
        self._moment("committing")
        self._bucket.put(Manifest(tuple(rows), self._generation, state, rows))


def _in_place() -> UsageError:
    return UsageError("Parquet objects can't be updated in place", hint="choose another strategy for minio")


def _valid(batch: pa.RecordBatch) -> pa.RecordBatch:
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ValueRejected(
            f"a value can't be written to Parquet: {error}", hint="carry columns that are no text as binary"
        ) from None
    return batch


def _told(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
