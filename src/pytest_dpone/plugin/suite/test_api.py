"""The service tests of the API: clients are let in with a token only, and each fault that a case relies on comes."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pytest

from pytest_dpone.core.kinds import Field, TableSchema
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.plugin.active import session_or_skip
from pytest_dpone.plugin.fixtures import running_service
from pytest_dpone.services.catalog.api import ApiCatalog

pytestmark = pytest.mark.integration_api

ROWS = 40
SCHEMA = TableSchema(
    (
        Field("id", "int64", nullable=False),
        Field("updated_at", "timestamptz"),
        Field("business_date", "date"),
        Field("note", "text"),
    )
)


class Caller:
    """A client that asks once, and tells what it was answered."""

    def __init__(self, info: ServiceInfo, space: str) -> None:
        self._parts = urlsplit(info.url.get_secret_value())
        self._table = f"/v1/{space}/tables/orders"
        self.token = ""

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, Any]:
        """(status, headers, JSON)."""
        connection = http.client.HTTPConnection(self._parts.hostname or "", self._parts.port, timeout=10)
        try:
            sent = {"Authorization": f"Bearer {self.token}", **{n.replace("_", "-"): v for n, v in headers.items()}}
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def login(self) -> None:
        """Get a token by user and password."""
        login = f"{unquote(self._parts.username or '')}:{unquote(self._parts.password or '')}"
        basic = f"Basic {base64.b64encode(login.encode()).decode()}"
        status, _, told = self.ask("POST", "/v1/token", Authorization=basic)
        assert status == 200
        self.token = told["access_token"]

    def table(self, rest: str = "", **headers: str) -> tuple[int, http.client.HTTPMessage, Any]:
        """The table, or what `rest` names of it."""
        return self.ask("GET", self._table + rest, **headers)


@pytest.fixture
def info(request: pytest.FixtureRequest) -> ServiceInfo:
    """The running service."""
    return running_service(request, "api")


@pytest.fixture
def space(request: pytest.FixtureRequest, info: ServiceInfo) -> Iterator[str]:
    """A namespace of one's own with the table `orders`."""
    name = f"dpone_svc_{session_or_skip(request.config).run_id}_{secrets.token_hex(4)}"
    catalog = ApiCatalog(info.url)
    try:
        catalog.open(name)
        catalog.create(name, "orders", SCHEMA)
        rows = {"id": range(ROWS), **{f.name: [None] * ROWS for f in SCHEMA.fields[1:]}}
        catalog.load(name, "orders", SCHEMA, pa.table(rows, schema=SCHEMA.arrow()).to_batches())
        yield name
        catalog.close(name)
    finally:
        catalog.disconnect()


@pytest.fixture
def caller(info: ServiceInfo, space: str) -> Caller:
    """A client of the namespace."""
    return Caller(info, space)


def test_native_client(caller: Caller) -> None:
    """A client with a token is told the columns; one without is not."""
    assert caller.table()[0] == 401
    caller.login()
    status, headers, about = caller.table()
    assert status == 200
    assert headers["ETag"]
    assert [column["name"] for column in about["columns"]] == [f.name for f in SCHEMA.fields]


def test_error(caller: Caller) -> None:
    """A wrong request is told as an error; it names what is wrong."""
    caller.login()
    status, _, told = caller.table("_not_there")
    assert status == 404
    assert "orders_not_there" in told["error"]


def test_faults(caller: Caller) -> None:
    """Whoever lists the table as it should be done meets each fault, and has each row once."""
    met: set[int] = set()
    seen: list[str] = []
    etag = ""
    while len(seen) < ROWS:
        status, headers, page = caller.table(f"/rows?offset={len(seen)}", **({"If_Match": etag} if etag else {}))
        met.add(status)
        if status == 200:
            etag = headers["ETag"]
            seen += [row["id"] for row in page["rows"]]
        elif status == 401:
            caller.login()
        elif status == 412:
            seen, etag = [], ""
        elif status == 429:
            time.sleep(float(headers["Retry-After"]))
    assert met == {200, 401, 412, 429, 500}
    assert sorted(map(int, seen)) == list(range(ROWS))
