"""Takes secrets out of text that leaves the supervisor: errors and the ends of logs."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

_SHORTEST = 3
"""Characters: replacing shorter secrets would tear words apart, and they protect nothing."""


class Scrubber:
    """Knows the run's secrets and replaces them with `***`."""

    def __init__(self, urls: Iterable[str] = ()) -> None:
        """`urls` are addresses whose passwords and parameters are secret."""
        self._secrets: set[str] = set()
        for url in urls:
            self.add_url(url)

    def add(self, secret: str) -> None:
        """Learn one secret."""
        if len(secret) >= _SHORTEST:
            self._secrets.add(secret)

    def add_url(self, url: str) -> None:
        """Learn an address: itself, its password and its parameters' values, as written and decoded."""
        self.add(url)
        parts = urlsplit(url)
        values = [parts.password or ""]
        values += [
            value for name, value in parse_qsl(parts.query) if "pass" in name.lower() or "secret" in name.lower()
        ]
        for value in values:
            self.add(value)
            self.add(unquote(value))

    def __call__(self, text: str) -> str:
        """`text` without any secret."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text
