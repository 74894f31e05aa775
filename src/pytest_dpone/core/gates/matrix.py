"""The gate over a run's matrix: its report judged again from its cases, and against the documents of its cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from ..model import CaseRecord, KnownFailure, NotRun, Scalar, ServiceRecord, Verdict
from .ruling import RELEASE_PROFILES, ROW, Ruling, Value, green, red

SCHEMA_REPORT = "pytest-dpone/certification-report/v1"

PASSED_THOUGH_KNOWN = "passed_though_known_to_fail"
"""Code of a blocker: an entry of the known failures that is true no more."""

_TOLERATED = (NotRun.UNAVAILABLE, NotRun.NOT_IMPLEMENTED)


@pydantic_dataclass(frozen=True, slots=True, config=ConfigDict(allow_inf_nan=False))
class ReportedCase:
    """One row of a certification report, as far as a gate needs it."""

    case_id: str
    verdict: Verdict
    reason: NotRun | None = None
    seconds: Annotated[float, Field(ge=0)] = 0.0
    rows: Annotated[int, Field(ge=0)] = 0
    behavior: str | None = None
    """Name of the case's document, if it has one."""
    detail: str = ""
    """For people."""
    known: KnownFailure | None = None
    """Set if the project knows the case to fail."""


class Report(BaseModel):
    """`certification_report.json`, as far as a gate needs it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    passed: bool
    blockers: tuple[str, ...]
    run_id: str
    profile: str
    run_mode: str
    release: str | None = None
    generated_at: str
    matrix_size: Annotated[int, Field(ge=1)]
    counts: dict[str, int]
    services: tuple[ServiceRecord, ...] = ()
    cases: tuple[ReportedCase, ...]
    release_type: str | None = None
    accepted_fidelity: tuple[str, ...] = ()
    """What counts beside `real`, in a patch release (DESIGN §8)."""


@pydantic_dataclass(frozen=True, slots=True, config=ROW)
class MatrixCase:
    """A case as its report tells it, and what its own document says (None: there is none, and none is needed)."""

    case_id: str
    verdict: Verdict
    reason: NotRun | None = None
    problem: str = ""
    """What is wrong with the case's document, for people; empty if nothing is."""
    known: KnownFailure | None = None


class MatrixFacts(Value):
    """Input of the gate."""

    profile: str
    run_mode: str
    matrix_size: Annotated[int, Field(ge=1)]
    cases: tuple[MatrixCase, ...]
    fidelities: dict[str, str] = Field(default_factory=dict)
    """Service → fidelity."""
    accepted_fidelity: tuple[str, ...] = ()
    release_type: str | None = None
    strangers: tuple[str, ...] = ()
    """Documents of cases that the report does not name."""
    report_problems: tuple[str, ...] = ()


def judge_matrix(facts: MatrixFacts) -> tuple[Ruling, ...]:
    """One ruling per case; `local_live` tolerates what is unavailable, not implemented or known to fail."""
    release = facts.profile in RELEASE_PROFILES
    rulings = [_case(case, release=release) for case in facts.cases]
    rulings += [red(name, "not_reported", f"{name} is not in the report") for name in facts.strangers]
    rulings += [red("certification_report", "contradicts_itself", text) for text in facts.report_problems]
    names = Counter(case.case_id for case in facts.cases)
    rulings += [red(name, "twice", f"{name} is reported twice") for name, count in names.items() if count > 1]
    if not any(case.verdict is Verdict.PASSED for case in facts.cases):
        rulings.append(red("scope", "nothing_passed", "no case passed"))
    if facts.run_mode == "mock_local":
        rulings.append(red("run_mode", "simulated", "the run was simulated: no real row was moved"))
    if release:
        rulings += _release_rulings(facts)
    return tuple(rulings)


def matrix_facts(
    report: Report,
    documents: Mapping[str, CaseRecord | str],
    *,
    strangers: Sequence[str] = (),
) -> MatrixFacts:
    """Facts from a report and the documents of its cases, by case id: a record, or what is wrong with the document."""
    cases = tuple(
        MatrixCase(
            case_id=row.case_id,
            verdict=row.verdict,
            reason=row.reason,
            problem=_document_problem(row, documents.get(row.case_id)),
            known=row.known,
        )
        for row in report.cases
    )
    return MatrixFacts(
        profile=report.profile,
        run_mode=report.run_mode,
        matrix_size=report.matrix_size,
        cases=cases,
        fidelities={service.name: service.fidelity for service in report.services},
        accepted_fidelity=report.accepted_fidelity,
        release_type=report.release_type,
        strangers=tuple(strangers),
        report_problems=tuple(report_problems(report)),
    )


def report_problems(report: Report) -> list[str]:
    """Where the report's own words do not follow from its cases."""
    counted: Mapping[str, Scalar] = {str(v): sum(case.verdict is v for case in report.cases) for v in Verdict}
    problems = []
    if dict(report.counts) != counted:
        problems.append("the counts are not those of the cases")
    if report.passed and report.blockers:
        problems.append(f"passed is true beside the blocker {report.blockers[0]}")
    if len(report.cases) > report.matrix_size:
        problems.append("it has more cases than the matrix")
    contradicted = [
        case.case_id for case in report.cases if (case.verdict is Verdict.NOT_RUN) != (case.reason is not None)
    ]
    if contradicted:
        problems.append(f"the reason of {contradicted[0]} does not fit its verdict")
    if not report.passed:
        problems.append(f"it is red: {', '.join(report.blockers[:3]) or 'passed is false'}")
    return problems


def report_facts(report: Report) -> MatrixFacts:
    """The report alone, without the documents of its cases."""
    facts = matrix_facts(report, {})
    return facts.model_copy(update={"cases": tuple(replace(case, problem="") for case in facts.cases)})


def _document_problem(row: ReportedCase, document: CaseRecord | str | None) -> str:
    if isinstance(document, str):
        return document
    if document is None:
        return f"its document {row.behavior} is missing" if row.behavior is not None else ""
    if (document.verdict, document.reason) != (row.verdict, row.reason):
        return f"its document says {document.reason or document.verdict}, the report {row.reason or row.verdict}"
    if document.known != row.known:
        return "its document and the report do not say the same of its being known to fail"
    return ""


def _case(case: MatrixCase, *, release: bool) -> Ruling:
    if case.problem:
        return red(case.case_id, "document", f"{case.case_id}: {case.problem}")
    known = None if release else case.known
    if case.verdict is Verdict.PASSED and known is not None:
        return red(case.case_id, PASSED_THOUGH_KNOWN, f"{case.case_id} passed, and is known to fail: {known}")
    if case.verdict is Verdict.PASSED:
        return green(case.case_id, "passed")
    if case.verdict is Verdict.FAILED and known is not None:
        return green(case.case_id, "known failure", text=str(known))
    word = str(case.reason or case.verdict)
    if case.reason in _TOLERATED and not release:
        return green(case.case_id, "tolerated", text=word)
    return red(case.case_id, str(case.verdict), f"{case.case_id}: {word}")


def _release_rulings(facts: MatrixFacts) -> list[Ruling]:
    rulings = []
    if len(facts.cases) < facts.matrix_size:
        text = f"{len(facts.cases)} of {facts.matrix_size} planned cases are in the report"
        rulings.append(red("scope", "reduced", text, expected=facts.matrix_size, actual=len(facts.cases)))
    if not facts.fidelities:
        rulings.append(red("services", "unknown", "the report names no service"))
    if facts.accepted_fidelity and facts.release_type != "patch":
        accepted = ", ".join(facts.accepted_fidelity)
        text = f"only a patch release may accept {accepted} services, and this is {facts.release_type or 'none'}"
        rulings.append(red("accept_fidelity", "not_a_patch", text))
    for name, fidelity in facts.fidelities.items():
        if fidelity in facts.accepted_fidelity:
            rulings.append(green(name, "fidelity accepted", actual=fidelity))
        elif fidelity != "real":
            rulings.append(
                red(name, f"fidelity_{fidelity}", f"{name} was {fidelity}, and a release needs real services")
            )
    return rulings
