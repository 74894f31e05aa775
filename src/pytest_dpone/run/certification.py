"""A certification under way: records come in, artifacts go out, and in the end there is a decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ..core.model import CaseRecord, NotRun
from ..errors import ArtifactError
from .ledger import Ledger
from .plan import Plan
from .publication import Publication
from .verdict import Decision, decide


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a certification ended: all records of the scope, the decision, and what went wrong beside the cases."""

    records: tuple[CaseRecord, ...]
    decision: Decision
    problems: tuple[str, ...]


@dataclass(slots=True)
class Certification:
    """Owns the ledger of one run.

    `scope="planned"`: every case of the plan must have a record. `scope="asked"`: only the cases that some test asked
    for count; that is for runs that certify nothing but what the user's own tests bring along.
    """

    plan: Plan
    publication: Publication
    scope: Literal["planned", "asked"] = "planned"
    _ledger: Ledger = field(init=False)
    _blockers: dict[str, str] = field(init=False, default_factory=dict)
    _unwritten: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.plan.scope)

    def take(self, text: str) -> CaseRecord:
        """Take a record as JSON. Raises `ValueError` for one that is malformed or outside of the scope."""
        record = CaseRecord.model_validate_json(text)
        self._ledger.add(record)
        return record

    def crashed(self, case_id: str, *, detail: str) -> CaseRecord | None:
        """Note that the process died that ran `case_id`; None if the case is not in the scope."""
        return self._ledger.crashed(case_id, detail=detail) if case_id in self._ledger else None

    def block(self, code: str, *, problem: str) -> None:
        """Note what went wrong beside the cases: `code` is a stable blocker, `problem` a text for people."""
        self._blockers.setdefault(code, problem)

    def publish(self, record: CaseRecord) -> None:
        """Write the behavior document of the case as it stands in the ledger."""
        standing = self._ledger.standing(record.case_id)
        self._written(lambda: self.publication.case(standing))

    def finish(self, *, missing: NotRun, detail: str) -> Outcome | None:
        """Close the ledger, decide, write what is not written yet. None if nothing was in the scope after all."""
        before = {record.case_id for record in self._ledger.recorded()}
        if self.scope == "asked":
            records = self._ledger.recorded()
            if not records and not self._blockers:
                return None
        else:
            records = self._ledger.close(missing=missing, detail=detail)
        for record in records:
            if record.case_id not in before:
                self.publish(record)
        decision = self._decide(records)
        self._written(lambda: self._report(records, decision))
        return Outcome(records, self._decide(records), tuple(self._blockers.values()))

    def _decide(self, records: tuple[CaseRecord, ...]) -> Decision:
        size = len(self.plan.matrix.planned)
        identity, blockers = self.publication.identity, [*self._blockers]
        return decide(
            records, profile=identity.profile, run_mode=identity.run_mode, matrix_size=size, blockers=blockers
        )

    def _report(self, records: tuple[CaseRecord, ...], decision: Decision) -> object:
        return self.publication.report(
            records, decision, excluded=self.plan.matrix.excluded, matrix_size=len(self.plan.matrix.planned)
        )

    def _written(self, write: Callable[[], object]) -> None:
        """Write; the first failure is noted as a blocker, and nothing more is tried: a disk that is full stays full."""
        if self._unwritten:
            return
        try:
            write()
        except ArtifactError as error:
            self._unwritten = True
            self.block("artifacts.not_written", problem=str(error))
