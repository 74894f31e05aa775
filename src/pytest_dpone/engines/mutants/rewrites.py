"""Mutants of the strategies that rewrite days."""

from __future__ import annotations

from functools import partial

from ..native import NativeEngine, Seams
from .mutant import Mutant
from .parts import engines, sinks

REWRITES = (
    Mutant(
        "replace_everything",
        "rows outside of the window are lost",
        "clickhouse_to_postgres__replace",
        ("rows",),
        partial(NativeEngine, Seams(sink=sinks.RewritesEverything)),
    ),
    Mutant(
        "replace_nothing",
        "the window's old rows stay beside the new ones",
        "postgres_to_minio__replace",
        ("rows",),
        partial(NativeEngine, Seams(sink=sinks.KeepsWhatWasThere)),
    ),
    Mutant(
        "wrong_partition_policy",
        "a partition that the source has lost is kept where it should go, and goes where it should be kept",
        "postgres_to_clickhouse__partition_replace",
        ("empty_partition_kept", "rows"),
        partial(engines.Misreading, engines.other_policy),
    ),
    Mutant(
        "clear_what_should_stay",
        "a partition that the source has lost goes, though the job says that it stays",
        "postgres_to_clickhouse__partition_replace",
        ("empty_partition_kept",),
        partial(engines.Misreading, engines.always_clear),
    ),
    Mutant(
        "backfill_from_the_start",
        "a backfill does not know what the last one left, and loads its chunks again",
        "postgres_to_postgres__backfill",
        ("state_continues",),
        partial(NativeEngine, Seams(sink=sinks.ForgetsState)),
    ),
    Mutant(
        "backfill_in_secret",
        "a backfill that is done writes its rows again, and tells of none",
        "postgres_to_postgres__backfill",
        ("repeat_writes_nothing",),
        partial(NativeEngine, Seams(sink=sinks.BackfillsInSecret)),
    ),
    Mutant(
        "backfill_anew_after_a_kill",
        "a backfill that was killed loads the chunks again that it had done",
        "postgres_to_postgres__backfill",
        ("crash.staged.resumed",),
        partial(NativeEngine, Seams(sink=sinks.BeginsAnew)),
    ),
    Mutant(
        "backfill_once_for_all",
        "a new backfill takes the old one's chunks for its own",
        "clickhouse_to_clickhouse__backfill",
        ("rows",),
        partial(NativeEngine, Seams(sink=sinks.NeverBackfillsAgain)),
    ),
)
