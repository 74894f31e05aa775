"""A reader that polls a table while an engine works, and remembers every state that it saw."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import TracebackType

from ..core.kinds import ID
from ..services.catalog import Fingerprint
from .stage import Stage


@dataclass(slots=True)
class Poll:
    """Polls from its own connection in its own thread, from before the engine starts until after it ends.

    `seen` has each distinct state, None for "there is no such table"; `count` is how often the reader looked,
    `meanwhile` how often from the first look to the last, both excluded; `error` tells why it could not read.
    """

    stage: Stage
    table: str
    column: str = ""
    """Whose sum is looked at; by default that of the rows' numbers."""
    seen: set[Fingerprint | None] = field(default_factory=set)
    count: int = 0
    error: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)
    _first: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Poll:
        self._thread = threading.Thread(target=self._work, name="dpone-poll", daemon=True)
        self._thread.start()
        if not self._first.wait(timeout=30):
            self.error = "the polling reader got no answer in 30 s, before the engine had started"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
            if self._thread.is_alive():
                self.error = self.error or "the polling reader was still blocked 30 s after the engine had ended"

    @property
    def meanwhile(self) -> int:
        """Looks while the engine ran."""
        return max(0, self.count - 2)

    def _work(self) -> None:
        try:
            self._read()
        except Exception as error:
            self.error = f"the polling reader failed: {type(error).__name__}: {error}"
        finally:
            self._first.set()

    def _read(self) -> None:
        reader = self.stage.hands[self.stage.case.sink].open()
        column = self.column or ID
        try:
            while True:
                last = self._stop.is_set()
                self.seen.add(reader.fingerprint(self.stage.sink_space, self.table, column))
                self.count += 1
                self._first.set()
                if last:
                    return
                self._stop.wait(0.002)
        finally:
            reader.disconnect()
