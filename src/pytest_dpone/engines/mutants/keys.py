"""Mutants that take keys for others: of several columns, and of text."""

from __future__ import annotations

from functools import partial

from ..native import NativeEngine, Seams
from . import cases
from .mutant import Mutant
from .parts import events, keys

KEYS = (
    Mutant(
        "join_on_first_key_column",
        "rows are matched by the first column of their key alone",
        cases.PG_MERGE,
        ("rows",),
        partial(NativeEngine, Seams(sink=keys.ByFirstColumn)),
    ),
    Mutant(
        "fold_case_of_keys",
        "keys that differ by case alone are taken for the same",
        cases.CH_PG_MERGE,
        ("rows",),
        partial(NativeEngine, Seams(sink=keys.WhateverCase)),
    ),
    Mutant(
        "trim_keys",
        "spaces at the ends of keys are lost",
        cases.CH_FULL,
        ("rows",),
        partial(NativeEngine, Seams(tap=keys.trimmed)),
    ),
    Mutant(
        "first_part_of_event_key",
        "keys of events have the first column of the row's key alone",
        cases.KAFKA_MERGE,
        ("rows", "events.keyed"),
        partial(events.sending, events.first_parts),
    ),
)
