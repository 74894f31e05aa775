"""The matrix and the cases of the page: heat map, filter, and one foldable part per case. No I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

import htpy as h
from markupsafe import Markup

from ..core.gates.tallies import ActMetrics, CaseMetrics
from ..core.model import Case, CaseRecord, Strategy
from ..core.registry import Excluded
from .escape import visible, visible_lines
from .terminal import cell_word

_KINDS = {
    "ok": "passed",
    "FAIL": "failed",
    "known": "failed, as the project knows",
    "LOST": "not run, not excused",
    "todo": "not implemented yet",
    "n/a": "unavailable",
}
"""Words of the cells, those of the terminal, and what they mean."""
_OPEN = 20
"""Red cases that are unfolded from the start."""
_DETAIL = 2000
_FAILURE_DETAIL = 8000

_EMPTY_TEXT = Markup("")
# A page may have thousands of cases, and templates are ten times as fast as elements. `%` escapes what it fills in.
_CELL = Markup('<td class="%s"><a href="#%s">%s%s</a></td>')
_EMPTY = Markup("<td>%s</td>")
_WHY = Markup('<p class="why">%s</p>')
_FAILURE = Markup('<pre class="failure" tabindex="0">%s</pre>')
_FACTS = Markup('<ul class="facts">%s</ul>')
_FACT = Markup("<li>%s</li>")
_AGAIN = Markup('<p class="again">Play this case alone: <code>%s</code></p>')
_DOCUMENT = Markup('<p>Checks, differences and errors: <a href="%s.md">text</a>, <a href="%s.json">JSON</a></p>')
_ACTS = Markup(
    '<div class="scroll" role="group" aria-label="Acts" tabindex="0"><table><caption>Acts</caption>'
    '<thead><tr><th scope="col">act</th>'
    '<th class="n" scope="col">rows</th><th class="n" scope="col">checks</th>'
    '<th class="n" scope="col">engine s</th><th class="n" scope="col">harness s</th>'
    "%s</tr></thead><tbody>%s</tbody></table></div>"
)
_PHASES_HEAD = Markup('<th scope="col">phases in the engine</th>')
_PHASES = Markup('<td class="line">%s</td>')
_ACT = Markup(
    '<tr><th scope="row">%s</th><td class="n">%s</td><td class="n">%s</td>'
    '<td class="n">%s</td><td class="n">%s</td>%s</tr>'
)
_CASE = Markup(
    '<details class="case" data-kind="%s"%s><summary><span class="tag %s">%s</span><h3><code>%s</code></h3>'
    '<span class="meta">%s</span></summary><div class="body" id="%s">%s</div></details>'
)
_UNFOLDED = Markup(" open")

Cell = CaseRecord | Excluded | Case


def anchor(case_id: str, number: int) -> str:
    """The id of a case's part of the page; `number` is its place in the run."""
    return f"case-{case_id}" if re.fullmatch(r"[A-Za-z0-9_-]+", case_id) else f"case.{number}"


def breakable(name: str) -> list[h.Node]:
    """A name that may be parted before each underscore."""
    first, *rest = name.split("_")
    return [first, *((h.wbr, f"_{part}") for part in rest)]


def facts_list(facts: Mapping[str, str], *, code: bool = False) -> h.Element:
    """Names and values; `code` if the names are those of a document's fields."""
    return h.dl[(h.div[h.dt[h.code[visible(n)] if code else visible(n)], h.dd[visible(v)]] for n, v in facts.items())]


def filter_form(records: Sequence[CaseRecord]) -> h.Element:
    """What the words mean and how many cases have them; with a script also the filter."""
    words = Counter(cell_word(record) for record in records)
    kinds = [
        h.label(".kind")[
            h.input(".script", type="checkbox", name="verdict", value=word, autocomplete="off"),
            _tag(word),
            f"{meaning}: {words[word]}",
        ]
        for word, meaning in _KINDS.items()
        if words[word]
    ]
    return h.form("#filter", role="search", aria_label="Cases")[
        h.fieldset[h.legend["Verdict", h.span(".script")[" (none chosen: all)"]], kinds],
        h.label(".field.script")[
            "Text in name, verdict or reason",
            h.input("#text", type="search", autocomplete="off", spellcheck="false"),
        ],
        h.div(".script")[h.button("#clear", type="button")["Show all"], " ", h.output("#shown", for_="text")],
    ]


def heat_map(records: Sequence[CaseRecord], *, planned: Sequence[Case], excluded: Sequence[Excluded]) -> h.Element:
    """A row per source and sink, a column per strategy. A case of the run links to its part of the page."""
    names = {record.case_id: anchor(record.case_id, number) for number, record in enumerate(records)}
    rows: dict[str, dict[str, dict[Strategy, Cell]]] = {}

    def put(case: Case, cell: Cell) -> None:
        rows.setdefault(case.source, {}).setdefault(case.end, {})[case.strategy] = cell

    for case in planned:
        put(case, case)
    for record in records:
        put(record.case, record)
    for row in excluded:
        put(row.case, row)
    strategies = [s for s in Strategy if any(s in cells for sinks in rows.values() for cells in sinks.values())]
    caption = "Source and sink by strategy: verdict and seconds of each case"
    return h.div(".scroll", role="region", aria_label=caption, tabindex="0")[
        h.p(".skip")[h.a(href="#performance")["Skip the matrix"]],
        h.table(".map")[
            h.caption[caption],
            h.thead[h.tr[h.th(scope="col")["source → sink"], (h.th(scope="col")[breakable(s)] for s in strategies)]],
            (
                h.tbody[
                    (
                        h.tr[
                            h.th(scope="row")[visible(f"{source} → {sink}")],
                            (_cell(cells.get(strategy), names) for strategy in strategies),
                        ]
                        for sink, cells in sinks.items()
                    )
                ]
                for source, sinks in rows.items()
            ),
        ],
    ]


def case_list(
    records: Sequence[CaseRecord],
    metrics: Sequence[CaseMetrics],
    documents: Mapping[str, str],
    failures: Mapping[str, str],
) -> Iterator[h.Element | Markup]:
    """One foldable part per case, in the order of the run; the first red ones are unfolded."""
    yield h.p(".script")[
        h.button("#open", type="button")["Unfold all that are shown"],
        " ",
        h.button("#close", type="button")["Fold all"],
    ]
    red = 0
    for number, (record, measured) in enumerate(zip(records, metrics, strict=True)):
        word = cell_word(record)
        red += word in ("FAIL", "LOST")
        unfolded = _UNFOLDED if word in ("FAIL", "LOST") and red <= _OPEN else _EMPTY_TEXT
        body = _EMPTY_TEXT.join(_body(record, measured, documents.get(record.case_id), failures.get(record.case_id)))
        name, place = visible(record.case_id), anchor(record.case_id, number)
        yield _CASE % (word, unfolded, _look(word), word, name, _meta(record, measured), place, body)


def _tag(word: str) -> h.Element:
    return h.span(class_=["tag", _look(word)])[word]


def _look(word: str) -> str:
    return word.replace("/", "")


def _cell(cell: Cell | None, names: Mapping[str, str]) -> Markup:
    if isinstance(cell, CaseRecord):
        word = cell_word(cell)
        seconds = f" {cell.seconds:.1f} s" if cell.seconds else ""
        return _CELL % (_look(word), names[cell.case_id], word, seconds)
    return _EMPTY % ("excluded" if isinstance(cell, Excluded) else "not chosen" if cell is not None else "none")


def _meta(record: CaseRecord, measured: CaseMetrics) -> str:
    if not measured.acts:
        return str(record.reason or "")
    return f"{record.rows:,} rows, {record.seconds:.1f} s"


def _body(record: CaseRecord, measured: CaseMetrics, document: str | None, failure: str | None) -> Iterator[Markup]:
    yield from _whys(record, measured, failure)
    if measured.acts:
        yield _acts(measured.acts)
    facts = {name: f"{value:,}" for name, value in measured.metrics.items()}
    if record.engine:
        facts |= {"engine": record.engine, "seed": str(record.seed)}
    if record.services:
        facts["services"] = ", ".join(f"{service.name} ({service.fidelity})" for service in record.services)
    if facts:
        # One element per fact, where a list of terms has three: thousands of cases are on one page.
        yield _FACTS % _EMPTY_TEXT.join(_FACT % visible(f"{name}: {value}") for name, value in facts.items())
    if record.rerun:
        yield _AGAIN % visible(record.rerun)
    if document is not None:
        path = quote(document, safe="/")
        yield _DOCUMENT % (path, path)


def _whys(record: CaseRecord, measured: CaseMetrics, failure: str | None) -> Iterator[Markup]:
    """Why the case is not green."""
    why = ": ".join(filter(None, (record.reason, record.detail)))
    if record.known is not None:
        yield _WHY % _short(visible(f"Known to fail: {record.known}"))
    if why:
        yield _WHY % _short(visible(why))
    elif not measured.acts:
        yield _WHY % "No reason was given."
    if failure is not None:
        yield _FAILURE % _short("\n".join(visible_lines(failure)), _FAILURE_DETAIL)


def _short(text: str, limit: int = _DETAIL) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text):,} characters; the document has them all)"


def _acts(acts: Sequence[ActMetrics]) -> Markup:
    phases = any(act.phases for act in acts)
    head = _PHASES_HEAD if phases else _EMPTY_TEXT
    return _ACTS % (head, _EMPTY_TEXT.join(_act(act, phases) for act in acts))


def _act(act: ActMetrics, phases: bool) -> Markup:
    parts = ", ".join(f"{name} {value:.2f} s" for name, value in act.phases.items())
    last = _PHASES % visible(parts) if phases else _EMPTY_TEXT
    checks = f"{act.checks - act.failed} of {act.checks}"
    times = f"{act.engine_seconds:.2f}", f"{act.harness_seconds:.2f}"
    return _ACT % (visible(act.name), f"{act.rows:,}", checks, *times, last)
