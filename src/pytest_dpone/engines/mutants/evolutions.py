"""Mutants that keep no promise about changed columns."""

from __future__ import annotations

from functools import partial

from ...core.model import Evolution
from ..native import NativeEngine, Seams
from . import cases
from .mutant import Mutant
from .parts import sinks, sources
from .parts.engines import Promising

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
    Mutant(
        "clip_into_the_old_type",
        "a column that the source widened stays narrow, and its values are bent into it, though the engine follows",
        cases.PG_MERGE,
        ("evolve.widen.columns",),
        partial(Promising, {Evolution.WIDEN: "follows"}, Seams(source=sources.KnowsTheOldType)),
    ),
    Mutant(
        "clip_what_was_widened",
        "a column that the source widened becomes wide, and its values are bent as if it had not",
        cases.PG_MERGE,
        ("evolve.widen.rows",),
        partial(Promising, {Evolution.WIDEN: "follows"}, Seams(source=sources.ClipsWidened, sink=sinks.WidensColumns)),
    ),
    Mutant(
        "widen_what_is_frozen",
        "a column that the source widened becomes wide, though the engine says that it freezes",
        cases.PG_MERGE,
        ("evolve.widen.columns",),
        partial(Promising, {Evolution.WIDEN: "freezes"}, Seams(sink=sinks.WidensColumns)),
    ),
    Mutant(
        "clip_what_is_frozen",
        "a value that a frozen column can't hold is bent into it instead of refused",
        cases.PG_MERGE,
        ("evolve.widen",),
        partial(Promising, {Evolution.WIDEN: "freezes"}, Seams(source=sources.KnowsTheOldType)),
    ),
)
