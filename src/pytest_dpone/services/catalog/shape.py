"""Batches brought into the shape that a catalog needs: checked columns, parts of a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ...core.kinds import TableSchema
from ...errors import UsageError

PART_ROWS = 262_144
PART_BYTES = 64 << 20


def canonical(batch: pa.RecordBatch, schema: TableSchema) -> pa.RecordBatch:
    """`batch` if it has exactly the schema's columns in canonical types; else raises `UsageError`."""
    wanted = schema.arrow()
    if batch.schema.names != wanted.names or batch.schema.types != wanted.types:
        raise UsageError(
            f"rows to be loaded have the columns {batch.schema.to_string(show_schema_metadata=False)!r}",
            hint="they must be the schema's fields in order, in canonical Arrow types",
        )
    return batch


def parts(batches: Iterable[pa.RecordBatch], *, rows: int = PART_ROWS, size: int = PART_BYTES) -> Iterator[pa.Table]:
    """Batches joined, and cut if need be, into tables of 1 to `rows` rows; cut early at about `size` bytes."""
    held: list[pa.RecordBatch] = []
    count = weight = 0
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            piece = batch.slice(start, rows)
            if held and (count + piece.num_rows > rows or weight >= size):
                yield pa.Table.from_batches(held)
                held, count, weight = [], 0, 0
            held.append(piece)
            count, weight = count + piece.num_rows, weight + piece.nbytes
    if held:
        yield pa.Table.from_batches(held)


def require_columns(place: str, natives: Mapping[str, str], names: Iterable[str]) -> None:
    """Raise `UsageError` unless all `names` are among the columns `natives` of the table `place`."""
    missing = [repr(name) for name in dict.fromkeys(names) if name not in natives]
    if missing:
        raise UsageError(
            f"{place} has no column {', '.join(missing)}",
            hint=f"it has {', '.join(map(repr, natives))}" if natives else "there is no such table",
        )


def among(rows: pa.Table, keys: pa.Table, key: Sequence[str]) -> pa.Array:
    """For each of `rows`, if its key is among `keys`."""
    names = [f"k{i}" for i in range(len(key))]
    positions = pa.array(range(rows.num_rows), pa.int64())
    probe = rows.select(list(key)).rename_columns(names).append_column("position", positions)
    wanted = keys.select(list(key)).rename_columns(names)
    hits = probe.join(wanted, keys=names, join_type="left semi").column("position")
    return pc.is_in(positions, value_set=hits.combine_chunks())
