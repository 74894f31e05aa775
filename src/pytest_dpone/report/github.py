"""The summary of a step on GitHub Actions: the verdict, the blockers, the gates and the red cases. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ..core.gates.ruling import GateResult
from ..core.model import CaseRecord, Verdict
from .escape import code, markdown
from .gates import told_blockers
from .terminal import service_line

LIMIT = 1024 * 1024
"""Bytes that GitHub takes for one step; it shows nothing at all of a summary that is larger."""
_RESERVE = 200


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


def _word(state: str) -> str:
    return state if state == "passed" else f"**{state}**"
