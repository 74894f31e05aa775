"""Mutants that move the rows right, and say something wrong about it."""

from __future__ import annotations

from functools import partial

from . import cases
from .mutant import Mutant
from .parts import engines

_COUNTS = ("read", "written", "inserted", "updated", "deleted", "unchanged")

FACTS = (
    Mutant(
        "lie_in_facts",
        "a changed row is counted as unchanged",
        cases.PG_DIFF,
        ("facts.updated",),
        partial(engines.Lying, engines.misplaced),
    ),
    *(
        Mutant(
            f"one_more_{name}",
            f"one row more is told as {name} than there was",
            cases.PG_DIFF,
            (f"facts.{name}",),
            partial(engines.Lying, partial(engines.one_more, name)),
        )
        for name in _COUNTS
    ),
    Mutant(
        "miscount_reconciled",
        "a reconciliation tells one deleted row more than there was",
        cases.PG_MERGE,
        ("deletes_reconciled",),
        partial(engines.Lying, engines.one_more_gone),
    ),
    Mutant(
        "count_changed_as_new",
        "rows that changed are counted as new ones",
        cases.PG_MERGE,
        ("facts.inserted", "facts.updated"),
        partial(engines.Lying, engines.changed_as_new),
    ),
    Mutant(
        "boast_after_the_load",
        "the runs after the first one tell of many more rows than there are",
        cases.PG_MERGE,
        ("facts.written",),
        partial(engines.Lying, engines.boasting),
    ),
    Mutant(
        "tell_no_state",
        "the engine does not say which state it has left",
        cases.PG_APPEND,
        ("state_kept",),
        partial(engines.Lying, engines.without_state),
    ),
    Mutant(
        "tell_another_state",
        "the engine goes on from another state than it says",
        cases.PG_APPEND,
        ("state_continues",),
        partial(engines.Lying, engines.from_elsewhere),
    ),
    Mutant(
        "move_state_on_repeat",
        "a run that finds nothing new says that the state has moved",
        cases.PG_APPEND,
        ("state_unchanged",),
        partial(engines.Lying, engines.moved_without_rows),
    ),
)
