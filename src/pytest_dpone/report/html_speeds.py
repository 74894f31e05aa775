"""The speeds of the page: by route, by strategy and by case, each with its spread, and against the baseline. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import htpy as h
from markupsafe import Markup

from ..core.gates.metrics import Baseline, BaselineFacts, judge_baseline
from ..core.gates.tallies import CaseMetrics
from ..core.model import CaseRecord
from .escape import visible
from .html_cases import anchor, breakable
from .html_table import table
from .speeds import Scale, Speed, Spread, speeds_of, spreads

_SINGLE = "one measurement, no spread"
# Thousands of cases: see `html_cases`.
_CASES = Markup(
    '<div class="scroll" role="region" aria-label="%s" tabindex="0"><table><caption>%s</caption><thead><tr>'
    '<th scope="col">case</th><th class="n" scope="col">rows</th><th class="n" scope="col">engine s</th>'
    '<th class="n" scope="col">rows/s</th><th class="n" scope="col">× median of its route</th></tr></thead>'
    "<tbody>%s</tbody></table></div>"
)
_CASE = Markup(
    '<tr><th scope="row"><a href="#%s">%s</a></th><td class="n">%s</td><td class="n">%s</td><td class="n">%s</td>'
    '<td class="n">%s</td></tr>'
)


def performance(
    records: Sequence[CaseRecord],
    metrics: Sequence[CaseMetrics],
    totals: Mapping[str, int | float],
    baseline: Mapping[str, Baseline],
) -> h.Element:
    """The whole section."""
    speeds = speeds_of(records, metrics)
    return h.section(aria_labelledby="performance")[
        h.h2(id="performance")["Performance"],
        _against(totals, baseline),
        _speeds(speeds, records) if speeds else h.p["No case that passed has a speed."],
    ]


def _against(totals: Mapping[str, int | float], baseline: Mapping[str, Baseline]) -> h.Element:
    if not baseline:
        return h.p["No baseline was given, so nothing is compared with an earlier run."]
    if not totals:
        return h.p["Nothing was measured that the baseline could be compared with."]
    rulings = {r.subject: r for r in judge_baseline(BaselineFacts(metrics=dict(totals), baseline=dict(baseline)))}
    return table(
        "The whole run against its baseline",
        ("metric", "this run", "baseline", "ratio", "bound", "verdict"),
        (
            (
                h.code[visible(name)],
                _number(totals[name]) if name in totals else "not measured",
                _number(row.value),
                f"{totals[name] / row.value:.2f}" if name in totals and row.value else "–",
                f"{'at least' if row.direction == 'higher' else 'at most'} {_number(row.bound)}",
                "within" if rulings[name].passed else "worse" if name in totals else "missing",
            )
            for name, row in baseline.items()
        ),
        numbers=4,
    )


def _speeds(speeds: Sequence[Speed], records: Sequence[CaseRecord]) -> list[h.Node]:
    scale = Scale(min(speed.rate for speed in speeds), max(speed.rate for speed in speeds))
    routes = spreads(speeds, lambda speed: speed.route)
    strategies = spreads(speeds, lambda speed: speed.strategy)
    some = "1 case that passed" if len(speeds) == 1 else f"{len(speeds)} cases that passed"
    return [
        h.p[
            f"Rows of the first load per second in the engine, of {some}, each measured once. ",
            "A spread is over the cases of a route, or of a strategy. ",
            h.span(".strip")[
                f"The strips share one scale, from {_number(scale.least)} to {_number(scale.greatest)} rows/s, ",
                "on which equal steps are equal ratios; the longer mark is the median.",
            ],
        ],
        _spreads(
            "Rows per second by route",
            "source → sink",
            [(visible(" → ".join(route)), spread) for route, spread in routes.items()],
            scale,
        ),
        _spreads(
            "Rows per second by strategy",
            "strategy",
            [(breakable(strategy), spread) for strategy, spread in strategies.items()],
            scale,
        ),
        h.details(".each")[h.summary[f"Each case: {_SINGLE}"], _cases(speeds, records, routes)],
    ]


def _spreads(caption: str, head: str, rows: Sequence[tuple[h.Node, Spread]], scale: Scale) -> h.Element:
    heads = (head, "cases", "minimum", "median", "maximum", "maximum ÷ minimum")
    return table(caption, heads, ((name, *_spread(spread, scale)) for name, spread in rows), numbers=4)


def _spread(spread: Spread, scale: Scale) -> Iterator[h.Node]:
    single = spread.count == 1
    yield str(spread.count)
    yield "–" if single else _number(spread.minimum)
    yield _number(spread.median)
    yield "–" if single else _number(spread.maximum)
    yield [_strip(spread, scale), " ", _SINGLE if single else f"{spread.maximum / spread.minimum:.1f}"]


def _strip(spread: Spread, scale: Scale) -> h.Element:
    """Only for the eye: the row's cells say the same."""
    left, middle, right = (
        f"{4 + 112 * scale.place(rate):.1f}" for rate in (spread.minimum, spread.median, spread.maximum)
    )
    ends = [h.line(x1=x, x2=x, y1="5", y2="11") for x in (left, right)] if left != right else []
    return h.svg(".strip", viewBox="0 0 120 16", width="120", height="16", aria_hidden="true")[
        h.line(".rail", x1="4", x2="116", y1="8", y2="8"),
        h.line(x1=left, x2=right, y1="8", y2="8"),
        ends,
        h.line(".median", x1=middle, x2=middle, y1="2", y2="14"),
    ]


def _cases(speeds: Sequence[Speed], records: Sequence[CaseRecord], routes: Mapping[tuple[str, str], Spread]) -> Markup:
    places = {record.case_id: anchor(record.case_id, number) for number, record in enumerate(records)}
    caption = f"Rows per second by case: {_SINGLE}"
    rows = (
        _CASE
        % (
            places[speed.case_id],
            visible(speed.case_id),
            f"{speed.rows:,}",
            f"{speed.seconds:.3f}",
            _number(speed.rate),
            f"{speed.rate / routes[speed.route].median:.2f}",
        )
        for speed in speeds
    )
    return _CASES % (caption, caption, Markup("").join(rows))


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
