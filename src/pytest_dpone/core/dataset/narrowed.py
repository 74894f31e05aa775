"""Values for columns of a type that holds fewer of them than its kind: each becomes one that the type holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc


def _byte(values: pa.Array) -> pa.Array:
    return pc.bit_wise_and(values, pa.scalar(255, values.type))


def _moment(values: pa.Array, *, unit: str, first: dt.datetime, last: dt.datetime) -> pa.Array:
    low, high = pa.scalar(first, values.type), pa.scalar(last, values.type)
    within = pc.if_else(pc.less(values, low), low, values)
    return pc.floor_temporal(pc.if_else(pc.greater(within, high), high, within), unit=unit)


NARROWED: Mapping[str, Callable[[pa.Array], pa.Array]] = MappingProxyType(
    {
        "tinyint": _byte,
        "smalldatetime": partial(
            _moment, unit="minute", first=dt.datetime(1900, 1, 1), last=dt.datetime(2079, 6, 6, 23, 59)
        ),
        # of the server's steps, three and a third of a millisecond, a whole second is one
        "datetime": partial(
            _moment, unit="second", first=dt.datetime(1753, 1, 1), last=dt.datetime(9999, 12, 31, 23, 59, 59)
        ),
    }
)
"""Type of a source's column → what becomes of the values of its kind."""
