"""How fast the engine was, and how far apart its speeds lie: from what the cases of a run measured. No I/O."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..core.gates.tallies import CaseMetrics
from ..core.model import ActName, CaseRecord, Strategy, Verdict

Key = TypeVar("Key")
RATE = "throughput_rows_per_second"


@dataclass(frozen=True, slots=True)
class Speed:
    """The first load of a case that passed: its rows, its seconds in the engine, and rows per second."""

    case_id: str
    route: tuple[str, str]
    strategy: Strategy
    rows: int
    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Of at least one measurement."""

    count: int
    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises `ValueError` if there is no value."""
        if not values:
            raise ValueError("nothing was measured")
        return cls(len(values), min(values), statistics.median(values), max(values))


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a speed stands between the least and the greatest of a run, by their logarithms: 0 to 1."""

    least: float
    greatest: float

    def place(self, rate: float) -> float:
        """The middle, if all speeds are one."""
        if self.least == self.greatest:
            return 0.5
        return (math.log(rate) - math.log(self.least)) / (math.log(self.greatest) - math.log(self.least))


def speeds_of(records: Iterable[CaseRecord], metrics: Iterable[CaseMetrics]) -> list[Speed]:
    """The speeds of a run, in the order of its cases. Wrong rows, no rows and no seconds give none."""
    found = []
    for record, measured in zip(records, metrics, strict=True):
        rate = measured.metrics.get(RATE, 0)
        loads = [act for act in measured.acts if act.name == ActName.LOAD]
        if record.verdict is not Verdict.PASSED or not loads or not math.isfinite(rate) or rate <= 0:
            continue
        rows, seconds = sum(act.rows for act in loads), sum(act.engine_seconds for act in loads)
        found.append(
            Speed(record.case_id, (record.source, record.case.end), record.strategy, rows, seconds, float(rate))
        )
    return found


def spreads(speeds: Iterable[Speed], key: Callable[[Speed], Key]) -> dict[Key, Spread]:
    """The spread of each group, in the order of the cases."""
    groups: dict[Key, list[float]] = {}
    for speed in speeds:
        groups.setdefault(key(speed), []).append(speed.rate)
    return {name: Spread.of(rates) for name, rates in groups.items()}
