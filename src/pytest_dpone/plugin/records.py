"""Records travel as JSON on a test's report: the same way inside one process and from a worker to the controller."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from .active import SERVICE_MARKERS, case_param

if TYPE_CHECKING:
    from ..core.model import Case, CaseRecord

ATTRIBUTE = "dpone_records"
MUTANTS = "dpone_mutants"
ENGINES = "dpone_engines"
_PROPERTY = "dpone_"

_SERVICES = tuple(f"dpone_{marker.removeprefix('integration_')}" for marker in SERVICE_MARKERS)
_kept: pytest.StashKey[list[CaseRecord]] = pytest.StashKey()
_sent: pytest.StashKey[int] = pytest.StashKey()
_trials: pytest.StashKey[list[str]] = pytest.StashKey()


def keep(item: pytest.Item, record: CaseRecord) -> None:
    """Keep a record until the report of the current phase is made."""
    item.stash.setdefault(_kept, []).append(record)
    tell_properties(item, record)


def tell_properties(item: pytest.Item, record: CaseRecord) -> None:
    """What `junit.xml` and others say of the test beside its outcome; of the last record, if there are several."""
    facts = {
        "case_id": record.case_id,
        "verdict": "known failure" if record.excused else record.reason or record.verdict,
        "engine": record.engine,
        "rows": record.rows,
        "seed": record.seed,
        "seconds": record.seconds,
        "rerun": record.rerun,
    }
    others = [(name, value) for name, value in item.user_properties if not name.startswith(_PROPERTY)]
    item.user_properties[:] = [*others, *((f"{_PROPERTY}{name}", str(value)) for name, value in facts.items())]


def keep_trial(item: pytest.Item, text: str) -> None:
    """Keep the outcome of a mutant's trial, as JSON, until the report of the current phase is made."""
    item.stash.setdefault(_trials, []).append(text)


def conceal(report: pytest.TestReport, scrub: Callable[[str], str]) -> None:
    """Take secrets out of what a test printed and of how it failed: a report goes to terminals and into files."""
    report.sections = [(title, scrub(text)) for title, text in report.sections]
    if report.failed and (told := scrub(report.longreprtext)) != report.longreprtext:
        report.longrepr = told
    if report.skipped and isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, scrub(reason))


def tell_deaths(item: pytest.Item, report: pytest.TestReport, died: Callable[[str], str | None]) -> None:
    """Put beside the failure of a test how a service has ended that the test has a fixture of."""
    from ..errors import DponeError

    if not report.failed:
        return
    fixtures: list[str] = getattr(item, "fixturenames", [])
    for name in (name.removeprefix("dpone_") for name in fixtures if name in _SERVICES):
        try:
            text = died(name)
        except DponeError as error:
            text = error.fact
        if text:
            report.sections.append((f"dpone: {name}", text))


def conceal_warning(recorded: warnings.WarningMessage, scrub: Callable[[str], str]) -> None:
    """The same for a warning, before it is kept for the summary or sent to the controller."""
    if isinstance(recorded.message, Warning):
        told = recorded.message.args
        recorded.message.args = tuple(scrub(each) if isinstance(each, str) else each for each in told)
    else:
        recorded.message = scrub(recorded.message)


def attach(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put what was kept since the last phase on `report`; a red test never leaves a green case behind."""
    if trials := item.stash.get(_trials, None):
        setattr(report, MUTANTS, trials)
        item.stash[_trials] = []
    case: Any = case_param(item)
    if case is None or (report.passed and _kept not in item.stash):
        return
    records = item.stash.setdefault(_kept, [])
    if not report.passed and (missing := _told_by_test(case, report, records)) is not None:
        records.append(missing)
    fresh = records[item.stash.get(_sent, 0) :]
    if fresh:
        setattr(report, ATTRIBUTE, [record.model_dump_json() for record in fresh])
        item.stash[_sent] = len(records)


def detach(report: pytest.TestReport) -> list[str]:
    """Take the records off a report, as JSON: pytest keeps all reports until the end, and records are large."""
    texts: list[str] = getattr(report, ATTRIBUTE, [])
    if texts:
        delattr(report, ATTRIBUTE)
    return texts


def _told_by_test(case: Case, report: pytest.TestReport, records: list[CaseRecord]) -> CaseRecord | None:
    """The record that the test's own outcome gives, if no record says as much already."""
    from ..core.model import CaseRecord, NotRun, Verdict

    if report.skipped:
        if records:
            return None
        return CaseRecord.of(case, Verdict.NOT_RUN, reason=NotRun.SKIPPED, detail=_reason(report))
    if any(record.verdict is not Verdict.PASSED for record in records):
        return None
    when = "after its case had passed" if records else f"in its {report.when} phase, before a case was certified"
    engine = records[-1].engine if records else ""
    detail = f"the test failed {when}: {_reason(report)}"
    return CaseRecord.of(case, Verdict.FAILED, detail=detail, engine=engine)


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "")
    return text.strip().partition("\n")[0]
