"""A run's matrix folder read back: its report, the documents of its cases, and its records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

from pydantic import ValidationError

from ..core.gates.documents import EDITED, first_error, is_edited
from ..core.gates.matrix import SCHEMA_REPORT, MatrixFacts, Report, ReportedCase, judge_matrix, matrix_facts
from ..core.gates.ruling import passes
from ..core.model import SCHEMA_BEHAVIOR, Case, CaseRecord, Strategy, Verdict
from ..core.strict import NotStrict, is_as_written, parse_object
from ..errors import ArtifactError
from ..evidence.files import Unreadable, read_bytes
from ..report.markdown import case_markdown, report_markdown
from .verdict import SIMULATED

REPORT_FILE = "certification_report.json"
_ENDING = "__behavior.json"


@dataclass(frozen=True, slots=True)
class MatrixFiles:
    """What a matrix folder holds: by case id a record, or what is wrong with the case's document."""

    report: Report
    documents: dict[str, CaseRecord | str]
    strangers: tuple[str, ...]
    edited: bool
    """If the report is not as it was written."""

    def facts(self) -> MatrixFacts:
        """For the gate."""
        facts = matrix_facts(self.report, self.documents, strangers=self.strangers)
        problems = (f"it {EDITED.text}", *facts.report_problems) if self.edited else facts.report_problems
        return facts.model_copy(update={"report_problems": problems})

    def records(self) -> tuple[CaseRecord, ...]:
        """One record per reported case; of a case without a readable document what the report says of it."""
        return tuple(
            document if isinstance(document := self.documents.get(row.case_id), CaseRecord) else _bare(row)
            for row in self.report.cases
        )


def read_matrix(directory: Path) -> MatrixFiles:
    """Read a matrix folder. Raises `ArtifactError` if it has no report that can be read: the scope is not known."""
    report, edited = _report(directory / REPORT_FILE)
    documents: dict[str, CaseRecord | str] = {}
    named = {row.behavior: row.case_id for row in report.cases if row.behavior is not None}
    strangers = []
    for path in sorted(directory.glob(f"*{_ENDING}")):
        case_id = named.get(path.name)
        if case_id is None:
            strangers.append(path.name.encode("utf-8", "backslashreplace").decode())
        else:
            documents[case_id] = _document(path, case_id, report)
    return MatrixFiles(report, documents, tuple(strangers), edited)


class LastRun(TypedDict):
    """What a plan takes from the run before: seconds of the cases that passed, and their rows."""

    seconds: dict[str, float]
    rows: int


def last_run(directory: Path) -> LastRun:
    """From the report in `directory`; nothing without one, and nothing of a simulated run."""
    try:
        report, _ = _report(directory / REPORT_FILE)
    except ArtifactError:
        return LastRun(seconds={}, rows=0)
    if report.run_mode == SIMULATED:
        return LastRun(seconds={}, rows=0)
    passed = [row for row in report.cases if row.verdict is Verdict.PASSED]
    return LastRun(
        seconds={row.case_id: row.seconds for row in passed}, rows=max((row.rows for row in passed), default=0)
    )


def run_again(directory: Path, *, profile: str, since: str) -> frozenset[str]:
    """Names of the files of a matrix that was run again under `profile` after the moment `since`, and is green.

    All of them belong to one run, and each Markdown twin says what its document says. Empty for anything less.
    """
    try:
        files = read_matrix(directory)
    except ArtifactError:
        return frozenset()
    report = files.report
    if report.profile != profile or report.generated_at < since or not passes(judge_matrix(files.facts())):
        return frozenset()
    texts = {REPORT_FILE: lambda head: report_markdown(files.records(), head)}
    for row in report.cases:
        document = files.documents.get(row.case_id)
        if row.behavior is not None and isinstance(document, CaseRecord):
            texts[row.behavior] = partial(case_markdown, document)
    return frozenset(name for path, text in texts.items() for name in _with_twin(directory / path, text))


def _with_twin(path: Path, text: Callable[[Mapping[str, object]], str]) -> Iterator[str]:
    twin = path.with_suffix(".md")
    try:
        raw = read_bytes(path)
        data = parse_object(raw)
        if is_as_written(raw, data):
            yield path.name
        if text(data).encode("utf-8", "backslashreplace") == read_bytes(twin):
            yield twin.name
    except (Unreadable, NotStrict):
        return


def _report(path: Path) -> tuple[Report, bool]:
    hint = "run the certification again"
    try:
        raw = read_bytes(path)
        data = parse_object(raw)
        if data.get("schema") != SCHEMA_REPORT:
            raise ArtifactError(f"certification_report is no certification report: {path}", hint=hint)
        return Report.model_validate_json(raw, strict=True), is_edited(data)
    except Unreadable as error:
        raise ArtifactError(f"certification_report {error}: {path}", hint=hint) from None
    except NotStrict as error:
        raise ArtifactError(f"certification_report is not strict JSON: {error}", hint=hint) from None
    except ValidationError as error:
        raise ArtifactError(f"certification_report is malformed: {first_error(error)}", hint=hint) from None


def _document(path: Path, case_id: str, report: Report) -> CaseRecord | str:
    try:
        data = parse_object(read_bytes(path))
        body = data.get("record")
        if data.get("schema") != SCHEMA_BEHAVIOR or not isinstance(body, dict):
            return "its document is no case's document"
        record = CaseRecord.model_validate(body)
    except Unreadable as error:
        return f"its document {error}"
    except NotStrict as error:
        return f"its document is not strict JSON: {error}"
    except ValidationError as error:
        return f"its document is malformed: {first_error(error)}"
    if _canonical(record.model_dump(mode="json", exclude={"schema_"})) != _canonical(body):
        return "its document is malformed: a value is not of its type, or a field is missing"
    return _told(data, record, case_id, report) or record


def _told(data: Mapping[str, object], record: CaseRecord, case_id: str, report: Report) -> str:
    """What the fields beside the record say that it does not; empty if nothing."""
    if is_edited(data):
        return f"its document {EDITED.text}"
    if record.case_id != case_id or data.get("case_id") != case_id:
        return "its document is of another case"
    if data.get("run_id") != report.run_id:
        return "its document is of another run"
    if data.get("passed") is not (record.verdict is Verdict.PASSED and report.run_mode != SIMULATED):
        return "its document says something else than its record"
    if data.get("passed") is True and data.get("blockers") != []:
        return "its document is green beside blockers"
    return ""


def _canonical(body: dict[str, object]) -> str:
    # Reading a record takes `"1"` for 1; writing it again shows the difference.
    return json.dumps(body, sort_keys=True, allow_nan=False)


def _bare(row: ReportedCase) -> CaseRecord:
    """A record without acts and services, so that a case that can't be read is counted, and not measured."""
    case_id = row.case_id
    case = Case.of_id(case_id) or Case(case_id, "", Strategy.FULL_REFRESH)
    verdict, reason = row.verdict, row.reason
    if verdict is Verdict.PASSED:
        verdict = Verdict.FAILED
    return CaseRecord.model_validate(
        {
            "case_id": case_id,
            "source": case.source,
            "sink": case.sink,
            "strategy": case.strategy,
            "via": case.via,
            "verdict": verdict,
            "reason": reason if verdict is Verdict.NOT_RUN else None,
            "detail": row.detail,
            "rows": row.rows,
            "seconds": row.seconds,
        }
    )
