"""The documents of the gates as text and as Markdown. No I/O; foreign text is inert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

from ..core.gates.ruling import GateResult
from .escape import code, markdown, visible
from .terminal import Line

_RUNBOOK = {
    "benchmark_slo_gate": (
        "Compare the metrics with the committed baseline.",
        "Check the native path, partitioning, batch size and the sink's capacity.",
        "Do not loosen an objective to hide a regression; change a baseline only after a reviewed change.",
    ),
    "release_evidence_pack": (
        "If an artifact is missing, run its own gate again instead of editing the pack.",
        "If an artifact is red, fix what it reports first.",
        "Do not tag a release until the pack is GO.",
    ),
    "evidence_chain": (
        "Index the artifacts again, then run `pytest-dpone ops evidence-chain` again.",
        "Treat a changed digest as an audit event.",
    ),
}
NOT_SIGNED = (
    "not signed: this shows changes since the chain was written, not who wrote it; whoever may write the folder can "
    "write another one, which only a pin that was kept elsewhere shows (`pytest-dpone seal` signs)"
)
"""What a chain without a key does not prove."""
_WORDS = {"release_evidence_pack": ("GO", "NO-GO")}
_FACT_LIMIT = 50


def kind_of(document: Mapping[str, object]) -> str:
    """The kind's name, e.g. `benchmark_slo_gate`."""
    schema = str(document.get("schema", ""))
    return schema.removeprefix("pytest-dpone/").partition("/")[0].replace("-", "_")


def headline(document: Mapping[str, object]) -> str:
    """The line that ends a gate, e.g. `benchmark_slo_gate: FAILED, 2 blockers`."""
    kind = kind_of(document)
    good, bad = _WORDS.get(kind, ("PASSED", "FAILED"))
    if document.get("passed") is True:
        return f"{kind}: {good}"
    blockers = document.get("blockers")
    count = len(blockers) if isinstance(blockers, list) else 0
    return f"{kind}: {bad}, {count} blocker{'' if count == 1 else 's'}"


def document_text(document: Mapping[str, object]) -> str:
    """A few lines for a terminal: the headline, then each red ruling, then what was taken from elsewhere."""
    lines = [headline(document)]
    rows = _results(document)
    lines += [
        f"  {visible(_blocker(row))}: {visible(str(row.get('text') or ''))}" for row in rows if not row.get("passed")
    ]
    lines += [f"  {visible(note)}" for note in _notes(document, rows)]
    return "\n".join(lines) + "\n"


def document_markdown(document: Mapping[str, object]) -> str:
    """The Markdown twin of a document: head, rulings, facts."""
    kind = kind_of(document)
    lines = [f"# {markdown(kind.replace('_', ' ').capitalize())}", "", f"**{markdown(headline(document))}**", ""]
    names = ("release", "profile", "run_mode", "run_id", "generated_at", "origin")
    lines += [f"- {name}: {markdown(str(document[name]))}" for name in names if document.get(name)]
    rows = _results(document)
    broken = [row for row in rows if not row.get("passed")]
    if broken:
        lines += ["", "## Blockers", ""]
        lines += [f"- {code(_blocker(row))}: {markdown(str(row.get('text') or ''))}" for row in broken]
    lines += [
        "",
        "## Rulings",
        "",
        "| subject | rule | verdict | expected | actual | note |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(row) for row in rows]
    lines += [f"- {markdown(note)}" for note in _notes(document, rows)]
    facts = document.get("facts")
    if isinstance(facts, Mapping):
        lines += ["", "## Facts", "", *_facts(facts)]
    if not document.get("passed") and kind in _RUNBOOK:
        lines += ["", "## What to do", "", *[f"- {step}" for step in _RUNBOOK[kind]]]
    return "\n".join(lines) + "\n"


def gate_lines(gates: Sequence[GateResult], *, width: int) -> list[Line]:
    """One line for all gates of a run, then why those were not run that were not."""
    words = {"passed": "ok", "failed": "FAIL", "not run": "not run"}
    lines = [Line(text) for text in wrap("gates: " + " · ".join(f"{g.name} {words[g.state]}" for g in gates), width)]
    for gate in gates:
        if gate.note and gate.state == "not run":
            text = visible(f"{gate.name} was not run: {gate.note}")
            lines += [Line(line, "yellow") for line in wrap(text, width, subsequent_indent="  ")]
        elif gate.note:
            lines.append(Line(visible(f"{gate.name}: {gate.note}")))
    return lines


def blocker_lines(blockers: Sequence[str], gates: Sequence[GateResult], *, limit: int = 20) -> list[Line]:
    """The blockers of a run with what the gates say of them: the gates' own first, for they say what to do."""
    rows = told_blockers(blockers, gates)
    lines = [Line(f"blockers ({len(rows)}):", "red")] if rows else []
    lines += [Line(f"  {visible(code)}" + (f": {visible(text)}" if text else ""), "red") for code, text in rows[:limit]]
    if len(rows) > limit:
        lines.append(Line(f"  and {len(rows) - limit} more, see the artifacts", "red"))
    return lines


def told_blockers(blockers: Sequence[str], gates: Sequence[GateResult]) -> list[tuple[str, str]]:
    """Each blocker once, with its text if a gate has one."""
    texts = {code: text for gate in reversed(gates) for code, text in gate.blockers}
    own = [code for code in blockers if code in texts]
    return [(code, texts.get(code, "")) for code in dict.fromkeys((*own, *blockers))]


def _results(document: Mapping[str, object]) -> list[Mapping[str, object]]:
    rows = document.get("results")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _blocker(row: Mapping[str, object]) -> str:
    return f"{row.get('subject')}.{row.get('code')}"


def _notes(document: Mapping[str, object], rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    external = [str(row.get("subject")) for row in rows if row.get("rule") == "external"]
    if external:
        yield f"taken from elsewhere: {', '.join(external)}"
    asserted = [str(row.get("subject")) for row in rows if row.get("text") == "self-asserted"]
    if asserted:
        yield f"self-asserted: {', '.join(asserted)}"
    facts = document.get("facts")
    exhibits = facts.get("exhibits") if isinstance(facts, Mapping) else None
    if isinstance(exhibits, list):
        notes = [row["notes"] for row in exhibits if isinstance(row, Mapping) and isinstance(row.get("notes"), list)]
        yield from dict.fromkeys(str(note) for found in notes for note in found)
    if kind_of(document) == "evidence_chain" and isinstance(facts, Mapping) and isinstance(facts.get("entries"), list):
        yield f"pin {len(facts['entries'])}:{facts.get('root')}"
        yield NOT_SIGNED


def _row(row: Mapping[str, object]) -> str:
    verdict = "passed" if row.get("passed") else "**failed**"
    expected, actual = (_cell(row.get(name)) for name in ("expected", "actual"))
    cells = (code(str(row.get("subject"))), markdown(str(row.get("rule"))), verdict, expected, actual)
    return f"| {' | '.join(cells)} | {markdown(str(row.get('text') or ''))} |"


def _cell(value: object) -> str:
    return "" if value is None else markdown(str(value))


def _facts(facts: Mapping[str, object]) -> Iterator[str]:
    """One line per plain fact, the first rows of a list."""
    for name, value in facts.items():
        if isinstance(value, list):
            yield f"- {markdown(name)}: {len(value)}"
            yield from (f"  - {markdown(_plain(item))}" for item in value[:_FACT_LIMIT])
            if len(value) > _FACT_LIMIT:
                yield f"  - and {len(value) - _FACT_LIMIT} more"
        elif isinstance(value, Mapping):
            yield f"- {markdown(name)}:"
            yield from (
                f"  - {markdown(str(key))}: {markdown(_plain(item))}" for key, item in list(value.items())[:_FACT_LIMIT]
            )
        elif value is not None:
            yield f"- {markdown(name)}: {markdown(str(value))}"


def _plain(item: object) -> str:
    if isinstance(item, Mapping):
        return ", ".join(f"{key} {value}" for key, value in item.items() if value not in (None, [], (), ""))
    return str(item)
