"""The time that a case may take: when it is over, whatever is being done ends, also inside of an engine."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from types import FrameType

from ..errors import UsageError

_AGAIN = 5.0
"""Seconds after which an engine that has swallowed the end hears of it again."""
_NOW = 1e-3


class TimedOut(BaseException):
    """The case's time is over. No `Exception`, as an engine may catch those."""


@dataclass(slots=True)
class Limit:
    """The time limit of one case; it runs from here on. None: there is no limit."""

    seconds: int | None
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = monotonic() + (self.seconds or 0)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raise `TimedOut` in whatever is done inside when the time is over. Main thread only, as signals are.

        A call into foreign code that does not come back hears of it when it does: programs and drivers that wait do.
        """
        if self.seconds is None:
            yield
            return
        if threading.current_thread() is not threading.main_thread():
            raise UsageError(
                "a time limit needs the main thread, and the case runs in another one",
                hint="leave --dpone-case-timeout out, or run pytest in the main thread",
            )
        told = f"timed out after {self.seconds} s"

        inside = True

        def ring(_signal: int, _frame: FrameType | None) -> None:
            if inside:
                raise TimedOut(told)

        before = signal.signal(signal.SIGALRM, ring)
        timer = signal.setitimer(signal.ITIMER_REAL, max(self._end - monotonic(), _NOW), _AGAIN)
        begun = monotonic()
        try:
            try:
                yield
            finally:
                inside = False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if timer[0]:  # somebody else's, such as pytest-timeout's
                signal.setitimer(signal.ITIMER_REAL, max(timer[0] - (monotonic() - begun), _NOW), timer[1])
