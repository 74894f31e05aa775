"""What was counted: tests per marker, state and reconciliation per case, measurements per run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from ..model import ActName, CaseRecord, NotRun, Verdict
from .kills import Kills, kills_of
from .metrics import FAILURE_RATE, KNOWN_FAILURES, Measured, Metrics
from .ruling import RELEASE_PROFILES, ROW, Ruling, Value, green, red

Count = Annotated[int, Field(ge=0)]

PHASE = "seconds."
"""Begins the names under which an act observes the seconds of the engine's phases."""
SHOWN = (
    "state_survives_kill",
    "state_two_runs",
    "state_damaged",
    "crash.committing.rows",
    "crash.cut.rows",
    "crash.refused.rows",
)
"""Checks of the act `crash`."""
_OBSERVED = ("memory_peak_mb", "bytes")
"""Of an act's observations: the greatest one is the case's metric."""


class MarkerCounts(Value):
    """Tests of one marker by outcome. A feature branch may live with the last three: the service can't be had here,
    the case is not implemented yet, or it fails as the project knows."""

    passed: Count = 0
    failed: Count = 0
    skipped: Count = 0
    not_run: Count = 0
    """Collected, and without a result: deselected, or the run ended before."""
    rerun: Count = 0
    """Passed only after they had been run again; a feature branch may live with that."""
    unavailable: Count = 0
    not_implemented: Count = 0
    known: Count = 0
    """Failed as the project knows them to."""


class MarkerFacts(Value):
    """Input of the service markers' gate. `required` are the markers that the run's scope needs."""

    profile: str | None
    """None: no profile was asked for, which is judged like `local_live`."""
    markers: dict[str, MarkerCounts]
    required: tuple[str, ...] = ()


@pydantic_dataclass(frozen=True, slots=True, config=ROW)
class CheckedRow:
    """How many checks were made of one subject, e.g. a case, and how many of them failed."""

    subject: str
    checks: Count
    failed: Count = 0
    text: str = ""


class CheckedFacts(Value):
    """Input of the gates over state and over reconciliation."""

    rows: tuple[CheckedRow, ...]
    not_run: dict[str, str] = Field(default_factory=dict)
    """What would belong here and was not measured, and why; it counts for nothing."""


@pydantic_dataclass(frozen=True, slots=True, config=ROW)
class ActMetrics:
    """One act: rows that the sink must hold after it, seconds in the engine, in its phases and in the harness."""

    name: str
    rows: Count
    engine_seconds: Measured
    harness_seconds: Measured
    checks: Count = 0
    failed: Count = 0
    """Checks that were made, and how many of them are red."""
    phases: dict[str, Measured] = Field(default_factory=dict)
    """Phase → seconds, as the engine told them, e.g. `stage`."""


@pydantic_dataclass(frozen=True, slots=True, config=ROW)
class CaseMetrics:
    """What was measured of one case. A metric that was not measured is absent, never 0."""

    case_id: str
    verdict: Verdict
    reason: NotRun | None = None
    metrics: dict[str, Measured] = Field(default_factory=dict)
    acts: tuple[ActMetrics, ...] = ()


class RuntimeFacts(Value):
    """What was measured of a run. `totals` are the metrics that the other gates take."""

    totals: Metrics
    cases: Annotated[tuple[CaseMetrics, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Tally:
    """What of a case's record the gates need. A record itself is too large to keep thousands of."""

    metrics: CaseMetrics
    state: CheckedRow | None
    reconciliation: CheckedRow | None
    shown: frozenset[str]
    """Names of the checks that only some cases make, so that a run may lack them."""
    contracts: CheckedRow | None
    """Column types as the contracts say, and values refused as they say."""
    kills: Kills


def tally(record: CaseRecord) -> Tally:
    """Count what `record` shows; None for what it does not show at all."""
    checks = [(act.name, check) for act in record.acts for check in act.checks]
    counted = {
        word: sum(
            count
            for act in record.acts
            if act.name is ActName.RECONCILE and isinstance(count := act.observed.get(f"deletes_{word}"), int)
        )
        for word in ("checked", "missed", "false")
    }
    deletes = f"{counted['checked']} deletes checked, {counted['missed']} missed, {counted['false']} false"

    def row(found: Iterable[bool], text: str = "") -> CheckedRow | None:
        passed = list(found)
        # A failure that is known shows nothing, and is told apart.
        if not passed or record.excused:
            return None
        return CheckedRow(subject=record.case_id, checks=len(passed), failed=passed.count(False), text=text)

    return Tally(
        metrics=_case(record),
        state=row(check.passed for _, check in checks if check.name.startswith("state_")),
        reconciliation=row((check.passed for name, check in checks if name is ActName.RECONCILE), deletes),
        shown=frozenset(check.name for _, check in checks if check.name.startswith(SHOWN)),
        contracts=row(check.passed for name, check in checks if name is ActName.REJECT or check.name == "schema"),
        kills=kills_of(record),
    )


def judge_markers(facts: MarkerFacts) -> tuple[Ruling, ...]:
    """Each marker: something passed and nothing else happened; a release tolerates nothing else."""
    rulings = [_marker(name, row, facts.profile) for name, row in facts.markers.items()]
    rulings += [
        red(name, "missing", f"{name}: no test with this marker was run, and the run's scope needs it")
        for name in facts.required
        if name not in facts.markers
    ]
    if not any(row.passed or row.rerun for row in facts.markers.values()):
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


def runtime_of(cases: Sequence[CaseMetrics]) -> RuntimeFacts:
    """Measurements of a run from those of its cases. Raises `ValueError` (of pydantic) if there is none."""
    return RuntimeFacts(totals=_totals(cases), cases=tuple(cases))


def _marker(name: str, row: MarkerCounts, profile: str | None) -> Ruling:
    others = {"failed": row.failed, "skipped": row.skipped, "not run": row.not_run}
    excused = {
        "unavailable": row.unavailable,
        "not implemented yet": row.not_implemented,
        "failed as known": row.known,
    }
    if profile in RELEASE_PROFILES:
        others |= {"passed only when run again": row.rerun, **excused}
    wrong = [f"{count} {word}" for word, count in others.items() if count]
    if wrong:
        return red(name, "failed" if row.failed else "not_run", f"{name}: {', '.join(wrong)}", actual=row.passed)
    excused |= {"passed only when run again": row.rerun}
    text = ", ".join(f"{count} {word}" for word, count in excused.items() if count)
    if row.passed:
        return green(name, "tests passed", actual=row.passed, text=text)
    if text:
        return green(name, "tolerated", actual=0, text=text)
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
            name=str(act.name),
            rows=act.rows,
            engine_seconds=act.engine_seconds,
            harness_seconds=act.harness_seconds,
            checks=len(act.checks),
            failed=sum(not check.passed for check in act.checks),
            phases={
                name.removeprefix(PHASE): value
                for name, value in act.observed.items()
                if name.startswith(PHASE) and isinstance(value, int | float)
            },
        )
        for act in record.acts
    )
    found: dict[str, int | float] = {}
    if record.acts:
        found = {"rows": record.rows, "duration_seconds": record.seconds}
    if record.excused:
        found[KNOWN_FAILURES] = 1
    elif record.reason is None or not record.reason.tolerated:
        found[FAILURE_RATE] = int(record.verdict is not Verdict.PASSED)
    if record.verdict is Verdict.PASSED:
        found |= _throughput(acts)
    # The engine was asked to move a change that was committed just before, so its time is the change's lag.
    lags = [act.engine_seconds for act in record.acts if act.name is ActName.CHANGE and act.passed]
    if lags:
        found["freshness_lag_seconds"] = max(lags)
    for name in _OBSERVED:
        seen = [v for act in record.acts if isinstance(v := act.observed.get(name), int | float) and v is not True]
        if seen:
            found[name] = max(seen)
    return CaseMetrics(case_id=record.case_id, verdict=record.verdict, reason=record.reason, metrics=found, acts=acts)


def _throughput(acts: Iterable[ActMetrics]) -> dict[str, float]:
    """Rows of the first load per second in the engine."""
    loads = [act for act in acts if act.name == ActName.LOAD and act.engine_seconds > 0]
    seconds = sum(act.engine_seconds for act in loads)
    return {"throughput_rows_per_second": round(sum(act.rows for act in loads) / seconds, 3)} if seconds else {}


def _totals(cases: Sequence[CaseMetrics]) -> dict[str, int | float]:
    def values(name: str) -> list[int | float]:
        return [case.metrics[name] for case in cases if name in case.metrics]

    totals: dict[str, int | float] = {"duration_seconds": round(sum(values("duration_seconds")), 4)}
    if rates := values(FAILURE_RATE):
        totals[FAILURE_RATE] = round(sum(rates) / len(rates), 6)
    # Wrong rows give no number.
    totals |= _throughput(act for case in cases if case.verdict is Verdict.PASSED for act in case.acts)
    for name in ("rows", "bytes", KNOWN_FAILURES):
        if found := values(name):
            totals[name] = sum(found)
    for name in ("memory_peak_mb", "freshness_lag_seconds"):
        if found := values(name):
            totals[name] = max(found)
    return totals
