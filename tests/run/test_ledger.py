"""The ledger forgets nothing and lets the worst record count."""

from __future__ import annotations

import pytest

from pytest_dpone.core.model import ActName, ActRecord, Case, CaseRecord, Check, DiffReport, NotRun, Strategy, Verdict
from pytest_dpone.run.ledger import Ledger

SCOPE = tuple(Case("alpha", "beta", strategy) for strategy in (Strategy.SCD2, Strategy.CDC, Strategy.REPLACE))
GREEN = (
    ActRecord(
        name=ActName.LOAD,
        passed=True,
        checks=(Check(name="rows", passed=True),),
        diff=DiffReport(expected_rows=1, actual_rows=1),
    ),
)


def record(case: Case, verdict: Verdict, reason: NotRun | None = None) -> CaseRecord:
    return CaseRecord.of(case, verdict, reason=reason, acts=GREEN if verdict is Verdict.PASSED else ())


PASSED = record(SCOPE[0], Verdict.PASSED)
TOLERATED = record(SCOPE[0], Verdict.NOT_RUN, NotRun.UNAVAILABLE)
SKIPPED = record(SCOPE[0], Verdict.NOT_RUN, NotRun.SKIPPED)
FAILED = record(SCOPE[0], Verdict.FAILED)
BY_BADNESS = [PASSED, TOLERATED, SKIPPED, FAILED]


@pytest.mark.parametrize("worse", range(1, 4))
@pytest.mark.parametrize("turned", [False, True])
def test_the_worst_record_counts_in_any_order(worse: int, turned: bool) -> None:
    for better in range(worse):
        ledger = Ledger(SCOPE)
        pair = [BY_BADNESS[better], BY_BADNESS[worse]]
        for each in reversed(pair) if turned else pair:
            ledger.add(each)
        assert ledger.standing(SCOPE[0].case_id) is BY_BADNESS[worse]


def test_what_left_nothing_is_not_run_in_the_order_of_the_scope() -> None:
    ledger = Ledger(SCOPE)
    ledger.add(record(SCOPE[2], Verdict.PASSED))
    assert [r.case_id for r in ledger.recorded()] == [SCOPE[2].case_id]
    closed = ledger.close(missing=NotRun.DESELECTED, detail="nobody asked")
    assert [r.case_id for r in closed] == [case.case_id for case in SCOPE]
    assert [r.reason for r in closed] == [NotRun.DESELECTED, NotRun.DESELECTED, None]
    assert closed[0].detail == "nobody asked"


def test_a_crash_outweighs_what_the_case_had_said_before() -> None:
    ledger = Ledger(SCOPE)
    ledger.add(PASSED)
    ledger.crashed(SCOPE[0].case_id, detail="killed")
    assert ledger.standing(SCOPE[0].case_id).reason is NotRun.CRASHED


def test_a_record_from_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha_to_beta__xmin is not in the scope of this run"):
        Ledger(SCOPE).add(record(Case("alpha", "beta", Strategy.XMIN), Verdict.FAILED))
