"""The Markdown twins of the JSON artifacts. No I/O; foreign text is inert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..core.gates.kills import Kills
from ..core.model import ActRecord, CaseRecord, Check, DiffReport, RowDifference, ServiceRecord, Verdict
from .escape import code, markdown


def case_markdown(record: CaseRecord, head: Mapping[str, object]) -> str:
    """One case; `head` holds the common fields of the JSON twin."""
    verdict = str(record.reason or record.verdict)
    lines = [f"# {markdown(record.case_id)}: {verdict}", ""]
    if record.known is not None:
        lines += [f"Known to fail: {markdown(str(record.known))}", ""]
    if record.detail:
        lines += [markdown(record.detail), ""]
    lines += _facts({**_common(head), "engine": record.engine, "rows": record.rows, "seed": record.seed})
    if record.rerun:
        lines += ["", f"Run it again: {code(record.rerun)}"]
    if record.acts:
        lines += ["", "## Acts", "", *_acts(record.acts)]
    for act in record.acts:
        lines += _act(act)
    lines += _services(record.services)
    return "\n".join(lines).rstrip("\n") + "\n"


def report_markdown(records: Sequence[CaseRecord], head: Mapping[str, object]) -> str:
    """The whole run; `head` holds the common fields of the JSON twin and `headline`."""
    kills = Kills.of(head.get("mishaps"))
    lines = ["# Certification report", "", f"**{markdown(str(head.get('headline', '')))}**", "", *_facts(_common(head))]
    red = [record for record in records if record.verdict is Verdict.FAILED and not record.excused]
    if red:
        lines += ["", "## Red cases", ""]
        lines += [
            f"- {code(r.case_id)}: {markdown(r.detail) or 'see its document'}. Again: {code(r.rerun)}" for r in red
        ]
    if known := [record for record in records if record.excused]:
        lines += ["", "## Known failures", "", "They are not passed, and no release may have them.", ""]
        lines += [f"- {code(r.case_id)}: {markdown(str(r.known))}. Again: {code(r.rerun)}" for r in known]
    if line := kills.line():
        lines += ["", "## Kills and mishaps", "", f"{markdown(line)}.", ""]
        proofs = [(code(name), str(count)) for name, count in kills.proofs.items()]
        lines += _table(("what the services showed at the kill", "times"), proofs) if proofs else []
    lines += ["", "## Cases", "", *_table(("case", "verdict", "rows", "seconds", "why"), map(_case_row, records))]
    services = {service.model_dump_json(): service for record in records for service in record.services}
    lines += _services(services.values())
    return "\n".join(lines) + "\n"


def _common(head: Mapping[str, object]) -> dict[str, object]:
    source = head.get("source")
    commit = source.get("commit") if isinstance(source, Mapping) else None
    dirty = source.get("dirty") if isinstance(source, Mapping) else None
    return {
        "run": head.get("run_id"),
        "profile": head.get("profile"),
        "mode": head.get("run_mode"),
        "written": head.get("generated_at"),
        "commit": f"{commit}{' (with changes)' if dirty else ''}" if commit else None,
    }


def _facts(facts: Mapping[str, object]) -> list[str]:
    return [f"- {name}: {markdown(str(value))}" for name, value in facts.items() if value not in (None, "", 0)]


def _acts(acts: Iterable[ActRecord]) -> list[str]:
    rows = [
        (
            str(a.name),
            "passed" if a.passed else "**failed**",
            str(a.rows),
            f"{a.engine_seconds:.3f}",
            f"{a.harness_seconds:.3f}",
        )
        for a in acts
    ]
    return _table(("act", "verdict", "rows", "engine s", "harness s"), rows)


def _act(act: ActRecord) -> list[str]:
    lines = ["", f"### {markdown(act.name)}", ""]
    if act.checks:
        lines += _table(("check", "verdict", "expected", "actual", "detail"), map(_check_row, act.checks))
    if act.error:
        lines += ["", "Error:", "", *[f"> {markdown(line)}" for line in act.error.splitlines()]]
    if act.diff is not None:
        lines += ["", *_diff(act.diff)]
    return lines


def _check_row(check: Check) -> tuple[str, ...]:
    expected, actual = ("" if value is None else markdown(str(value)) for value in (check.expected, check.actual))
    return markdown(check.name), "passed" if check.passed else "**failed**", expected, actual, markdown(check.detail)


def _diff(diff: DiffReport) -> list[str]:
    rows = f"{diff.expected_rows} rows expected, {diff.actual_rows} found"
    kinds = f"{diff.missing} missing, {diff.extra} extra, {diff.changed} changed, {diff.duplicated} duplicated"
    lines = [f"{rows}: {kinds}."]
    if diff.samples:
        lines += ["", *_table(("row", "key", "column", "expected", "actual"), _samples(diff.samples))]
    return lines


def _samples(samples: Iterable[RowDifference]) -> Iterable[tuple[str, ...]]:
    for sample in samples:
        key = ", ".join(f"{markdown(name)}={code(value)}" for name, value in sample.key.items())
        if not sample.columns:
            yield sample.kind, key, "", "", ""
        for column, (expected, actual) in sample.columns.items():
            yield sample.kind, key, markdown(column), code(expected), code(actual)


def _case_row(record: CaseRecord) -> tuple[str, ...]:
    verdict = str(record.reason or record.verdict)
    bold = verdict if record.verdict is Verdict.PASSED else f"**{verdict}**"
    return code(record.case_id), bold, str(record.rows or ""), f"{record.seconds:.1f}", markdown(record.detail)


def _services(services: Iterable[ServiceRecord]) -> list[str]:
    rows = [
        tuple(
            markdown(text) for text in (s.name, f"{s.product} {s.version}", s.provider, s.image, s.fidelity, s.emulated)
        )
        for s in services
    ]
    if not rows:
        return []
    return ["", "## Services", "", *_table(("service", "version", "provider", "image", "fidelity", "emulated"), rows)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *[f"| {' | '.join(row)} |" for row in rows],
    ]
