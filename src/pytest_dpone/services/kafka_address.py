"""Addresses of Kafka: `kafka://user:password@host:port,host:port?sasl=…`, and what a client makes of one.

Scheme `kafkas` is TLS. `sasl` is `plain` (the default with a user), `scram-sha-256` or `scram-sha-512`. `ca` names a
file with the authorities to trust. `registry` is the address of a Schema Registry. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ..errors import UsageError

MECHANISMS = ("plain", "scram-sha-256", "scram-sha-512")
FORM = "kafka://user:password@host:port"
_PORT = 9092
_PARTS = ("USER", "PASSWORD", "SASL", "TLS", "CA")


@dataclass(frozen=True)
class KafkaAddress:
    """An address, taken apart."""

    servers: tuple[tuple[str, int], ...]
    secure: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    mechanism: str = "plain"
    authorities: str = ""
    registry: str = field(default="", repr=False)

    @property
    def bootstrap(self) -> str:
        """The servers, as clients take them; without secrets."""
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.servers)


def parse_address(url: str) -> KafkaAddress:
    """Take `url` apart. Raises `UsageError`, whose text shows nothing of it: it may hold a password."""
    try:
        return _parse(url)
    except ValueError:
        raise UsageError("the address of kafka can't be read", hint=f"its form is {FORM}") from None


def client_settings(url: str) -> dict[str, str]:
    """The settings of a confluent-kafka client for `url`; they hold the password."""
    address = parse_address(url)
    protocol = ("SASL_" if address.user else "") + ("SSL" if address.secure else "PLAINTEXT")
    settings = {"bootstrap.servers": address.bootstrap, "security.protocol": protocol}
    if address.user:
        login = {"sasl.username": address.user, "sasl.password": address.password}
        settings |= {"sasl.mechanism": address.mechanism.upper(), **login}
    if address.authorities:
        settings["ssl.ca.location"] = address.authorities
    return settings


def with_registry(url: str, registry: str) -> str:
    """The address `url` of Kafka with the address of its Schema Registry in it."""
    return f"{url}{'&' if urlsplit(url).query else '?'}registry={quote(registry, safe='')}"


def from_parts(environ: Mapping[str, str]) -> str:
    """The address in `DPONE_KAFKA_BOOTSTRAP` (`host:port,host:port`) and its siblings; empty if it is not set."""
    servers = environ.get("DPONE_KAFKA_BOOTSTRAP", "")
    if not servers:
        return ""
    user, password, sasl, tls, authorities = (environ.get(f"DPONE_KAFKA_{name}", "") for name in _PARTS)
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    query = "&".join(
        f"{name}={quote(value, safe='/')}" for name, value in (("sasl", sasl.lower()), ("ca", authorities)) if value
    )
    scheme = "kafkas" if tls.lower() in ("1", "true", "yes", "on") else "kafka"
    return f"{scheme}://{login}{servers}" + (f"?{query}" if query else "")


def _parse(url: str) -> KafkaAddress:
    parts = urlsplit(url)
    login, _, servers = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    mechanism = options.pop("sasl", "plain")
    authorities = options.pop("ca", "")
    registry = options.pop("registry", "")
    good = parts.scheme in ("kafka", "kafkas") and not parts.path.strip("/") and not parts.fragment
    if not good or options or mechanism not in MECHANISMS:
        raise ValueError
    return KafkaAddress(
        servers=tuple(_server(item) for item in servers.split(",")),
        secure=parts.scheme == "kafkas",
        user=unquote(user),
        password=unquote(password),
        mechanism=mechanism,
        authorities=authorities,
        registry=registry,
    )


def _server(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    port = _PORT if parts.port is None else parts.port
    if not parts.hostname or port == 0 or "@" in text:
        raise ValueError
    return parts.hostname, port
