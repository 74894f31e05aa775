"""What a simulated run says of itself: it is never told that its cases passed."""

from __future__ import annotations

import pytest

from .records import ATTRIBUTE

Status = tuple[str, str, tuple[str, dict[str, bool]]]


class Simulation:
    """A plugin of the controller, or the only process, of a simulated run."""

    def pytest_report_header(self) -> str:
        """What the run is worth."""
        return "dpone: simulated: the engine mock moves rows between files, no service is started, nothing is certified"

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> Status | None:
        """A test whose case behaved is counted apart from the tests that passed."""
        if report.when == "call" and report.passed and hasattr(report, ATTRIBUTE):
            return "simulated", "~", ("SIMULATED", {"yellow": True})
        return None
