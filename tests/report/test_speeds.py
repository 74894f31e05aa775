"""The page's speeds: only from what the cases measured, each with its spread, beside the baseline."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from pydantic import ValidationError

pytest.importorskip("htpy", reason="the page needs the extra html")

from pytest_dpone.core.gates.metrics import Baseline
from pytest_dpone.core.gates.tallies import CaseMetrics, runtime_of, tally
from pytest_dpone.core.model import ActName, ActRecord, Case, CaseRecord, Check, DiffReport, NotRun, Strategy, Verdict
from pytest_dpone.report.html_speeds import performance
from pytest_dpone.report.speeds import Scale, Spread, speeds_of, spreads

CHECKS = (Check(name="rows", passed=True),)
SEEDED = DiffReport(expected_rows=7, actual_rows=7)
PG = ("postgres", "postgres")


def played(
    case: Case, *, rows: int = 1000, seconds: float = 0.5, verdict: Verdict = Verdict.PASSED, via: str = "load"
) -> CaseRecord:
    acts = (
        ActRecord(name=ActName.PROVISION, passed=True, rows=7, engine_seconds=0, checks=CHECKS, diff=SEEDED),
        ActRecord(name=ActName(via), passed=True, rows=rows, engine_seconds=seconds, checks=CHECKS),
        ActRecord(name=ActName.REPEAT, passed=True, rows=9 * rows, engine_seconds=0.001, checks=CHECKS),
    )
    return CaseRecord.of(case, verdict, engine="native", rows=rows, acts=acts, detail="")


def case(strategy: Strategy, route: tuple[str, str] = PG) -> Case:
    return Case(*route, strategy)


RUN = (
    played(case(Strategy.FULL_REFRESH), seconds=0.5),  # 2,000 rows/s
    played(case(Strategy.REPLACE), seconds=2.0),  # 500
    played(case(Strategy.SCD2), seconds=0.25),  # 4,000
    played(case(Strategy.SCD2, ("kafka", "postgres")), seconds=0.1),  # 10,000
    played(case(Strategy.CDC), seconds=0.01, verdict=Verdict.FAILED),
    CaseRecord.of(case(Strategy.XMIN), Verdict.NOT_RUN, reason=NotRun.UNAVAILABLE, detail="no"),
)


def metrics_of(records: tuple[CaseRecord, ...]) -> list[CaseMetrics]:
    return [tally(record).metrics for record in records]


def section(records: tuple[CaseRecord, ...], baseline: dict[str, Baseline] | None = None) -> str:
    metrics = metrics_of(records)
    return str(performance(records, metrics, runtime_of(metrics).totals, baseline or {}))


def rows_of(text: str, caption: str) -> list[list[str]]:
    """The cells of a table of the page."""
    table = text.partition(f"<caption>{caption}</caption>")[2].partition("</table>")[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)]
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in row] for row in rows]


def test_speeds_are_those_of_cases_that_passed() -> None:
    speeds = speeds_of(RUN, metrics_of(RUN))
    assert [(s.case_id, s.rows, s.seconds, s.rate) for s in speeds] == [
        ("postgres_to_postgres__full_refresh", 1000, 0.5, 2000.0),
        ("postgres_to_postgres__replace", 1000, 2.0, 500.0),
        ("postgres_to_postgres__scd2", 1000, 0.25, 4000.0),
        ("kafka_to_postgres__scd2", 1000, 0.1, 10000.0),
    ]
    by_route = spreads(speeds, lambda speed: speed.route)
    assert by_route == {PG: Spread(3, 500, 2000, 4000), ("kafka", "postgres"): Spread(1, 10000, 10000, 10000)}
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([])


def test_the_tables_say_minimum_median_and_maximum() -> None:
    text = section(RUN)
    assert rows_of(text, "Rows per second by route") == [
        ["source → sink", "cases", "minimum", "median", "maximum", "maximum ÷ minimum"],
        ["postgres → postgres", "3", "500", "2,000", "4,000", "8.0"],
        ["kafka → postgres", "1", "–", "10,000", "–", "one measurement, no spread"],
    ]
    assert rows_of(text, "Rows per second by strategy")[1:] == [
        ["full_refresh", "1", "–", "2,000", "–", "one measurement, no spread"],
        ["replace", "1", "–", "500", "–", "one measurement, no spread"],
        ["scd2", "2", "4,000", "7,000", "10,000", "2.5"],
    ]
    assert rows_of(text, "Rows per second by case: one measurement, no spread")[1:] == [
        ["postgres_to_postgres__full_refresh", "1,000", "0.500", "2,000", "1.00"],
        ["postgres_to_postgres__replace", "1,000", "2.000", "500", "0.25"],
        ["postgres_to_postgres__scd2", "1,000", "0.250", "4,000", "2.00"],
        ["kafka_to_postgres__scd2", "1,000", "0.100", "10,000", "1.00"],
    ]
    assert "of 4 cases that passed, each measured once" in text
    assert "from 500 to 10,000 rows/s" in text
    assert 'href="#case-kafka_to_postgres__scd2"' in text


def test_a_screen_reader_gets_heads_and_no_picture() -> None:
    text = section(RUN)
    assert text.count("<caption>") == 3
    assert len(re.findall(r'<th[^>]* scope="col"', text)) == 6 + 6 + 5
    assert text.count('scope="row"') == 2 + 3 + 4
    assert len(re.findall("<svg ", text)) == len(re.findall(r'<svg [^>]*aria-hidden="true"', text)) == 5
    assert "style=" not in text, "the page's policy would refuse it"
    assert "<script" not in text


def test_the_strip_stands_where_its_numbers_are() -> None:
    scale = Scale(500, 8000)
    assert [round(scale.place(rate), 3) for rate in (500, 1000, 2000, 8000)] == [0, 0.25, 0.5, 1]
    assert Scale(7, 7).place(7) == 0.5
    (strip, *_) = re.findall("<svg .*?</svg>", section(RUN))
    drawn = re.findall(r'x1="([\d.]+)" x2="([\d.]+)"', strip)
    left, median, right = 4.0, 4 + 112 * Scale(500, 10000).place(2000), 4 + 112 * Scale(500, 10000).place(4000)
    shown = [(f"{a:.1f}", f"{b:.1f}") for a, b in ((left, right), (left, left), (right, right), (median, median))]
    assert drawn == [("4", "116"), *shown]


def test_the_baseline_has_a_ratio_and_a_bound() -> None:
    baseline = {
        "throughput_rows_per_second": Baseline(value=2000, direction="higher", max_regression_ratio=0.25),
        "memory_peak_mb": Baseline(value=100, direction="lower", max_regression_ratio=0.5),
        "freshness_lag_seconds": Baseline(value=0, direction="lower"),
        "rows": Baseline(value=5000, direction="higher", max_regression_ratio=0.1),
    }
    rate = 4000 / 2.85
    assert rows_of(section(RUN, baseline), "The whole run against its baseline")[1:] == [
        ["throughput_rows_per_second", f"{rate:,.0f}", "2,000", f"{rate / 2000:.2f}", "at least 1,500", "worse"],
        ["memory_peak_mb", "not measured", "100", "–", "at most 150", "missing"],
        ["freshness_lag_seconds", "not measured", "0", "–", "at most 0", "missing"],
        ["rows", "5,000", "5,000", "1.00", "at least 4,500", "within"],
    ]
    assert "No baseline was given" in section(RUN)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_what_is_no_number_never_becomes_a_record(seconds: float) -> None:
    with pytest.raises(ValidationError):
        played(case(Strategy.CDC), seconds=seconds)


@pytest.mark.parametrize(
    "record",
    [
        played(case(Strategy.CDC), seconds=0.0),
        played(case(Strategy.CDC), rows=0),
        played(case(Strategy.CDC), via="change"),
        played(case(Strategy.CDC), verdict=Verdict.FAILED),
    ],
    ids=["no seconds", "no rows", "no load", "wrong rows"],
)
def test_what_was_not_measured_is_no_speed(record: CaseRecord) -> None:
    assert speeds_of([record], metrics_of((record,))) == []
    text = section((record,))
    assert "No case that passed has a speed." in text
    assert "<table" not in text
    both = section((record, played(case(Strategy.SCD2))))
    assert "of 1 case that passed, each measured once" in both
    assert len(rows_of(both, "Rows per second by route")) == 2


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0.0, -5.0])
def test_a_number_that_is_none_is_left_out(rate: float) -> None:
    """No document can hold one; the page does not rely on it."""
    record = played(case(Strategy.CDC))
    (found,) = metrics_of((record,))
    found.metrics["throughput_rows_per_second"] = rate
    assert speeds_of([record], [found]) == []


def test_hostile_names_are_inert() -> None:
    name = '<script>alert(1)</script>\u202e\x1b[2J"&'
    baseline: dict[str, Any] = {name: Baseline(value=1, direction="higher")}
    record = played(Case(name, name, Strategy.CDC))
    text = section((record, played(case(Strategy.SCD2))), baseline)
    assert "<script" not in text
    assert "\x1b" not in text and "\u202e" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;\\u202e\\x1b[2J&#34;&amp;") == 1 + 2 + 2


def test_two_thousand_cases_take_no_second() -> None:
    cases = [Case(f"s{a}", f"k{b}", s) for a in range(20) for b in range(10) for s in Strategy]
    records = tuple(played(one, seconds=0.1 + number / 1000) for number, one in enumerate(cases))
    metrics, began = metrics_of(records), time.monotonic()
    text = str(performance(records, metrics, runtime_of(metrics).totals, {}))
    assert time.monotonic() - began < 2
    assert len(text) < 500 * len(records)
    assert text.count("<tr>") == 1 + 200 + 1 + 10 + 1 + 2000
