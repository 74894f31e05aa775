"""What a real API does to its clients now and then, here at fixed places: 429, 500, 401, 412. And what they do then."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

LIMITED_EVERY = 7
"""Each request for rows with this ordinal is answered 429."""
TOKEN_LASTS = 9
"""Requests that a token is good for."""
SLACK = 0.005
"""Seconds: clocks of two processes, and a sleep that ends a little early."""


@dataclass
class Conduct:
    """One client: what it was answered, and if it waited when it was told to.

    Not random and without a clock, but for the wait: the same requests get the same answers.
    """

    counts: Counter[str] = field(default_factory=Counter)
    """Answers by status, and `requests`, `rows`, `early`, `tokens`."""
    _limited: int = 0
    _until: float = 0.0
    """A request before this moment is too early."""
    _failed: set[object] = field(default_factory=set)

    def retry_after(self, now: float | None = None) -> int | None:
        """The seconds that this request for rows is told to wait; None if it is let in."""
        now = time.monotonic() if now is None else now
        if now < self._until - SLACK:
            self.counts["early"] += 1
            return 1
        self._limited += 1
        if self._limited % LIMITED_EVERY:
            return None
        # The first time a second, then none: a client must read the header, and a run must not take for ever.
        seconds = 1 if self._limited == LIMITED_EVERY else 0
        self._until = now + seconds
        return seconds

    def fails(self, listing: object) -> bool:
        """If the request for the last page of `listing` fails: the first one does, the next one does not."""
        if listing in self._failed:
            self._failed.remove(listing)
            return False
        self._failed.add(listing)
        return True

    def take(self) -> dict[str, int]:
        """What has been counted since the last time."""
        counts, self.counts = dict(self.counts), Counter()
        self._limited = 0
        return counts
