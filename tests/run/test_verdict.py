"""The word that ends a run."""

from __future__ import annotations

import pytest

from pytest_dpone.core.model import (
    ActName,
    ActRecord,
    Case,
    CaseRecord,
    Check,
    DiffReport,
    NotRun,
    ServiceRecord,
    Strategy,
    Verdict,
)
from pytest_dpone.errors import UsageError
from pytest_dpone.run.verdict import decide

ACTS = (
    ActRecord(
        name=ActName.LOAD,
        passed=True,
        checks=(Check(name="rows", passed=True),),
        diff=DiffReport(expected_rows=1, actual_rows=1),
    ),
)
REAL = ServiceRecord(name="postgres", provider="docker", product="PostgreSQL", version="17.2", fidelity="real")
MOTO = ServiceRecord(name="minio", provider="embedded", product="moto", version="5", fidelity="emulated")


def passed(strategy: Strategy, *services: ServiceRecord) -> CaseRecord:
    return CaseRecord.of(Case("a", "b", strategy), Verdict.PASSED, acts=ACTS, services=services)


def not_run(strategy: Strategy, reason: NotRun) -> CaseRecord:
    return CaseRecord.of(Case("a", "b", strategy), Verdict.NOT_RUN, reason=reason)


FAILED = CaseRecord.of(Case("a", "b", Strategy.SCD2), Verdict.FAILED)


def test_the_headline_of_a_reduced_scope() -> None:
    records = [passed(Strategy.SCD2), not_run(Strategy.CDC, NotRun.UNAVAILABLE)]
    records += [not_run(Strategy.XMIN, NotRun.NOT_IMPLEMENTED), not_run(Strategy.REPLACE, NotRun.NOT_IMPLEMENTED)]
    decision = decide(records, profile="local_live", matrix_size=4)
    text = "PASSED (reduced scope: 1 of 4 planned cases passed; 1 unavailable; 2 not implemented yet)"
    assert (decision.passed, decision.word, decision.headline) == (True, "PASSED", text)
    assert decision.blockers == ()


@pytest.mark.parametrize("reason", list(NotRun))
def test_local_live_tolerates_two_reasons_only(reason: NotRun) -> None:
    decision = decide([passed(Strategy.SCD2), not_run(Strategy.CDC, reason)], profile="local_live", matrix_size=2)
    assert decision.passed is (reason in (NotRun.NOT_IMPLEMENTED, NotRun.UNAVAILABLE))
    assert decision.blockers == (() if decision.passed else ("a_to_b__cdc.not_run",))
    assert f"1 {reason}" in decision.headline


@pytest.mark.parametrize("records", [[], [not_run(Strategy.CDC, NotRun.UNAVAILABLE)]])
@pytest.mark.parametrize("profile", ["local_live", "real_local"])
def test_nothing_passed_is_red(records: list[CaseRecord], profile: str) -> None:
    decision = decide(records, profile=profile, matrix_size=len(records))
    assert not decision.passed
    assert decision.word in ("FAILED", "NO-GO")
    assert decision.blockers


def test_a_failed_case_is_red() -> None:
    decision = decide([FAILED, passed(Strategy.CDC)], profile="local_live", matrix_size=2)
    assert decision.headline == "FAILED: 1 of 2 planned cases passed; 1 failed"
    assert decision.blockers == ("a_to_b__scd2.failed",)


def test_what_is_wrong_beside_the_cases_is_red() -> None:
    decision = decide([passed(Strategy.CDC)], profile="local_live", matrix_size=1, blockers=["artifacts.not_written"])
    assert decision.headline == (
        "FAILED: 1 of 1 planned cases passed; 1 blocker beside the cases: artifacts.not_written"
    )


def test_everything_passed() -> None:
    assert decide([passed(Strategy.CDC)], profile="local_live", matrix_size=1).headline == (
        "PASSED (1 of 1 planned cases passed)"
    )


def test_real_local_needs_every_case_on_real_services() -> None:
    good = decide([passed(Strategy.CDC, REAL)], profile="real_local", matrix_size=1)
    assert (good.passed, good.headline) == (True, "PASSED (1 of 1 planned cases passed)")
    pack = decide([passed(Strategy.CDC, REAL)], profile="real_local", matrix_size=1, pack=True)
    assert (pack.passed, pack.headline) == (True, "GO (1 of 1 planned cases passed)")
    emulated = decide([passed(Strategy.CDC, REAL, MOTO)], profile="real_local", matrix_size=1, pack=True)
    assert emulated.headline == "NO-GO: 1 of 1 planned cases passed; 1 blocker"
    accepted = decide(
        [passed(Strategy.CDC, REAL, MOTO)], profile="real_local", matrix_size=1, accepted_fidelity=["emulated"]
    )
    assert (accepted.passed, accepted.blockers) == (True, ())
    assert emulated.blockers == ("a_to_b__cdc.fidelity_emulated.minio",)
    missing = decide([not_run(Strategy.CDC, NotRun.NOT_IMPLEMENTED)], profile="real_local", matrix_size=1)
    assert missing.blockers == ("a_to_b__cdc.not_run",)
    reduced = decide([passed(Strategy.CDC, REAL)], profile="real_local", matrix_size=2)
    assert (reduced.passed, reduced.blockers) == (False, ("scope.reduced",))


def test_a_simulated_run_never_passes() -> None:
    records = [passed(Strategy.CDC), not_run(Strategy.XMIN, NotRun.NOT_IMPLEMENTED)]
    for profile in ("local_live", "real_local"):
        good = decide(records, profile=profile, run_mode="mock_local", matrix_size=2)
        text = "SIMULATED (1 of 2 planned cases behaved; 1 not implemented yet; no real row was moved)"
        assert (good.passed, good.word, good.headline, good.blockers) == (True, "SIMULATED", text, ())
    everything = decide(records[:1], profile="local_live", run_mode="mock_local", matrix_size=1)
    assert everything.headline == "SIMULATED (1 of 1 planned cases behaved; no real row was moved)"


@pytest.mark.parametrize(
    ("records", "blocker"),
    [
        ([FAILED, passed(Strategy.CDC)], "a_to_b__scd2.failed"),
        ([passed(Strategy.CDC), not_run(Strategy.XMIN, NotRun.DESELECTED)], "a_to_b__xmin.not_run"),
        ([not_run(Strategy.XMIN, NotRun.NOT_IMPLEMENTED)], "scope.nothing_passed"),
        ([], "scope.nothing_passed"),
    ],
)
def test_a_simulated_run_can_be_red(records: list[CaseRecord], blocker: str) -> None:
    decision = decide(records, profile="local_live", run_mode="mock_local", matrix_size=9)
    assert (decision.passed, decision.word, decision.blockers) == (False, "FAILED", (blocker,))
    assert decision.headline.startswith("FAILED: ")
    assert decision.headline.endswith("; no real row was moved")
    beside = decide([passed(Strategy.CDC)], profile="local_live", run_mode="mock_local", matrix_size=1, blockers=["x"])
    assert beside.blockers == ("x",)
    assert not beside.passed


def test_a_profile_without_a_verdict_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="the profile 'real_lokal' has no verdict yet\nhint: use local_live"):
        decide([], profile="real_lokal", matrix_size=0)


def test_a_vendor_run_is_judged_like_a_release() -> None:
    records = [passed(Strategy.CDC, REAL, MOTO)]
    assert decide(records, profile="vendor_live", matrix_size=1).blockers == ("a_to_b__cdc.fidelity_emulated.minio",)
