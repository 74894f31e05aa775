"""The API as a source: each row once whatever the server does, and a clear word where it can't be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import SecretStr

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import Dataset, DatasetSpec
from pytest_dpone.core.diff import compare
from pytest_dpone.core.kinds import Field, TableSchema
from pytest_dpone.core.oracle import expect_source
from pytest_dpone.core.wire import Endpoint, Job, Window
from pytest_dpone.engines.native import Extract
from pytest_dpone.engines.native.api import ApiSource, Listing
from pytest_dpone.engines.native.api_client import Answer, Client
from pytest_dpone.engines.native.api_rows import parse, to_batch, travel_of
from pytest_dpone.errors import EngineFailed, UsageError
from pytest_dpone.services.catalog.api import ApiCatalog

ROWS = 120
DATASET = Dataset(
    DatasetSpec(seed=9, rows=ROWS, batch_rows=50), source="api", sink="minio", contracts=default_contracts()
)
Opened = Callable[..., ApiSource]


@pytest.fixture
def catalog(api_url: SecretStr) -> Iterator[ApiCatalog]:
    catalog = ApiCatalog(api_url)
    catalog.open("space")
    catalog.create("space", "orders", DATASET.schema)
    catalog.load("space", "orders", DATASET.schema, DATASET.before())
    yield catalog
    catalog.disconnect()


def job(endpoint: Endpoint, **fields: object) -> Job:
    return Job.model_validate(
        {
            "case_id": "c",
            "run_id": "r",
            "strategy": "full_refresh",
            "source": endpoint,
            "sink": endpoint,
            "key": ("id",),
            "cursor": "updated_at",
            "partition": "business_date",
            "state_table": "s",
            "batch_rows": 50,
            **fields,
        }
    )


@pytest.fixture
def opened(catalog: ApiCatalog) -> Iterator[Opened]:
    sources: list[ApiSource] = []

    def open_source(kind: type[ApiSource] = ApiSource, table: str = "orders", **fields: object) -> ApiSource:
        sources.append(kind(job(catalog.endpoint("space", table), **fields)))
        return sources[-1]

    yield open_source
    for source in sources:
        source.close()
        source.close()


def as_canonical(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [c.storage if isinstance(c.type, pa.JsonType) else c for c in batch.columns]
    columns = [c.cast(pa.string()) if isinstance(c.type, pa.UuidType) else c for c in columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def test_every_value_of_every_kind_comes_once_and_exactly(opened: Opened, catalog: ApiCatalog) -> None:
    source = opened()
    assert source.schema.names == DATASET.schema.arrow().names
    batches = list(source.read(Extract()))
    assert all(batch.num_rows <= 50 for batch in batches)
    assert all(batch.schema.equals(source.schema) for batch in batches)
    table = pa.Table.from_batches(batches).sort_by("id")
    uuids = [name for name in table.column_names if isinstance(table.schema.field(name).type, pa.UuidType)]
    assert uuids
    wanted = expect_source(DATASET, changed=False)
    compared = [field for field in wanted.fields if field.name not in uuids]
    rows = (as_canonical(batch) for batch in table.drop_columns(uuids).combine_chunks().to_batches())
    expected = (batch.select([f.name for f in compared]) for batch in wanted.batches())
    assert compare(expected, rows, fields=compared, identity=wanted.identity).equal
    for name in uuids:
        told = pa.concat_arrays([batch.column(name) for batch in wanted.batches()]).to_pylist()
        assert [str(v) if v else v for v in table.column(name).to_pylist()] == told
    met = catalog.witnessed("space")
    assert {"401", "412", "429", "500"} <= met.keys()
    assert "early" not in met


def test_a_part_is_asked_for_and_read_by_cursor(opened: Opened, catalog: ApiCatalog) -> None:
    source = opened()
    everything = pa.Table.from_batches(source.read(Extract()))
    day = Window(start=date(2024, 1, 2), stop=date(2024, 1, 5))
    other = Window(start=date(2024, 1, 8), stop=date(2024, 1, 9))
    catalog.change("space", "orders", DATASET.schema, [])
    found = pa.Table.from_batches(source.read(Extract(days=(day, other))))
    inside = [d for d in everything["business_date"].to_pylist() if day.start <= d < day.stop or d == other.start]
    assert found.num_rows == len(inside) > 8
    since = "2024-03-20 00:00:00.000000Z"
    newer = pa.Table.from_batches(source.read(Extract(since=since)))
    floor = pa.scalar(since).cast(pa.timestamp("us", tz="UTC"))
    assert newer.num_rows == pc.sum(pc.greater_equal(everything["updated_at"], floor)).as_py() > 8
    assert list(source.read(Extract(days=()))) == []


def test_what_the_api_can_not_filter_is_refused(opened: Opened) -> None:
    with pytest.raises(UsageError, match=r"can't be filtered by 'revision'\nhint: it can be by 'updated_at'"):
        list(opened(cursor="revision").read(Extract(since="1")))


def test_an_unknown_table_and_a_wrong_password(opened: Opened, api_url: SecretStr) -> None:
    with pytest.raises(EngineFailed, match="answered 404: there is no table 'nothing'"):
        opened(table="nothing")
    wrong = SecretStr(api_url.get_secret_value().replace("canary-7f3", "canary-wrong"))
    with pytest.raises(EngineFailed, match="gives no token: 401") as caught:
        ApiSource(job(Endpoint(family="api", url=wrong, namespace="space", table="orders")))
    assert "canary" not in str(caught.value)


class _Busy(Client):
    """A server that is never well."""

    status, header = 503, "1"

    def _send(self, method: str, path: str, headers: object) -> Answer:
        if method == "POST":
            return Answer(200, {}, b'{"access_token": "t"}')
        return Answer(self.status, {"retry-after": self.header}, b'{"error": "later"}')

    def pause(self, tried: int) -> float:
        del tried
        return 0.0


@pytest.mark.parametrize(
    ("status", "header", "told"),
    [
        (503, "1", "gave no answer to 10 requests; the last one was 503 later"),
        (401, "1", "gave no answer to 10 requests; the last one was 401 later"),
        (429, "0", "gave no answer to 10 requests; the last one was 429 later"),
        (429, "3600", "asks to come again after '3600'"),
        (429, "Wed, 21 Oct 2015 07:28:00 GMT", "asks to come again after 'Wed, 21 Oct 2015"),
    ],
)
def test_patience_ends(catalog: ApiCatalog, status: int, header: str, told: str) -> None:
    client = type("_This", (_Busy,), {"status": status, "header": header})(catalog.endpoint("space", "orders"))
    with pytest.raises(EngineFailed, match=told) as caught:
        client.get("/v1/space/tables/orders")
    assert "canary" not in str(caught.value)


def test_a_server_that_is_gone(opened: Opened) -> None:
    endpoint = Endpoint(family="api", url=SecretStr("http://u:canary-7f3@127.0.0.1:1"), namespace="s", table="t")

    class Quick(Client):
        def pause(self, tried: int) -> float:
            del tried
            return 0.0

    class Source(ApiSource):
        client = Quick

    with pytest.raises(EngineFailed, match="Connection refused") as caught:
        Source(job(endpoint))
    assert "canary" not in str(caught.value)


def test_a_table_that_never_rests(opened: Opened, catalog: ApiCatalog) -> None:
    class Restless(Listing):
        def page(self, place_in: str | None, etag: str) -> Answer:
            if place_in is not None:
                catalog.load("space", "orders", DATASET.schema, [next(DATASET.before()).slice(0, 1)])
            return super().page(place_in, etag)

    class Source(ApiSource):
        listing = Restless

    with pytest.raises(EngineFailed, match="changed 10 times while it was read"):
        list(opened(Source).read(Extract()))


SCHEMA = pa.schema([("n", pa.int64()), ("f", pa.float64()), ("t", pa.time64("us"))])


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"n": 5, "f": 1.0, "t": None}, pa.ArrowTypeError),
        ({"n": "5.5", "f": 1.0, "t": None}, pa.ArrowInvalid),
        ({"n": "5", "f": "1.0", "t": None}, ValueError),
        ({"n": "5", "f": 1.0, "t": 7}, ValueError),
        ({"n": "5", "f": 1.0}, EngineFailed),
        ({"n": "5", "f": 1.0, "t": None, "more": 1}, EngineFailed),
    ],
)
def test_a_row_that_is_not_as_it_should_be(row: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        to_batch([row], SCHEMA)


def test_numbers_that_a_double_would_change_are_refused() -> None:
    assert parse(b'{"a": 0.1, "b": 12345678901234567890123}') == {"a": 0.1, "b": 12345678901234567890123}
    for text in (b"0.10000000000000000555", b"1e400", b"NaN"):
        with pytest.raises(ValueError, match=r"exactly|not JSON|Infinity"):
            parse(text)
    with pytest.raises(EngineFailed, match="the column 'x' is of the kind 'money'"):
        travel_of("money", "x")


def test_two_sources_at_once(opened: Opened) -> None:
    """Faults of one client's requests don't lose rows of another's."""
    found: list[int] = []
    sources = [opened(), opened()]
    threads = [
        threading.Thread(target=lambda s=source: found.append(sum(b.num_rows for b in s.read(Extract()))))
        for source in sources
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [ROWS, ROWS]


def test_an_empty_table(opened: Opened, catalog: ApiCatalog) -> None:
    catalog.create("space", "empty", TableSchema((Field("id", "int64", nullable=False),)))
    assert list(opened(table="empty").read(Extract())) == []
