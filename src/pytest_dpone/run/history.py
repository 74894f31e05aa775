"""The intervals of an scd2 history: read from the sink by their columns' names, and held against each other."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ..core.kinds import ID, Field
from ..core.model import ActName
from ..core.oracle import CURRENT
from .act import Act
from .stage import Stage

_KINDS = ("timestamptz", "timestamp")
_HASHES = ("text", "binary", "uint64", "int64")


def current(stage: Stage) -> Field:
    """The column from which it is read if a version is current: the flag, or else the end of its interval."""
    columns = stage.support.history
    if columns.is_current is not None:
        return Field(columns.is_current, "bool", nullable=False)
    return Field(columns.valid_to, _kind(stage, columns.valid_to, _KINDS))


def named(batches: Iterator[pa.RecordBatch], field: Field) -> Iterator[pa.RecordBatch]:
    """`batches` whose last column is `field`, with the column that the oracle expects in its place."""
    for batch in batches:
        values = batch.column(batch.num_columns - 1)
        flag = values if field.kind == "bool" else pc.is_null(values)
        schema = batch.schema.set(batch.num_columns - 1, pa.field(CURRENT.name, pa.bool_()))
        yield pa.RecordBatch.from_arrays([*batch.columns[:-1], flag], schema=schema)


def judge(act: Act, stage: Stage) -> None:
    """Check the interval algebra of all keys (DESIGN §4).

    An interval is not empty; versions of a key follow each other in time, never overlap, and touch, but for a key that
    was absent; exactly what is current has no end; and a version that was there before is as it was.
    """
    rows = _read(stage)
    pairs = _pairs(rows)
    act.check("history.not_empty", expected=0, actual=_count(pc.less_equal(rows["valid_to"], rows["valid_from"])))
    act.check("history.begins", expected=0, actual=_count(pc.is_null(rows["valid_from"])))
    act.check("history.open", expected=0, actual=_count(_not_open(rows)))
    act.check("history.order", expected=0, actual=_count(pc.greater_equal(pairs["revision"], pairs["next_revision"])))
    ends, begins = pairs["valid_to"], pairs["next_from"]
    overlaps = pc.or_(pc.is_null(ends), pc.fill_null(pc.greater(ends, begins), False))
    act.check("history.overlaps", expected=0, actual=_count(overlaps))
    absent = stage.dataset.returns().inserts.num_rows if act.name is ActName.RETURN else 0
    act.check("history.gaps", expected=absent, actual=_count(pc.less(ends, begins)))
    if stage.support.history.row_hash is not None:
        same = pc.fill_null(pc.equal(pairs["hash"], pairs["next_hash"]), True)
        act.check("history.hash", expected=0, actual=_count(pc.is_null(rows["hash"])) + _count(same))
    _judge_kept(act, stage, rows)


def _not_open(rows: pa.Table) -> pa.ChunkedArray:
    """Per version, if its flag and its end don't agree; a flag that is NULL agrees with nothing."""
    return pc.fill_null(pc.xor(rows["current"], pc.is_null(rows["valid_to"])), True)


def _judge_kept(act: Act, stage: Stage, rows: pa.Table) -> None:
    """A version that was there before is as it was; only one that was current may have ended, and none in a repeat."""
    fields = [name for name in ("valid_from", "valid_to", "current", "hash") if name in rows.column_names]
    old, stage.intervals = stage.intervals, rows.select([ID, "revision", *fields])
    if old is None:
        return
    # Only places are joined: the columns are held against each other one by one, as a hash may be long.
    both = _placed(old, "old").join(_placed(rows, "new"), keys=[ID, "revision"])
    was, now = (both[side].combine_chunks() for side in ("old", "new"))
    closed = pa.scalar(act.name is ActName.REPEAT)
    settled = pc.or_(pc.invert(pc.fill_null(old["current"].take(was), False)), closed)
    moved = pc.is_null(now)
    for name in fields:
        differs = _differ(old[name].take(was), rows[name].take(now))
        moved = pc.or_(moved, differs if name in ("valid_from", "hash") else pc.and_(settled, differs))
    act.check("history.kept", expected=0, actual=_count(moved))


def _placed(rows: pa.Table, name: str) -> pa.Table:
    """Number and revision of each version with its place."""
    return rows.select([ID, "revision"]).append_column(name, pa.array(range(rows.num_rows), pa.int64()))


def _differ(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    """Per row, if two values are not the same; NULL is the same as NULL only."""
    return pc.coalesce(pc.not_equal(one, other), pc.xor(pc.is_null(one), pc.is_null(other)))


def _read(stage: Stage) -> pa.Table:
    """Number, revision, interval, flag and hash of every version, sorted by number and begin."""
    columns = stage.support.history
    found = {"valid_from": columns.valid_from, "valid_to": columns.valid_to}
    fields = [Field(ID, "int64"), Field("revision", "int64")]
    fields += [Field(name, _kind(stage, name, _KINDS)) for name in found.values()]
    if columns.row_hash is not None:
        fields.append(Field(columns.row_hash, _kind(stage, columns.row_hash, _HASHES)))
        found["hash"] = columns.row_hash
    flag = current(stage)
    asked = fields if flag.kind != "bool" else [*fields, flag]
    order = (ID, columns.valid_from, "revision")
    batches = list(stage.sink.read(stage.sink_space, stage.table, asked, order_by=order))
    rows = pa.Table.from_batches(batches) if batches else _empty(asked)
    open_ended = rows.column(flag.name) if flag.kind == "bool" else pc.is_null(rows.column(flag.name))
    plain = {ID: rows[ID], "revision": rows["revision"]} | {ours: rows[name] for ours, name in found.items()}
    return pa.table(plain | {"current": open_ended})


def _empty(fields: list[Field]) -> pa.Table:
    from ..core.kinds import TableSchema

    return TableSchema(tuple(fields)).arrow().empty_table()


def _pairs(rows: pa.Table) -> pa.Table:
    """Each version beside the next one of the same key."""
    one, other = rows.slice(0, max(0, rows.num_rows - 1)), rows.slice(1)
    following = {"next_from": other["valid_from"], "next_revision": other["revision"]}
    if "hash" in rows.column_names:
        following["next_hash"] = other["hash"]
    pairs = pa.table({name: one[name] for name in one.column_names} | following)
    return pairs.filter(pc.equal(one[ID], other[ID]))


def _kind(stage: Stage, column: str, kinds: tuple[str, ...]) -> str:
    """The first of `kinds` that the sink's column may hold; the first one if none fits, which then can't be read."""
    native = stage.sink.columns(stage.sink_space, stage.table)[column]
    return next((kind for kind in kinds if stage.dataset.contracts.accepts(stage.case.sink, kind, native)), kinds[0])


def _count(mask: pa.ChunkedArray | pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)
