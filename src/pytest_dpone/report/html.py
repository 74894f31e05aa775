"""The page of a run: one HTML file that needs nothing beside it. No I/O; foreign text is inert.

Imported only when a page is made: it needs htpy, which brings nothing else than MarkupSafe.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import htpy as h
from markupsafe import Markup

from ..core.gates.documents import CHAIN, INDEX, RELEASE_PACK, Stamp
from ..core.gates.kills import Kills
from ..core.gates.metrics import Baseline
from ..core.gates.ruling import RELEASE_PROFILES, GateResult
from ..core.gates.tallies import CaseMetrics
from ..core.model import Case, CaseRecord, ServiceRecord
from ..core.registry import Excluded
from .escape import visible
from .html_cases import anchor, case_list, facts_list, filter_form, heat_map
from .html_speeds import performance
from .html_style import CSS, SCRIPT
from .html_table import table

_AT_ONCE = 20
"""Blockers that are shown without a click."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a run knows before its artifacts are indexed."""

    stamp: Stamp
    headline: str
    """The verdict of the cases."""
    passed: bool
    """If the cases are green."""
    blockers: Sequence[tuple[str, str]]
    """Codes and texts, of the cases and of the gates so far."""
    gates: Sequence[GateResult]
    records: Sequence[CaseRecord]
    """In the matrix's order; their acts are not needed."""
    metrics: Sequence[CaseMetrics]
    """In the order of `records`."""
    totals: Mapping[str, int | float]
    planned: Sequence[Case]
    excluded: Sequence[Excluded]
    documents: Mapping[str, str]
    """Case id → path of its document from the page's folder, without the ending."""
    kills: Kills = field(default_factory=Kills)
    failures: Mapping[str, str] = field(default_factory=dict)
    """Case id → the failure as the terminal tells it."""
    baseline: Mapping[str, Baseline] = field(default_factory=dict)
    """What the run's totals are held to."""


def page(facts: PageFacts) -> str:
    """The whole file."""
    title = f"{facts.headline.partition(':')[0].partition(' ')[0]}, {_gates_word(facts.gates)}"
    head = h.head[
        h.meta(charset="utf-8"),
        h.meta(name="generator", content="pytest-dpone"),
        h.meta(http_equiv="Content-Security-Policy", content=_policy()),
        h.meta(name="viewport", content="width=device-width, initial-scale=1"),
        h.meta(name="referrer", content="no-referrer"),
        h.title[visible(f"Cases {title}: run {facts.stamp.run_id}")],
        h.style[Markup(CSS)],
    ]
    body = h.body[
        _header(facts),
        h.main[
            _blockers(facts),
            _gates(facts),
            _totals(facts),
            _kills(facts.kills),
            h.section(aria_labelledby="matrix")[
                h.h2(id="matrix")["Matrix"],
                _counts(facts),
                filter_form(facts.records),
                heat_map(facts.records, planned=facts.planned, excluded=facts.excluded),
            ],
            performance(facts.records, facts.metrics, facts.totals, facts.baseline),
            h.section(aria_labelledby="cases")[
                h.h2(id="cases")["Cases"], case_list(facts.records, facts.metrics, facts.documents, facts.failures)
            ],
            _services(facts.records),
            _excluded(facts.excluded),
        ],
        h.footer[
            h.p(".note")[
                "Written by pytest-dpone at ", h.time[visible(facts.stamp.generated_at)], " from what the run measured."
            ]
        ],
        h.script[Markup(SCRIPT)],
    ]
    return f"{h.html(lang='en')[head, body]}\n"


def _policy() -> str:
    style, script = (b64encode(sha256(text.encode()).digest()).decode() for text in (CSS, SCRIPT))
    sources = f"style-src 'sha256-{style}'; script-src 'sha256-{script}'"
    return f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"


def _header(facts: PageFacts) -> h.Element:
    red = [gate for gate in facts.gates if gate.state == "failed"]
    sections = ("blockers", "gates", "measurements", "matrix", "performance", "cases", "services", "excluded")
    word, _, counts = visible(facts.headline).partition(" ")
    return h.header[
        h.h1["Certification of connectors"],
        h.p(class_=["word", "ok" if facts.passed else "FAIL"])[
            h.span["Cases:"], h.b[word.rstrip(":")], h.span[counts.removeprefix("(").removesuffix(")")]
        ],
        h.p(class_=["word", "FAIL" if red else "ok"])[
            h.span["Gates so far:"], h.b["FAILED" if red else "PASSED"], h.span[_gate_counts(facts.gates)]
        ],
        h.p[_decision(facts.stamp.profile)],
        facts_list(_run(facts)),
        h.nav(aria_label="Sections")[h.ul[(h.li[h.a(href=f"#{name}")[name.capitalize()]] for name in sections)]],
    ]


def _decision(profile: str | None) -> list[h.Node]:
    """Where the last word is, which this page can't know: what is indexed is never changed again."""
    later: list[h.Node] = [
        "This page is older than the ",
        h.a(href=_markdown(INDEX.path))["artifact index"],
        " and the ",
        h.a(href=_markdown(CHAIN.path))["evidence chain"],
        ", which cover it. ",
    ]
    if profile not in RELEASE_PROFILES:
        return [*later, "The profile ", h.code[visible(str(profile))], " makes no decision on a release."]
    return [
        *later,
        "The decision on the release, GO or NO-GO, is in ",
        h.a(href=RELEASE_PACK.path)[h.code[RELEASE_PACK.path]],
        ". Without that file there is no GO.",
    ]


def _run(facts: PageFacts) -> dict[str, str]:
    stamp = facts.stamp
    changes = {None: "", False: ", no changes beside it", True: ", with changes beside it (dirty)"}
    commit = f"{stamp.source.commit}{changes[stamp.source.dirty]}" if stamp.source.commit else "unknown"
    engines = dict.fromkeys(record.engine for record in facts.records if record.engine)
    return {
        "run": stamp.run_id,
        "profile": str(stamp.profile),
        "mode": str(stamp.run_mode),
        "release": stamp.release or "none",
        "engine": ", ".join(engines) or "none was asked",
        "written": stamp.generated_at,
        "commit": commit,
    }


def _blockers(facts: PageFacts) -> h.Element:
    known = {record.case_id: anchor(record.case_id, number) for number, record in enumerate(facts.records)}
    rows = [_blocker(code, text, known) for code, text in facts.blockers]
    rest = len(rows) - _AT_ONCE
    return h.section(aria_labelledby="blockers")[
        h.h2(id="blockers")[f"Blockers: {len(rows) or 'none so far'}"],
        h.ul[rows[:_AT_ONCE]] if rows else None,
        h.details[h.summary[f"{rest} more"], h.ul[rows[_AT_ONCE:]]] if rest > 0 else None,
    ]


def _blocker(code: str, text: str, known: Mapping[str, str]) -> h.Element:
    name: h.Node = h.code[visible(code)]
    target = known.get(code.partition(".")[0])
    return h.li[h.a(href=f"#{target}")[name] if target else name, f": {visible(text)}" if text else None]


def _gates(facts: PageFacts) -> h.Element:
    return h.section(aria_labelledby="gates")[
        h.h2(id="gates")["Gates"],
        table(
            "Gates of this run that were judged before this page was written",
            ("gate", "verdict", "blockers", "note"),
            (
                (h.code[visible(gate.name)], _tag(gate.state), str(len(gate.blockers) or ""), visible(gate.note))
                for gate in facts.gates
            ),
        ),
    ]


def _tag(state: str) -> h.Element:
    look = {"passed": "ok", "failed": "FAIL"}.get(state, "todo")
    return h.span(class_=["tag", look])[state]


def _gates_word(gates: Sequence[GateResult]) -> str:
    return "gates so far " + ("FAILED" if any(gate.state == "failed" for gate in gates) else "PASSED")


def _gate_counts(gates: Sequence[GateResult]) -> str:
    states = [gate.state for gate in gates]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def _totals(facts: PageFacts) -> h.Element:
    return h.section(aria_labelledby="measurements")[
        h.h2(id="measurements")["Measurements"],
        facts_list({name: _number(value) for name, value in facts.totals.items()}, code=True),
    ]


def _kills(kills: Kills) -> h.Element | None:
    if not (line := kills.line()):
        return None
    return h.section(aria_labelledby="kills")[
        h.h2(id="kills")["Kills and mishaps"],
        h.p[line],
        facts_list({name: f"{count:,}" for name, count in kills.proofs.items()}, code=True),
    ]


def _number(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _counts(facts: PageFacts) -> h.Element:
    played = sum(bool(row.acts) for row in facts.metrics)
    return facts_list(
        {
            "planned in the matrix": str(len(facts.planned)),
            "in this run": str(len(facts.records)),
            "played": str(played),
            "excluded from the matrix": str(len(facts.excluded)),
        }
    )


def _services(records: Iterable[CaseRecord]) -> h.Element:
    services = {service: None for record in records for service in record.services}
    rows = sorted(services, key=lambda service: service.model_dump_json())
    return h.section(aria_labelledby="services")[
        h.h2(id="services")["Services"],
        table(
            "What served the cases that were played",
            ("service", "version", "provider", "fidelity", "emulated"),
            (_service(service) for service in rows),
        )
        if rows
        else h.p["No service was used."],
    ]


def _service(service: ServiceRecord) -> tuple[h.Node, ...]:
    image = [h.br, h.code[visible(" ".join(filter(None, (service.image, service.digest))))]] if service.image else None
    return (
        visible(service.name),
        visible(f"{service.product} {service.version}"),
        [visible(service.provider), image],
        service.fidelity,
        visible(service.emulated) or "nothing",
    )


def _excluded(excluded: Sequence[Excluded]) -> h.Element:
    reasons: dict[str, list[str]] = {}
    for row in excluded:
        reasons.setdefault(row.reason, []).append(row.case.case_id)
    return h.section(aria_labelledby="excluded")[
        h.h2(id="excluded")["Excluded combinations"],
        h.details(".excluded")[
            h.summary[f"{len(excluded)} combinations make no sense and are not planned"],
            (_reason(reason, names) for reason, names in reasons.items()),
        ]
        if excluded
        else h.p["None."],
    ]


def _reason(reason: str, names: Sequence[str]) -> Iterator[h.Element]:
    yield h.h3[visible(reason), f" ({len(names)})"]
    yield h.p[h.code[visible(", ".join(names))]]


def _markdown(path: str) -> str:
    return f"{path.removesuffix('.json')}.md"
