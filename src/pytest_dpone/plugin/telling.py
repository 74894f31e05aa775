"""What this process is playing, told to whoever draws it: kept here, and by a worker in a file that is its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..report.live import Playing

if TYPE_CHECKING:
    from ..run.step import OnStep, Step

INVITATION = "dpone_progress"
"""Where a worker finds the name of its file in what xdist hands to it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a process says: how many cases there are for all processes, and which one it plays."""

    total: int = 0
    playing: Playing | None = None


class Teller:
    """Of one process. `file`: where a worker says it, since nothing else of it arrives before its test has ended."""

    def __init__(self, file: Path | None = None) -> None:
        self.told = Told()
        self._file = file

    def count(self, total: int) -> None:
        """Say how many cases were collected."""
        self._tell(Told(total))

    @contextmanager
    def playing(self, name: str) -> Iterator[OnStep]:
        """Say that a case is being played; what is given hears of its steps."""
        since, total = time.monotonic(), self.told.total

        def on_step(step: Step) -> None:
            self._tell(Told(total, Playing(name, step.name, step.number, step.of, since, time.monotonic())))

        try:
            yield on_step
        finally:
            self._tell(Told(total))

    def _tell(self, told: Told) -> None:
        self.told = told
        if self._file is None:
            return
        # What can't be told is not worth a case.
        with suppress(OSError, ValueError):
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(asdict(told)))
            new.replace(self._file)


def read(file: Path) -> Told | None:
    """What a worker says, or None."""
    try:
        data = json.loads(file.read_text())
        playing = data["playing"]
        return Told(int(data["total"]), Playing(**playing) if playing is not None else None)
    except (OSError, ValueError, TypeError, KeyError):
        return None
