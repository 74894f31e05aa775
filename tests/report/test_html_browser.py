"""The page in a browser: it opens with thousands of cases, its filter works, and its policy holds."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("htpy", reason="the page needs the extra html")

from pytest_dpone.core.gates.documents import Stamp
from pytest_dpone.core.gates.tallies import ActMetrics, CaseMetrics
from pytest_dpone.core.model import (
    ActName,
    ActRecord,
    Case,
    CaseRecord,
    Check,
    DiffReport,
    NotRun,
    Strategy,
    Verdict,
)
from pytest_dpone.report.html import PageFacts, page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"),
    *("--disable-background-networking", "--disable-sync", "--enable-logging=stderr", "--dump-dom"),
)

pytestmark = [pytest.mark.apart, pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")]

CASES = tuple(Case(f"source{a}", f"sink{b}", s) for a in range(20) for b in range(10) for s in Strategy)
ACTS = tuple(
    ActMetrics(name=name, rows=1000, engine_seconds=0.5, harness_seconds=0.5)
    for name in ("provision", "load", "change", "repeat", "reconcile", "reject")
)
SEEDED = ActRecord(
    name=ActName.PROVISION,
    passed=True,
    checks=(Check(name="source", passed=True),),
    diff=DiffReport(expected_rows=7, actual_rows=7),
)


def record_of(number: int, case: Case) -> CaseRecord:
    if number % 100 == 0:
        return CaseRecord.of(case, Verdict.FAILED, detail="rows differ", rerun=f"pytest --dpone-case={case.case_id}")
    if number % 2:
        return CaseRecord.of(case, Verdict.PASSED, acts=(SEEDED,)).model_copy(update={"acts": ()})
    return CaseRecord.of(case, Verdict.NOT_RUN, reason=NotRun.UNAVAILABLE, detail="no Docker")


@pytest.fixture(scope="module")
def text() -> str:
    records = [record_of(number, case) for number, case in enumerate(CASES)]
    stamp = Stamp(generated_at="2026-01-02T03:04:05.678Z", run_id="r1", profile="local_live", origin="run")
    return page(
        PageFacts(
            stamp=stamp,
            headline="FAILED: 0 of 2000 planned cases passed",
            passed=False,
            blockers=(),
            gates=(),
            records=records,
            metrics=[
                CaseMetrics(
                    case_id=record.case_id,
                    verdict=record.verdict,
                    reason=record.reason,
                    metrics={"throughput_rows_per_second": 1000.0 + number},
                    acts=ACTS,
                )
                for number, record in enumerate(records)
            ],
            totals={},
            planned=CASES,
            excluded=(),
            documents={},
        )
    )


class Opened:
    """What a browser made of a page: its elements after the script has run, and what it complained of."""

    def __init__(self, folder: Path, text: str, fragment: str = "") -> None:
        assert BROWSER is not None
        path = folder / "report.html"
        path.write_text(text)
        address = path.as_uri() + fragment
        done = subprocess.run(
            [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", address],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        self.dom = done.stdout
        self.complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        self.shown = re.findall(r'<output id="shown"[^>]*>([^<]*)', self.dom)
        self.boxes = re.findall(r'<details class="case"([^>]*)>.*?class="body" id="case-([a-z0-9_]+)"', self.dom, re.S)
        self.seen = [name for attributes, name in self.boxes if "hidden" not in attributes]


def test_two_thousand_cases_open(tmp_path: Path, text: str) -> None:
    opened = Opened(tmp_path, text)
    assert opened.complaints == []
    assert opened.shown == ["2000 cases"]
    assert opened.seen == [case.case_id for case in CASES]
    assert opened.dom.count(">Copy</button>") == 20  # of the red cases, which are unfolded
    assert len(text) < 2500 * len(CASES)
    assert opened.dom.count('<a href="#case-') == 2 * 1000 + 1000  # in the matrix, and among the speeds


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("#verdict=FAIL", [case.case_id for case in CASES[::100]]),
        ("#verdict=FAIL&text=SOURCE3_to", [case.case_id for case in CASES[300:400:100]]),
        ("#text=source3_to+cdc", [c.case_id for c in CASES if c.source == "source3" and c.strategy is Strategy.CDC]),
        ("#text=docker+%22%3E%3Cb%3E", []),
    ],
)
def test_the_filter_is_part_of_the_address(tmp_path: Path, text: str, fragment: str, expected: list[str]) -> None:
    opened = Opened(tmp_path, text, fragment)
    assert opened.complaints == []
    assert opened.seen == expected
    assert opened.shown == [f"{len(expected)} of 2000 cases"]
    table = opened.dom.partition('<table class="map">')[2].partition("</table>")[0]
    links = re.findall(r'<td class="[A-Za-z]+"><a href="#case-([a-z0-9_]+)"', table)
    assert sorted(links) == sorted(expected)
    lines = re.findall(r"<tr>", table)
    assert len(lines) == 1 + len({name.partition("__")[0] for name in expected})


def test_an_address_unfolds_its_case(tmp_path: Path, text: str) -> None:
    name = CASES[777].case_id
    opened = Opened(tmp_path, text, f"#case-{name}")
    assert [attributes for attributes, case in opened.boxes if case == name and "open" in attributes]


def test_the_policy_stops_what_is_not_ours(tmp_path: Path, text: str) -> None:
    script = "<script>document.documentElement.dataset.broken = 'yes'</script>"
    opened = Opened(tmp_path, text.replace("<h1>", f"{script}<h1>"))
    assert "data-broken" not in opened.dom
    assert opened.shown == ["2000 cases"]
    assert len(opened.complaints) == 1
    assert "Content Security Policy" in opened.complaints[0]
