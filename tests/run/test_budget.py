"""What a run may cost."""

from __future__ import annotations

import pytest

from pytest_dpone.core.registry import Family, Registry
from pytest_dpone.run.budget import Budget
from pytest_dpone.run.plan import Plan, make_plan


@pytest.fixture
def plan() -> Plan:
    registry = Registry()
    registry.add(Family("alpha"))
    return make_plan(registry)


def refused(budget: Budget, plan: Plan, *, now: float = 0.0) -> list[int]:
    return [n for n, case in enumerate(plan.scope) if budget.refusal(case, plan, rows=100, now=now)]


def test_without_limits_everything_may_begin(plan: Plan) -> None:
    assert refused(Budget(None, None, 0.0), plan, now=10.0**9) == []


def test_rows_are_counted_in_the_order_of_the_plan(plan: Plan) -> None:
    every = list(range(len(plan.scope)))
    assert refused(Budget(300, None, 0.0), plan) == every[3:]
    assert refused(Budget(299, None, 0.0), plan) == every[2:]
    assert refused(Budget(99, None, 0.0), plan) == every
    text = Budget(299, None, 0.0).refusal(plan.scope[2], plan, rows=100, now=0.0)
    assert text == "with this case 300 rows would be loaded, and --dpone-max-rows is 299"


@pytest.mark.parametrize(
    ("now", "may"), [(1000.0, True), (1009.9, True), (1010.0, False), (2000.0, False), (999.0, False)]
)
def test_seconds_end_and_a_clock_that_goes_back_stops_too(plan: Plan, now: float, may: bool) -> None:
    found = refused(Budget(None, 10, 1000.0), plan, now=now)
    assert found == ([] if may else list(range(len(plan.scope))))
