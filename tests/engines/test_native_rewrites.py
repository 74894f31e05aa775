from __future__ import annotations

import datetime as dt

import pytest

from pytest_dpone.core.wire import Window
from pytest_dpone.engines.native import clickhouse
from pytest_dpone.engines.native.rewrites import _windows
from pytest_dpone.errors import EngineFailed

FIRST = dt.date(2015, 1, 1)


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


def test_days_side_by_side_are_one_window() -> None:
    days = {day(number) for number in (*range(3000), 5000, 5002, 5003)}
    assert _windows(days) == (
        Window(start=FIRST, stop=day(3000)),
        Window(start=day(5000), stop=day(5001)),
        Window(start=day(5002), stop=day(5004)),
    )
    assert _windows((day(1), day(0), day(1))) == (Window(start=day(0), stop=day(2)),)
    assert _windows(()) == ()


def test_the_last_day_of_the_calendar_is_refused() -> None:
    assert _windows((dt.date(9999, 12, 30),)) == (Window(start=dt.date(9999, 12, 30), stop=dt.date.max),)
    with pytest.raises(EngineFailed, match="9999-12-31 has no day after it"):
        _windows((dt.date.max,))


def test_single_days_are_one_term_for_clickhouse() -> None:
    single = [Window(start=day(number), stop=day(number + 1)) for number in (0, 2)]
    longer = Window(start=day(4), stop=day(6))
    among = "toDate32(`d`) IN ('2015-01-01', '2015-01-03')"
    between = "(`d` >= toDate32('2015-01-05') AND `d` < toDate32('2015-01-07'))"
    assert clickhouse.days_condition("d", (*single, longer)) == f"({among} OR {between})"
    assert clickhouse.days_condition("d", (single[0],)) == "(toDate32(`d`) IN ('2015-01-01'))"
    assert clickhouse.days_condition("d", ()) == "false"
