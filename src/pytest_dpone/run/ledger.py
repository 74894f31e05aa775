"""The records of a run against its scope: what was planned and left nothing is not run, and never forgotten."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.model import Case, CaseRecord, NotRun, Verdict

_WORST = {Verdict.PASSED: 0, Verdict.NOT_RUN: 1, Verdict.FAILED: 2}


class Ledger:
    """One record per planned case. If a case is certified more than once in a run, the worst record counts."""

    def __init__(self, scope: Iterable[Case]) -> None:
        self._scope = {case.case_id: case for case in scope}
        self._records: dict[str, CaseRecord] = {}

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._scope

    def add(self, record: CaseRecord) -> bool:
        """Take a record; True if it is the one that counts now. Raises `ValueError` for a case outside of the scope."""
        if record.case_id not in self._scope:
            raise ValueError(f"{record.case_id} is not in the scope of this run")
        known = self._records.get(record.case_id)
        if known is not None and _badness(record) <= _badness(known):
            return False
        self._records[record.case_id] = record
        return True

    def crashed(self, case_id: str, *, detail: str) -> CaseRecord:
        """The process that ran the case died: not run, whatever an earlier record of the case says."""
        record = CaseRecord.of(self._scope[case_id], Verdict.NOT_RUN, reason=NotRun.CRASHED, detail=detail)
        self._records[case_id] = record
        return record

    def standing(self, case_id: str) -> CaseRecord:
        """The record that counts for the case; raises KeyError if there is none."""
        return self._records[case_id]

    def recorded(self) -> tuple[CaseRecord, ...]:
        """The records that arrived, in the scope's order."""
        return tuple(self._records[case_id] for case_id in self._scope if case_id in self._records)

    def close(self, *, missing: NotRun, detail: str) -> tuple[CaseRecord, ...]:
        """All planned cases in the scope's order; one without a record is not run, for the reason `missing`."""
        for case_id, case in self._scope.items():
            if case_id not in self._records:
                self._records[case_id] = CaseRecord.of(case, Verdict.NOT_RUN, reason=missing, detail=detail)
        return self.recorded()


def _badness(record: CaseRecord) -> tuple[int, bool]:
    # Among records that did not run, one that a profile may tolerate gives way to one that it may not.
    return _WORST[record.verdict], record.reason is not None and not record.reason.tolerated
