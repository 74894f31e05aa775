"""The summary of a step on GitHub Actions: the verdict, the blockers, the gates and the red cases. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ..core.gates.ruling import GateResult
from ..core.model import CaseRecord, Verdict
from .escape import code, markdown, visible_lines
from .gates import told_blockers
from .terminal import cell_word, service_line

LIMIT = 1024 * 1024
"""Bytes that GitHub takes for one step; it shows nothing at all of a summary that is larger."""
_RESERVE = 200
_ANNOTATIONS = 9


def step_summary(
    headline: str,
    *,
    records: Sequence[CaseRecord],
    blockers: Sequence[str],
    gates: Sequence[GateResult],
    limit: int = LIMIT,
) -> str:
    """Markdown of at most `limit` bytes; if lines had to be left out, the last one says how many."""
    lines = list(_lines(headline, records, blockers, gates))
    size = 0
    for number, line in enumerate(lines):
        size += len(line.encode("utf-8", "backslashreplace")) + 1
        if size > limit - _RESERVE:
            note = f"\n{len(lines) - number} more lines did not fit: see the artifacts.\n"
            return "\n".join(lines[:number]) + note if number else ""
    return "\n".join(lines) + "\n"


def _lines(
    headline: str, records: Sequence[CaseRecord], blockers: Sequence[str], gates: Sequence[GateResult]
) -> Iterator[str]:
    yield from (f"## pytest-dpone: {markdown(headline)}", "")
    rows = told_blockers(blockers, gates)
    if rows:
        yield from (f"### Blockers ({len(rows)})", "")
        for name, text in rows:
            yield f"- {code(name)}" + (f": {markdown(text)}" if text else "")
        yield ""
    if gates:
        yield from ("### Gates", "", "| gate | verdict | note |", "|---|---|---|")
        yield from (f"| {markdown(g.name)} | {_word(g.state)} | {markdown(g.note)} |" for g in gates)
        yield ""
    words = Counter("known failure" if r.excused else str(r.reason or r.verdict) for r in records)
    yield from ("### Cases", "", *(f"- {markdown(word)}: {count}" for word, count in words.items()), "")
    for record in records:
        if record.verdict is Verdict.FAILED:
            known = f" Known: {markdown(str(record.known))}." if record.excused else ""
            yield f"- {code(record.case_id)}: {markdown(record.detail)}. Again: {code(record.rerun)}{known}"
    services = {service_line(service): None for record in records for service in record.services}
    if services:
        yield from ("", "### Services", "", *(f"- {markdown(text)}" for text in sorted(services)))


def error_commands(records: Sequence[CaseRecord], blockers: Sequence[str], gates: Sequence[GateResult]) -> list[str]:
    """Workflow commands that put the red cases, and then what else is red, on the page of a run.

    GitHub shows ten of a step; the last one says how many more there are.
    """
    red = [record for record in records if cell_word(record) in ("FAIL", "LOST")]
    cases = {record.case_id for record in red}
    rows = [(r.case_id, f"{r.reason or r.verdict}: {r.detail}\nrerun: {r.rerun or 'play the run again'}") for r in red]
    rows += [(c, text or c) for c, text in told_blockers(blockers, gates) if c.partition(".")[0] not in cases]
    lines = [f"::error title={_property(title)}::{_data(text)}" for title, text in rows[:_ANNOTATIONS]]
    if rest := len(rows) - _ANNOTATIONS:
        lines += [f"::error title=pytest-dpone::{rest} more: see the summary and the artifacts"] if rest > 0 else []
    return lines


def _data(text: str) -> str:
    """As GitHub's runner wants it; nothing in it can end the command or begin another."""
    lines = "\n".join(visible_lines(text))
    return lines.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _word(state: str) -> str:
    return state if state == "passed" else f"**{state}**"
