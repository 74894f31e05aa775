"""The gates' documents for people, and the exports for tools."""

from __future__ import annotations

import json

import pytest

from pytest_dpone.core.gates.bundle import BundleFacts
from pytest_dpone.core.gates.checklist import ChecklistFacts, ChecklistItem
from pytest_dpone.core.gates.documents import CHECKLIST, PERFORMANCE, RELEASE_PACK, Stamp, compose
from pytest_dpone.core.gates.metrics import PerformanceFacts
from pytest_dpone.core.gates.tallies import CaseMetrics, RuntimeFacts
from pytest_dpone.core.model import Verdict
from pytest_dpone.report.exports import otlp_lines, prometheus_text
from pytest_dpone.report.gates import document_markdown, document_text

STAMP = Stamp(generated_at="2026-01-01T00:00:00.000Z", run_id="r")
RUNTIME = RuntimeFacts(
    totals={"throughput_rows_per_second": 12.5, "rows": 3},
    cases=(
        CaseMetrics(case_id='a"b\\c', verdict=Verdict.PASSED, metrics={"rows": 3}),
        CaseMetrics(case_id="d", verdict=Verdict.FAILED),
    ),
)
LABELS = {"profile": "local_live"}


def test_text_names_every_blocker() -> None:
    facts = PerformanceFacts(profile="p", row_count=1, metrics={"a": 1}, minimum={"a": 2, "b\n\x1b[31m": 1})
    assert document_text(compose(PERFORMANCE, facts, STAMP)) == (
        "performance_certification: FAILED, 2 blockers\n"
        "  a.below_minimum: a is 1, below the minimum 2\n"
        "  b\\n\\x1b[31m.missing: b\\n\\x1b[31m was not measured\n"
    )


def test_markdown_keeps_foreign_text_inert() -> None:
    facts = PerformanceFacts(profile="p", row_count=1, metrics={"<b>|x": 1}, minimum={"<b>|x": 2})
    text = document_markdown(compose(PERFORMANCE, facts, STAMP))
    assert "**performance\\_certification: FAILED, 1 blocker**" in text
    assert "| `<b>\\|x` | minimum | **failed** | 2 | 1 |" in text
    assert "<b>" not in text.replace("`<b>", "")


def test_a_red_release_pack_says_what_to_do() -> None:
    document = compose(
        RELEASE_PACK, BundleFacts(bundle="release_evidence_pack", profile="real_local", release="v1"), STAMP
    )
    assert document_text(document).startswith("release_evidence_pack: NO-GO, 6 blockers\n")
    assert "Do not tag a release until the pack is GO." in document_markdown(document)


def test_what_somebody_only_says_is_marked() -> None:
    items = (ChecklistItem(name="a", done=True, by="self_asserted"), ChecklistItem(name="b", done=True, by="run"))
    facts = ChecklistFacts(release="v1.0.1", release_type="patch", items=items)
    text = document_text(compose(CHECKLIST, facts, STAMP))
    assert "  self-asserted: a\n" in text


def test_prometheus_text() -> None:
    text = prometheus_text(RUNTIME, LABELS)
    assert text.splitlines() == [
        "# HELP dpone_run_throughput_rows_per_second throughput rows per second of the run",
        "# TYPE dpone_run_throughput_rows_per_second gauge",
        'dpone_run_throughput_rows_per_second{profile="local_live"} 12.5',
        "# HELP dpone_run_rows rows of the run",
        "# TYPE dpone_run_rows gauge",
        'dpone_run_rows{profile="local_live"} 3',
        "# HELP dpone_case_rows rows of the case",
        "# TYPE dpone_case_rows gauge",
        'dpone_case_rows{profile="local_live",case_id="a\\"b\\\\c"} 3',
    ]


def test_prometheus_can_read_it() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    families = {
        family.name: family for family in parser.text_string_to_metric_families(prometheus_text(RUNTIME, LABELS))
    }
    (sample,) = families["dpone_case_rows"].samples
    assert (sample.labels, sample.value) == ({"profile": "local_live", "case_id": 'a"b\\c'}, 3.0)


def test_otlp_lines() -> None:
    lines = [json.loads(line) for line in otlp_lines(RUNTIME, LABELS, generated_at=STAMP.generated_at).splitlines()]
    found = [line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0] for line in lines]
    assert [(metric["name"], metric["unit"]) for metric in found] == [
        ("dpone.run.throughput_rows_per_second", "{row}/s"),
        ("dpone.run.rows", "{row}"),
        ("dpone.case.rows", "{row}"),
    ]
    (point,) = found[2]["gauge"]["dataPoints"]
    assert point == {
        "timeUnixNano": "1767225600000000000",
        "asDouble": 3.0,
        "attributes": [{"key": "case_id", "value": {"stringValue": 'a"b\\c'}}],
    }
