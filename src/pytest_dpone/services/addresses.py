"""Addresses of servers that somebody else runs: from the environment, and what makes one of a service."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import SecretStr

from ..errors import UsageError
from . import kafka_address
from .table import SERVICES

SESSION_VARIABLE = "DPONE_MINIO_TOKEN"
"""The variable with a session token of S3."""


def external_from_environ(environ: Mapping[str, str]) -> dict[str, SecretStr]:
    """Addresses of services that somebody else runs, from `DPONE_<SERVICE>_URL`.

    Postgres may also be given in parts: `DPONE_POSTGRES_HOST` with `_PORT`, `_USER`, `_PASSWORD`, `_DATABASE`. So may
    Kafka: `DPONE_KAFKA_BOOTSTRAP` with `_USER`, `_PASSWORD`, `_SASL`, `_TLS`, `_CA`. `DPONE_MINIO_TOKEN` is a session
    token. Raises `UsageError` if it is given twice.
    """
    found = {
        service.name: SecretStr(environ[variable])
        for service in SERVICES.values()
        for variable in service.variables
        if environ.get(variable)
    }
    if "postgres" not in found and environ.get("DPONE_POSTGRES_HOST"):
        found["postgres"] = SecretStr(_postgres_from_parts(environ))
    if "kafka" not in found and (kafka := kafka_address.from_parts(environ)):
        found["kafka"] = SecretStr(kafka)
    if "minio" in found and (token := environ.get(SESSION_VARIABLE)):
        found["minio"] = SecretStr(_with_token(found["minio"].get_secret_value(), token))
    return found


def check_address(name: str, url: str) -> None:
    """Raise `UsageError`, without the address, for one that can't be of the service `name`."""
    if name == "kafka":
        kafka_address.parse_address(url)
        return
    service = SERVICES[name]
    form = f"{service.scheme}://user:password@host:port"
    try:
        parts = urlsplit(url)
        good = parts.scheme in (service.scheme, *service.other_schemes) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        # The address may hold a password, so it is not shown.
        raise UsageError(f"the address of {name} can't be read", hint=f"its form is {form}")
    if parts.path.strip("/") and not service.database and not service.below_path:
        raise UsageError(
            f"the address of {name} names a database or bucket",
            hint=f"leave it out, a run makes its own: the form is {form}",
        )


def _with_token(url: str, token: str) -> str:
    base, mark, query = url.partition("?")
    if "token" in dict(parse_qsl(query)):
        raise UsageError(
            f"DPONE_MINIO_URL has a token, and {SESSION_VARIABLE} has one", hint="give the session token in one of them"
        )
    return f"{base}?{query}{'&' if mark and query else ''}token={quote(token, safe='')}"


def _postgres_from_parts(environ: Mapping[str, str]) -> str:
    def part(name: str, default: str) -> str:
        return environ.get(f"DPONE_POSTGRES_{name}") or default

    user, password = quote(part("USER", "postgres"), safe=""), quote(part("PASSWORD", ""), safe="")
    login = f"{user}:{password}" if password else user
    host = part("HOST", "")
    host = f"[{host}]" if ":" in host else host
    return f"postgresql://{login}@{host}:{part('PORT', '5432')}/{quote(part('DATABASE', 'postgres'), safe='')}"
