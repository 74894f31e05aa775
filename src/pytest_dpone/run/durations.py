"""Durations of cases from a file that all shards of a run share."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ..core.gates.documents import first_error
from ..core.gates.matrix import SCHEMA_REPORT, Report
from ..core.gates.metrics import read_bounds
from ..core.model import Verdict
from ..core.strict import NotStrict, parse_object
from ..errors import UsageError
from ..evidence.files import Unreadable, read_bytes, sha256

_HINT = (
    "name the certification report of an earlier run, or leave --dpone-durations out: shards are equal in number then"
)


def read_durations(path: Path) -> tuple[dict[str, float], str]:
    """Seconds by case, and the SHA-256 of the file: a certification report of ours, or an object of seconds.

    Of a report the cases count that passed. Raises `UsageError`: shards that guessed would not fit together.
    """
    try:
        raw = read_bytes(path)
        data = parse_object(raw)
        if data.get("schema") != SCHEMA_REPORT:
            return {name: float(value) for name, value in read_bounds(data, what="seconds").items()}, sha256(raw)
        report = Report.model_validate_json(raw, strict=True)
    except Unreadable as error:
        raise UsageError(f"dpone_durations: {path} {error}", hint=_HINT) from None
    except NotStrict as error:
        raise UsageError(f"dpone_durations: {path} is not strict JSON: {error}", hint=_HINT) from None
    except ValidationError as error:
        raise UsageError(f"dpone_durations: {path} is malformed: {first_error(error)}", hint=_HINT) from None
    except UsageError as error:
        raise UsageError(f"dpone_durations: {path}: {error.fact}", hint=_HINT) from None
    return {row.case_id: row.seconds for row in report.cases if row.verdict is Verdict.PASSED}, sha256(raw)
