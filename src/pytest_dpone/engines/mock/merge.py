"""Staged rows against a table, by key: what is new, what differs, what is gone; only that is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import EngineFailed
from .tables import Content


@dataclass(frozen=True, slots=True)
class Merged:
    """The table after a merge, and what was done, in rows."""

    content: Content
    inserted: int
    updated: int
    deleted: int
    unchanged: int


def merge(old: Content, staged: pa.Table, key: Sequence[str], *, delete: bool) -> Merged:
    """Insert and update by `key`; with `delete`, remove what is not staged. Rows that don't differ keep their commit.

    Raises `EngineFailed` if a key is staged twice.
    """
    at = places(old.rows, staged, key)
    known = pc.is_valid(at)
    found = at.filter(known)
    differs = differing(old.rows, staged, at)
    rewritten = at.filter(pc.and_(known, differs))
    gone = _missing(old.rows.num_rows, found) if delete else found.slice(0, 0)
    kept = pc.invert(pc.is_in(_counting(old.rows.num_rows), pa.concat_arrays([rewritten, gone])))
    fresh = staged.filter(differs)
    content = appended(Content(old.rows.filter(kept), old.commits.filter(kept), old.last, old.state), fresh)
    updated = len(rewritten)
    return Merged(
        content,
        inserted=fresh.num_rows - updated,
        updated=updated,
        deleted=len(gone),
        unchanged=len(found) - updated,
    )


def appended(old: Content, fresh: pa.Table) -> Content:
    """`old` and the rows `fresh`, which one commit more has written."""
    number = old.last + 1
    written = pa.repeat(pa.scalar(number, pa.int64()), fresh.num_rows)
    rows = pa.concat_tables([old.rows, fresh])
    return Content(rows, pa.chunked_array([*old.commits.chunks, written], pa.int64()), number, old.state)


def folded(content: Content, key: Sequence[str]) -> Content:
    """Of each key its last row: what a family that keeps events has of `content`."""
    rows = content.rows
    last = _keys(rows, key, [f"k{number}" for number in range(len(key))]).append_column("n", _counting(rows.num_rows))
    names = last.column_names[:-1]
    kept = last.group_by(names).aggregate([("n", "max")]).column("n_max").combine_chunks().sort()
    return Content(rows.take(kept), content.commits.take(kept), content.last, content.state)


def differing(table: pa.Table, staged: pa.Table, at: pa.Array) -> pa.Array:
    """For each staged row: it is not in `table`, or not with these values. `at` are the `places` of the rows."""
    known = pc.is_valid(at)
    differs = pc.invert(_same(table.take(at.filter(known)), staged.filter(known)))
    return pc.replace_with_mask(pc.invert(known), known, differs)


def places(table: pa.Table, staged: pa.Table, key: Sequence[str]) -> pa.Array:
    """For each staged row the place of its key in `table`, or NULL."""
    names = [f"k{number}" for number in range(len(key))]
    wanted = _keys(staged, key, names).append_column("staged", _counting(staged.num_rows))
    present = _keys(table, key, names).append_column("place", _counting(table.num_rows))
    pairs = wanted.join(present, keys=names).sort_by("staged")
    distinct = wanted.group_by(names).aggregate([]).num_rows
    if distinct < staged.num_rows or pairs.num_rows > staged.num_rows:
        raise EngineFailed(
            f"a key occurs twice among {staged.num_rows} rows", hint=f"{', '.join(key)} must tell rows apart"
        )
    return pairs.column("place").combine_chunks()


def _keys(rows: pa.Table, key: Sequence[str], names: Sequence[str]) -> pa.Table:
    return pa.table([_plain(rows.column(name).combine_chunks()) for name in key], names=list(names))


def _same(old: pa.Table, new: pa.Table) -> pa.Array:
    """Per row, if two tables hold the same values, to the bit."""
    same = pa.repeat(pa.scalar(True), old.num_rows)
    for before, after in zip(old.columns, new.columns, strict=True):
        same = pc.and_(same, _equal(_plain(before.combine_chunks()), _plain(after.combine_chunks())))
    return same


def _equal(before: pa.Array, after: pa.Array) -> pa.Array:
    if pa.types.is_nested(before.type):
        pairs = zip(before.to_pylist(), after.to_pylist(), strict=True)
        return pa.array([one == other for one, other in pairs], pa.bool_())
    both_null = pc.and_(pc.is_null(before), pc.is_null(after))
    return pc.or_(pc.fill_null(pc.equal(before, after), False), both_null)


def _plain(values: pa.Array) -> pa.Array:
    """Values that are equal only if they are the same: floats as their bits, extension types as what they store."""
    if isinstance(values, pa.ExtensionArray):
        return values.storage
    if pa.types.is_floating(values.type):
        return values.view(pa.int32() if values.type.bit_width == 32 else pa.int64())
    return values


def _missing(count: int, found: pa.Array) -> pa.Array:
    places = _counting(count)
    return places.filter(pc.invert(pc.is_in(places, found)))


def _counting(count: int) -> pa.Array:
    return pa.array(range(count), pa.int64())
