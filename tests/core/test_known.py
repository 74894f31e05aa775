"""Known failures: what an entry says, and what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pytest_dpone.core.gates.matrix import MatrixCase, MatrixFacts, judge_matrix
from pytest_dpone.core.gates.tallies import runtime_of, tally
from pytest_dpone.core.known import read_known
from pytest_dpone.core.model import ActRecord, Case, CaseRecord, Check, DiffReport, KnownFailure, Strategy, Verdict
from pytest_dpone.errors import UsageError
from pytest_dpone.run.verdict import decide

CASES = [Case("a", "b", strategy) for strategy in (Strategy.REPLACE, Strategy.SCD2, Strategy.FULL_REFRESH)]
DAY = dt.date(2030, 5, 17)
ENTRY: dict[str, Any] = {"case": "a_to_b__replace", "reason": "loses a row", "owner": "team a", "expires": DAY}
KNOWN = KnownFailure(reason="loses a row", owner="team a", expires="2030-05-17")


def read(*entries: dict[str, Any]) -> Any:
    return read_known({"failure": list(entries)}, CASES, name="known.toml")


@pytest.mark.parametrize(
    ("today", "engine", "found"),
    [(DAY, "x", KNOWN), (DAY - dt.timedelta(1), "", KNOWN), (DAY + dt.timedelta(1), "x", None)],
)
def test_an_entry_counts_up_to_its_last_day(today: dt.date, engine: str, found: object) -> None:
    known = read(ENTRY)
    assert known.of("a_to_b__replace", engine=engine, today=today) == found
    assert known.of("a_to_b__scd2", engine=engine, today=today) is None
    assert bool(known.expired(CASES, engine=engine, today=today)) == (found is None)
    assert not known.expired(CASES[1:], engine=engine, today=today), "it speaks of a case that is not in the run"


def test_a_glob_and_an_engine() -> None:
    known = read(ENTRY | {"case": "a_to_b__*", "engine": "x"}, ENTRY | {"engine": "y", "reason": "another"})
    assert known.of("a_to_b__scd2", engine="x", today=DAY) == KNOWN
    assert known.of("a_to_b__scd2", engine="y", today=DAY) is None
    assert known.of("a_to_b__replace", engine="y", today=DAY).reason == "another"


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([ENTRY | {"case": "a_to_b__replac"}], "no planned case has the id 'a_to_b__replac'"),
        ([ENTRY, ENTRY | {"case": "*__replace"}], "two entries speak of a_to_b__replace"),
        ([ENTRY, ENTRY | {"case": "*__replace", "engine": "x"}], "two entries speak of a_to_b__replace"),
        ([ENTRY | {"expires": "2030-05-17"}], "failure.0.expires: Input should be a valid date"),
        ([ENTRY | {"expires": dt.datetime(2030, 5, 17, 12)}], "failure.0.expires"),
        ([ENTRY | {"owner": " "}], "failure.0.owner"),
        ([ENTRY | {"until": DAY}], "failure.0.until: Extra inputs are not permitted"),
        ([{name: value for name, value in ENTRY.items() if name != "reason"}], "failure.0.reason: Field required"),
        ([ENTRY | {"case": 5}], "failure.0.case: Input should be a valid string"),
    ],
)
def test_what_is_unclear_is_refused(entries: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(*entries)
    assert told in caught.value.fact
    assert caught.value.fact.startswith("known.toml: ")


@pytest.mark.parametrize("data", [{"failures": [ENTRY]}, {"failure": ENTRY}, {"failure": "all"}])
def test_a_file_of_another_form_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"known\.toml: failure"):
        read_known(data, CASES, name="known.toml")


def record(verdict: Verdict, known: KnownFailure | None, strategy: Strategy = Strategy.REPLACE) -> CaseRecord:
    green = verdict is Verdict.PASSED
    checks = (Check(name="rows", passed=green), Check(name="state_kept", passed=green))
    acts = (
        ActRecord(
            name="load", passed=green, engine_seconds=1, checks=checks, diff=DiffReport(expected_rows=3, actual_rows=3)
        ),
    )
    return CaseRecord.of(Case("a", "b", strategy), verdict, acts=acts, known=known)


OTHER = record(Verdict.PASSED, None, Strategy.SCD2)


def test_a_known_failure_is_tolerated_by_a_feature_branch_alone() -> None:
    records = [record(Verdict.FAILED, KNOWN), OTHER]
    decision = decide(records, profile="local_live", matrix_size=2)
    assert decision.headline == "PASSED (reduced scope: 1 of 2 planned cases passed; 1 known failure)"
    assert not decide(records[:1], profile="local_live", matrix_size=1).passed, "it never counts as passed"
    for profile in ("real_local", "vendor_live"):
        assert "a_to_b__replace.failed" in decide(records, profile=profile, matrix_size=2).blockers


def test_a_case_that_passes_though_it_is_known_to_fail_is_red() -> None:
    decision = decide([record(Verdict.PASSED, KNOWN), OTHER], profile="local_live", matrix_size=2)
    assert decision.blockers == ("a_to_b__replace.passed_though_known_to_fail",)


@pytest.mark.parametrize(
    ("verdict", "profile", "red"),
    [
        (Verdict.FAILED, "local_live", []),
        (Verdict.FAILED, "real_local", ["a_to_b__replace.failed"]),
        (Verdict.PASSED, "local_live", ["a_to_b__replace.passed_though_known_to_fail"]),
        (Verdict.PASSED, "real_local", []),
    ],
)
def test_the_gate_over_the_matrix_judges_alike(verdict: Verdict, profile: str, red: list[str]) -> None:
    cases = (MatrixCase("a_to_b__replace", verdict, known=KNOWN), MatrixCase("a_to_b__scd2", Verdict.PASSED))
    facts = MatrixFacts(
        profile=profile, run_mode="real_local", matrix_size=2, cases=cases, fidelities={"postgres": "real"}
    )
    assert [ruling.blocker for ruling in judge_matrix(facts) if not ruling.passed] == red


@pytest.mark.parametrize("moment", ["yesterday", "2026-99-01T00:00:00Z", "2026-01-01T00:00:00"])
def test_a_record_that_ended_at_no_moment_is_refused(moment: str) -> None:
    with pytest.raises(ValueError, match="finished_at"):
        CaseRecord.of(CASES[0], Verdict.FAILED, finished_at=moment)


def test_it_is_counted_apart_and_is_no_evidence() -> None:
    tallies = [tally(record(Verdict.FAILED, KNOWN)), tally(OTHER)]
    totals = runtime_of([each.metrics for each in tallies]).totals
    assert (totals["known_failures"], totals["failure_rate"]) == (1, 0)
    assert [each.state is None for each in tallies] == [True, False]
    plain = tally(record(Verdict.FAILED, None))
    assert plain.state is not None and plain.metrics.metrics["failure_rate"] == 1
