"""Mutants that lose, double or mix up rows whatever the strategy."""

from __future__ import annotations

from functools import partial

from . import cases
from .mutant import Mutant
from .parts import streams

ROWS = (
    Mutant(
        "drop_last_batch",
        "the last batch is lost",
        cases.PG_FULL,
        ("rows",),
        partial(streams.tapped, streams.without_last_batch),
    ),
    Mutant(
        "lose_last_row",
        "the last row is lost",
        cases.S3_FULL,
        ("rows",),
        partial(streams.tapped, streams.without_last_row),
    ),
    Mutant(
        "duplicate_batch",
        "the first batch comes twice",
        cases.CH_FULL,
        ("rows",),
        partial(streams.tapped, streams.first_batch_twice),
    ),
    Mutant(
        "swap_columns",
        "two text columns have each other's values",
        cases.PG_FULL,
        ("rows",),
        partial(streams.tapped, streams.swapped_texts),
    ),
)
