"""What was counted: tests per marker, state and reconciliation per case, measurements per run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from ..model import ActName, CaseRecord, NotRun, Verdict
from .metrics import FAILURE_RATE, Measured, Metrics
from .ruling import RELEASE_PROFILES, Ruling, Value, green, red

Count = Annotated[int, Field(ge=0)]

_TOLERATED = (NotRun.UNAVAILABLE, NotRun.NOT_IMPLEMENTED)
_OBSERVED = ("memory_peak_mb", "bytes")
"""Of an act's observations: the greatest one is the case's metric."""


class MarkerCounts(Value):
    """Tests of one marker by outcome; `unavailable` are those whose service can't be had here."""

    passed: Count = 0
    failed: Count = 0
    skipped: Count = 0
    not_run: Count = 0
    unavailable: Count = 0


class MarkerFacts(Value):
    """Input of the service markers' gate."""

    profile: str
    markers: Annotated[dict[str, MarkerCounts], Field(min_length=1)]


class CheckedRow(Value):
    """How many checks were made of one subject, e.g. a case, and how many of them failed."""

    subject: str
    checks: Count
    failed: Count = 0
    text: str = ""


class CheckedFacts(Value):
    """Input of the gates over state and over reconciliation."""

    rows: tuple[CheckedRow, ...]


class ActMetrics(Value):
    """One act: rows that the sink must hold after it, seconds in the engine and in the harness."""

    name: str
    rows: Count
    engine_seconds: Measured
    harness_seconds: Measured


class CaseMetrics(Value):
    """What was measured of one case. A metric that was not measured is absent, never 0."""

    case_id: str
    verdict: Verdict
    metrics: dict[str, Measured] = Field(default_factory=dict)
    acts: tuple[ActMetrics, ...] = ()


class RuntimeFacts(Value):
    """What was measured of a run. `totals` are the metrics that the other gates take."""

    totals: Metrics
    cases: Annotated[tuple[CaseMetrics, ...], Field(min_length=1)]


def judge_markers(facts: MarkerFacts) -> tuple[Ruling, ...]:
    """Each marker: something passed and nothing else happened; only `local_live` tolerates what is unavailable."""
    rulings = [_marker(name, row, facts.profile) for name, row in facts.markers.items()]
    if not any(row.passed for row in facts.markers.values()):
        rulings.append(red("markers", "nothing_passed", "no test of any marker passed"))
    return tuple(rulings)


def judge_checked(facts: CheckedFacts) -> tuple[Ruling, ...]:
    """Each subject: at least one check, none failed. Nothing checked at all is red."""
    if not facts.rows:
        return (red("evidence", "nothing_checked", "nothing was checked"),)
    return tuple(_checked(row) for row in facts.rows)


def judge_runtime(facts: RuntimeFacts) -> tuple[Ruling, ...]:
    """Each case that passed has a duration and a throughput: what was not measured can't be judged later."""
    rulings = []
    for case in facts.cases:
        absent = [name for name in ("duration_seconds", "throughput_rows_per_second") if name not in case.metrics]
        if case.verdict is Verdict.PASSED and absent:
            rulings.append(red(case.case_id, "not_measured", f"{case.case_id} has no {' and no '.join(absent)}"))
        elif case.verdict is Verdict.PASSED:
            rulings.append(green(case.case_id, "measured"))
    if not rulings:
        rulings.append(red("cases", "nothing_measured", "no case that passed was measured"))
    return tuple(rulings)


def runtime_of(records: Sequence[CaseRecord]) -> RuntimeFacts:
    """Measurements of a run from its records. Raises `ValueError` (of pydantic) if there is no record."""
    cases = tuple(_case(record) for record in records)
    return RuntimeFacts(totals=_totals(records, cases), cases=cases)


def _marker(name: str, row: MarkerCounts, profile: str) -> Ruling:
    others = {"failed": row.failed, "skipped": row.skipped, "not run": row.not_run}
    if profile in RELEASE_PROFILES:
        others["unavailable"] = row.unavailable
    wrong = [f"{count} {word}" for word, count in others.items() if count]
    if wrong:
        return red(name, "failed" if row.failed else "not_run", f"{name}: {', '.join(wrong)}", actual=row.passed)
    if row.passed:
        return green(name, "tests passed", actual=row.passed)
    if row.unavailable:
        return green(name, "tolerated", actual=0, text=f"{row.unavailable} unavailable")
    return red(name, "no_tests", f"{name}: no test was run", actual=0)


def _checked(row: CheckedRow) -> Ruling:
    if row.failed:
        return red(
            row.subject, "failed", f"{row.subject}: {row.failed} of {row.checks} checks failed", actual=row.checks
        )
    if not row.checks:
        return red(row.subject, "nothing_checked", f"{row.subject}: nothing was checked", actual=0)
    return green(row.subject, "checked", actual=row.checks, text=row.text)


def _case(record: CaseRecord) -> CaseMetrics:
    acts = tuple(
        ActMetrics(
            name=str(act.name), rows=act.rows, engine_seconds=act.engine_seconds, harness_seconds=act.harness_seconds
        )
        for act in record.acts
    )
    found: dict[str, int | float] = {}
    if record.acts:
        found = {"rows": record.rows, "duration_seconds": record.seconds}
    found |= _throughput(record for record in [record] if record.verdict is Verdict.PASSED)
    # The engine was asked to move a change that was committed just before, so its time is the change's lag.
    lags = [act.engine_seconds for act in record.acts if act.name is ActName.CHANGE and act.passed]
    if lags:
        found["freshness_lag_seconds"] = max(lags)
    for name in _OBSERVED:
        seen = [v for act in record.acts if isinstance(v := act.observed.get(name), int | float) and v is not True]
        if seen:
            found[name] = max(seen)
    return CaseMetrics(case_id=record.case_id, verdict=record.verdict, metrics=found, acts=acts)


def _throughput(records: Iterable[CaseRecord]) -> dict[str, float]:
    """Rows of the first load per second in the engine; wrong rows give no number."""
    loads = [act for record in records for act in record.acts if act.name is ActName.LOAD and act.engine_seconds > 0]
    seconds = sum(act.engine_seconds for act in loads)
    return {"throughput_rows_per_second": round(sum(act.rows for act in loads) / seconds, 3)} if seconds else {}


def _totals(records: Sequence[CaseRecord], cases: Sequence[CaseMetrics]) -> dict[str, int | float]:
    counted = [record for record in records if record.reason not in _TOLERATED]
    failed = sum(record.verdict is not Verdict.PASSED for record in counted)
    totals: dict[str, int | float] = {"duration_seconds": round(sum(record.seconds for record in records), 4)}
    if counted:
        totals[FAILURE_RATE] = round(failed / len(counted), 6)
    totals |= _throughput(record for record in records if record.verdict is Verdict.PASSED)
    for name, merge in {"rows": sum, "bytes": sum, "memory_peak_mb": max, "freshness_lag_seconds": max}.items():
        values = [case.metrics[name] for case in cases if name in case.metrics]
        if values:
            totals[name] = merge(values)  # type: ignore[operator]
    return totals
