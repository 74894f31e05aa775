"""What is asked of a vendor's system before anything is moved: addresses that are whole, a door with a lock, TLS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from pydantic import SecretStr

from ..errors import require
from .table import SERVICES

_TLS = {"clickhouse": "clickhouses", "minio": "s3s", "schema_registry": "https", "kafka": "kafkas", "mssql": "mssqls"}
"""Service → the scheme of an address with TLS. Postgres is asked itself."""


def missing_addresses(names: Sequence[str], external: Mapping[str, SecretStr]) -> list[str]:
    """What of the addresses of `names` is missing: whole addresses by their variable, and passwords."""
    found = []
    for name in names:
        variables = SERVICES[name].variables or (f"DPONE_{name.upper()}_URL",)
        if name not in external:
            found.append(f"{variables[0]} is not set")
        elif not urlsplit(external[name].get_secret_value()).password:
            found.append(f"{variables[0]} has no password")
    return found


def with_password(url: str, password: str) -> str:
    """`url` with another password, e.g. a wrong one."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    user = login.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def is_encrypted(service: str, url: str) -> bool:
    """If the connection that the address leads to is encrypted: asked of Postgres, told by the scheme elsewhere."""
    if service != "postgres":
        return urlsplit(url).scheme == _TLS.get(service)
    if parse_qs(urlsplit(url).query).get("sslmode", [""])[-1] == "disable":
        return False
    psycopg: Any = require("psycopg", extra="postgres")
    with psycopg.connect(url, connect_timeout=10, application_name="pytest-dpone") as connection:
        row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    return row is not None and row[0] is True
