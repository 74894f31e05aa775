"""What the sink must hold after each act, computed from the dataset alone (DESIGN §4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from .contracts import RULES
from .dataset import Dataset
from .dataset.dataset import WATERMARK
from .kinds import Field, TableSchema
from .model import ActName, Strategy

Slice = tuple[pa.RecordBatch, pa.RecordBatch]
"""S0 and S1 of one range of keys."""


@dataclass(frozen=True)
class Expectation:
    """The rows that a table must hold: sorted by `identity`, in canonical Arrow types, as declared by the contracts.

    `identity` are the columns that tell a row from all others that are expected.
    """

    fields: tuple[Field, ...]
    identity: tuple[str, ...]
    batches: Callable[[], Iterator[pa.RecordBatch]]


def expect_source(dataset: Dataset, *, changed: bool) -> Expectation:
    """What the source itself must hold: S0, or S1 after the change."""
    schema = dataset.schema
    rows = dataset.after if changed else dataset.before
    return Expectation(schema.fields, schema.key, rows)


def expect(dataset: Dataset, strategy: Strategy, act: ActName) -> Expectation:
    """What the sink must hold when `act` (load, change, repeat or reconcile) is over.

    Raises KeyError for a strategy that has no expectation yet.
    """
    schema = dataset.schema
    if act is ActName.LOAD:
        rows: Callable[[Slice], pa.RecordBatch] = _old
    elif act is ActName.RECONCILE:
        rows = _new
    else:
        rows = _AFTER_CHANGE[strategy](schema, dataset)
    versions = strategy is Strategy.INCREMENTAL_APPEND
    identity = (*schema.key, "revision") if versions else schema.key
    return Expectation(schema.fields, identity, lambda: _batches(dataset, rows))


def reconciles(strategy: Strategy) -> bool:
    """If the strategy can't see physical deletes and late commits, so that act 4 must (DESIGN §3)."""
    return strategy in (Strategy.INCREMENTAL_MERGE, Strategy.XMIN)


@dataclass(frozen=True, slots=True)
class ExpectedCounts:
    """What a strategy that counts must have counted in one act (rows)."""

    inserted: int
    updated: int
    deleted: int
    unchanged: int


def expected_counts(dataset: Dataset, act: ActName) -> ExpectedCounts:
    """The counts of a comparison of two snapshots: nothing before load, S0 before change, S1 before repeat."""
    counts, before, after = dataset.counts, dataset.spec.rows_before, dataset.rows_after
    if act is ActName.LOAD:
        return ExpectedCounts(before, 0, 0, 0)
    if act is ActName.REPEAT:
        return ExpectedCounts(0, 0, 0, after)
    updated = counts.touched - counts.delete
    return ExpectedCounts(counts.inserted, updated, counts.delete, before - counts.touched)


def _old(rows: Slice) -> pa.RecordBatch:
    return rows[0]


def _new(rows: Slice) -> pa.RecordBatch:
    return rows[1]


def _snapshot(_schema: TableSchema, _dataset: Dataset) -> Callable[[Slice], pa.RecordBatch]:
    return _new


def _append(schema: TableSchema, dataset: Dataset) -> Callable[[Slice], pa.RecordBatch]:
    """S0 plus every row of S1 with cursor ≥ watermark that is new or changed, once."""

    def rows(pair: Slice) -> pa.RecordBatch:
        old, new = pair
        seen = _reached(new, schema, dataset)
        fresh = seen.filter(pc.invert(_is_old_version(seen, old)))
        return _sorted(old, fresh, (*schema.key, "revision"))

    return rows


def _merge(schema: TableSchema, dataset: Dataset) -> Callable[[Slice], pa.RecordBatch]:
    """Every row of S1 with cursor ≥ watermark, once per key; the other keys as they were in S0."""

    def rows(pair: Slice) -> pa.RecordBatch:
        old, new = pair
        winners = _reached(new, schema, dataset)
        kept = old.filter(pc.invert(pc.is_in(old.column("id"), winners.column("id"))))
        return _sorted(kept, winners, schema.key)

    return rows


_AFTER_CHANGE: dict[Strategy, Callable[[TableSchema, Dataset], Callable[[Slice], pa.RecordBatch]]] = {
    Strategy.FULL_REFRESH: _snapshot,
    Strategy.SNAPSHOT_DIFF: _snapshot,
    Strategy.INCREMENTAL_APPEND: _append,
    Strategy.INCREMENTAL_MERGE: _merge,
}


def implemented(strategy: Strategy) -> bool:
    """If the oracle can judge `strategy`."""
    return strategy in _AFTER_CHANGE


def _reached(new: pa.RecordBatch, schema: TableSchema, dataset: Dataset) -> pa.RecordBatch:
    """Rows of S1 that an extraction from the watermark sees. Without a row in S0 there is no watermark yet."""
    if dataset.spec.rows_before == 0:
        return new
    cursor = new.column(schema.cursor)
    return new.filter(pc.greater_equal(cursor, pa.scalar(WATERMARK, cursor.type)))


def _is_old_version(rows: pa.RecordBatch, old: pa.RecordBatch) -> pa.Array:
    """Per row: S0 has the same key with the same revision."""
    positions = pc.index_in(rows.column("id"), old.column("id"))
    before = old.column("revision").take(positions)
    return pc.fill_null(pc.equal(before, rows.column("revision")), False)


def _sorted(first: pa.RecordBatch, second: pa.RecordBatch, by: tuple[str, ...]) -> pa.RecordBatch:
    both = pa.Table.from_batches([first, second]).sort_by([(name, "ascending") for name in by])
    return both.combine_chunks().to_batches()[0] if both.num_rows else first.slice(0, 0)


def _batches(dataset: Dataset, rows: Callable[[Slice], pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    pairs: Iterator[Slice]
    if rows is _old:
        pairs = ((batch, batch) for batch in dataset.before())
    elif rows is _new:
        pairs = ((batch, batch) for batch in dataset.after())
    else:
        pairs = dataset.slices()
    for pair in pairs:
        batch = rows(pair)
        if batch.num_rows:
            yield _as_declared(batch, dataset)


def _as_declared(batch: pa.RecordBatch, dataset: Dataset) -> pa.RecordBatch:
    """Apply the declared losses of source and sink, in this order."""
    columns = []
    for field, values in zip(dataset.schema.fields, batch.columns, strict=True):
        for rule in rules_for(dataset, field.kind):
            values = RULES[rule](values)
        columns.append(values)
    return pa.record_batch(columns, schema=batch.schema)


def rules_for(dataset: Dataset, kind: str) -> list[str]:
    """The names of the declared losses that a value of `kind` meets on its way, source first."""
    return [rule for family in (dataset.source, dataset.sink) for rule in dataset.contracts.losses(family, kind)]
