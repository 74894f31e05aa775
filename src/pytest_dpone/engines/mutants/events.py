"""Mutants of topics: what is sent, and what is read."""

from __future__ import annotations

from functools import partial

from ..native import NativeEngine, Seams
from . import cases
from .mutant import Mutant
from .parts import events

EVENTS = (
    Mutant(
        "lose_tombstones",
        "rows that are gone get no tombstone",
        cases.KAFKA_DIFF,
        ("rows", "events.count"),
        partial(events.sending, events.without_tombstones),
    ),
    Mutant(
        "duplicate_event",
        "the last event comes again after the commit",
        cases.KAFKA_MERGE,
        ("events.count", "events.labels"),
        partial(NativeEngine, Seams(sink=events.SendsTwice)),
    ),
    Mutant(
        "update_again",
        "the last event of a batch is sent twice, well labelled",
        cases.KAFKA_MERGE,
        ("events.count",),
        partial(events.sending, events.last_again),
    ),
    Mutant(
        "wrong_label",
        "updates are labelled as inserts",
        cases.KAFKA_MERGE,
        ("events.labels",),
        partial(events.sending, events.all_inserts),
    ),
    Mutant(
        "another_partition",
        "events of a key are in two partitions",
        cases.KAFKA_FULL,
        ("events.order",),
        partial(events.sending, events.elsewhere),
    ),
    Mutant(
        "half_a_load",
        "readers see the first half of a load before the other",
        cases.KAFKA_FULL,
        ("events.committed",),
        partial(events.sending, events.half_first),
    ),
    Mutant(
        "wrong_event_key",
        "characters of keys are escaped that stand for themselves in the keys of others",
        cases.KAFKA_APPEND,
        ("events.keyed",),
        partial(events.sending, events.escaped_keys),
    ),
    Mutant(
        "read_aborted",
        "events of an aborted transaction are read",
        cases.KAFKA_PG_FULL,
        ("rows",),
        partial(events.reading, past_stable=False),
    ),
    Mutant(
        "read_past_stable",
        "events of a transaction that is open are read",
        cases.KAFKA_PG_FULL,
        ("rows",),
        partial(events.reading, past_stable=True),
    ),
)
