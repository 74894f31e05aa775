"""One act while it is played: its clock, its checks, and the record that closes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic

import pyarrow as pa

from ..core.gates.tallies import PHASE
from ..core.model import ActName, ActRecord, Check, DiffReport, Scalar
from ..core.wire import Engine, Job, RunFacts
from .foreign import facts_of
from .memory import PeakMemory

_LONGEST = 200
_MOST_PHASES = 32


@dataclass(slots=True)
class Act:
    """An act that is being played; `record` closes it."""

    name: ActName
    started: float = field(default_factory=monotonic)
    engine_seconds: float = 0.0
    rows: int = 0
    checks: list[Check] = field(default_factory=list)
    planned: dict[str, Scalar] = field(default_factory=dict)
    observed: dict[str, Scalar] = field(default_factory=dict)
    diff: DiffReport | None = None
    error: str = ""

    def check(self, name: str, *, expected: Scalar, actual: Scalar, detail: str = "") -> None:
        """Add a check that two values are equal, bool apart from int."""
        same = type(expected) is type(actual) and expected == actual
        self.checks.append(
            Check(name=name, passed=same, expected=cut_short(expected), actual=cut_short(actual), detail=detail)
        )

    def check_rows(self, name: str, diff: DiffReport) -> None:
        """Add a check that two tables hold the same rows."""
        self.rows, self.diff = diff.expected_rows, diff
        detail = "" if diff.equal else _told(diff)
        self.checks.append(
            Check(name=name, passed=diff.equal, expected=diff.expected_rows, actual=diff.actual_rows, detail=detail)
        )

    def run(self, engine: Engine, job: Job) -> RunFacts:
        """Run the engine and time it apart from the harness's own work."""
        begin = monotonic()
        peak = PeakMemory()
        try:
            facts = facts_of(engine, job)
        finally:
            self.engine_seconds += monotonic() - begin
        self._observe(peak.megabytes(), facts)
        for name in ("read", "written", "inserted", "updated", "deleted", "unchanged"):
            if (value := getattr(facts, name)) is not None:
                self.observed[name] = value
        return facts

    def _observe(self, megabytes: float | None, facts: RunFacts) -> None:
        """What an act needed in all its runs: the highest peak, and the seconds of each phase."""
        if megabytes is not None:
            self.observed["memory_peak_mb"] = max(megabytes, self._number("memory_peak_mb"))
        for phase, seconds in list(facts.seconds.items())[:_MOST_PHASES]:
            name = f"{PHASE}{phase[:_LONGEST]}"
            self.observed[name] = round(self._number(name) + seconds, 4)

    def _number(self, name: str) -> float:
        value = self.observed.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def record(self) -> ActRecord:
        """What the act left. An act without a check has not passed."""
        passed = bool(self.checks) and all(check.passed for check in self.checks) and not self.error
        return ActRecord(
            name=self.name,
            passed=passed,
            rows=self.rows,
            engine_seconds=round(self.engine_seconds, 4),
            harness_seconds=round(max(0.0, monotonic() - self.started - self.engine_seconds), 4),
            planned=self.planned,
            observed=self.observed,
            checks=tuple(self.checks),
            diff=self.diff,
            error=self.error,
        )


class Counted:
    """Batches, and the bytes of those that were taken: as Arrow holds them, without compression."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self.bytes = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.bytes += batch.nbytes
            yield batch


def cut_short(value: Scalar) -> Scalar:
    """A text that is too long for a record, such as an engine's state, with its length instead of its end."""
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]}… ({len(value)} characters)"
    return value


def _told(diff: DiffReport) -> str:
    counts = [
        f"{count} {name}"
        for name, count in (
            ("missing", diff.missing),
            ("extra", diff.extra),
            ("changed", diff.changed),
            ("duplicated", diff.duplicated),
        )
        if count
    ]
    return ", ".join(counts)
