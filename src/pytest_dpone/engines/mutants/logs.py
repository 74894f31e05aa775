"""Mutants of change data capture."""

from __future__ import annotations

from functools import partial

from ..native import NativeEngine, Seams
from . import cases
from .mutant import Mutant
from .parts import log

LOGS = (
    Mutant(
        "log_begins_late",
        "what was committed between the snapshot and the begin of the log is lost",
        cases.PG_CDC,
        ("rows",),
        partial(NativeEngine, Seams(source=log.BeginsLate)),
    ),
    Mutant(
        "kept_value_to_null",
        "a TOASTed value that an update did not touch becomes NULL",
        cases.PG_CDC,
        ("rows",),
        partial(NativeEngine, Seams(source=log.LosesKept)),
    ),
    Mutant(
        "ignore_truncate",
        "a table that was emptied keeps its rows",
        cases.PG_CDC,
        ("rows",),
        partial(NativeEngine, Seams(source=log.IgnoresTruncate)),
    ),
    Mutant(
        "keep_old_key",
        "a row whose key changed is there twice",
        cases.PG_CDC,
        ("rows",),
        partial(NativeEngine, Seams(source=log.KeepsOldKey)),
    ),
)
