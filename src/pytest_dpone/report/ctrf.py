"""The cases of a run in the Common Test Report Format (ctrf.io), for tools that read that. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from ..core.gates.documents import Stamp
from ..core.model import CaseRecord, NotRun, Verdict

MARK = '"generatedBy": "pytest-dpone"'
_STATUSES = ("passed", "failed", "pending", "skipped", "other")


def ctrf_report(records: Sequence[CaseRecord], stamp: Stamp, *, version: str) -> dict[str, object]:
    """The report as its schema, version 0.0.0, has it: seconds become milliseconds, a case is a test.

    What was not run is never `passed`: `skipped` is what a feature branch may live with, `other` what it may not.
    """
    statuses = [_status(record) for record in records]
    counts = Counter(statuses)
    stop = _milliseconds(stamp.generated_at)
    ends = [(_milliseconds(r.finished_at) - _duration(r)) for r in records if r.finished_at]
    return {
        "reportFormat": "CTRF",
        "specVersion": "0.0.0",
        "generatedBy": "pytest-dpone",
        "timestamp": stamp.generated_at,
        "results": {
            "tool": {"name": "pytest-dpone", "version": version},
            "summary": {
                "tests": len(records),
                **{status: counts[status] for status in _STATUSES},
                "start": min((*ends, stop)),
                "stop": stop,
            },
            "tests": [_test(record, status) for record, status in zip(records, statuses, strict=True)],
            "environment": {"extra": {"run_id": stamp.run_id, "profile": stamp.profile, "run_mode": stamp.run_mode}},
        },
    }


def _test(record: CaseRecord, status: str) -> dict[str, object]:
    extra = {"engine": record.engine, "rows": record.rows, "seed": record.seed, "rerun": record.rerun}
    if record.known is not None:
        extra["known"] = str(record.known)
    message = ": ".join(filter(None, (record.reason, record.detail)))
    return {
        "name": record.case_id,
        "status": status,
        "duration": _duration(record),
        "suite": [record.case.pair],
        "tags": [record.source, record.sink, str(record.strategy)],
        **({"message": message} if message else {}),
        "rawStatus": "known failure" if record.excused else str(record.verdict),
        "extra": extra,
    }


def _status(record: CaseRecord) -> str:
    if record.verdict is not Verdict.NOT_RUN:
        return str(record.verdict)
    return "skipped" if record.reason in (NotRun.UNAVAILABLE, NotRun.NOT_IMPLEMENTED) else "other"


def _duration(record: CaseRecord) -> int:
    return round(record.seconds * 1000)


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)
