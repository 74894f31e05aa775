"""The vocabulary of checks: every name that a record may have, what the check says, and what it is proved by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a check says; and, if no mutant depends on this check alone, why not: then unit tests show it red."""

    says: str
    no_mutant: str = ""


_HARNESS = "it guards the harness: an engine can't make it red"

CHECKS: Mapping[str, Meaning] = MappingProxyType(
    {
        "seeded": Meaning("The source took as many rows as it was given.", _HARNESS),
        "source": Meaning("The source holds the dataset, before and after the change.", _HARNESS),
        "schema": Meaning("The sink has the columns that the contracts allow, and no other."),
        "rows": Meaning("The sink holds the rows that the oracle expects."),
        "swap": Meaning("A reader that polls sees the old table or the new one, whole."),
        "staging.used": Meaning("A load that is to be staged fails where there is no staging area."),
        "staging.empty": Meaning("A run leaves nothing in the staging area."),
        "facts.read": Meaning("The engine tells how many rows it has read."),
        "facts.written": Meaning("The engine tells how many rows it has written."),
        "facts.inserted": Meaning("The engine tells how many rows are new."),
        "facts.updated": Meaning("The engine tells how many rows have changed."),
        "facts.deleted": Meaning("The engine tells how many rows are gone."),
        "facts.unchanged": Meaning("The engine tells how many rows are as they were."),
        "state_kept": Meaning("The engine tells a state to go on from."),
        "state_continues": Meaning("The next run goes on from the state that the last one left."),
        "state_unchanged": Meaning("A run that finds nothing new leaves the state as it was."),
        "state_survives_kill": Meaning("The run after a kill leaves a state that the next one goes on from."),
        "state_two_runs": Meaning("Two runs of a job at once load it once."),
        "state_damaged": Meaning("A state that can't be read is an error, and the sink stays as it was."),
        "repeat_writes_nothing": Meaning("A run that finds nothing new writes nothing."),
        "unchanged_not_rewritten": Meaning("Rows that did not change are not written again."),
        "deletes_reconciled": Meaning("A reconciliation tells how many rows it has removed."),
        "empty_partition_kept": Meaning("A partition that the source has lost stays where the job says so."),
        "history.not_empty": Meaning("A version ends after it begins."),
        "history.begins": Meaning(
            "A version has a begin.",
            "without a begin a version has moved by the next act (history.kept), and touches none (history.gaps)",
        ),
        "history.open": Meaning("The current version of a key has no end, and every other has one."),
        "history.order": Meaning(
            "Versions of a key follow each other as their revisions do.",
            "versions that change places overlap or have moved (history.overlaps, history.kept)",
        ),
        "history.overlaps": Meaning("Versions of a key don't overlap."),
        "history.gaps": Meaning("Versions of a key touch, but where the key was absent."),
        "history.hash": Meaning("Versions that follow each other have hashes, and other ones."),
        "history.kept": Meaning("A version that was there before is as it was, but that a current one may end."),
        "events.count": Meaning("A topic got as many rows and tombstones as the act needs."),
        "events.keyed": Meaning("An event's key is its row's, in the declared form."),
        "events.order": Meaning("Events of a key are in one partition, and in the order of their revisions."),
        "events.labels": Meaning("Headers and body of an event say what it does, and of which run it is."),
        "events.committed": Meaning("A reader of what is committed sees a load whole, or not at all."),
        "api.faults_met": Meaning("The server of the API has shown each of its faults.", _HARNESS),
        "api.patience": Meaning("The engine waits as long as the server of the API asked."),
        "rejects.*": Meaning("A value that the sink can't hold raises the declared error, and is not stored."),
        "evolve.*.columns": Meaning(
            "The sink has the columns that the engine promised for a changed source, of the right types."
        ),
        "evolve.*.rows": Meaning("The sink has the rows that the engine promised for a changed source."),
        "evolve.*": Meaning(
            "A changed source is refused where the engine says so, and so is a value that a frozen column can't hold; "
            "the sink stays as it was."
        ),
        "crash.*.hit": Meaning("The engine was killed at the point where it was to be."),
        "crash.*.proof": Meaning("The services show that the killed run stood where it said."),
        "crash.cut.told": Meaning("A load whose connection was cut is told as an error, or is whole."),
        "crash.refused.told": Meaning(
            "A load with a value that the sink refuses raises the declared error.",
            "a load that is taken silently has left its rows, too (crash.refused.hidden)",
        ),
        "crash.refused.hidden": Meaning("A load that was refused leaves nothing that a reader sees."),
        "crash.*.resumed": Meaning(
            "A backfill goes on after a kill where it was: chunks that are done stay as they are."
        ),
        "crash.*.again": Meaning("The second run after a kill leaves the right rows."),
        "crash.*.rows": Meaning("The first run after a kill leaves the right rows."),
    }
)
"""Name, or pattern of names → meaning. The first pattern that fits is the one."""


def check_of(name: str) -> str:
    """The entry of `CHECKS` for the name of a check in a record. Raises `KeyError` if there is none.

    After a kill the checks of the sink are made again, as `crash.<point>.rows.<check>` and `….again.<check>`.
    """
    parts = name.split(".", 3)
    if parts[0] == "crash" and len(parts) == 4:
        return check_of(parts[3])
    for pattern in CHECKS:
        if fnmatchcase(name, pattern):
            return pattern
    raise KeyError(f"the check {name!r} is not in the vocabulary: give it a line in core.checks, and a mutant")
