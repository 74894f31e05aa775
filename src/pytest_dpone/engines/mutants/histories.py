"""Mutants of histories: intervals that are wrong in one way each."""

from __future__ import annotations

from functools import partial

from .mutant import Mutant
from .parts import sinks

HISTORIES = tuple(
    Mutant(name, breaks, "postgres_to_postgres__scd2", killed_by, partial(sinks.history_then, statement))
    for name, breaks, killed_by, statement in (
        (
            "history_with_gaps",
            "a version ends before the next one begins",
            ("history.gaps",),
            "UPDATE {table} SET <t> = <t> - interval '1 ms' WHERE <t> IN (SELECT <f> FROM {table})",
        ),
        (
            "history_that_overlaps",
            "a version ends after the next one begins",
            ("history.overlaps",),
            "UPDATE {table} SET <t> = <t> + interval '1 ms' WHERE <t> IN (SELECT <f> FROM {table})",
        ),
        ("history_in_place", "a changed row keeps no old version", ("rows",), "DELETE FROM {table} WHERE NOT <c>"),
        (
            "history_that_moves",
            "versions that did not change begin anew",
            ("history.kept",),
            (
                "UPDATE {table} AS a SET <f> = now()"
                " WHERE NOT EXISTS (SELECT FROM {table} AS b WHERE b.{key} = a.{key} AND NOT b.<c>)"
            ),
        ),
        (
            "history_that_ends_again",
            "the last version of a key that is gone ends at each run anew",
            ("history.kept",),
            (
                "UPDATE {table} AS a SET <t> = now() WHERE NOT a.<c>"
                " AND NOT EXISTS (SELECT FROM {table} AS b WHERE b.{key} = a.{key} AND (b.<c> OR b.<f> > a.<f>))"
            ),
        ),
        (
            "history_with_new_hashes",
            "versions that are over get another hash at each run",
            ("history.kept",),
            "UPDATE {table} SET <h> = md5(<h>) WHERE NOT <c>",
        ),
        (
            "history_without_ends",
            "a version that is over has no end",
            ("history.open",),
            "UPDATE {table} SET <t> = NULL",
        ),
        (
            "history_revives_gone",
            "a key that the source has lost stays current",
            ("rows",),
            (
                "UPDATE {table} AS a SET <c> = true, <t> = NULL"
                " WHERE NOT EXISTS (SELECT FROM {table} AS b WHERE b.{key} = a.{key} AND b.<c>)"
            ),
        ),
        (
            "history_with_one_hash",
            "all versions of a key have one hash",
            ("history.hash",),
            "UPDATE {table} AS a SET <h> = b.<h> FROM {table} AS b WHERE b.{key} = a.{key} AND a.<c> AND NOT b.<c>",
        ),
        (
            "history_that_ends_current",
            "a version that is current has an end",
            ("history.open",),
            "UPDATE {table} SET <t> = <f> + interval '1 day' WHERE <c>",
        ),
        (
            "history_of_moments",
            "the last version of a key that is gone ends when it begins",
            ("history.not_empty",),
            (
                "UPDATE {table} AS a SET <t> = <f>"
                " WHERE NOT EXISTS (SELECT FROM {table} AS b WHERE b.{key} = a.{key} AND (b.<c> OR b.<f> > a.<f>))"
            ),
        ),
    )
)
