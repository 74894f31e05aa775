"""The summary of a step on GitHub: what it says first, and that it never outgrows the limit."""

from __future__ import annotations

import re

import pytest

from pytest_dpone.core.gates.ruling import GateResult
from pytest_dpone.core.model import Case, CaseRecord, Strategy, Verdict
from pytest_dpone.report.github import LIMIT, error_commands, step_summary

GATES = (
    GateResult("service_markers", "failed", (("integration_minio.failed", "integration_minio: 1 failed"),)),
    GateResult("state", "not run", note="no case keeps a state"),
)


def red(number: int) -> CaseRecord:
    case = Case(f"s{number}", "<script>alert(1)</script>", Strategy.CDC)
    return CaseRecord.of(case, Verdict.FAILED, detail="a `b` | c\n<img src=x>", rerun="pytest --dpone-case=x")


def summary(records: list[CaseRecord], limit: int = LIMIT) -> str:
    codes = ["integration_minio.failed", *(f"{record.case_id}.failed" for record in records)]
    return step_summary("NO-GO: 1 of 2", records=records, blockers=codes, gates=GATES, limit=limit)


def test_verdict_and_blockers_come_first() -> None:
    lines = summary([red(1)]).splitlines()
    assert lines[0] == "## pytest-dpone: NO-GO: 1 of 2"
    assert lines[2] == "### Blockers (2)"
    assert lines[4] == "- `integration_minio.failed`: integration\\_minio: 1 failed"
    assert "| state | **not run** | no case keeps a state |" in lines
    assert "- failed: 1" in lines


def test_foreign_text_is_inert() -> None:
    text = summary([red(1)])
    outside_code = re.sub(r"`+[^`]*`+", "", text)
    assert "<script>" not in outside_code
    assert "<img" not in outside_code


@pytest.mark.parametrize("limit", [300, 1000, 5000, 20_000, LIMIT])
def test_what_does_not_fit_is_counted(limit: int) -> None:
    records = [red(number) for number in range(8000)]
    text = summary(records, limit)
    assert len(text.encode()) <= limit
    kept, _, note = text.rstrip("\n").rpartition("\n")
    found = re.fullmatch(r"(\d+) more lines did not fit: see the artifacts\.", note)
    assert found is not None
    whole = summary(records, 10**9).splitlines()
    left = int(found[1])
    assert left > 0
    assert kept == "\n".join(whole[: len(whole) - left])


def test_nothing_is_written_where_nothing_fits() -> None:
    assert summary([red(1)], 100) == ""
    assert summary([red(1)], 0) == ""


def test_error_commands_hold_hostile_text() -> None:
    hostile = CaseRecord.of(
        Case("a,b", "c:d", Strategy.SCD2),
        Verdict.FAILED,
        detail="50% lost\r\n::set-env name=X::1\x1b[31m",
        rerun="pytest",
    )
    (line,) = error_commands([hostile], [f"{hostile.case_id}.failed"], [])
    assert line == (
        "::error title=a%2Cb_to_c%3Ad__scd2::failed: 50%25 lost%0A::set-env name=X::1\\x1b[31m%0Arerun: pytest"
    )


def test_ten_error_commands_at_most() -> None:
    red = [CaseRecord.of(Case(f"s{n}", "k", Strategy.SCD2), Verdict.FAILED, detail="x") for n in range(25)]
    lines = error_commands(red, [f"{record.case_id}.failed" for record in red], [])
    assert len(lines) == 10
    assert lines[-1] == "::error title=pytest-dpone::16 more: see the summary and the artifacts"
    assert error_commands([], ["markers.nothing_passed"], []) == [
        "::error title=markers.nothing_passed::markers.nothing_passed"
    ]
