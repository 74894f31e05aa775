"""Mutants that bend values which a sink must refuse."""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from . import cases
from .mutant import Mutant
from .parts import streams

REJECTS = (
    Mutant(
        "clamp_dates",
        "dates that ClickHouse can't hold are bent silently",
        cases.PG_CH_FULL,
        ("rejects.date.before_1900", "rejects.date.after_2299"),
        partial(streams.changing, pa.types.is_date32, streams.clamped, required=True),
    ),
    Mutant(
        "strip_nul",
        "the NUL that Postgres can't hold vanishes silently",
        cases.CH_PG_FULL,
        ("rejects.text.nul",),
        partial(streams.changing, pa.types.is_string, streams.without_nul, required=True),
    ),
)
