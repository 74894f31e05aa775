"""Gates over measured numbers: regression against a baseline, service level objectives, performance certification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt

from ...errors import UsageError
from ..strict import LIMIT, NotStrict, kind_of, number
from .ruling import Ruling, Value, green, nearest, red

Measured = Annotated[StrictInt, Field(ge=0, le=LIMIT)] | Annotated[StrictFloat, Field(ge=0, le=float(LIMIT))]
"""A rate, count, size or duration; none of them can be negative."""
Metrics = Annotated[dict[str, Measured], Field(min_length=1)]
Direction = Literal["higher", "lower"]

FAILURE_RATE = "failure_rate"
KNOWN_FAILURES = "known_failures"
"""How many cases failed as the project knows them to; they are not in the failure rate."""

NO_BASELINE = (
    "there is no baseline to compare with: dpone_baseline names its file, "
    "and --dpone-update-baseline writes a first one"
)
NO_BOUNDS = "no bound is given: dpone_minimum, dpone_maximum or dpone_objectives name a file with some"


class Baseline(Value):
    """What a metric was; it may be worse by `max_regression_ratio` of that, and no more."""

    value: Measured
    direction: Direction
    max_regression_ratio: Annotated[StrictInt, Field(ge=0, lt=1)] | Annotated[StrictFloat, Field(ge=0, lt=1)] = 0

    @property
    def bound(self) -> float:
        """The worst value that is no regression."""
        sign = -1 if self.direction == "higher" else 1
        return self.value * (1 + sign * self.max_regression_ratio)


class Objective(Value):
    """Bounds of a metric, both included; at least one is given."""

    min: Measured | None = None
    max: Measured | None = None


class BaselineFacts(Value):
    """Input of the regression gate."""

    metrics: Metrics
    baseline: Annotated[dict[str, Baseline], Field(min_length=1)]


class BenchmarkSloFacts(Value):
    """Input of the combined gate. Without a baseline it is red, but in `local_live`, where that part is not run."""

    metrics: Metrics
    baseline: dict[str, Baseline] = Field(default_factory=dict)
    objectives: Annotated[dict[str, Objective], Field(min_length=1)]
    profile: str | None = None


class PerformanceFacts(Value):
    """Input of the performance certification. At least one bound is given."""

    profile: str
    row_count: int = Field(ge=1)
    metrics: Metrics
    minimum: dict[str, Measured] = Field(default_factory=dict)
    maximum: dict[str, Measured] = Field(default_factory=dict)


def judge_baseline(facts: BaselineFacts) -> tuple[Ruling, ...]:
    """One ruling per metric of the baseline."""
    return tuple(_regression(name, row, facts.metrics) for name, row in facts.baseline.items())


def judge_benchmark_slo(facts: BenchmarkSloFacts) -> tuple[Ruling, ...]:
    """Regressions first, then the objectives."""
    rulings = [_regression(name, row, facts.metrics) for name, row in facts.baseline.items()]
    if not facts.baseline and facts.profile == "local_live":
        rulings.append(green("baseline", "not run", text=NO_BASELINE))
    elif not facts.baseline:
        rulings.append(red("baseline", "missing", NO_BASELINE))
    for name, row in facts.objectives.items():
        if row.min is None and row.max is None:
            rulings.append(red(name, "no_bound", f"the objective of {name} has neither min nor max"))
        if row.min is not None:
            rulings.append(_floor(name, row.min, facts.metrics))
        if row.max is not None:
            rulings.append(_ceiling(name, row.max, facts.metrics))
    return tuple(rulings)


def judge_performance(facts: PerformanceFacts) -> tuple[Ruling, ...]:
    """One ruling per bound. Without a maximum of its own the failure rate must be 0, if it was measured."""
    if not facts.minimum and not facts.maximum:
        return (red("bounds", "missing", NO_BOUNDS),)
    rulings = [_floor(name, bound, facts.metrics) for name, bound in facts.minimum.items()]
    rulings += [_ceiling(name, bound, facts.metrics) for name, bound in facts.maximum.items()]
    if FAILURE_RATE in facts.metrics and FAILURE_RATE not in facts.maximum:
        rulings.append(_ceiling(FAILURE_RATE, 0, facts.metrics))
    return tuple(rulings)


PACKAGED_OBJECTIVES = {FAILURE_RATE: Objective(max=0)}
"""What holds if nobody sets objectives (DESIGN §8). That every case is measured is the gate over runtime metrics."""


def read_metrics(data: object) -> dict[str, int | float]:
    """Metrics by name. Raises `UsageError` that names the culprit."""
    found = {name: _measured(value, f"the metric {name!r}") for name, value in _rows(data, "metrics").items()}
    if found.get(FAILURE_RATE, 0) > 1:
        raise UsageError("the metric 'failure_rate' is greater than 1", hint="it is a share: 0 to 1")
    return found


def read_bounds(data: object, *, what: str) -> dict[str, int | float]:
    """Bounds by metric, for `what` = `minimum` or `maximum`. Raises `UsageError`."""
    return {name: _measured(value, f"the {what} of {name!r}") for name, value in _rows(data, what).items()}


def read_baseline(data: object) -> dict[str, Baseline]:
    """`{"metric": {"value": …, "direction": "higher" or "lower", "max_regression_ratio": 0 to below 1}}`."""
    return {name: _baseline(name, value) for name, value in _rows(data, "baseline").items()}


def read_objectives(data: object) -> dict[str, Objective]:
    """`{"metric": {"min": …, "max": …}}`, at least one of both."""
    return {name: _objective(name, value) for name, value in _rows(data, "objectives").items()}


def _regression(name: str, row: Baseline, metrics: Mapping[str, int | float]) -> Ruling:
    better: Callable[[float, float], bool] = (
        (lambda actual, bound: actual >= bound) if row.direction == "higher" else lambda actual, bound: actual <= bound
    )
    return _bounded(name, "baseline " + row.direction, row.bound, metrics, better, "regression", "worse than the bound")


def _floor(name: str, bound: int | float, metrics: Mapping[str, int | float]) -> Ruling:
    return _bounded(name, "minimum", bound, metrics, lambda a, b: a >= b, "below_minimum", "below the minimum")


def _ceiling(name: str, bound: int | float, metrics: Mapping[str, int | float]) -> Ruling:
    return _bounded(name, "maximum", bound, metrics, lambda a, b: a <= b, "above_maximum", "above the maximum")


def _bounded(
    name: str,
    rule: str,
    bound: int | float,
    metrics: Mapping[str, int | float],
    holds: Callable[[float, float], bool],
    code: str,
    words: str,
) -> Ruling:
    actual = metrics.get(name)
    if actual is None:
        return red(name, "missing", f"{name} was not measured", rule=rule, expected=bound)
    if holds(actual, bound):
        return green(name, rule, expected=bound, actual=actual)
    return red(name, code, f"{name} is {actual}, {words} {bound}", rule=rule, expected=bound, actual=actual)


def _rows(data: object, what: str) -> dict[str, object]:
    if not isinstance(data, dict):
        raise UsageError(f"the {what} are {kind_of(data)}, not an object", hint=f"give {what} by metric")
    if not data:
        raise UsageError(f"the {what} are empty", hint="nothing can be judged by nothing: name at least one metric")
    if "" in data:
        raise UsageError(f"the {what} have a metric without a name", hint="give it a name")
    return data


def _fields(data: object, what: str, known: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(data, dict):
        raise UsageError(f"{what} is {kind_of(data)}, not an object", hint=f"its keys are {', '.join(known)}")
    for name in data:
        if name not in known:
            raise UsageError(f"{what} has the unknown key {name!r}", hint=nearest(name, known))
    return data


def _measured(value: object, what: str) -> int | float:
    try:
        found = number(value)
    except NotStrict as error:
        raise UsageError(f"{what} {error}", hint="give a finite number") from None
    if found < 0:
        raise UsageError(f"{what} is negative", hint="rates, counts, sizes and durations are ≥ 0")
    return found


def _baseline(name: str, data: object) -> Baseline:
    what = f"the baseline of {name!r}"
    row = _fields(data, what, ("value", "direction", "max_regression_ratio"))
    for key in ("value", "direction"):
        if key not in row:
            raise UsageError(f"{what} has no {key}", hint='e.g. {"value": 100, "direction": "higher"}')
    direction = row["direction"]
    if direction not in ("higher", "lower"):
        raise UsageError(f"the direction of {what[4:]} is neither higher nor lower", hint="say which value is better")
    value = _measured(row["value"], what)
    if direction == "higher" and value == 0:
        raise UsageError(f"{what} is 0, which no value is worse than", hint="measure it again")
    ratio = _measured(row.get("max_regression_ratio", 0), f"the max_regression_ratio of {what[4:]}")
    if ratio >= 1:
        raise UsageError(f"the max_regression_ratio of {what[4:]} is not below 1", hint="it is a share: 0 to below 1")
    return Baseline(value=value, direction=direction, max_regression_ratio=ratio)


def _objective(name: str, data: object) -> Objective:
    what = f"the objective of {name!r}"
    row = _fields(data, what, ("min", "max"))
    if not row:
        raise UsageError(f"{what} has neither min nor max", hint='e.g. {"max": 300}')
    bounds = {key: _measured(value, f"the {key} of {what[4:]}") for key, value in row.items()}
    if "min" in bounds and "max" in bounds and bounds["min"] > bounds["max"]:
        raise UsageError(f"{what} has a min above its max", hint="no value can meet it")
    return Objective(**bounds)
