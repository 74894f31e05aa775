"""A certification under way: records come in, artifacts go out, and in the end there is a decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..core.gates.documents import RELEASE_PACK
from ..core.gates.kills import Kills, summed
from ..core.gates.ruling import GateResult
from ..core.gates.tallies import Tally, tally
from ..core.model import CaseRecord, NotRun, ServiceRecord, Verdict
from ..errors import DponeError
from ..report.terminal import failure_lines
from .ledger import Ledger
from .plan import Plan
from .publication import Publication
from .verdict import Decision, decide, decide_shard


@dataclass(frozen=True, slots=True)
class Cases:
    """How the cases of a run ended, before the gates. The records are without their acts; `problems` are the texts of
    the blockers beside the cases."""

    records: tuple[CaseRecord, ...]
    tallies: Sequence[Tally]
    decision: Decision
    problems: Mapping[str, str]
    failures: Mapping[str, str] = field(default_factory=dict)
    """Case id → all that a person needs about it, of the first red cases."""


Conclude = Callable[[Cases], tuple[GateResult, ...]]
"""Runs the gates over what the cases left; may raise `ArtifactError`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a certification ended: all records of the scope without their acts, the decision, the gates, and what went
    wrong beside the cases."""

    records: tuple[CaseRecord, ...]
    decision: Decision
    problems: tuple[str, ...]
    gates: tuple[GateResult, ...] = ()
    kills: Kills = field(default_factory=Kills)


@dataclass(slots=True)
class Certification:
    """Owns the ledger of one run.

    `scope="planned"`: every case of the plan must have a record. `scope="asked"`: only the cases that some test asked
    for count; that is for runs that certify nothing but what the user's own tests bring along.

    A record is written as it arrives; what is kept of it is what the end needs, for there may be thousands.
    """

    plan: Plan
    publication: Publication
    scope: Literal["planned", "asked"] = "planned"
    accepted_fidelity: tuple[str, ...] = ()
    shard: tuple[int, int] | None = None
    """Which part of a run this is: its place from 1, and how many there are."""
    _ledger: Ledger = field(init=False)
    _tallies: dict[str, Tally] = field(init=False, default_factory=dict)
    _services: dict[ServiceRecord, ServiceRecord] = field(init=False, default_factory=dict)
    _blockers: dict[str, str] = field(init=False, default_factory=dict)
    _failures: dict[str, str] = field(init=False, default_factory=dict)
    _unwritten: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.plan.scope)

    def take(self, text: str) -> CaseRecord:
        """Take a record as JSON, and write its document if it is the one that counts for its case.

        Raises `ValueError` for one that is malformed or outside of the scope.
        """
        record = CaseRecord.model_validate_json(text)
        if self._ledger.add(self._slim(record)):
            self._publish(record)
        return record

    def crashed(self, case_id: str, *, detail: str) -> CaseRecord | None:
        """Note that the process died that ran `case_id`; None if the case is not in the scope."""
        if case_id not in self._ledger:
            return None
        record = self._ledger.crashed(case_id, detail=detail)
        self._publish(record)
        return record

    def block(self, code: str, *, problem: str) -> None:
        """Note what went wrong beside the cases: `code` is a stable blocker, `problem` a text for people."""
        self._blockers.setdefault(code, problem)

    def finish(self, *, missing: NotRun, detail: str, conclude: Conclude | None = None) -> Outcome | None:
        """Close the ledger, write the report, run the gates, decide. None if nothing was in the scope after all."""
        if self.scope == "asked":
            records = self._ledger.recorded()
            if not records and not self._blockers:
                return None
        else:
            records = self._ledger.close(missing=missing, detail=detail)
        tallies = [self._tallies.get(record.case_id) or tally(record) for record in records]
        report = self._decide(records)
        if self.shard is not None:  # nobody may take it for a run
            report = replace(report, passed=False, blockers=(*report.blockers, "scope.shard"))
        self._written(lambda: self._report(records, tallies, report))
        gates: list[GateResult] = []
        if conclude is not None:
            cases = Cases(records, tallies, report, dict(self._blockers), dict(self._failures))
            self._written(lambda: gates.extend(conclude(cases)))
        pack = conclude is not None and self.shard is None
        codes = _codes(gates, pack=pack and self._is_release)
        decision = self._decide(records, blockers=codes, pack=pack)
        kills = summed(each.kills for each in tallies)
        return Outcome(records, decision, tuple(self._blockers.values()), tuple(gates), kills)

    @property
    def _is_release(self) -> bool:
        return self.publication.identity.profile != "local_live"

    def _slim(self, record: CaseRecord) -> CaseRecord:
        services = tuple(self._services.setdefault(service, service) for service in record.services)
        return record.model_copy(update={"acts": (), "services": services})

    def _publish(self, record: CaseRecord) -> None:
        self._tallies[record.case_id] = tally(record)
        self._failures.pop(record.case_id, None)
        if record.acts and record.verdict is not Verdict.PASSED and len(self._failures) < _TOLD_WHOLE:
            self._failures[record.case_id] = "\n".join(line.text for line in failure_lines(record))
        self._written(lambda: self.publication.case(record))

    def _decide(self, records: tuple[CaseRecord, ...], *, blockers: Sequence[str] = (), pack: bool = False) -> Decision:
        identity = self.publication.identity
        profile = identity.profile
        known = list(dict.fromkeys((*self._blockers, *blockers)))
        if self.shard is not None:
            return decide_shard(
                records,
                shard=self.shard,
                profile=profile,
                run_mode=identity.run_mode,
                blockers=known,
                accepted_fidelity=self.accepted_fidelity,
            )
        release = self._is_release
        note = self.plan.note if pack or not release else "; ".join(filter(None, (self.plan.note, _ALONE)))
        return decide(
            records,
            profile=profile,
            matrix_size=self.plan.size,
            run_mode=identity.run_mode,
            blockers=known,
            accepted_fidelity=self.accepted_fidelity,
            pack=pack and release,
            note=note,
        )

    def _report(self, records: tuple[CaseRecord, ...], tallies: Sequence[Tally], decision: Decision) -> object:
        return self.publication.report(
            records,
            tallies,
            decision,
            excluded=self.plan.matrix.excluded,
            matrix_size=self.plan.size,
            accepted_fidelity=self.accepted_fidelity,
        )

    def _written(self, write: Callable[[], object]) -> None:
        """Write; the first failure is noted as a blocker, and nothing more is tried: a disk that is full stays full."""
        if self._unwritten:
            return
        try:
            write()
        except (DponeError, OSError) as error:
            self._unwritten = True
            self.block("artifacts.not_written", problem=str(error))


def _codes(gates: Sequence[GateResult], *, pack: bool) -> list[str]:
    """The blockers of the gates. A gate that failed without one, or no green release pack, is one all the same."""
    codes = [code for gate in gates for code, _ in gate.blockers]
    if not codes:
        codes = [f"{gate.name}.failed" for gate in gates if gate.state == "failed"]
    decided = any(gate.name == RELEASE_PACK.name and gate.state == "passed" for gate in gates)
    return codes if codes or decided or not pack else [f"{RELEASE_PACK.name}.missing"]


_TOLD_WHOLE = 200
"""Red cases whose failures are kept for the page: a run may have thousands."""
_ALONE = "the cases alone, no release decision"
