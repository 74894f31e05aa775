"""Text for the terminal: progress lines, red cases, the grid, the reasons, the services. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Literal

from ..core.model import ActRecord, CaseRecord, DiffReport, NotRun, RowDifference, ServiceRecord, Strategy, Verdict
from .escape import visible

Tone = Literal["plain", "green", "yellow", "red", "bold"]

_HEADS = {
    Strategy.FULL_REFRESH: "full",
    Strategy.INCREMENTAL_APPEND: "append",
    Strategy.INCREMENTAL_MERGE: "merge",
    Strategy.REPLACE: "replace",
    Strategy.PARTITION_REPLACE: "part",
    Strategy.SNAPSHOT_DIFF: "diff",
    Strategy.SCD2: "scd2",
    Strategy.BACKFILL: "backf",
    Strategy.XMIN: "xmin",
    Strategy.CDC: "cdc",
}
_CELLS = {NotRun.NOT_IMPLEMENTED: "todo", NotRun.UNAVAILABLE: "n/a"}
_LEGEND = "ok passed · FAIL failed · LOST not run, not excused · todo not implemented yet · n/a unavailable"
_KNOWN_LEGEND = " · known failed as known"
_COLUMN = 8
_FULL_TEXT = 10
_SAMPLES = 3
_DETAIL = 300
_ERROR_LINES = 25


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text without control characters, and how it may be coloured."""

    text: str
    tone: Tone = "plain"


def case_line(record: CaseRecord, *, simulated: bool = False) -> Line:
    """A case that was played: its verdict with its seconds, and those of each act; a red act says so.

    One that was simulated behaved: only what moved real rows has passed.
    """
    word = "known failure" if record.excused else record.reason or record.verdict
    if simulated and word is Verdict.PASSED:
        word = "behaved"
    acts = ", ".join(f"{act.name} {_spent(act)}{'' if act.passed else ' (red)'}" for act in record.acts)
    green = record.verdict is Verdict.PASSED and record.known is None
    text = f"    {word} in {record.seconds:.2f} s" + (f": {acts}" if acts else "")
    return Line(visible(text), "plain" if green else "yellow" if record.excused else "red")


def act_lines(record: CaseRecord) -> list[Line]:
    """One line per act: rows that the sink must hold, the engine's and the harness's seconds, the checks."""
    return [_act_line(act) for act in record.acts]


def failure_lines(record: CaseRecord) -> list[Line]:
    """All that a person needs about a case that is not green: act, check, counts, first differing rows, rerun."""
    lines = [Line(_title(record), "red")]
    for act in record.acts:
        lines += _red_act(act)
    if record.detail and len(lines) == 1:
        lines.append(Line(f"  {_short(record.detail, _DETAIL)}"))
    if record.rerun:
        lines.append(Line(f"  rerun: {visible(record.rerun)}", "bold"))
    return lines


def summary_lines(records: Sequence[CaseRecord], *, width: int = 100, short: bool = False) -> list[Line]:
    """The section that ends a run, but for its verdict. `short` leaves out the grid, the reasons and the services."""
    red = [record for record in records if cell_word(record) in ("FAIL", "LOST")]
    lines = [] if short else [*_grid(records, width), Line("")]
    lines += _red_cases(red)
    if not short:
        lines += _known(records, width)
        lines += _reasons(records, width)
        lines += _services(records)
    return lines


def count_line(records: Sequence[CaseRecord], *, planned: int, excluded: int) -> str:
    """The counts of a run in one line; a known failure counts as failed."""
    found = Counter(Verdict.FAILED if record.known is not None else record.verdict for record in records)
    chosen = f", {len(records)} selected" if len(records) != planned else ""
    told = ", ".join(f"{found[verdict]} {verdict}" for verdict in Verdict)
    return f"cases: {planned} planned and {excluded} excluded from the matrix{chosen}; {told}"


def service_line(service: ServiceRecord) -> str:
    """A service in one line: product, version, provider, fidelity, and what is emulated."""
    image = f", {service.image}" if service.image else ""
    emulated = f": {service.emulated}" if service.emulated else ""
    text = (
        f"{service.name}: {service.product} {service.version} ({service.provider}{image}; {service.fidelity}{emulated})"
    )
    return visible(text)


def cell_word(record: CaseRecord | None) -> str:
    """The word of a case in the grid: one of those of the legend, `·` for none."""
    if record is None:
        return "·"
    if record.verdict is Verdict.PASSED:
        return "ok" if record.known is None else "FAIL"
    if record.excused:
        return "known"
    if record.reason is None:
        return "FAIL"
    return _CELLS.get(record.reason, "LOST")


def _act_line(act: ActRecord) -> Line:
    green = sum(check.passed for check in act.checks)
    text = (
        f"    {act.name:<10}{act.rows:>10} rows   engine {act.engine_seconds:7.2f} s   "
        f"harness {act.harness_seconds:7.2f} s   {green} of {len(act.checks)} checks"
    )
    return Line(text, "plain" if act.passed else "red")


def _spent(act: ActRecord) -> str:
    return f"{act.engine_seconds + act.harness_seconds:.2f}"


def _title(record: CaseRecord) -> str:
    facts = [f"engine {record.engine}"] if record.engine else []
    facts += [f"{record.rows} rows", f"seed {record.seed}"] if record.rows else []
    word = str(record.reason or record.verdict).upper() if record.reason is None else f"NOT RUN, {record.reason}"
    return visible(f"{word} {record.case_id}" + (f" ({', '.join(facts)})" if facts else ""))


def _red_act(act: ActRecord) -> list[Line]:
    red = [check for check in act.checks if not check.passed]
    if act.passed and not red:
        return []
    lines = [Line(f"  act {act.name}:", "bold")]
    for check in red:
        counts = (
            "" if check.expected is None and check.actual is None else f" expected {check.expected}, got {check.actual}"
        )
        detail = f" ({visible(check.detail)})" if check.detail else ""
        lines.append(Line(visible(f"    check {check.name}:{counts}") + detail, "red"))
    if act.error:
        lines += [Line(f"    {_short(line, _DETAIL)}", "red") for line in act.error.splitlines()[:_ERROR_LINES]]
    if act.diff is not None and not act.diff.equal:
        lines += _diff_lines(act.diff)
    return lines


def _diff_lines(diff: DiffReport) -> list[Line]:
    lines = [
        Line(
            f"    {diff.expected_rows} rows expected, {diff.actual_rows} found: {diff.missing} missing, "
            f"{diff.extra} extra, {diff.changed} changed, {diff.duplicated} duplicated"
        )
    ]
    if diff.columns:
        worst = sorted(diff.columns.items(), key=lambda item: (-item[1], item[0]))[:5]
        more = f" and {len(diff.columns) - 5} more" if len(diff.columns) > 5 else ""
        lines.append(Line("    columns that differ: " + ", ".join(f"{visible(c)} ({n})" for c, n in worst) + more))
    for sample in diff.samples[:_SAMPLES]:
        lines += _sample_lines(sample)
    return lines


def _sample_lines(sample: RowDifference) -> list[Line]:
    key = ", ".join(f"{visible(name)}={visible(value)}" for name, value in sample.key.items())
    lines = [Line(f"      {sample.kind} {key}")]
    for column, (expected, actual) in list(sample.columns.items())[:5]:
        lines.append(Line(f"        {visible(column)}: expected {_short(expected)}, got {_short(actual)}"))
    return lines


def _short(value: str, limit: int = 60) -> str:
    text = visible(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(value)} characters)"


def _grid(records: Sequence[CaseRecord], width: int) -> list[Line]:
    pairs: dict[tuple[str, str], dict[Strategy, CaseRecord]] = {}
    for record in records:
        pairs.setdefault((record.source, record.case.end), {})[record.strategy] = record
    shown = {pair: cells for pair, cells in pairs.items() if any(r.reason not in _CELLS for r in cells.values())}
    strategies = [s for s in Strategy if any(s in cells for cells in shown.values())]
    lines: list[Line] = []
    if shown:
        left = max(len(_pair(pair)) for pair in shown) + 1
        lines.append(Line(" " * left + "".join(f"{_HEADS[s]:<{_COLUMN}}" for s in strategies).rstrip(), "bold"))
        lines += [_grid_line(_pair(pair), cells, strategies, left) for pair, cells in shown.items()]
        lines.append(
            Line(_LEGEND + (_KNOWN_LEGEND if any(r.excused for c in shown.values() for r in c.values()) else ""))
        )
    folded = [_pair(pair) for pair in pairs if pair not in shown]
    return lines + _folded(folded, width)


def _pair(pair: tuple[str, str]) -> str:
    return visible(f"{pair[0]} → {pair[1]}")


def _grid_line(pair: str, cells: dict[Strategy, CaseRecord], strategies: Sequence[Strategy], left: int) -> Line:
    words = [cell_word(cells.get(strategy)) for strategy in strategies]
    tone: Tone = "red" if "FAIL" in words or "LOST" in words else "green"
    return Line(f"{pair:<{left}}" + "".join(f"{word:<{_COLUMN}}" for word in words).rstrip(), tone)


def _folded(pairs: Sequence[str], width: int) -> list[Line]:
    if not pairs:
        return []
    some = ", ".join(pairs[:40]) + (f" and {len(pairs) - 40} more" if len(pairs) > 40 else "")
    text = f"Nothing ran in these pairs ({len(pairs)}): {some}"
    return [Line(line) for line in wrap(text, width, subsequent_indent="  ")]


def _red_cases(red: Sequence[CaseRecord]) -> list[Line]:
    """What is wrong in a line each; the whole text stands where pytest tells of failures, and in the artifacts."""
    lines: list[Line] = []
    lost = {NotRun.DESELECTED, NotRun.SKIPPED}
    for record in red:
        if record.reason not in lost:
            lines.append(Line(f"{_title(record)}", "red"))
            lines.append(Line(f"  {_short(record.detail, _DETAIL)}"))
            lines.append(Line(f"  rerun: {visible(record.rerun)}", "bold"))
    return [*lines, Line("")] if lines else []


def _reasons(records: Sequence[CaseRecord], width: int) -> list[Line]:
    groups: dict[NotRun, Counter[str]] = {}
    for record in records:
        if record.reason is not None and record.reason is not NotRun.CRASHED:
            groups.setdefault(record.reason, Counter())[record.detail] += 1
    lines: list[Line] = []
    for reason, details in groups.items():
        ranked = sorted(details.items(), key=lambda item: (-item[1], item[0]))
        texts = [f"{count} × {_short(detail, _DETAIL) or 'no detail'}" for detail, count in ranked[:_FULL_TEXT]]
        if rest := sum(count for _, count in ranked[_FULL_TEXT:]):
            texts.append(f"{rest} for other reasons, see the report")
        text = f"{reason} ({details.total()}): {'; '.join(texts)}"
        tone: Tone = "yellow" if reason in _CELLS else "red"
        lines += [Line(line, tone) for line in wrap(text, width, subsequent_indent="  ")]
    return [*lines, Line("")] if lines else []


def _known(records: Sequence[CaseRecord], width: int) -> list[Line]:
    """The failures that the project knows, each with what it says of them."""
    known = [record for record in records if record.excused]
    lines = [Line(f"known failures ({len(known)}), which no release may have:", "yellow")] if known else []
    for record in known:
        text = f"  {visible(record.case_id)}: {_short(str(record.known), _DETAIL)}"
        lines += [Line(line, "yellow") for line in wrap(text, width, subsequent_indent="    ")]
    return [*lines, Line("")] if lines else []


def _services(records: Iterable[CaseRecord]) -> list[Line]:
    services = {service_line(service): None for record in records for service in record.services}
    return [Line(text) for text in sorted(services)]
