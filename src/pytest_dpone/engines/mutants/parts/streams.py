"""Streams between source and sink that are broken in one way each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ...native import NativeEngine, Seams

Batches = Iterator[pa.RecordBatch]
Change = Callable[[pa.Array], pa.Array]


def tapped(stream: Callable[[Batches], Batches]) -> NativeEngine:
    """The native engine with `stream` between source and sink."""
    return NativeEngine(Seams(tap=lambda _job, batches: stream(batches)))


def changing(applies: Callable[[pa.DataType], bool], change: Change, *, required: bool = False) -> NativeEngine:
    """The native engine that passes each column of a type that `applies` through `change`; the type stays.

    Columns that must not be NULL are left alone unless `required`: a NULL there is something that a sink refuses.
    """

    def stream(batches: Batches) -> Batches:
        for batch in batches:
            hit = [(required or field.nullable) and applies(field.type) for field in batch.schema]
            columns = [change(c).cast(c.type) if h else c for c, h in zip(batch.columns, hit, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    return tapped(stream)


def without_last_batch(batches: Batches) -> Batches:
    """All batches but the last."""
    held: pa.RecordBatch | None = None
    for batch in batches:
        if held is not None:
            yield held
        held = batch


def without_last_row(batches: Batches) -> Batches:
    """All rows but the last."""
    held: pa.RecordBatch | None = None
    for batch in batches:
        if held is not None:
            yield held
        held = batch
    if held is not None:
        yield held.slice(0, held.num_rows - 1)


def first_batch_twice(batches: Batches) -> Batches:
    """The first batch, then all batches."""
    for number, batch in enumerate(batches):
        if number == 0:
            yield batch
        yield batch


def swapped_texts(batches: Batches) -> Batches:
    """The first two nullable text columns with each other's values."""
    for batch in batches:
        texts = [i for i, field in enumerate(batch.schema) if pa.types.is_string(field.type) and field.nullable]
        columns = list(batch.columns)
        one, other = texts[0], texts[1]
        columns[one], columns[other] = columns[other], columns[one]
        yield pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def without_nul(array: pa.Array) -> pa.Array:
    """Texts without their NUL characters."""
    return pc.replace_substring(array, "\0", "")


def clamped(array: pa.Array) -> pa.Array:
    """Dates at least 1900-01-01 and at most 2299-12-31."""
    first, last = pa.scalar(dt.date(1900, 1, 1)), pa.scalar(dt.date(2299, 12, 31))
    return pc.max_element_wise(pc.min_element_wise(array, last, skip_nulls=False), first, skip_nulls=False)


def reviving() -> NativeEngine:
    """Each run after the first brings one row of the first run again that the source has lost since."""
    first: list[pa.Table] = []

    def stream(batches: Batches) -> Batches:
        rows = list(batches)
        yield from rows
        if not first:
            first.append(pa.Table.from_batches(rows))
            return
        keys = pa.concat_arrays([batch.column("id") for batch in rows])
        lost = first[0].filter(pc.invert(pc.is_in(first[0].column("id"), keys)))
        yield from lost.slice(0, 1).to_batches()

    return tapped(stream)


def stale() -> NativeEngine:
    """Rows whose key came in the first run are never updated."""
    first: list[pa.Array] = []

    def stream(batches: Batches) -> Batches:
        known = pa.concat_arrays(first) if first else None
        for batch in batches:
            keys = batch.column("id")
            if known is None:
                first.append(keys)
                yield batch
            else:
                yield batch.filter(pc.invert(pc.is_in(keys, known)))

    return tapped(stream)
