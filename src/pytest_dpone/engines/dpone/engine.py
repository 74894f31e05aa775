"""The engine `dpone`: Postgres to Postgres, a process per run in dpone's own environment."""

from __future__ import annotations

import os
from pathlib import Path

from ...core.model import Case
from ...core.wire import Job, RunFacts, Support
from ...errors import UsageError
from ..command import CommandEngine
from .environment import Environment

_MOVER = Path(__file__).with_name("mover.py")


_HINT = "that is what dpone says itself; docs/findings.md tells what it is known to stop at"


class DponeEngine:
    """Implements `core.wire.Engine`. Needs what `pytest-dpone engine install dpone` installs."""

    name = "dpone"

    def __init__(self, environment: Environment | None = None) -> None:
        environment = environment or Environment.of(os.environ)
        if not environment.ready:
            raise UsageError(
                f"dpone is not installed in {environment.folder}", hint="run: pytest-dpone engine install dpone"
            )
        self._program = CommandEngine(
            (str(environment.python), str(_MOVER)), scratch="pytest-dpone-engine-", called="dpone", hint=_HINT
        )

    def supports(self, case: Case) -> Support:
        """All strategies from Postgres to Postgres: dpone says that it has them."""
        if (case.source, case.sink) != ("postgres", "postgres"):
            reason = "excluded: this engine drives dpone from Postgres to Postgres only"
            return Support(status="unsupported", reason=reason)
        return Support(status="supported", own_columns=("__dpone__*",))

    def run(self, job: Job) -> RunFacts:
        """Run one manifest of dpone. Raises `EngineFailed` with the end of what dpone told."""
        return self._program.run(job)
