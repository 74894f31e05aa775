"""Mutants that do something else with a staging area than they were asked to."""

from __future__ import annotations

from functools import partial

from ..native import NativeEngine, Seams
from . import cases
from .mutant import Mutant
from .parts import engines, staging

STAGINGS = (
    Mutant(
        "stage_nowhere",
        "rows that are to be staged go directly",
        cases.STAGED_FULL,
        ("staging.used",),
        partial(engines.Misreading, staging.direct),
    ),
    Mutant(
        "leave_what_was_staged",
        "the staged objects stay when the load is done",
        cases.STAGED_FULL,
        ("staging.empty",),
        partial(NativeEngine, Seams(sink=staging.never_clears)),
    ),
    Mutant(
        "lose_a_staged_object",
        "an object that is gone is not missed",
        cases.STAGED_FULL,
        ("rows",),
        partial(NativeEngine, Seams(sink=staging.misses_nothing)),
    ),
)
