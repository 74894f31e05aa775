"""The dataset of one case: S0, S1, the commits between them, and the values that the sink must refuse."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from ..contracts import Contracts
from ..kinds import ID, Field, TableSchema, arrow_type
from ..model import KeyForm
from . import partitions
from .change import Commit, Counts, Fate, plan_counts
from .columns import NARROW, ROLES, STANDARD, schema_for
from .draw import Draw, draw
from .keyed import FIELDS, KEYS, key_columns
from .narrowed import NARROWED
from .values import LARGE, arange, edges_of, mix, remainder, salt, u64

WATERMARK = dt.datetime(2024, 3, 31, 12, tzinfo=dt.UTC)
"""The greatest cursor of S0. Several rows share it."""

_SECOND, _DAY = 1_000_000, 86_400_000_000
_TIE_EVERY = 61
_REMEMBERED = 2_000
"""Rows up to which a dataset remembers the batches that it has made: several acts ask for each of them."""


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What decides a dataset. `rows` is S0's count, ≥ 1; `kind` empty has no row in S0, single has one."""

    seed: int
    rows: int
    change_ratio: float = 0.2
    delete_ratio: float = 0.05
    kind: Literal["standard", "narrow", "empty", "single"] = "standard"
    batch_rows: int = 65_536

    @property
    def rows_before(self) -> int:
        """Rows of S0."""
        return {"empty": 0, "single": 1}.get(self.kind, self.rows)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A value that the source holds and the sink must refuse with an error that matches `error`."""

    kind: str
    feature: str
    error: str
    schema: TableSchema
    rows: pa.RecordBatch


class Dataset:
    """Rows of a route `source` → `sink` with a key of the form `key`, a pure function of the spec and the contracts.

    All batches are in the canonical Arrow types of `schema` and in the order of the rows' numbers. Whatever the key,
    the other columns have the same values.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        *,
        source: str,
        sink: str,
        contracts: Contracts,
        key: KeyForm = KeyForm.INTEGER,
    ) -> None:
        self.spec, self.source, self.sink, self.contracts, self.key = spec, source, sink, contracts, key
        columns = NARROW if spec.kind == "narrow" else STANDARD
        self.schema = schema_for(columns, source=source, sink=sink, contracts=contracts, key=key)
        self._space_blind = not contracts.space_blind.isdisjoint((source, sink))
        self._nulls = {c.name: c.nulls for c in columns}
        self._large = {c.name for c in columns if c.large}
        self._made: dict[tuple[tuple[int, ...], bytes], pa.RecordBatch] = {}

    def keys(self, ids: pa.Array) -> pa.Table:
        """The declared key of the rows with these numbers, whether the dataset has them or not."""
        columns = key_columns(self.key, ids, space_blind=self._space_blind)
        return pa.table(columns, schema=pa.schema([self.schema.arrow().field(name) for name in columns]))

    @cached_property
    def counts(self) -> Counts:
        """How many rows the change inserts, updates and deletes."""
        return plan_counts(
            self.spec.rows_before, change_ratio=self.spec.change_ratio, delete_ratio=self.spec.delete_ratio
        )

    @property
    def rows_after(self) -> int:
        """Rows of S1."""
        return self.spec.rows_before - self.counts.delete + self.counts.inserted

    def before(self) -> Iterator[pa.RecordBatch]:
        """S0 in batches; no batch if it has no row."""
        for start, stop in self._ranges(0, self.spec.rows_before):
            yield self._old(start, stop)

    def after(self) -> Iterator[pa.RecordBatch]:
        """S1 in batches; no batch if it has no row."""
        for keys, fates in self._fates_after():
            yield self._rows(keys, fates)

    def days_after(self) -> Iterator[pa.Array]:
        """The partition column of S1 alone, in the batches of `after`."""
        field = self.schema.field(self.schema.partition)
        for keys, fates in self._fates_after():
            yield self._role(field, keys, _fates_array(fates))

    def _fates_after(self) -> Iterator[tuple[pa.Array, bytes]]:
        """Numbers and fates of the rows of S1, in batches that are not empty."""
        first = self.spec.rows_before
        for start, stop in self._ranges(0, first):
            keys, fates = self._kept(start, stop)
            if fates:
                yield keys, fates
        for start, stop in self._ranges(first, first + self.counts.inserted):
            yield self._added(start, stop)

    def slices(self) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """(S0, S1) of one range of keys after the other, ascending; a row that both have is in the same pair."""
        first = self.spec.rows_before
        for start, stop in self._ranges(0, first):
            yield self._old(start, stop), self._new(start, stop)
        for start, stop in self._ranges(first, first + self.counts.inserted):
            yield self._old(start, start), self._inserts(start, stop)

    def _ranges(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        for low in range(start, stop, self.spec.batch_rows):
            yield low, min(low + self.spec.batch_rows, stop)

    def commits(self) -> tuple[Commit, ...]:
        """The change as three commits: deletes and half of the updates; the rest and the inserts; what comes late.

        The key that is deleted and inserted again goes in the first commit and returns in the second.
        """
        halves = self._keys_with(Fate.UPDATE)
        half = (len(halves) + 1) // 2
        gone = self._keys_with(Fate.DELETE) + self._keys_with(Fate.REINSERT)
        return (
            self._commit(deletes=gone, updates=halves[:half]),
            self._commit(
                updates=halves[half:] + self._keys_with(Fate.UPDATE_AT_TIE),
                inserts=self._keys_with(Fate.REINSERT)
                + self._new_keys_with(Fate.INSERT)
                + self._new_keys_with(Fate.INSERT_AT_TIE),
            ),
            self._commit(updates=self._keys_with(Fate.UPDATE_LATE), inserts=self._new_keys_with(Fate.INSERT_LATE)),
        )

    def returns(self) -> Commit:
        """Every third of the keys that S1 lacks comes back, with other content."""
        keys = self._keys_with(Fate.DELETE)[::3]
        rows = self._rows(pa.array(keys, pa.int64()), bytes([Fate.RETURN]) * len(keys))
        return replace(self._commit(), inserts=pa.Table.from_batches([rows]))

    def rejections(self, *, all_values: bool) -> Iterator[Rejection]:
        """One row per value that the source holds and the sink must refuse; else the first of each class only."""
        for kind in dict.fromkeys(f.kind for f in self.schema.fields):
            seen: set[str] = set()
            for edge in edges_of(kind):
                if not edge.feature or (edge.feature in seen and not all_values):
                    continue
                contract = self.contracts.find(self.sink, kind, edge.feature)
                held = self.contracts.holds(self.source, kind, edge.feature)
                if held and contract is not None and contract.how == "rejected":
                    seen.add(edge.feature)
                    yield self._rejection(kind, edge.feature, contract.error, edge.value)

    def _rejection(self, kind: str, feature: str, error: str, value: object) -> Rejection:
        schema = TableSchema((*ROLES, *FIELDS[self.key], Field("value", kind, nullable=value is None)), KEYS[self.key])
        first = arange(1, 2)
        roles = [self._role(field, first, _fates_array(bytes([Fate.KEEP]))) for field in ROLES]
        key = self.keys(first).combine_chunks()
        keys = [key.column(field.name).chunk(0) for field in FIELDS[self.key]]
        values = pa.array([value], arrow_type(kind))
        return Rejection(kind, feature, error, schema, pa.record_batch([*roles, *keys, values], schema=schema.arrow()))

    @cached_property
    def _fates(self) -> bytes:
        """The fate of each row of S0, by position."""
        fates = bytearray(self.spec.rows_before)
        counts = self.counts
        drawn = (
            (Fate.UPDATE, counts.update),
            (Fate.UPDATE_AT_TIE, counts.update_at_tie),
            (Fate.UPDATE_LATE, counts.update_late),
            (Fate.DELETE, counts.delete),
            (Fate.REINSERT, counts.reinsert),
        )
        bits = mix(arange(0, len(fates)).view(pa.uint64()), salt(self.spec.seed, "fates"))
        order = pc.array_sort_indices(bits).slice(0, counts.touched).to_pylist()
        position = 0
        for fate, count in drawn:
            for index in order[position : position + count]:
                fates[index] = fate
            position += count
        return bytes(fates)

    @cached_property
    def _new_fates(self) -> bytes:
        counts = self.counts
        return (
            bytes([Fate.INSERT]) * counts.insert
            + bytes([Fate.INSERT_AT_TIE]) * counts.insert_at_tie
            + bytes([Fate.INSERT_LATE]) * counts.insert_late
        )

    def _keys_with(self, fate: Fate) -> list[int]:
        return [index + 1 for index, found in enumerate(self._fates) if found == fate]

    def _new_keys_with(self, fate: Fate) -> list[int]:
        first = self.spec.rows_before
        return [first + index + 1 for index, found in enumerate(self._new_fates) if found == fate]

    def _fate_of(self, key: int) -> int:
        first = self.spec.rows_before
        return self._fates[key - 1] if key <= first else self._new_fates[key - 1 - first]

    def _commit(
        self, *, deletes: Sequence[int] = (), updates: Sequence[int] = (), inserts: Sequence[int] = ()
    ) -> Commit:
        gone = self.keys(pa.array(sorted(deletes), pa.int64()))
        return Commit(gone, self._changed(sorted(updates)), self._changed(sorted(inserts)))

    def _changed(self, keys: list[int]) -> pa.Table:
        fates = bytes(self._fate_of(key) for key in keys)
        return pa.Table.from_batches([self._rows(pa.array(keys, pa.int64()), fates)])

    def _old(self, start: int, stop: int) -> pa.RecordBatch:
        return self._rows(arange(start + 1, stop + 1), bytes(stop - start))

    def _new(self, start: int, stop: int) -> pa.RecordBatch:
        return self._rows(*self._kept(start, stop))

    def _kept(self, start: int, stop: int) -> tuple[pa.Array, bytes]:
        fates = self._fates[start:stop]
        kept = pc.not_equal(_fates_array(fates), pa.scalar(Fate.DELETE, pa.int8()))
        return arange(start + 1, stop + 1).filter(kept), fates.replace(bytes([Fate.DELETE]), b"")

    def _inserts(self, start: int, stop: int) -> pa.RecordBatch:
        return self._rows(*self._added(start, stop))

    def _added(self, start: int, stop: int) -> tuple[pa.Array, bytes]:
        first = self.spec.rows_before
        return arange(start + 1, stop + 1), self._new_fates[start - first : stop - first]

    def _rows(self, keys: pa.Array, fates: bytes) -> pa.RecordBatch:
        """Whole rows with these keys and fates; KEEP gives the row as it is in S0."""
        if self.spec.rows > _REMEMBERED:
            return self._make(keys, fates)
        name = (tuple(keys.to_pylist()), fates)
        if name not in self._made:
            self._made[name] = self._make(keys, fates)
        return self._made[name]

    def _make(self, keys: pa.Array, fates: bytes) -> pa.RecordBatch:
        numbers, fate = _numbers(keys, _fates_array(fates)), _fates_array(fates)
        drawn = draw(self._draws, keys=keys.view(pa.uint64()), numbers=numbers, edges=self._edges)
        drawn |= key_columns(self.key, keys, space_blind=self._space_blind)
        columns = [
            self._role(field, keys, fate)
            if field in ROLES
            else self._megabyte(field, keys)
            if field.name in self._large
            else NARROWED.get(field.native, _as_drawn)(drawn[field.name])
            for field in self.schema.fields
        ]
        return pa.record_batch(columns, schema=self.schema.arrow())

    @cached_property
    def _draws(self) -> tuple[Draw, ...]:
        """The columns that are drawn: all but the roles and the large ones."""
        return tuple(
            Draw(
                field.name,
                field.kind,
                salt(self.spec.seed, field.name, field.kind),
                nulls=self._nulls[field.name] if field.nullable else 0,
                steady=field.steady,
            )
            for field in self.schema.fields
            if field not in (*ROLES, *FIELDS[self.key]) and field.name not in self._large
        )

    def _role(self, field: Field, keys: pa.Array, fates: pa.Array) -> pa.Array:
        if field.name == ID:
            return keys
        if field.name == "revision":
            return _REVISION.take(fates)
        bits = mix(_numbers(keys, fates), salt(self.spec.seed, field.name))
        if field.name == "business_date":
            return self._days(keys, fates, bits)
        return self._cursors(keys, fates, bits)

    def _days(self, keys: pa.Array, fates: pa.Array, bits: pa.Array) -> pa.Array:
        """A day by chance; of the rows that S1 lacks every other one lies in a partition that vanishes with them.

        The first new key lies where every strategy looks in act 2, so that an empty source is no empty test.
        """
        drawn = pc.add(pc.cast(remainder(bits, partitions.COUNT), pa.int32()), _day(partitions.FIRST))
        first_new = pc.equal(keys, pa.scalar(self.spec.rows_before + 1, pa.int64()))
        drawn = pc.if_else(first_new, _day(partitions.ALWAYS), drawn)
        doomed = pc.and_(pc.is_in(keys, self._vanishing), pc.equal(fates, pa.scalar(Fate.KEEP, pa.int8())))
        return pc.if_else(doomed, _day(partitions.VANISHING), drawn).view(pa.date32())

    @cached_property
    def _vanishing(self) -> pa.Array:
        return pa.array(self._keys_with(Fate.DELETE)[::2], pa.int64())

    def _cursors(self, keys: pa.Array, fates: pa.Array, bits: pa.Array) -> pa.Array:
        """Old rows lie up to 29 days below the watermark or on it, changed rows above, on it (ties) or below (late)."""
        watermark = pa.scalar(int(WATERMARK.timestamp()) * _SECOND, pa.int64())
        spread = pc.cast(remainder(bits, 29 * _DAY), pa.int64())
        kind = _CURSOR.take(fates)
        on_tie = pc.and_(
            pc.equal(kind, _OLD), pc.equal(remainder(pc.subtract(keys.view(pa.uint64()), u64(1)), _TIE_EVERY), u64(0))
        )
        offset = pc.case_when(
            pc.make_struct(on_tie, pc.equal(kind, _OLD), pc.equal(kind, _TIE), pc.equal(kind, _LATE)),
            pa.scalar(0, pa.int64()),
            pc.subtract(pa.scalar(-_SECOND, pa.int64()), spread),
            pa.scalar(0, pa.int64()),
            pa.scalar(-_SECOND // 2, pa.int64()),
            pc.add(pa.scalar(_SECOND, pa.int64()), spread),
        )
        return pc.add(watermark, offset).view(arrow_type("timestamptz"))

    def _megabyte(self, field: Field, keys: pa.Array) -> pa.Array:
        """A large value in the first row, if both ends hold it, else NULL."""
        values = [
            e.value for e in edges_of(field.kind) if e.feature == LARGE and self._usable(field.kind, LARGE, e.value)
        ]
        # Joined, not taken or chosen by a mask: these reserve a megabyte for each row. Keys ascend.
        count = 1 if values and len(keys) and keys[0].as_py() == 1 else 0
        kind = arrow_type(field.kind)
        return pa.concat_arrays([pa.array(values[:count], kind), pa.nulls(len(keys) - count, kind)])

    @cached_property
    def _edges(self) -> dict[str, pa.Array]:
        """Per kind the edge values that both ends hold, or that the sink changes by a declared rule."""
        usable = {
            kind: [
                edge.value
                for edge in edges_of(kind)
                if edge.feature != LARGE and self._usable(kind, edge.feature, edge.value)
            ]
            for kind in dict.fromkeys(f.kind for f in self.schema.fields)
        }
        return {kind: pa.array(values, arrow_type(kind)) for kind, values in usable.items()}

    def _usable(self, kind: str, feature: str, value: object) -> bool:
        if value is None:
            return False  # NULLs come by the column's share
        contract = self.contracts.find(self.sink, kind, feature)
        return self.contracts.holds(self.source, kind, feature) and contract is not None and contract.how != "rejected"


@lru_cache(maxsize=6)
def dataset_of(spec: DatasetSpec, *, source: str, sink: str, contracts: Contracts, key: KeyForm) -> Dataset:
    """The dataset of a route. The last few are kept: the strategies of a route have the same rows, but for the key."""
    return Dataset(spec, source=source, sink=sink, contracts=contracts, key=key)


def _as_drawn(values: pa.Array) -> pa.Array:
    return values


def _day(day: dt.date) -> pa.Scalar:
    return pa.scalar(partitions.days_since_1970(day), pa.int32())


def _fates_array(fates: bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.int8(), len(fates), [None, pa.py_buffer(fates)])


def _numbers(keys: pa.Array, fates: pa.Array) -> pa.Array:
    """What a row's values depend on: its key and its revision, as one uint64."""
    revisions = _REVISION.take(fates).view(pa.uint64())
    return pc.add(keys.view(pa.uint64()), pc.multiply(revisions, u64(1 << 48)))


_OLD, _NEW, _TIE, _LATE = (pa.scalar(i, pa.int8()) for i in range(4))
_CURSOR = pa.array([0, 1, 2, 3, 1, 1, 1, 2, 3, 1], pa.int8())
"""By fate: where the row's cursor lies: old, new, on the tie, late."""
_REVISION = pa.array([0, 1, 1, 1, 1, 2, 1, 1, 1, 3], pa.int64())
"""By fate: the row's revision in S1."""
