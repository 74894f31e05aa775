"""What the columns of some rows hold: plain values, an eighth of them edge values, and NULLs by the column's share.

The columns are drawn side by side: a few calls over long arrays are much faster than many over short ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from .values import arange, mix, mix_each, plain_values, remainder, u64

_AT_ONCE = 1 << 17
"""Values that are drawn in one step, which bounds the memory that it takes."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A column to be drawn: its kind, its own 64-bit `salt`, the share of its NULLs in per mille (0: none).

    `steady`: its values depend on the row's key alone, and not on the row's revision.
    """

    name: str
    kind: str
    salt: int
    nulls: int
    steady: bool = False


def draw(
    draws: Sequence[Draw], *, keys: pa.Array, numbers: pa.Array, edges: Mapping[str, pa.Array]
) -> dict[str, pa.Array]:
    """Name → values, for each of `draws`. `keys` and `numbers` are uint64, one per row, of one length.

    A value depends on its column and on its row's number (its key, if the column is steady) alone, so it is the same
    whatever is drawn beside it. `edges` has the edge values of each kind, at least one.
    """
    found: dict[str, pa.Array] = {}
    for part in _parts(draws, rows=len(keys)):
        found |= _draw(part, keys, numbers, edges)
    return found


def _parts(draws: Sequence[Draw], *, rows: int) -> Iterator[list[Draw]]:
    """`draws` by kind, so many at a time as memory allows."""
    ordered = sorted(draws, key=lambda column: column.kind)
    count = max(1, _AT_ONCE // max(rows, 1))
    for start in range(0, len(ordered), count):
        yield ordered[start : start + count]


def _draw(
    draws: Sequence[Draw], keys: pa.Array, numbers: pa.Array, edges: Mapping[str, pa.Array]
) -> dict[str, pa.Array]:
    rows = len(keys)
    kinds = {kind: list(columns) for kind, columns in groupby(draws, key=lambda column: column.kind)}
    steady = [d.salt for d in draws if d.steady]
    bits = _in_order(draws, mix_each(keys, steady), mix_each(numbers, [d.salt for d in draws if not d.steady]), rows)
    dice = mix(bits, 3)
    # Per kind: where a value is found in its plain values with the edge values behind them.
    sizes = [(len(columns) * rows, len(edges[kind])) for kind, columns in kinds.items()]
    plain_at = pa.concat_arrays([arange(0, size) for size, _ in sizes])
    edges_at = pa.concat_arrays([pa.repeat(u64(size), size) for size, _ in sizes])
    counts = pa.concat_arrays([pa.repeat(u64(count), size) for size, count in sizes])
    edge_at = pc.cast(pc.add(remainder(pc.shift_right(dice, u64(32)), counts), edges_at), pa.int64())
    picks = pc.if_else(pc.equal(pc.bit_wise_and(dice, u64(7)), u64(0)), edge_at, plain_at)
    shares = pa.concat_arrays([pa.repeat(u64(d.nulls), rows) for d in draws])
    null = pc.less(remainder(pc.shift_right(dice, u64(8)), 1000), shares)
    picks = pc.if_else(null, pa.scalar(None, pa.int64()), picks)
    found, place = {}, 0
    for kind, columns in kinds.items():
        values = pa.concat_arrays([plain_values(kind, bits.slice(place, len(columns) * rows)), edges[kind]])
        for column in columns:
            found[column.name] = values.take(picks.slice(place, rows))
            place += rows
    return found


def _in_order(draws: Sequence[Draw], steady: pa.Array, other: pa.Array, rows: int) -> pa.Array:
    """The bits of all columns behind one another, from those of the steady ones and those of the others."""
    places = {True: 0, False: 0}
    parts = []
    for column in draws:
        parts.append((steady if column.steady else other).slice(places[column.steady], rows))
        places[column.steady] += rows
    return pa.concat_arrays(parts)
