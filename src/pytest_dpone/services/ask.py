"""Ask a server a real question with its credentials, and learn its version: the readiness check of every provider."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from ..errors import ServiceFailed, require
from .sigv4 import signed_headers


@dataclass(frozen=True)
class Answer:
    """What a server says about itself."""

    product: str
    version: str
    fidelity: str = "real"
    """How real the server is, as far as it says so itself: `real`, `engine` or `emulated`."""
    emulated: str = ""
    """What is not the vendor's, if the server says that it is a stand-in."""


STAND_IN = "X-Dpone-Stand-In"
"""Header by which our own HTTP servers tell that they stand in for another: `engine; what is emulated`."""


def stand_in(headers: Mapping[str, str]) -> dict[str, str]:
    """Fidelity and what is emulated, as the headers of an answer (names in lower case) tell them."""
    told = headers.get(STAND_IN.lower())
    if told is None:
        return {}
    fidelity, _, emulated = told.partition("; ")
    return {
        "fidelity": "engine" if fidelity == "engine" else "emulated",
        "emulated": emulated or "everything, since it does not say what",
    }


def ask(service: str, url: str, *, timeout: float = 5.0) -> Answer:
    """Send one authenticated query to the server at `url`.

    Raises `ServiceFailed` with the server's own words if it refuses, OSError if it can't be reached. The text holds
    no password.
    """
    return _QUESTIONS[service](url, timeout)


def prove(service: str, url: str, *, timeout: float = 5.0) -> Answer:
    """As `ask`, for a server that we have started ourselves: it is written to and read, where that proves more."""
    if service == "mssql":
        _make_database(url, timeout)
    answer = ask(service, url, timeout=timeout)
    if service in _TRIALS:
        _TRIALS[service](url, timeout)
    return answer


def _postgres(url: str, timeout: float) -> Answer:
    psycopg: Any = require("psycopg", extra="postgres")
    try:
        with psycopg.connect(
            url, connect_timeout=max(2, round(timeout)), application_name="pytest-dpone"
        ) as connection:
            row = connection.execute("SELECT current_setting('server_version')").fetchone()
    except psycopg.Error as error:
        raise ServiceFailed(" ".join(str(error).split()), hint=_hint(str(error))) from None
    return Answer("PostgreSQL", str(row[0]).split()[0])


def _clickhouse(url: str, timeout: float) -> Answer:
    parts = urlsplit(url)
    headers = {"Authorization": _basic(_user(parts, "default"), _password(parts))}
    status, told, body = _get(parts, "/?query=" + quote("SELECT version()"), headers, timeout, default_port=8123)
    text = body.decode(errors="replace").strip()
    if status != 200:
        raise ServiceFailed(f"HTTP {status}: {text[:300]}", hint=_hint(text))
    return Answer("ClickHouse", text, **stand_in(told))


def _mssql(url: str, timeout: float) -> Answer:
    from .mssql import EMULATED, PRODUCT, VERSION, product

    with _mssql_cursor(url, timeout) as cursor:
        cursor.execute(VERSION)
        version, told = cursor.fetchone()
    name = product(str(told or ""))
    if name == PRODUCT:
        return Answer(name, str(version))
    return Answer(name, str(version), "emulated", EMULATED)


def _make_database(url: str, timeout: float) -> None:
    """SQL Server begins with `master` alone, which can keep no track of changes: make the address's own database."""
    from .mssql import creation

    with _mssql_cursor(url, timeout, database="master") as cursor:
        for statement in creation(urlsplit(url).path.strip("/")):
            cursor.execute(statement)


@contextmanager
def _mssql_cursor(url: str, timeout: float, **other: str) -> Iterator[Any]:
    """A cursor of a connection to `url`, with `other` arguments; raises `ServiceFailed` with the server's words."""
    from .mssql import login, told

    pymssql: Any = require("pymssql", extra="mssql")
    try:
        with pymssql.connect(**login(url, timeout=timeout) | other) as connection, connection.cursor() as cursor:
            yield cursor
    except pymssql.Error as error:
        fact, hint = told(error, url)
        raise ServiceFailed(fact, hint=hint or _hint(fact)) from None


def _minio(url: str, timeout: float) -> Answer:
    parts = urlsplit(url)
    status, headers, body = _s3_get(parts, "/", timeout)
    if status != 200:
        text = body.decode(errors="replace")
        code = re.search(r"<Code>(\w+)</Code>", text)
        raise ServiceFailed(f"HTTP {status}: {code[1] if code else text[:300]}", hint=_hint(text))
    product = headers.get("server", "S3").partition("/")[0]
    version = headers.get("server", "").partition("/")[2].split(" ")[0]
    if product == "MinIO":
        version = _minio_version(parts, timeout) or version
    return Answer(product, version or "unknown", **stand_in(headers))


def _schema_registry(url: str, timeout: float) -> Answer:
    status, body = _registry(url, "GET", "/subjects", timeout=timeout)
    if status != 200 or not isinstance(body, list):
        told = body.get("message", "") if isinstance(body, dict) else ""
        hint = "authentication" if status in (401, 403) else ""
        raise ServiceFailed(f"HTTP {status}: {str(told)[:300]}", hint=_hint(hint))
    status, said = _registry(url, "GET", "/v1/metadata/version", timeout=timeout)
    told = said if status == 200 and isinstance(said, dict) else {}  # Confluent's tells its version only
    product, version = str(told.get("product") or "Schema Registry"), str(told.get("version") or "unknown")
    emulated = str(told.get("emulated") or "")
    return Answer(product, version, "emulated" if emulated else "real", emulated)


def _try_schema_registry(url: str, timeout: float) -> None:
    """Register a schema, read it back by its id, and delete it for good."""
    subject, schema = f"/subjects/dpone-ready-{os.urandom(8).hex()}", '"string"'
    status, made = _registry(url, "POST", f"{subject}/versions", {"schema": schema}, timeout=timeout)
    read: object = None
    try:
        if status == 200 and isinstance(made, dict):
            status, read = _registry(url, "GET", f"/schemas/ids/{made['id']}", timeout=timeout)
    finally:
        for permanent in ("", "?permanent=true"):
            _registry(url, "DELETE", subject + permanent, timeout=timeout)
    if status != 200 or not isinstance(read, dict) or read.get("schema") != schema:
        raise ServiceFailed(f"HTTP {status}: a schema was not read back as it was registered", hint=_hint(""))


def _api(url: str, timeout: float) -> Answer:
    parts = urlsplit(url)
    login = {"Authorization": _basic(_user(parts, ""), _password(parts))}
    status, _, body = _get(parts, "/admin/version", login, timeout, default_port=None)
    if status != 200:
        raise ServiceFailed(f"HTTP {status}: {body.decode(errors='replace')[:300]}", hint=_hint("authentication"))
    told = json.loads(body)
    return Answer(str(told["product"]), str(told["version"]))


def _kafka(url: str, timeout: float) -> Answer:
    from .kafka_ask import ask_kafka

    product, version, emulated = ask_kafka(url, timeout)
    return Answer(product, version, "emulated" if emulated else "real", emulated)


def _try_kafka(url: str, timeout: float) -> None:
    from .kafka_ask import prove_kafka

    prove_kafka(url, timeout)


_TRIALS: Mapping[str, Callable[[str, float], None]] = {
    "kafka": _try_kafka,
    "schema_registry": _try_schema_registry,
}

_QUESTIONS: Mapping[str, Callable[[str, float], Answer]] = {
    "postgres": _postgres,
    "clickhouse": _clickhouse,
    "minio": _minio,
    "mssql": _mssql,
    "kafka": _kafka,
    "schema_registry": _schema_registry,
    "api": _api,
}


def _registry(
    url: str, method: str, path: str, content: object = None, *, timeout: float
) -> tuple[int, dict[str, object] | list[object]]:
    """(status, JSON) of a registry; an empty object for an answer that is no JSON."""
    parts = urlsplit(url)
    headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
    if parts.username:
        headers["Authorization"] = _basic(_user(parts, ""), _password(parts))
    body = None
    if content is not None:
        headers["Content-Type"] = "application/vnd.schemaregistry.v1+json"
        body = json.dumps(content).encode()
    target = parts.path.rstrip("/") + path
    status, _, answer = _send(parts, method, target, headers, body, timeout=timeout, default_port=None)
    try:
        said = json.loads(answer)
    except ValueError:
        said = {}
    return status, said if isinstance(said, list | dict) else {}


def _minio_version(parts: SplitResult, timeout: float) -> str:
    """MinIO tells its version to administrators only; empty if it does not tell us."""
    try:
        status, _, body = _s3_get(parts, "/minio/admin/v3/info", timeout)
        return str(json.loads(body)["servers"][0]["version"]) if status == 200 else ""
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _s3_get(parts: SplitResult, path: str, timeout: float) -> tuple[int, dict[str, str], bytes]:
    options = dict(parse_qsl(parts.query))
    headers = signed_headers(
        host=_host_header(parts),
        path=path,
        query="",
        key=_user(parts, ""),
        secret=_password(parts),
        region=options.get("region", "us-east-1"),
        token=options.get("token", ""),
        now=datetime.now(UTC),
    )
    return _get(parts, path, headers, timeout, default_port=9000)


def _get(
    parts: SplitResult, target: str, headers: Mapping[str, str], timeout: float, *, default_port: int | None
) -> tuple[int, dict[str, str], bytes]:
    return _send(parts, "GET", target, headers, None, timeout=timeout, default_port=default_port)


def _send(
    parts: SplitResult,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | None,
    *,
    timeout: float,
    default_port: int | None,
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of the answer; without `default_port` it is the scheme's own."""
    secure = parts.scheme in ("s3s", "clickhouses", "https")
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port or default_port, timeout=timeout)
    try:
        connection.request(method, target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read(1 << 20)
    except http.client.HTTPException as error:
        raise ServiceFailed(f"no HTTP answer: {error!r}", hint="is this the service's HTTP port?") from None
    finally:
        connection.close()


def _host_header(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port or 9000}"


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _user(parts: SplitResult, default: str) -> str:
    return unquote(parts.username or default)


def _password(parts: SplitResult) -> str:
    return unquote(parts.password or "")


def _hint(text: str) -> str:
    lower = text.lower()
    if "accessdenied" in lower:
        return "allow s3:ListAllMyBuckets: the list of buckets is what a server is asked first"
    if "token" in lower:
        return "the session token is wrong or has expired: ask for another, and put it percent-encoded behind ?token="
    if any(word in lower for word in ("password", "authentication", "invalidaccesskeyid", "signaturedoesnotmatch")):
        return "check the user name and the password in the address"
    if "could not translate host" in lower or "name or service not known" in lower or "resolve" in lower:
        return "check the host name in the address"
    if "does not exist" in lower:
        return "check the name of the database in the address"
    return "check the address, and that the server is up"
