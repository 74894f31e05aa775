"""The summary of a step on GitHub."""

from __future__ import annotations

from pathlib import Path

from ..report.github import LIMIT, step_summary
from .certification import Outcome

GITHUB_SUMMARY = "GITHUB_STEP_SUMMARY"


def tell_github(outcome: Outcome, path: Path) -> list[str]:
    """Append the summary to the file at `path`, as far as it fits; returns why that did not work, if it did not."""
    try:
        with path.open("ab") as file:
            text = step_summary(
                outcome.decision.headline,
                records=outcome.records,
                blockers=outcome.decision.blockers,
                gates=outcome.gates,
                limit=LIMIT - file.tell(),
            )
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        return [f"{GITHUB_SUMMARY}: {path} can't be written: {error.strerror}"]
    return []
