"""The page of a run: complete, inert, without any reference outside, and readable without colours."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

pytest.importorskip("htpy", reason="the page needs the extra html")

from pytest_dpone.core.gates.documents import SourceTree, Stamp
from pytest_dpone.core.gates.ruling import GateResult
from pytest_dpone.core.gates.tallies import ActMetrics, CaseMetrics
from pytest_dpone.core.model import Case, CaseRecord, NotRun, ServiceRecord, Strategy, Verdict
from pytest_dpone.core.registry import Excluded
from pytest_dpone.report.html import PageFacts, page
from pytest_dpone.report.html_style import CSS, SCRIPT

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`&amp; \u202egpj\x1b[31m\x00\u200b]]>--> {{7*7}}"
)
SHOWN = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`&amp; \\u202egpj\\x1b[31m\\x00\\u200b]]>--> {{7*7}}"
VOID = {"meta", "input", "br", "wbr"}
RERUN = "pytest --dpone-case=a_to_b__cdc --dpone-engine-command='x \"y\" & z'"
POSTGRES = ServiceRecord(
    name="postgres", provider="docker", product="PostgreSQL", version="18.6", fidelity="real", image="postgres:18"
)
MINIO = ServiceRecord(
    name="minio", provider="embedded", product="moto", version="5", fidelity="emulated", emulated="no durability"
)


def failed(case: Case, **more: object) -> CaseRecord:
    return CaseRecord.of(
        case, Verdict.FAILED, **{"engine": "native", "rows": 200, "seconds": 1.5, "rerun": RERUN, **more}
    )


def measured(record: CaseRecord, *, acts: tuple[ActMetrics, ...] = ()) -> CaseMetrics:
    metrics: dict[str, int | float] = {"throughput_rows_per_second": 1234.5} if acts else {}
    return CaseMetrics(case_id=record.case_id, verdict=record.verdict, reason=record.reason, metrics=metrics, acts=acts)


ACTS = (
    ActMetrics(name="load", rows=200, engine_seconds=0.25, harness_seconds=0.5, phases={"stage": 0.125}),
    ActMetrics(name="change", rows=209, engine_seconds=7.75, harness_seconds=0.5),
)


def facts(records: tuple[CaseRecord, ...] | None = None, **more: object) -> PageFacts:
    planned = tuple(
        Case(a, b, s) for a in ("alpha", "beta") for b in ("gamma", "delta") for s in (Strategy.CDC, Strategy.SCD2)
    )
    if records is None:
        records = (
            failed(planned[0], detail="act change, check rows: differ", services=(POSTGRES, MINIO)),
            failed(planned[1], services=(MINIO, POSTGRES)),
            CaseRecord.of(planned[2], Verdict.NOT_RUN, reason=NotRun.NOT_IMPLEMENTED, detail="the mover can't"),
            CaseRecord.of(planned[3], Verdict.NOT_RUN, reason=NotRun.UNAVAILABLE, detail="no Docker"),
            CaseRecord.of(planned[4], Verdict.NOT_RUN, reason=NotRun.CRASHED, detail="killed"),
            CaseRecord.of(planned[5], Verdict.NOT_RUN, reason=NotRun.SKIPPED),
        )
    stamp = Stamp(
        generated_at="2026-01-02T03:04:05.678Z", run_id="r1", profile="real_local", run_mode="real_local",
        release="v1.2.0", source=SourceTree(commit="c0ffee", dirty=True), origin="run",
    )  # fmt: skip
    given: dict[str, object] = {
        "stamp": stamp,
        "headline": "FAILED: 0 of 8 planned cases passed; the cases alone, no release decision",
        "passed": False,
        "blockers": ((f"{records[0].case_id}.failed", "rows differ"), ("release.missing", "no release is named")),
        "gates": (GateResult("state", "passed"), GateResult("benchmark_slo_gate", "not run", note="no bounds")),
        "records": records,
        "metrics": tuple(measured(r, acts=ACTS if r.verdict is Verdict.FAILED else ()) for r in records),
        "totals": {"duration_seconds": 3.0, "rows": 123456},
        "planned": planned,
        "excluded": (Excluded(Case("alpha", "gamma", Strategy.XMIN), "xmin is a system column"),),
        "documents": {records[0].case_id: f"matrix/{records[0].case_id}__behavior"},
    }
    return PageFacts(**{**given, **more})  # type: ignore[arg-type]


class Parsed(HTMLParser):
    """What stands in a page; refuses what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.code: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []
        self.all = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            self.code.append(data)
        else:
            self.text.append(data)

    def every(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def parsed() -> Parsed:
    return Parsed(page(facts()))


def test_all_that_was_measured_is_there(parsed: Parsed) -> None:
    for text in (
        *("FAILED", "0 of 8 planned cases passed", "v1.2.0", "c0ffee", "(dirty)", "2026-01-02T03:04:05.678Z", "r1"),
        *("Blockers: 2", "release.missing : no release is named", "benchmark_slo_gate not run no bounds"),
        *("PostgreSQL 18.6", "docker postgres:18", "no durability", "emulated"),
        *("load 200 0 of 0 0.25 0.50 stage 0.12 s", "change 209 0 of 0 7.75 0.50", "1,234.5", "123,456", RERUN),
        *("act change, check rows: differ", "not implemented yet: the mover can't", "unavailable: no Docker", "killed"),
        *("xmin is a system column (1) alpha_to_gamma__xmin", "release-evidence/release_evidence_pack.json"),
        *("planned in the matrix 8", "in this run 6", "played 2", "excluded from the matrix 1"),
    ):
        assert text in parsed.all, text


def test_every_case_has_a_part_and_a_cell_that_leads_to_it(parsed: Parsed) -> None:
    records = facts().records
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [name for name in ids if name.startswith("case-")] == [f"case-{record.case_id}" for record in records]
    links = [attributes["href"] for attributes in parsed.every("a")]
    assert {name[1:] for name in links if name.startswith("#")} <= set(ids)
    for record in records:
        assert f"#case-{record.case_id}" in links
        assert record.case_id in parsed.all
    assert "matrix/alpha_to_gamma__cdc__behavior.md" in links
    assert "matrix/alpha_to_gamma__cdc__behavior.json" in links


def test_a_cell_has_a_word_and_not_only_a_colour(parsed: Parsed) -> None:
    table = page(facts()).partition('<table class="map">')[2].partition("</table>")[0]
    cells = [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", table)]
    assert cells == [
        *("FAIL 1.5 s", "excluded", "FAIL 1.5 s"),
        *("n/a", "none", "todo"),
        *("LOST", "none", "LOST"),
        *("not chosen", "none", "not chosen"),
    ]
    assert all(th.get("scope") in ("col", "row") for th in parsed.every("th"))
    assert len(parsed.every("caption")) == len(parsed.every("table"))


def test_the_headings_are_in_order(parsed: Parsed) -> None:
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    landmarks = [tag for tag, _ in parsed.tags if tag in ("header", "nav", "main", "footer")]
    assert landmarks == ["header", "nav", "main", "footer"]
    assert parsed.every("html") == [{"lang": "en"}]
    named = {attributes["aria-labelledby"] for attributes in parsed.every("section")}
    assert named == {"blockers", "gates", "measurements", "performance", "matrix", "cases", "services", "excluded"}


def test_nothing_is_loaded_from_elsewhere(parsed: Parsed) -> None:
    addresses = [
        value
        for _, attributes in parsed.tags
        for name, value in attributes.items()
        if name in ("href", "src", "action")
    ]
    assert addresses
    assert [a for a in addresses if not re.match(r"#|[a-z]+[-a-z]*/", a)] == []
    assert not {tag for tag, _ in parsed.tags} & {"link", "img", "iframe", "object", "base", "svg"}
    assert "//" not in CSS + SCRIPT
    assert not re.search(r"url\(|@import|https?:", CSS + SCRIPT)
    assert not any(name == "style" or name.startswith("on") for _, attributes in parsed.tags for name in attributes)


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(parsed: Parsed) -> None:
    assert parsed.code == [CSS, SCRIPT]
    (policy,) = [m["content"] for m in parsed.every("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in parsed.code)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; "
        "form-action 'none'"
    )


def test_foreign_text_is_shown_and_does_nothing() -> None:
    case = Case(HOSTILE, HOSTILE, Strategy.CDC)
    service = ServiceRecord(**dict.fromkeys(("name", "provider", "product", "version", "emulated", "image", "digest"), HOSTILE), fidelity="engine")  # type: ignore[arg-type]  # fmt: skip
    record = failed(case, detail=HOSTILE, engine=HOSTILE, rerun=HOSTILE, services=(service,))
    act = ActMetrics(name=HOSTILE, rows=1, engine_seconds=1.0, harness_seconds=1.0, phases={HOSTILE: 1.0})
    metrics = CaseMetrics(case_id=case.case_id, verdict=Verdict.FAILED, metrics={HOSTILE: 1}, acts=(act,))
    stamp = Stamp(
        generated_at="2026-01-02T03:04:05.678Z", run_id=HOSTILE, profile=HOSTILE, run_mode=HOSTILE, release=HOSTILE,
        source=SourceTree(commit=HOSTILE),
    )  # fmt: skip
    plain = facts()
    text = page(
        facts(
            (record,),
            stamp=stamp,
            headline=f"FAILED: {HOSTILE}",
            blockers=((f"{case.case_id}.failed", HOSTILE), (HOSTILE, HOSTILE)),
            gates=(GateResult(HOSTILE, "failed", note=HOSTILE),),
            metrics=(metrics,),
            totals={HOSTILE: 1},
            planned=(case,),
            excluded=(Excluded(Case(HOSTILE, "b", Strategy.XMIN), HOSTILE),),
            documents={case.case_id: f"matrix/{HOSTILE}"},
        )
    )
    found = Parsed(text)
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in Parsed(page(plain)).tags}
    names = {name for _, attributes in found.tags for name in attributes}
    assert names <= {name for _, attributes in Parsed(page(plain)).tags for name in attributes}
    assert len(found.every("script")) == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", text)
    assert found.all.count(SHOWN) > 20
    assert "case.0" in {attributes.get("id") for _, attributes in found.tags}


def test_a_long_detail_is_cut() -> None:
    (record, *rest) = facts().records
    text = page(facts((record.model_copy(update={"detail": "x" * 5000}), *rest)))
    assert "x" * 2000 + "… (5,000 characters" in text
    assert "x" * 2001 not in text


def test_many_blockers_and_many_red_cases_are_folded() -> None:
    cases = [Case("a", f"b{n}", Strategy.CDC) for n in range(30)]
    found = Parsed(page(facts(tuple(map(failed, cases)), blockers=[(f"{c.case_id}.failed", "") for c in cases])))
    assert "Blockers: 30" in found.all
    assert "10 more" in found.all
    boxes = [box for box in found.every("details") if box.get("class") == "case"]
    assert ["open" in box for box in boxes] == [True] * 20 + [False] * 10


def test_a_page_says_no_word_on_a_release_that_it_cannot_know() -> None:
    plain = facts()
    local = replace(plain, stamp=plain.stamp.model_copy(update={"profile": "local_live"}), passed=True)
    assert "makes no decision on a release" in Parsed(page(local)).all
    green = Parsed(page(replace(plain, headline="PASSED (8 of 8 planned cases passed)", passed=True, blockers=())))
    assert "Blockers: none so far" in green.all
    assert re.findall(r"\bGO\b", green.all) == ["GO", "GO", "GO"]  # GO or NO-GO is elsewhere; without it there is no GO
    assert "Without that file there is no GO." in green.all


def test_nothing_was_used_and_nothing_is_excluded() -> None:
    found = Parsed(page(facts(facts().records[2:3], excluded=(), documents={})))
    assert "No service was used." in found.all
    assert "Excluded combinations None." in found.all


def test_the_same_facts_give_the_same_page() -> None:
    program = "import runpy, sys; m = runpy.run_path(sys.argv[1]); sys.stdout.write(m['page'](m['facts']()))"
    pages = {
        subprocess.run(
            [sys.executable, "-c", program, __file__],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout.decode()
        for seed in ("1", "2")
    }
    assert pages == {page(facts())}


def test_the_contrast_is_enough() -> None:
    light, dark = (
        dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{6})", part)) for part in re.findall(r":root\{(.*?)\}", CSS, re.S)
    )
    assert set(light) == set(dark)
    pairs = [(text, ground) for text in ("text", "muted", "link") for ground in ("page", "panel")]
    pairs += [(f"on-{name}", name) for name in ("ok", "fail", "lost", "todo", "na")]
    poor = [
        (pair, scheme["page"])
        for scheme in (light, dark)
        for pair in pairs
        if contrast(*(scheme[n] for n in pair)) < 4.5
    ]
    assert poor == []
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_the_page_counts_kills() -> None:
    from pytest_dpone.core.gates.kills import Kills

    text = page(facts(kills=Kills(points={"begun": 3}, proofs={"nothing_written": 3}, lost=1)))
    assert "3 kills (begun 3), 0 cut connections, 0 refused rows: 1 rows lost" in text
    assert "nothing_written" in text
    assert "Kills and mishaps" not in page(facts())


def test_a_failure_is_told_as_in_the_terminal_and_stays_inert() -> None:
    given = facts()
    name = given.records[0].case_id
    hostile = (
        "  act change:\n    check rows: expected 3, got 2\n      missing id=</pre><script>alert(1)</script>\x1b[31m"
    )
    parsed = Parsed(page(facts(failures={name: hostile})))
    (box,) = [attributes for tag, attributes in parsed.tags if tag == "pre"]
    assert box == {"class": "failure", "tabindex": "0"}
    assert "check rows: expected 3, got 2 missing id=</pre><script>alert(1)</script>\\x1b[31m" in parsed.all
    long = Parsed(page(facts(failures={name: "x" * 20_000})))
    assert "(20,000 characters; the document has them all)" in long.all
