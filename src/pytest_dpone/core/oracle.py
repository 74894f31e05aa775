"""What the sink must hold after each act, computed from the dataset alone (DESIGN §4)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from .contracts import RULES
from .dataset import Dataset, partitions
from .dataset.dataset import WATERMARK
from .kinds import ID, Field, TableSchema
from .model import ActName, Strategy

Slice = tuple[pa.RecordBatch, pa.RecordBatch]
"""S0 and S1 of one range of rows, by their numbers."""
Rows = Callable[[Slice], pa.RecordBatch]

CURRENT = Field("is current", "bool", nullable=False)
"""The column of a history that says which version counts now, by whatever name an engine has it."""

VERSIONED = frozenset(
    (
        Strategy.INCREMENTAL_APPEND,
        Strategy.REPLACE,
        Strategy.PARTITION_REPLACE,
        Strategy.BACKFILL,
        Strategy.SCD2,
    )
)
"""Strategies after which a table may hold two versions of a row, so that its key does not tell rows apart."""

_BY_NUMBER, _BY_VERSION = (ID,), (ID, "revision")


@dataclass(frozen=True)
class Expectation:
    """The rows that a table must hold, in canonical Arrow types, as declared by the contracts.

    `identity` are the columns that tell a row from all others that are expected: the key that the case declares, and
    the revision where versions of a key stand side by side. The rows are sorted by `order`, which does the same.
    """

    fields: tuple[Field, ...]
    identity: tuple[str, ...]
    batches: Callable[[], Iterator[pa.RecordBatch]]
    order: tuple[str, ...] = _BY_NUMBER


def expect_source(dataset: Dataset, *, changed: bool) -> Expectation:
    """What the source itself must hold: S0, or S1 after the change."""
    schema = dataset.schema
    rows = dataset.after if changed else dataset.before
    return Expectation(schema.fields, schema.key, rows)


def expect(dataset: Dataset, strategy: Strategy, act: ActName, *, folded: bool = False) -> Expectation:
    """What the sink must hold when `act` (load, change, repeat or reconcile) is over.

    `folded`: the sink keeps events, of which the last one of a key is its row (a topic). Of scd2 this is the history
    with `CURRENT` as its last column, which `expect_history` gives for the act `return`, too.
    """
    if strategy is Strategy.SCD2:
        return expect_history(dataset, act)
    schema = dataset.schema
    if act is ActName.LOAD:
        rows: Rows = _old
    elif act is ActName.RECONCILE:
        rows = _new
    else:
        rows = _AFTER_CHANGE[strategy](schema, dataset)
    if strategy not in VERSIONED:
        return Expectation(schema.fields, schema.key, lambda: _batches(dataset, rows))
    if folded:
        return Expectation(schema.fields, schema.key, lambda: _batches(dataset, _last(rows, schema)))
    identity = (*schema.key, "revision")
    return Expectation(schema.fields, identity, lambda: _batches(dataset, rows), _BY_VERSION)


def expect_history(dataset: Dataset, act: ActName) -> Expectation:
    """scd2: every version that a key had at the end of a run, and whether it is current (DESIGN §4).

    After `return`, the keys that came back have a third version.
    """
    schema = dataset.schema
    fields = (*schema.fields, CURRENT)
    identity = (*schema.key, "revision")
    if act is ActName.LOAD:
        return Expectation(
            fields, identity, lambda: _versions(dataset, ((old, old) for old in dataset.before())), _BY_VERSION
        )
    if act is not ActName.RETURN:
        return Expectation(fields, identity, lambda: _versions(dataset, dataset.slices()), _BY_VERSION)
    returned = dataset.returns().inserts

    def with_returned() -> Iterator[Slice]:
        for old, new in dataset.slices():
            back = returned.filter(_known(returned, old, schema))
            yield old, _sorted(new, back.combine_chunks().to_batches()[0], _BY_NUMBER) if back.num_rows else new

    return Expectation(fields, identity, lambda: _versions(dataset, with_returned()), _BY_VERSION)


def expect_table(dataset: Dataset, rows: Callable[[], Iterator[pa.RecordBatch]]) -> Expectation:
    """`rows`, sorted by their numbers, as the contracts declare them: what a mirror of the source must hold."""

    def declared() -> Iterator[pa.RecordBatch]:
        return (_as_declared(batch, dataset) for batch in rows() if batch.num_rows)

    return Expectation(dataset.schema.fields, dataset.schema.key, declared)


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
        fresh = seen.filter(pc.invert(_is_old_version(seen, old, schema)))
        return _sorted(old, fresh, _BY_VERSION)

    return rows


def _merge(schema: TableSchema, dataset: Dataset) -> Callable[[Slice], pa.RecordBatch]:
    """Every row of S1 with cursor ≥ watermark, once per key; the other keys as they were in S0."""

    def rows(pair: Slice) -> pa.RecordBatch:
        old, new = pair
        winners = _reached(new, schema, dataset)
        kept = old.filter(pc.invert(_known(old, winners, schema)))
        return _sorted(kept, winners, _BY_NUMBER)

    return rows


def _within(first: dt.date, stop: dt.date) -> Callable[[TableSchema, Dataset], Rows]:
    """S0 outside of the days from `first` to below `stop`, and S1 inside: a row may have moved between them."""

    def inside(days: pa.Array) -> pa.Array:
        return pc.and_(pc.greater_equal(days, pa.scalar(first)), pc.less(days, pa.scalar(stop)))

    return _rewritten(inside)


def _named(days: pa.Array) -> pa.Array:
    return pc.is_in(days, pa.array(partitions.NAMED, pa.date32()))


def _rewritten(inside: Callable[[pa.Array], pa.Array]) -> Callable[[TableSchema, Dataset], Rows]:
    def after(schema: TableSchema, _dataset: Dataset) -> Rows:
        def rows(pair: Slice) -> pa.RecordBatch:
            old, new = pair
            kept = old.filter(pc.invert(inside(old.column(schema.partition))))
            return _sorted(kept, new.filter(inside(new.column(schema.partition))), _BY_VERSION)

        return rows

    return after


def _every_commit(schema: TableSchema, _dataset: Dataset) -> Rows:
    """Every row of S1, whenever it was committed, and the rows that the source has lost."""

    def rows(pair: Slice) -> pa.RecordBatch:
        old, new = pair
        gone = old.filter(pc.invert(_known(old, new, schema)))
        return _sorted(gone, new, _BY_NUMBER)

    return rows


_AFTER_CHANGE: dict[Strategy, Callable[[TableSchema, Dataset], Rows]] = {
    Strategy.FULL_REFRESH: _snapshot,
    Strategy.SNAPSHOT_DIFF: _snapshot,
    Strategy.INCREMENTAL_APPEND: _append,
    Strategy.INCREMENTAL_MERGE: _merge,
    Strategy.REPLACE: _within(*partitions.WINDOW),
    Strategy.PARTITION_REPLACE: _rewritten(_named),
    Strategy.BACKFILL: _within(*partitions.WINDOW),
    Strategy.XMIN: _every_commit,
    Strategy.CDC: _snapshot,
}


def _last(rows: Rows, schema: TableSchema) -> Rows:
    """Of the versions of a key, which stand side by side, the last one."""

    def last(pair: Slice) -> pa.RecordBatch:
        found = rows(pair)
        if not found.num_rows:
            return found
        keys = _keys(found, schema)
        ends = pc.not_equal(keys.slice(0, len(keys) - 1), keys.slice(1))
        return found.filter(pa.concat_arrays([ends, pa.array([True])]))

    return last


def _keys(rows: pa.RecordBatch | pa.Table, schema: TableSchema) -> pa.Array | pa.ChunkedArray:
    """A value per row that stands for its declared key; of several columns their texts, each behind its length."""
    if len(schema.key) == 1:
        return rows.column(schema.key[0])
    texts = [rows.column(name).cast(pa.string()) for name in schema.key]
    parts = [part for text in texts for part in (pc.utf8_length(text).cast(pa.string()), text)]
    return pc.binary_join_element_wise(*parts, ":")


def _known(rows: pa.RecordBatch | pa.Table, others: pa.RecordBatch, schema: TableSchema) -> pa.Array:
    """Per row: its declared key is among those of `others`."""
    return pc.is_in(_keys(rows, schema), _keys(others, schema))


def _version_names(rows: pa.RecordBatch, schema: TableSchema) -> pa.Array:
    """Declared key and revision of each row as one text."""
    return pc.binary_join_element_wise(
        _keys(rows, schema).cast(pa.string()), rows.column("revision").cast(pa.string()), "/"
    )


def _versions(dataset: Dataset, pairs: Iterator[Slice]) -> Iterator[pa.RecordBatch]:
    """Of each pair the rows of S0, and those of S1 that differ from them, with `CURRENT` behind the other columns."""
    schema = dataset.schema
    for old, new in pairs:
        fresh = new.filter(pc.invert(_is_old_version(new, old, schema)))
        both = _sorted(old, fresh, _BY_VERSION)
        if both.num_rows:
            current = pc.is_in(_version_names(both, schema), _version_names(new, schema))
            declared = _as_declared(both, dataset)
            yield declared.append_column(pa.field(CURRENT.name, pa.bool_(), nullable=False), current)


def _reached(new: pa.RecordBatch, schema: TableSchema, dataset: Dataset) -> pa.RecordBatch:
    """Rows of S1 that an extraction from the watermark sees. Without a row in S0 there is no watermark yet."""
    if dataset.spec.rows_before == 0:
        return new
    cursor = new.column(schema.cursor)
    return new.filter(pc.greater_equal(cursor, pa.scalar(WATERMARK, cursor.type)))


def _is_old_version(rows: pa.RecordBatch, old: pa.RecordBatch, schema: TableSchema) -> pa.Array:
    """Per row: S0 has the same key with the same revision."""
    positions = pc.index_in(_keys(rows, schema), _keys(old, schema))
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
