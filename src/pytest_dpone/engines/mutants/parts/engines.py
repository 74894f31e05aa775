"""Engines around the sound one that are broken in one way each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Literal

from ....core.model import Case, Evolution
from ....core.wire import Job, RunFacts, Support
from ....errors import DponeError, ValueRejected
from ...native import NativeEngine, Seams
from .sinks import RefusesToWrite


def other_policy(job: Job) -> Job:
    """A job with the other policy for empty partitions."""
    other: Literal["clear", "keep"] = "keep" if job.empty_partition == "clear" else "clear"
    return job.model_copy(update={"empty_partition": other})


def always_clear(job: Job) -> Job:
    """A job that lets empty partitions go, whatever was asked."""
    return job.model_copy(update={"empty_partition": "clear"})


class Misreading:
    """An engine that does another job than the one that it was given."""

    name = "native"

    def __init__(self, change: Callable[[Job], Job]) -> None:
        self._inner = NativeEngine()
        self._change = change
        self.supports = self._inner.supports

    def run(self, job: Job) -> RunFacts:
        """The changed job."""
        return self._inner.run(self._change(job))


class Swallowing:
    """An engine that takes any error for success."""

    name = "native"

    def __init__(self) -> None:
        self._inner = NativeEngine(Seams(sink=RefusesToWrite))
        self.supports = self._inner.supports

    def run(self, job: Job) -> RunFacts:
        """Facts that are always happy."""
        try:
            return self._inner.run(job)
        except DponeError:
            return RunFacts(read=0, written=0)


class Lying:
    """An engine that does its work right, and says something else."""

    name = "native"

    def __init__(self, lie: Callable[[RunFacts], RunFacts]) -> None:
        self._inner = NativeEngine()
        self._lie = lie
        self.supports = self._inner.supports

    def run(self, job: Job) -> RunFacts:
        """The facts, as they are told."""
        return self._lie(self._inner.run(job))


def misplaced(facts: RunFacts) -> RunFacts:
    """One row that was updated is counted as unchanged."""
    moved = min(1, facts.updated or 0)
    changed = {"updated": (facts.updated or 0) - moved, "unchanged": (facts.unchanged or 0) + moved}
    return facts.model_copy(update=changed)


def one_more(name: str, facts: RunFacts) -> RunFacts:
    """One row more in the count with this name."""
    return facts.model_copy(update={name: (getattr(facts, name) or 0) + 1})


def changed_as_new(facts: RunFacts) -> RunFacts:
    """Each row that was written is counted as inserted."""
    return facts.model_copy(update={"inserted": facts.written, "updated": 0})


def boasting(facts: RunFacts) -> RunFacts:
    """A run that goes on from a state has written a thousandfold."""
    return facts.model_copy(update={"written": facts.written * 1000}) if facts.state_before else facts


def without_state(facts: RunFacts) -> RunFacts:
    """Not a word about the state."""
    return facts.model_copy(update={"state_before": "", "state_after": ""})


def from_elsewhere(facts: RunFacts) -> RunFacts:
    """Another state before the run than there was."""
    return facts.model_copy(update={"state_before": f"{facts.state_before} "})


def moved_without_rows(facts: RunFacts) -> RunFacts:
    """Another state after a run that wrote nothing."""
    return facts if facts.written else facts.model_copy(update={"state_after": f"{facts.state_after} "})


def one_more_gone(facts: RunFacts) -> RunFacts:
    """One deleted row more than there was, where there was one."""
    return facts.model_copy(update={"deleted": facts.deleted + 1}) if facts.deleted else facts


class Promising(NativeEngine):
    """An engine that says something else of a source whose columns change."""

    def __init__(self, evolution: dict[Evolution, Literal["follows", "freezes"]], seams: Seams) -> None:
        super().__init__(seams)
        self._evolution = evolution

    def supports(self, case: Case) -> Support:
        """With the other promises."""
        support = super().supports(case)
        return support.model_copy(update={"evolution": {**support.evolution, **self._evolution}})


class KeepsWhatWasGood(NativeEngine):
    """When a row is refused it loads the first batch, and then says so."""

    def run(self, job: Job) -> RunFacts:
        """Twice, if need be."""
        try:
            return super().run(job)
        except ValueRejected:
            NativeEngine(Seams(tap=lambda _, batches: islice(batches, 1))).run(job)
            raise

    def watched(self, moment: Callable[[str], None]) -> KeepsWhatWasGood:
        """See `NativeEngine.watched`."""
        return KeepsWhatWasGood(Seams(moment=moment))
