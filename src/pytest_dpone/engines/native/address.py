"""Addresses of endpoints, and driver errors told without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from ...core.secrets import redact
from ...core.wire import Endpoint, scrub
from ...errors import DponeError, EngineFailed, UsageError


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of an endpoint's URL, percent-decoded. The password or secret key never shows in `repr`."""

    scheme: str
    host: str
    port: int | None
    user: str
    path: str
    query: dict[str, str]
    password: str = field(repr=False)

    @classmethod
    def of(cls, endpoint: Endpoint) -> Address:
        """The parsed address; raises `UsageError` for a URL without a host."""
        parts = urlsplit(endpoint.url.get_secret_value())
        if not parts.hostname:
            raise UsageError(
                f"the address of the {endpoint.family} endpoint has no host", hint="see the URL forms of `Endpoint`"
            )
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=parts.port,
            user=unquote(parts.username or ""),
            path=unquote(parts.path.strip("/")),
            query={name: values[-1] for name, values in parse_qs(parts.query).items()},
            password=unquote(parts.password or ""),
        )


def place(endpoint: Endpoint) -> str:
    """The endpoint for a person: family, redacted address, namespace and table."""
    return f"{endpoint.family} {redact(endpoint.url.get_secret_value())} {endpoint.namespace}.{endpoint.table}"


@contextmanager
def told(endpoint: Endpoint, doing: str, *, beside: Endpoint | None = None) -> Iterator[None]:
    """Turn a driver's error into `EngineFailed` with the driver's own words, without the secrets of both endpoints."""
    try:
        yield
    except DponeError:
        raise
    except Exception as error:
        urls = [each.url for each in (endpoint, beside) if each is not None]
        words = scrub(str(error) or type(error).__name__, urls)
        raise EngineFailed(
            f"{doing} failed at {place(endpoint)}: {words}", hint="the message above is the driver's own"
        ) from None
