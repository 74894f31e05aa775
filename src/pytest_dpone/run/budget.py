"""What a run may cost: rows and seconds, after which no further case is begun."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.model import Case
from .plan import Plan


@dataclass(frozen=True, slots=True)
class Budget:
    """None: without a limit. `started` is the moment of the run's start, in seconds of the wall clock.

    Rows are counted in the order of the plan, so that every process of a run stops before the same cases.
    """

    max_rows: int | None
    max_seconds: int | None
    started: float

    def refusal(self, case: Case, plan: Plan, *, rows: int, now: float) -> str:
        """Why `case`, which loads `rows` rows, may not begin; empty if it may."""
        if self.max_rows is not None:
            needed = (plan.scope.index(case) + 1) * rows
            if needed > self.max_rows:
                return f"with this case {needed} rows would be loaded, and --dpone-max-rows is {self.max_rows}"
        if self.max_seconds is not None and not 0 <= now - self.started < self.max_seconds:
            return f"--dpone-max-seconds, {self.max_seconds}, had passed"
        return ""
