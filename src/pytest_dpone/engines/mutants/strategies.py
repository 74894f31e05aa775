"""Mutants that do not what their strategy promises."""

from __future__ import annotations

from functools import partial

from ..native import NativeEngine, Seams
from . import cases
from .mutant import Mutant
from .parts import engines, sinks, sources, streams

STRATEGIES = (
    Mutant(
        "lose_deletes",
        "reconciliation deletes nothing",
        cases.CH_MERGE,
        ("rows", "deletes_reconciled"),
        partial(NativeEngine, Seams(sink=sinks.KeepsDeleted)),
    ),
    Mutant("stale_update", "updated rows keep their old content", cases.PG_MERGE, ("rows",), streams.stale),
    Mutant("resurrect_deleted", "a deleted row comes back", cases.PG_DIFF, ("rows", "facts.deleted"), streams.reviving),
    Mutant(
        "drop_late_ties",
        "rows that came late to the watermark are missed",
        cases.PG_APPEND,
        ("rows",),
        partial(NativeEngine, Seams(source=sources.StrictlyAfter)),
    ),
    Mutant(
        "ignore_tie_hashes",
        "rows at the watermark are loaded twice",
        cases.CH_APPEND,
        ("rows", "repeat_writes_nothing"),
        partial(NativeEngine, Seams(sink=sinks.ForgetsTies)),
    ),
    Mutant(
        "full_reload_on_repeat",
        "each run appends everything again",
        cases.S3_APPEND,
        ("rows", "repeat_writes_nothing"),
        partial(NativeEngine, Seams(source=sources.FromTheStart)),
    ),
    Mutant(
        "lose_state",
        "the state that is committed knows nothing",
        cases.PG_APPEND,
        ("rows", "state_continues"),
        partial(NativeEngine, Seams(sink=sinks.LosesState)),
    ),
    Mutant(
        "add_a_column",
        "the table has a column that nobody declared",
        cases.PG_FULL,
        ("schema",),
        partial(NativeEngine, Seams(sink=sinks.AddsColumn)),
    ),
    Mutant("swallow_error", "a failed load is reported as done", cases.PG_FULL, ("rows", "schema"), engines.Swallowing),
    Mutant(
        "non_atomic_swap",
        "readers see an empty table",
        cases.PG_FULL,
        ("swap",),
        partial(NativeEngine, Seams(sink=sinks.EmptiesFirst)),
    ),
    Mutant(
        "update_in_place",
        "readers see rows of the new load among those of the old one",
        cases.PG_FULL,
        ("swap",),
        partial(NativeEngine, Seams(sink=sinks.EditsFirst)),
    ),
    Mutant(
        "rewrite_unchanged",
        "rows that did not change are written again",
        cases.PG_DIFF,
        ("unchanged_not_rewritten",),
        partial(NativeEngine, Seams(sink=sinks.RewritesAll)),
    ),
    Mutant(
        "xmin_of_the_table",
        "rows of a transaction that was open during the load are missed",
        cases.PG_XMIN,
        ("rows",),
        partial(NativeEngine, Seams(source=sources.MaxXmin)),
    ),
)
