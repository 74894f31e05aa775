"""The Markdown twins."""

from __future__ import annotations

from pytest_dpone.core.model import (
    ActName,
    ActRecord,
    Case,
    CaseRecord,
    Check,
    DiffReport,
    NotRun,
    RowDifference,
    ServiceRecord,
    Strategy,
    Verdict,
)
from pytest_dpone.report.markdown import case_markdown, report_markdown

HOSTILE = "<img src=x> | `x`\n# fake\x1b"
HEAD = {
    "run_id": "r1",
    "profile": "local_live",
    "run_mode": "real_local",
    "generated_at": "2026-01-01T00:00:00.000Z",
    "source": {"commit": "abc", "dirty": True},
    "headline": "FAILED: 0 of 1 planned cases passed",
}
SERVICE = ServiceRecord(
    name="minio", provider="embedded", product="moto", version="5", fidelity="emulated", emulated="S3"
)
ACT = ActRecord(
    name=ActName.CHANGE,
    passed=False,
    rows=10,
    checks=(Check(name="rows", passed=False, expected=1, actual=HOSTILE),),
    diff=DiffReport(
        expected_rows=3,
        actual_rows=2,
        missing=1,
        changed=1,
        samples=(
            RowDifference(kind="missing", key={"id": "1"}),
            RowDifference(kind="changed", key={"id": "2"}, columns={HOSTILE: (HOSTILE, "b")}),
        ),
    ),
    error=HOSTILE,
)
RED = CaseRecord.of(
    Case("a", "b", Strategy.CDC),
    Verdict.FAILED,
    acts=(ACT,),
    services=(SERVICE,),
    engine="native",
    detail=HOSTILE,
    rerun="pytest --dpone-case=a_to_b__cdc",
)


def test_a_case() -> None:
    text = case_markdown(RED, HEAD)
    assert text.startswith("# a\\_to\\_b\\_\\_cdc: failed\n")
    assert "- commit: abc \\(with changes\\)" in text
    assert "Run it again: `pytest --dpone-case=a_to_b__cdc`" in text
    assert "| change | **failed** | 10 | 0.000 | 0.000 |" in text
    assert "3 rows expected, 2 found: 1 missing, 0 extra, 1 changed, 0 duplicated." in text
    assert "| missing | id=`1` |  |  |  |" in text
    assert "| minio | moto 5 | embedded |  | emulated | S3 |" in text


def test_a_case_that_did_not_run() -> None:
    record = CaseRecord.of(Case("a", "b", Strategy.CDC), Verdict.NOT_RUN, reason=NotRun.UNAVAILABLE, detail="no server")
    text = case_markdown(record, {})
    assert text == "# a\\_to\\_b\\_\\_cdc: unavailable\n\nno server\n"


def test_the_report() -> None:
    text = report_markdown([RED], HEAD)
    assert "**FAILED: 0 of 1 planned cases passed**" in text
    assert "## Red cases" in text
    assert "| `a_to_b__cdc` | **failed** |  | 0.0 |" in text
    assert "| minio |" in text


def test_the_report_counts_kills() -> None:
    mishaps = {"points": {"begun": 3}, "proofs": {"nothing_written": 3}, "lost": 1}
    text = report_markdown([RED], {**HEAD, "mishaps": mishaps})
    assert "## Kills and mishaps" in text
    assert "3 kills \\(begun 3\\), 0 cut connections, 0 refused rows: 1 rows lost" in text
    assert "| `nothing_written` | 3 |" in text
    assert "## Kills" not in report_markdown([RED], HEAD)


def test_hostile_text_is_inert() -> None:
    for text in (case_markdown(RED, HEAD), report_markdown([RED], HEAD)):
        assert "\x1b" not in text
        assert "\n# fake" not in text
        outside_code = [part for i, part in enumerate(text.replace("``", "`").split("`")) if i % 2 == 0]
        assert not any("<img" in part for part in outside_code)


def test_every_table_row_has_the_cells_of_its_head() -> None:
    import re

    for text in (case_markdown(RED, HEAD), report_markdown([RED], HEAD)):
        width = 0
        for line in text.splitlines():
            cells = len(re.findall(r"(?<!\\)\|", line))
            if not line.startswith("|"):
                width = 0
            elif not width:
                width = cells
            else:
                assert cells == width, line
