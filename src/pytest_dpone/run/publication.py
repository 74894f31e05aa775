"""The artifacts of a run: one behavior document per case as it arrives, one certification report at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from ..core.gates.documents import content_sha256
from ..core.gates.kills import summed
from ..core.gates.matrix import SCHEMA_REPORT
from ..core.gates.tallies import Tally
from ..core.model import SCHEMA_BEHAVIOR, CaseRecord, Frozen, NotRun, Verdict
from ..core.registry import Excluded
from ..evidence.artifacts import write_json, write_text
from ..report.markdown import case_markdown, report_markdown
from .origin import Origin
from .verdict import SIMULATED, Decision, blockers_of


class Identity(Frozen):
    """What every artifact of a run says about the run (DESIGN §9)."""

    run_id: str
    profile: str
    run_mode: str
    release: str | None = None
    release_type: str | None = Field(default=None, exclude=True)
    source: Origin = Origin()


@dataclass(frozen=True, slots=True)
class Publication:
    """Writes into one folder. Every method may raise `ArtifactError`."""

    directory: Path
    identity: Identity

    def case(self, record: CaseRecord) -> Path | None:
        """Write `<case_id>__behavior.json` and its Markdown twin; returns the path of the JSON file.

        None, and nothing is written, for a case that showed no behavior: the report has all that there is to say.
        """
        if not has_behavior(record):
            return None
        passed = record.verdict is Verdict.PASSED
        head = self._head(SCHEMA_BEHAVIOR, passed=passed, blockers=blockers_of(record))
        path = self.directory / behavior_name(record.case_id)
        # A record of its own key: its `source` is a family, and the `source` of every artifact is the source tree.
        body = record.model_dump(mode="json", exclude={"schema_"})
        write_json(path, _sealed({**head, "case_id": record.case_id, "record": body}))
        write_text(path.with_suffix(".md"), case_markdown(record, head))
        return path

    @property
    def report_path(self) -> Path:
        """Where the certification report lies."""
        return self.directory / "certification_report.json"

    def report(
        self,
        records: Sequence[CaseRecord],
        tallies: Sequence[Tally],
        decision: Decision,
        *,
        excluded: Sequence[Excluded],
        matrix_size: int,
        accepted_fidelity: Sequence[str] = (),
    ) -> Path:
        """Write `certification_report.json` and its Markdown twin; returns the path of the JSON file.

        `records` may be without their acts: `tallies`, in the same order, know their names.
        """
        head = self._head(SCHEMA_REPORT, passed=decision.passed, blockers=decision.blockers)
        document = {
            **head,
            "word": decision.word,
            "headline": decision.headline,
            "matrix_size": matrix_size,
            "release_type": self.identity.release_type,
            "accepted_fidelity": list(accepted_fidelity),
            "counts": _counts(records),
            "services": services_of(records),
            "mishaps": summed(each.kills for each in tallies).told(),
            "cases": [case_row(record, tally) for record, tally in zip(records, tallies, strict=True)],
            "excluded": [{"case_id": row.case.case_id, "reason": row.reason} for row in excluded],
        }
        write_json(self.report_path, _sealed(document))
        write_text(self.report_path.with_suffix(".md"), report_markdown(records, document))
        return self.report_path

    def _head(self, schema: str, *, passed: bool, blockers: Sequence[str]) -> dict[str, object]:
        if self.identity.run_mode == SIMULATED:  # nobody may take it for a pass, however well it behaved
            passed, blockers = False, [*blockers, "run_mode.simulated"]
        return {
            "schema": schema,
            "passed": passed,
            "blockers": list(blockers),
            "generated_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **self.identity.model_dump(mode="json"),
        }


def _sealed(document: dict[str, object]) -> dict[str, object]:
    return {**document, "content_sha256": content_sha256(document)}


def behavior_name(case_id: str) -> str:
    """A case's file; the ids of a valid registry stay as they are, anything else is spelled out."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else f"%{ord(c):x}" for c in case_id)
    return f"{name}__behavior.json"


def has_behavior(record: CaseRecord) -> bool:
    """If something happened in the case: it was played, or it ended in a way that nobody planned."""
    return bool(record.acts) or _ended_unplanned(record)


def _ended_unplanned(record: CaseRecord) -> bool:
    return record.reason in (None, NotRun.CRASHED, NotRun.SERVICE_DIED)


def _counts(records: Sequence[CaseRecord]) -> dict[str, int]:
    counts = {str(verdict): 0 for verdict in Verdict}
    for record in records:
        counts[str(record.verdict)] += 1
    return counts


def services_of(records: Sequence[CaseRecord]) -> list[dict[str, object]]:
    """What a report says of the services that served these cases, each once."""
    services = {service.model_dump_json(): service for record in records for service in record.services}
    return [service.model_dump(mode="json") for service in sorted(services.values(), key=lambda s: s.name)]


def case_row(record: CaseRecord, tally: Tally) -> dict[str, object]:
    """What a report says of a case."""
    acts = [act.name for act in tally.metrics.acts]
    return {
        "case_id": record.case_id,
        "verdict": str(record.verdict),
        "reason": record.reason and str(record.reason),
        "detail": record.detail,
        "engine": record.engine,
        "rows": record.rows,
        "acts": acts,
        "seconds": record.seconds,
        "known": record.known and record.known.model_dump(mode="json"),
        "behavior": behavior_name(record.case_id) if acts or _ended_unplanned(record) else None,
    }
