"""The API's server: every kind comes through as it was, every fault comes where it should, and nobody walks in."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import Commit, Dataset, DatasetSpec
from pytest_dpone.core.diff import compare
from pytest_dpone.core.kinds import KINDS, Field, TableSchema, arrow_type
from pytest_dpone.core.oracle import expect_source
from pytest_dpone.errors import DponeError
from pytest_dpone.services.catalog import Catalog, Witness
from pytest_dpone.services.catalog.api import ApiCatalog
from pytest_dpone.services.embedded.api_faults import LIMITED_EVERY, TOKEN_LASTS, Conduct
from pytest_dpone.services.embedded.api_json import rows_as_json
from pytest_dpone.services.embedded.api_store import ApiError, Filter, from_cursor, page_of, to_cursor

SMALL = TableSchema(
    (
        Field("id", "int64", nullable=False),
        Field("at", "timestamptz", nullable=False),
        Field("day", "date", nullable=False),
        Field("note", "text"),
    ),
    cursor="at",
    partition="day",
)


def some(count: int) -> pa.Table:
    return pa.table(
        {
            "id": range(count),
            "at": pa.array([datetime(2024, 1, 1, 0, 0, i, tzinfo=UTC) for i in range(count)]),
            "day": pa.array([datetime(2024, 1, 1 + i % 4, tzinfo=UTC).date() for i in range(count)]),
            "note": pa.array([None if i % 3 == 0 else f"row {i}" for i in range(count)]),
        },
        schema=SMALL.arrow(),
    )


@pytest.fixture
def catalog(api_url: SecretStr) -> Iterator[ApiCatalog]:
    catalog = ApiCatalog(api_url)
    catalog.open("space")
    yield catalog
    catalog.disconnect()


class Caller:
    """A client that does exactly what a test says."""

    def __init__(self, url: SecretStr) -> None:
        self._place = url.get_secret_value().rpartition("@")[2]
        self.token = ""

    def ask(
        self, path: str, *, method: str = "GET", login: str = "", **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection(self._place, timeout=10)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        basic = base64.b64encode(login.encode()).decode()
        sent["Authorization"] = f"Basic {basic}" if login else f"Bearer {self.token}"
        connection.request(method, path, headers=sent)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), json.loads(body) if body else None

    def login(self) -> None:
        status, _, told = self.ask("/v1/token", method="POST", login="dpone:canary-7f3")
        assert status == 200
        self.token = told["access_token"]

    def rows(self, query: str, **headers: str) -> tuple[int, dict[str, str], Any]:
        """With a fresh token, and again after a 429 or 500."""
        while True:
            self.login()
            answer = self.ask(f"/v1/space/tables/orders/rows?{query}", **headers)
            if answer[0] == 429:
                threading.Event().wait(float(answer[1]["Retry-After"]))
            elif answer[0] != 500:
                return answer


@pytest.fixture
def caller(api_url: SecretStr, catalog: ApiCatalog) -> Caller:
    catalog.create("space", "orders", SMALL)
    catalog.load("space", "orders", SMALL, some(24).to_batches())
    return Caller(api_url)


def test_it_is_a_catalog_and_a_witness(catalog: ApiCatalog) -> None:
    held: Catalog = catalog
    assert isinstance(held, Witness)


def test_the_api_has_every_kind() -> None:
    contracts = default_contracts()
    for kind in (*KINDS, "decimal(38,10)"):
        assert contracts.native_type("api", kind) == kind
    for kind, feature in (("text", "nul"), ("date", "before_1900"), ("array<text>", "null_array")):
        assert contracts.holds("api", kind, feature)


def test_the_harness_reads_back_what_it_wrote(catalog: ApiCatalog) -> None:
    dataset = Dataset(
        DatasetSpec(seed=3, rows=60, batch_rows=25), source="api", sink="minio", contracts=default_contracts()
    )
    schema = dataset.schema
    assert catalog.columns("space", "t") == {}
    assert catalog.fingerprint("space", "t", "id") is None
    catalog.create("space", "t", schema)
    assert list(catalog.columns("space", "t").items()) == [(f.name, f.kind) for f in schema.fields]
    assert catalog.load("space", "t", schema, dataset.before()) == 60
    catalog.change("space", "t", schema, dataset.commits())
    wanted = expect_source(dataset, changed=True)
    found = catalog.read("space", "t", schema.fields, order_by=wanted.identity, batch_rows=25)
    diff = compare(wanted.batches(), found, fields=wanted.fields, identity=wanted.identity)
    assert diff.equal
    assert diff.actual_rows == dataset.rows_after
    print_of = catalog.fingerprint("space", "t", "id")
    assert print_of is not None
    assert print_of.rows == dataset.rows_after


def test_a_change_of_rows_that_are_not_there_is_refused(catalog: ApiCatalog, caller: Caller) -> None:
    gone = pa.table({"id": pa.array([99], pa.int64())}, schema=pa.schema([SMALL.arrow().field("id")]))
    with pytest.raises(DponeError, match=r"409: .*a commit names 1 rows by their keys and 0 of them are here"):
        catalog.change("space", "orders", SMALL, [Commit(gone, some(0), some(0))])


def test_a_namespace_goes_with_its_tables(catalog: ApiCatalog, caller: Caller) -> None:
    assert catalog.contents("space") == {"orders": 24}
    catalog.close("space")
    catalog.close("space")
    assert catalog.contents("space") == {}
    caller.login()
    assert caller.ask("/v1/space/tables/orders")[0] == 404


@pytest.mark.parametrize(
    ("kind", "value", "spelled"),
    [
        ("bool", True, "true"),
        ("int16", -7, "-7"),
        ("int64", -(2**63), '"-9223372036854775808"'),
        ("uint64", 2**64 - 1, '"18446744073709551615"'),
        ("float64", 5e-324, "5e-324"),
        ("float64", -0.0, "-0.0"),
        ("float64", float("nan"), '"NaN"'),
        ("float32", float("-inf"), '"-Infinity"'),
        ("float64", float("inf"), '"Infinity"'),
        ("decimal(38,10)", "0.0000000001", '"0.0000000001"'),
        ("text", "a\0\n🙂", '"a\\u0000\\n🙂"'),
        ("text", None, "null"),
        ("binary", b"\x00\xff", '"AP8="'),
        ("date", "0001-01-01", '"0001-01-01"'),
        ("timestamp", "9999-12-31T23:59:59.999999", '"9999-12-31T23:59:59.999999"'),
        ("timestamptz", "1969-12-31T23:59:59.999999Z", '"1969-12-31T23:59:59.999999Z"'),
        ("json", '{"a": 1, "b": 12345678901234567890123}', '{"a": 1, "b": 12345678901234567890123}'),
        ("json", "null", "null"),
        ("array<int64>", [1, None, 2**63 - 1], '["1", null, "9223372036854775807"]'),
        ("array<text>", ["", None], '["", null]'),
        ("array<text>", None, "null"),
    ],
)
def test_spelling(kind: str, value: Any, spelled: str) -> None:
    native = arrow_type(kind)
    texts = kind.startswith(("decimal", "date", "timestamp"))
    column = pa.array([value], pa.string()).cast(native) if texts else pa.array([value], native)
    schema = TableSchema((Field("v", kind),))
    assert rows_as_json(pa.table([column], schema=schema.arrow()), schema) == '[{"v":' + spelled + "}]"


def test_null_of_a_json_column_is_absent() -> None:
    schema = TableSchema((Field("v", "json"),))
    assert rows_as_json(pa.table([pa.array([None], pa.string())], schema=schema.arrow()), schema) == "[{}]"


def test_columns_are_told(caller: Caller) -> None:
    caller.login()
    status, headers, about = caller.ask("/v1/space/tables/orders")
    assert status == 200
    assert headers["ETag"] == '"v2"'
    assert about["columns"][0] == {"name": "id", "kind": "int64", "nullable": False}
    assert (about["key"], about["updated"], about["day"]) == (["id"], "at", "day")


def test_a_whole_table_goes_by_offset_and_a_part_by_cursor(caller: Caller) -> None:
    status, _, page = caller.rows("limit=50")
    assert (status, len(page["rows"]), page["total"], "next" in page) == (200, 3, 24, False)
    found, cursor = [], ""
    while True:
        _, _, page = caller.rows(f"days=2024-01-01/2024-01-03&limit=50{cursor}")
        if "rows" not in page:
            found, cursor = [], ""  # the table has changed
            continue
        found += page["rows"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert sorted(int(row["id"]) for row in found) == [i for i in range(24) if i % 4 < 2]
    _, _, page = caller.rows("updated_since=2024-01-01%2000:00:20.000000Z&days=2024-01-01/2024-01-02")
    assert [row["id"] for row in page["rows"]] == ["20"]


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("cursor=x", 400, "a whole table is paged by offset"),
        ("days=2024-01-01/2024-01-02&offset=1", 400, "a listing with a filter is paged by cursor"),
        ("days=2024-01-01/2024-01-02&cursor=x", 400, "this is no cursor"),
        ("days=2024-01-01", 400, "no interval of days"),
        ("updated_since=yesterday", 400, "'yesterday' is no value of the type timestamp"),
        ("limit=0", 400, "limit must be a number of at least 1"),
        ("page=2", 400, "unknown parameters: page; known are cursor, days, limit, offset, updated_since"),
    ],
)
def test_wrong_questions(caller: Caller, query: str, status: int, told: str) -> None:
    found, _, body = caller.rows(query)
    assert found == status
    assert told in body["error"]


def test_nobody_walks_in(caller: Caller) -> None:
    status, headers, _ = caller.ask("/v1/space/tables/orders")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    for path, method in (("/v1/token", "POST"), ("/admin/version", "GET"), ("/admin/space", "DELETE")):
        assert caller.ask(path, method=method, login="dpone:wrong")[0] == 401
        assert caller.ask(path, method=method)[0] == 401
    caller.login()
    assert caller.ask("/v1/space/tables/orders", method="DELETE")[0] == 404


def test_a_token_expires(caller: Caller) -> None:
    caller.login()
    answers = [caller.ask("/v1/space/tables/orders")[0] for _ in range(TOKEN_LASTS + 1)]
    assert answers == [200] * TOKEN_LASTS + [401]


def test_the_table_changes_while_it_is_listed(caller: Caller, catalog: ApiCatalog) -> None:
    _, first, _ = caller.rows("limit=3")
    etag = first["ETag"]
    assert caller.rows("limit=3", If_None_Match=etag)[0] == 304
    status, headers, _ = caller.rows("limit=3&offset=3", If_Match=etag)
    assert status == 412
    assert headers["ETag"] != etag
    status, _, page = caller.rows("limit=3")
    assert page["rows"][0]["id"] == "1"  # row 0 has moved to the end
    assert caller.rows("limit=3&offset=3", If_Match=headers["ETag"])[0] == 200  # it moves once only
    assert catalog.fingerprint("space", "orders", "id").rows == 24  # type: ignore[union-attr]


def test_a_cursor_is_of_one_version(caller: Caller) -> None:
    _, _, page = caller.rows("days=2024-01-01/2024-02-01&limit=3")
    assert caller.rows(f"days=2024-01-01/2024-02-01&limit=3&cursor={page['next']}")[0] == 412
    other = caller.rows(f"days=2024-01-01/2024-01-09&limit=3&cursor={page['next']}")
    assert (other[0], other[2]["error"]) == (400, "the cursor belongs to a listing with another filter")


def test_a_client_is_held_back_and_watched() -> None:
    conduct = Conduct()
    asked = [conduct.retry_after(10.0) for _ in range(LIMITED_EVERY)]
    assert asked == [None] * (LIMITED_EVERY - 1) + [1]
    assert conduct.retry_after(10.5) == 1
    assert conduct.counts["early"] == 1
    assert conduct.retry_after(11.0) is None
    again = [conduct.retry_after(12.0) for _ in range(LIMITED_EVERY - 1)]
    assert again[-1] == 0
    assert conduct.take() == {"early": 1}
    assert conduct.take() == {}


def test_the_last_page_fails_once_per_listing() -> None:
    conduct = Conduct()
    assert [conduct.fails("a"), conduct.fails("b"), conduct.fails("a"), conduct.fails("a")] == [True, True, False, True]


def test_pages_and_cursors() -> None:
    rows = some(20)
    assert [page_of(rows, start, 1000).rows.num_rows for start in (0, 18)] == [3, 2]
    assert page_of(rows, 18, 1000).next is None
    assert page_of(rows, 0, 2).next == 2
    assert page_of(some(0), 0, 10).next is None
    asked = Filter("x", ("2024-01-01/2024-01-02",))
    assert from_cursor(to_cursor(7, 40, asked), asked) == (7, 40)
    with pytest.raises(ApiError, match="another filter"):
        from_cursor(to_cursor(7, 40, asked), Filter("y"))
