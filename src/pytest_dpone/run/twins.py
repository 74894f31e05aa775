"""What people and other tools read of a tree says what its documents say: Markdown twins and exported metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..core.gates import documents
from ..core.gates.policy import VerificationPolicy
from ..core.gates.ruling import Ruling, red
from ..core.gates.tallies import runtime_of
from ..core.model import CaseRecord
from ..evidence.files import Unreadable, read_bytes
from ..report.exports import otlp_lines, prometheus_text
from ..report.gates import document_markdown
from ..report.markdown import case_markdown, report_markdown
from .evidence import MATRIX_FOLDER, Evidence, Found
from .publication import behavior_name


def twins(evidence: Evidence, _policy: VerificationPolicy) -> Iterator[Ruling]:
    """What people read says what programs read."""
    renders = {found.kind.path: (document_markdown, found.data) for found in evidence.documents.values() if found.data}
    texts = {path: partial(render, data) for path, (render, data) in renders.items()}
    texts[evidence.report_path] = partial(report_markdown, evidence.records, evidence.report_data)
    for record in evidence.records:
        path = f"{MATRIX_FOLDER}/{behavior_name(record.case_id)}"
        if isinstance(evidence.files.documents.get(record.case_id), CaseRecord):
            texts[path] = partial(case_markdown, record, evidence.data(path))
    runtime = evidence.documents.get(documents.RUNTIME.name)
    for path, text in texts.items():
        yield from _says(evidence.root, f"{path.removesuffix('.json')}.md", path, text)
    if runtime is not None and runtime.measured == "run":
        yield from _exports(evidence, runtime)


def _exports(evidence: Evidence, runtime: Found) -> Iterator[Ruling]:
    facts = runtime_of([each.metrics for each in evidence.tallies])
    labels = {"profile": evidence.report.profile, "run_id": evidence.report.run_id}
    path = runtime.kind.path
    stem = path.removesuffix(".json")
    yield from _says(evidence.root, f"{stem}.prom", path, lambda: prometheus_text(facts, labels))
    lines = partial(otlp_lines, facts, labels, generated_at=runtime.judged.generated_at or "")
    yield from _says(evidence.root, f"{stem}.otlp.jsonl", path, lines)


def _says(root: Path, twin: str, path: str, text: Callable[[], str]) -> Iterator[Ruling]:
    try:
        found = read_bytes(root / twin)
    except Unreadable as error:
        yield red(twin, "twin_unreadable", f"{twin} {error}")
        return
    try:
        told = text().encode("utf-8", "backslashreplace")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        # The document is not of its form; whoever can't be told to people is no evidence.
        yield red(path, "not_told", f"{path} can't be told in words")
        return
    if found != told:
        yield red(twin, "another_twin", f"{twin} does not say what {path} says")
