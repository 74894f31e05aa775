"""Text for the terminal."""

from __future__ import annotations

from pytest_dpone.core.model import (
    ActName,
    ActRecord,
    Case,
    CaseRecord,
    Check,
    DiffReport,
    KnownFailure,
    NotRun,
    RowDifference,
    ServiceRecord,
    Strategy,
    Verdict,
)
from pytest_dpone.report.terminal import act_lines, count_line, failure_lines, summary_lines

HOSTILE = "a\x1b[2J\nFAKE: PASSED"
LOAD = ActRecord(
    name=ActName.LOAD,
    passed=True,
    rows=25000,
    engine_seconds=1.5,
    harness_seconds=0.25,
    checks=(Check(name="rows", passed=True), Check(name="schema", passed=True)),
    diff=DiffReport(expected_rows=25000, actual_rows=25000),
)
DIFF = DiffReport(
    expected_rows=10,
    actual_rows=11,
    missing=1,
    extra=2,
    changed=3,
    duplicated=4,
    columns={"b": 1, "a": 2, "c": 1},
    samples=tuple(
        RowDifference(kind="changed", key={"id": str(n)}, columns={"amount": ("1.50", "1.5"), HOSTILE: ("x" * 99, "")})
        for n in range(5)
    ),
)
CHANGE = ActRecord(
    name=ActName.CHANGE,
    passed=False,
    checks=(Check(name="rows", passed=False, expected=10, actual=11, detail=HOSTILE), Check(name="swap", passed=True)),
    diff=DIFF,
)
PG = ServiceRecord(
    name="postgres", provider="docker", product="PostgreSQL", version="17.2", fidelity="real", image="pg:17"
)
S3 = ServiceRecord(name="minio", provider="embedded", product="moto", version="5", fidelity="emulated", emulated="S3")


def passed(source: str, sink: str, strategy: Strategy = Strategy.SCD2) -> CaseRecord:
    return CaseRecord.of(
        Case(source, sink, strategy), Verdict.PASSED, acts=(LOAD,), rows=25000, seconds=2, services=(PG,)
    )


def not_run(strategy: Strategy, reason: NotRun, detail: str = "", pair: tuple[str, str] = ("a", "b")) -> CaseRecord:
    return CaseRecord.of(Case(*pair, strategy), Verdict.NOT_RUN, reason=reason, detail=detail)


def failed(strategy: Strategy = Strategy.CDC, detail: str = "act change, check rows: …") -> CaseRecord:
    return CaseRecord.of(
        Case("a", "b", strategy),
        Verdict.FAILED,
        acts=(LOAD, CHANGE),
        engine="native",
        rows=10,
        seed=3,
        detail=detail,
        rerun="pytest --dpone-case=a_to_b__cdc",
        services=(S3, PG),
    )


def text(lines: object) -> list[str]:
    return [line.text for line in lines]  # type: ignore[attr-defined]


def test_the_acts_tell_rows_and_durations() -> None:
    first, second = act_lines(failed())
    assert first.text.split() == [
        "load",
        "25000",
        "rows",
        "engine",
        "1.50",
        "s",
        "harness",
        "0.25",
        "s",
        "2",
        "of",
        "2",
        "checks",
    ]
    assert (second.tone, second.text.split()[-3:]) == ("red", ["of", "2", "checks"])


def test_a_red_case_tells_everything_once() -> None:
    assert text(failure_lines(failed())) == [
        "FAILED a_to_b__cdc (engine native, 10 rows, seed 3)",
        "  act change:",
        "    check rows: expected 10, got 11 (a\\x1b[2J\\nFAKE: PASSED)",
        "    10 rows expected, 11 found: 1 missing, 2 extra, 3 changed, 4 duplicated",
        "    columns that differ: a (2), b (1), c (1)",
        *[
            line
            for n in range(3)
            for line in (
                f"      changed id={n}",
                "        amount: expected 1.50, got 1.5",
                f"        a\\x1b[2J\\nFAKE: PASSED: expected {'x' * 60}… (99 characters), got ",
            )
        ],
        "  rerun: pytest --dpone-case=a_to_b__cdc",
    ]


def test_a_red_case_without_a_red_act_tells_its_detail() -> None:
    record = CaseRecord.of(Case("a", "b", Strategy.CDC), Verdict.FAILED, detail="x" * 1000)
    assert text(failure_lines(record))[1] == "  " + "x" * 300 + "… (1000 characters)"


def test_an_error_is_shown_line_by_line_and_cut() -> None:
    act = ActRecord(name=ActName.LOAD, passed=False, error="boom\x07\nhint: look" + "\nmore" * 100)
    lines = text(failure_lines(failed().model_copy(update={"acts": (act,)})))
    assert lines[1:4] == ["  act load:", "    boom\\x07", "    hint: look"]
    assert len(lines) == 2 + 25 + 1


def test_the_grid_has_one_line_per_pair() -> None:
    records = [
        passed("a", "b"),
        failed(),
        not_run(Strategy.XMIN, NotRun.CRASHED),
        not_run(Strategy.REPLACE, NotRun.NOT_IMPLEMENTED),
        not_run(Strategy.BACKFILL, NotRun.UNAVAILABLE),
        passed("long_name", "b", Strategy.CDC),
        not_run(Strategy.CDC, NotRun.UNAVAILABLE, pair=("c", "d")),
    ]
    lines = text(summary_lines(records))
    assert lines[:3] == [
        "              replace scd2    backf   xmin    cdc",
        "a → b         todo    ok      n/a     LOST    FAIL",
        "long_name → b ·       ·       ·       ·       ok",
    ]
    assert lines[4] == "Nothing ran in these pairs (1): c → d"


def test_all_cases_are_counted_in_one_line() -> None:
    records = [passed("a", "b"), failed(), not_run(Strategy.XMIN, NotRun.CRASHED)]
    line = count_line(records, planned=3, excluded=7)
    assert line == "cases: 3 planned and 7 excluded from the matrix; 1 passed, 1 failed, 1 not_run"
    assert ", 2 selected; 0 passed, 1 failed, 1 not_run" in count_line(records[1:], planned=3, excluded=7)
    known = KnownFailure(reason="loses a row", owner="team a", expires="2030-05-17")
    cured = passed("a", "b").model_copy(update={"known": known})
    assert count_line([cured], planned=1, excluded=0).endswith("; 0 passed, 1 failed, 0 not_run")


def test_the_whole_section_fits_into_100_columns() -> None:
    from pytest_dpone.core.matrix import build_matrix
    from pytest_dpone.core.registry import default_registry

    records = [
        CaseRecord.of(case, Verdict.NOT_RUN, reason=NotRun.DESELECTED, detail="w " * 60)
        for case in build_matrix(default_registry()).planned
    ]
    lines = text(summary_lines(records, width=100))
    assert max(map(len, lines)) <= 100
    assert sum(" → " in line for line in lines) == 30


def test_reasons_are_grouped() -> None:
    records = [not_run(s, NotRun.NOT_IMPLEMENTED, "later") for s in (Strategy.CDC, Strategy.SCD2)]
    records += [not_run(Strategy.XMIN, NotRun.NOT_IMPLEMENTED, "never"), not_run(Strategy.REPLACE, NotRun.SKIPPED)]
    lines = summary_lines(records)
    found = {line.text: line.tone for line in lines}
    assert found["not implemented yet (3): 2 × later; 1 × never"] == "yellow"
    assert found["skipped (1): 1 × no detail"] == "red"


def test_services_are_told_once_with_version_and_fidelity() -> None:
    lines = text(summary_lines([passed("a", "b"), failed()]))
    assert lines[-2:] == [
        "minio: moto 5 (embedded; emulated: S3)",
        "postgres: PostgreSQL 17.2 (docker, pg:17; real)",
    ]


def test_every_red_case_has_its_rerun_command_however_many_there_are() -> None:
    records = [failed(strategy) for strategy in Strategy] * 3
    lines = text(summary_lines(records, short=True))
    assert sum("rerun: pytest --dpone-case=" in line for line in lines) == 30
    assert sum("act change, check rows" in line for line in lines) == 30


def test_no_line_holds_a_control_character() -> None:
    records = [failed(detail=HOSTILE), not_run(Strategy.SCD2, NotRun.SKIPPED, HOSTILE)]
    for line in [*summary_lines(records), *failure_lines(records[1])]:
        assert line.text.isprintable()
