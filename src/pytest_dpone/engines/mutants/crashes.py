"""Mutants that are right until they are killed, or find a damaged state."""

from __future__ import annotations

from functools import partial

from ..native import NativeEngine, Seams
from . import cases
from .mutant import Mutant
from .parts import engines, kills, sinks

CRASHES = (
    Mutant(
        "state_before_data",
        "a kill between state and data loses rows",
        cases.PG_APPEND,
        ("crash.committing.rows",),
        partial(NativeEngine, Seams(sink=sinks.StateFirst)),
    ),
    Mutant(
        "data_before_state",
        "a kill between data and state doubles rows",
        cases.PG_APPEND,
        ("crash.committing.rows",),
        partial(NativeEngine, Seams(sink=sinks.DataFirst)),
    ),
    Mutant(
        "deaf_to_a_cut",
        "a sink whose connection ends is taken for one that has written",
        cases.PG_APPEND,
        ("crash.cut.told",),
        partial(NativeEngine, Seams(sink=sinks.IsDeaf)),
    ),
    Mutant(
        "keep_what_was_good",
        "of a load with a row that is refused the rows before it stay",
        cases.PG_CH_FULL,
        ("crash.refused.hidden",),
        engines.KeepsWhatWasGood,
    ),
    Mutant(
        "idle_after_a_kill",
        "a run takes the one that was killed for one that is under way, and leaves the work to it",
        cases.PG_APPEND,
        ("crash.committing.rows",),
        partial(kills.Haunted, kills.idle_once),
    ),
    Mutant(
        "double_after_a_kill",
        "the second run after a kill repeats what the first one did",
        cases.PG_APPEND,
        ("crash.committing.again",),
        partial(kills.Haunted, kills.double_then),
    ),
    Mutant(
        "forget_after_a_kill",
        "the run after a kill tells a state that the next one does not know",
        cases.PG_APPEND,
        ("state_survives_kill",),
        partial(kills.Haunted, kills.forget_once),
    ),
    Mutant(
        "tell_no_commit",
        "the engine never comes to the moment of the commit",
        cases.PG_APPEND,
        ("crash.committing.hit",),
        partial(kills.Telling, kills.no_commit),
    ),
    Mutant(
        "tell_too_early",
        "the engine says that rows are staged before any is",
        cases.PG_APPEND,
        ("crash.staged.proof",),
        partial(kills.Telling, kills.staged_at_once),
    ),
    Mutant(
        "read_state_unlocked",
        "two runs at once go on from the same state, one after the other",
        cases.PG_APPEND,
        ("state_two_runs",),
        kills.Hasty,
    ),
    Mutant(
        "reload_if_state_is_damaged",
        "a state that can't be read is taken for none",
        cases.PG_MERGE,
        ("state_damaged",),
        partial(NativeEngine, Seams(sink=sinks.MindsNoDamage)),
    ),
)
