"""The mock engine: `core.wire.Engine` on tables in memory."""

from __future__ import annotations

from ...core.model import Case
from ...core.wire import SUPPORTED, Job, RunFacts, Support
from ...errors import UsageError
from .contract import unknown_to
from .load import Load, Tap
from .strategy import STRATEGIES, Strategies


class MockEngine:
    """Moves rows between Arrow files of one run. It moves no row of a service, so it proves nothing about one.

    `tap` sees the batches between source and sink, and `strategies` says how rows are loaded: places to break it.
    """

    name = "mock"

    def __init__(self, tap: Tap | None = None, strategies: Strategies = STRATEGIES) -> None:
        self._tap = tap
        self._strategies = strategies

    def supports(self, case: Case) -> Support:
        """Supported where both families have contracts that the engine can keep to."""
        if reason := unknown_to(case.source) or unknown_to(case.sink):
            return Support(status="not implemented yet", reason=reason)
        if case.strategy not in self._strategies:
            return Support(status="not implemented yet", reason=f"the mock engine has no {case.strategy}")
        return SUPPORTED

    def run(self, job: Job) -> RunFacts:
        """Move what the job says. Raises `EngineFailed`, `ValueRejected` or `UsageError`."""
        if job.strategy not in self._strategies:
            raise UsageError(f"the mock engine has no {job.strategy}", hint="ask `supports` before a run")
        return self._strategies[job.strategy](Load(job, self._tap))
