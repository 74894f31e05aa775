"""Mutants that keep no promise about changed columns."""

from __future__ import annotations

from functools import partial

from ..native import NativeEngine, Seams
from . import cases
from .mutant import Mutant
from .parts import sinks, sources

EVOLUTIONS = (
    Mutant(
        "ignore_new_columns",
        "a column that the source gained is left out, though the engine follows",
        cases.PG_MERGE,
        ("evolve.add.columns",),
        partial(NativeEngine, Seams(source=sources.KnowsTheOldColumns)),
    ),
    Mutant(
        "new_columns_stay_empty",
        "a column that the source gained is there, without its values",
        cases.PG_MERGE,
        ("evolve.add.rows",),
        partial(NativeEngine, Seams(source=sources.EmptiesNewColumn)),
    ),
    Mutant(
        "follow_what_it_refuses",
        "a column that the source dropped is dropped, though the engine says that it refuses",
        cases.PG_MERGE,
        ("evolve.drop",),
        partial(NativeEngine, Seams(sink=sinks.DropsColumns)),
    ),
)
