"""The secrets of addresses: how they may be spelled, and text without them. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit

_SHORTEST = 3
"""Characters: replacing shorter secrets would tear words apart, and they protect nothing."""
_SHORTEST_KEY = 8
"""Characters of an S3 access key. It is half of a secret; a shorter one is a plain name, such as `dpone`."""
_TELLING = ("pass", "secret", "token", "key")


def redact(url: str) -> str:
    """`url` without its user name, password and query: safe for logs and errors."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] if "," in parts.netloc else _host(parts)
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return f"{host}:{parts.port}" if parts.port else host


class Scrubber:
    """Knows secrets and replaces them with `***`."""

    def __init__(self, urls: Iterable[str] = ()) -> None:
        """`urls` are addresses whose passwords, S3 keys and telling parameters are secret."""
        self._secrets: set[str] = set()
        for url in urls:
            self.add_url(url)

    def add(self, secret: str) -> None:
        """Learn one secret, as written, decoded and percent-encoded."""
        for form in (secret, unquote(secret), quote(unquote(secret), safe="")):
            if len(form) >= _SHORTEST:
                self._secrets.add(form)

    def add_url(self, url: str) -> None:
        """Learn the secrets of an address. One that can't be taken apart is a secret as a whole."""
        try:
            parts = urlsplit(url)
            key = unquote(parts.username or "") if parts.scheme.startswith("s3") else ""
            values = [parts.password, parts.username if len(key) >= _SHORTEST_KEY else None]
            query = parse_qsl(parts.query)
        except ValueError:
            self.add(url)
            return
        values += [value for name, value in query if any(word in name.lower() for word in _TELLING)]
        for value in values:
            self.add(value or "")
        for _, value in query:
            if "://" in value:
                # such as the address of Kafka's registry, which is percent-encoded as a whole
                self.add_url(value)
                self.add(quote(value, safe=""))

    @property
    def known(self) -> frozenset[str]:
        """Every spelling that is replaced. Not for logs."""
        return frozenset(self._secrets)

    def __call__(self, text: str) -> str:
        """`text` without any secret."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text
