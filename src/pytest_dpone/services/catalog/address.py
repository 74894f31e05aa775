"""Service URLs taken apart, with percent-encoding undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from ...core.secrets import redact
from ...errors import UsageError


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a URL. `repr` shows no password."""

    scheme: str
    host: str
    port: int | None
    user: str
    password: str = field(repr=False)
    options: dict[str, str]

    @property
    def http(self) -> str:
        """`http` or, for schemes with TLS (`clickhouses`, `s3s`), `https`."""
        return "https" if self.scheme in ("clickhouses", "s3s") else "http"


def parse_address(url: str, *, schemes: tuple[str, ...]) -> Address:
    """The parts of `url`. Raises `UsageError`, without the credentials, for another scheme or no host."""
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise UsageError(
            f"{redact(url)!r} is no address of this service",
            hint=f"it looks like {schemes[0]}://user:password@host:port",
        )
    return Address(
        scheme=parts.scheme,
        host=parts.hostname,
        port=parts.port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        options=dict(parse_qsl(parts.query)),
    )
