"""What changed between two runs, from the records that they left; no flag of theirs is believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.model import CaseRecord, ServiceRecord, Verdict
from ..errors import ArtifactError, UsageError
from ..evidence.chain import Unverifiable
from .matrix_files import REPORT_FILE, MatrixFiles, read_matrix

Kind = Literal["worse", "better", "other"]

_ORDER: tuple[Kind, ...] = ("worse", "better", "other")
_NONE = "none"
_SLOWER, _SECONDS = 2.0, 1.0
"""A case is told as slower or faster by this factor and by at least these seconds: clocks of shared machines lie."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was `before` and is `after`; `worse` if the second run shows less than the first one."""

    kind: Kind
    subject: str
    what: str
    before: str
    after: str


def read_run(folder: Path) -> MatrixFiles:
    """The matrix of the run whose artifact folder, or whose matrix folder, is `folder`, or of the only run below it.

    Raises `UsageError` if it is none, and `Unverifiable` if what is there can't be believed: a document that is
    missing, was edited, or says something else than the report.
    """
    places = [place for place in (folder / "matrix", folder) if (place / REPORT_FILE).is_file()][:1]
    places = places or sorted(path.parent for path in folder.rglob(REPORT_FILE))
    if not places:
        hint = "name the folder that a run has left, such as test_artifacts/live_certification"
        raise UsageError(f"{folder} has no {REPORT_FILE}", hint=hint)
    if len(places) > 1:
        raise UsageError(f"{folder} has the reports of {len(places)} runs", hint=f"name one, such as {places[-1]}")
    try:
        files = read_matrix(places[0])
    except ArtifactError as error:
        raise Unverifiable(error.fact, hint=error.hint) from None
    problems = [f"{case.case_id}: {case.problem}" for case in files.facts().cases if case.problem]
    if files.edited:
        problems.insert(0, f"{REPORT_FILE} was edited: its content is not what its digest says")
    if problems:
        raise Unverifiable(f"{places[0]} can't be believed: {'; '.join(problems[:3])}", hint="run it again")
    return files


def compare(before: MatrixFiles, after: MatrixFiles) -> tuple[Change, ...]:
    """Every change, what is worse first: of the runs, then of the services, then of the cases in their order."""
    found = (*_runs(before, after), *_services(before, after), *_cases(before, after))
    return tuple(sorted(found, key=lambda change: _ORDER.index(change.kind)))


def same(before: MatrixFiles, after: MatrixFiles, changes: tuple[Change, ...]) -> int:
    """How many cases are in both runs, and in no change."""
    changed = {change.subject for change in changes}
    return len(({r.case_id for r in before.report.cases} & {r.case_id for r in after.report.cases}) - changed)


def _runs(before: MatrixFiles, after: MatrixFiles) -> Iterator[Change]:
    one, two = before.report, after.report
    for name in ("profile", "run_mode", "release", "matrix_size"):
        old, new = str(getattr(one, name)), str(getattr(two, name))
        if old != new:
            yield Change("other", "run", name, old, new)
    for name in ("engine", "seed"):
        values = [{str(getattr(r, name)) for r in files.records() if r.acts} for files in (before, after)]
        old, new = (", ".join(sorted(found)) or _NONE for found in values)
        if old != new:
            yield Change("other", "run", name, old, new)
    had, has = _beside(before), _beside(after)
    for code in sorted(has - had):
        yield Change("worse", "run", "blocker", _NONE, code)
    for code in sorted(had - has):
        yield Change("better", "run", "blocker", code, _NONE)


def _beside(files: MatrixFiles) -> set[str]:
    """The blockers that are of no case of the run."""
    cases = {row.case_id for row in files.report.cases}
    return {code for code in files.report.blockers if code.partition(".")[0] not in cases}


def _services(before: MatrixFiles, after: MatrixFiles) -> Iterator[Change]:
    one, two = _served(before), _served(after)
    for name in dict.fromkeys((*one, *two)):
        old, new = one.get(name, _NONE), two.get(name, _NONE)
        if old != new:
            yield Change("other", name, "service", old, new)


def _served(files: MatrixFiles) -> dict[str, str]:
    return {service.name: _service(service) for service in files.report.services}


def _service(service: ServiceRecord) -> str:
    return f"{service.product} {service.version} ({service.provider}, {service.fidelity})"


def _cases(before: MatrixFiles, after: MatrixFiles) -> Iterator[Change]:
    one, two = _by_id(before), _by_id(after)
    for case_id in dict.fromkeys((*one, *two)):
        old, new = one.get(case_id), two.get(case_id)
        if (was := _word(old)) != (now := _word(new)):
            yield Change(_kind(old, new), case_id, "verdict", was, now)
        elif old is not None and new is not None:
            yield from _inside(old, new)


def _inside(old: CaseRecord, new: CaseRecord) -> Iterator[Change]:
    """What changed in a case whose verdict did not."""
    if old.detail != new.detail:
        yield Change("other", new.case_id, "detail", old.detail or _NONE, new.detail or _NONE)
    if old.rows != new.rows:
        yield Change("other", new.case_id, "rows", str(old.rows), str(new.rows))
    elif abs(new.seconds - old.seconds) >= _SECONDS and not 1 / _SLOWER < _ratio(new, old) < _SLOWER:
        yield Change("other", new.case_id, "seconds", f"{old.seconds:.1f}", f"{new.seconds:.1f}")


def _ratio(new: CaseRecord, old: CaseRecord) -> float:
    return new.seconds / old.seconds if old.seconds else float("inf")


def _by_id(files: MatrixFiles) -> Mapping[str, CaseRecord]:
    return {record.case_id: record for record in files.records()}


def _word(record: CaseRecord | None) -> str:
    if record is None:
        return "not in the run"
    return "known failure" if record.excused else str(record.reason or record.verdict)


def _kind(old: CaseRecord | None, new: CaseRecord | None) -> Kind:
    """A case that passed and does not, or that fails and did not, is worse."""
    was, now = (record.verdict if record is not None else None for record in (old, new))
    if now is Verdict.PASSED:
        return "better"
    if was is now:  # a failure that is known now, or is known no more; another reason not to run
        return "other"
    return "worse" if was is Verdict.PASSED or now is Verdict.FAILED else "other"
