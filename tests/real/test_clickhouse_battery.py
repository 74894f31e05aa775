"""The unmodified clickhouse-connect against our HTTP front: what a client may expect of a ClickHouse server."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import gzip
import importlib.util
import ipaddress
import threading
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from pytest_dpone.core.wire import ServiceInfo

from .clickhouse_client import Connect, code_of, own_database

clickhouse_connect = pytest.importorskip("clickhouse_connect")

pytestmark = pytest.mark.real

ROW = [
    1,
    "it's \t é",
    None,
    dt.date(2024, 1, 2),
    dt.datetime(2024, 5, 6, 7, 8, 9, 123000),
    decimal.Decimal("12.3456"),
    ["x", "y'z"],
    {"k": 1},
    uuid.UUID(int=5),
    "lc",
    1.5,
    True,
]
COLUMNS = (
    "id UInt64, s String, n Nullable(Int32), d Date, ts DateTime64(3), dec Decimal(18,4), a Array(String), "
    "m Map(String,UInt8), u UUID, lc LowCardinality(String), f Float64, b Bool"
)


@pytest.fixture(scope="module")
def database(connect: Connect) -> Iterator[str]:
    with own_database(connect) as name:
        yield name


@pytest.fixture
def client(connect: Connect, database: str) -> Iterator[Any]:
    client = connect(database=database)
    yield client
    client.close()


@pytest.fixture
def table(client: Any) -> str:
    name = f"t_{uuid.uuid4().hex[:8]}"
    client.command(f"CREATE TABLE {name} (id UInt64, s String, v Float64) ENGINE=MergeTree ORDER BY id")
    return name


def test_types_go_and_come_back(client: Any) -> None:
    client.command(f"CREATE TABLE types ({COLUMNS}) ENGINE=MergeTree ORDER BY id")
    assert client.insert("types", [ROW, [2, *ROW[1:]]], column_names="*").written_rows == 2
    assert [list(row) for row in client.query("SELECT * FROM types ORDER BY id").result_rows] == [ROW, [2, *ROW[1:]]]
    assert len(client.query("SELECT * FROM types LIMIT 0").column_names) == 12
    assert client.command("SELECT count() FROM types") == 2


def test_zones_are_kept(client: Any) -> None:
    row = client.query(
        "SELECT toDateTime('2024-01-01 00:00:00','Europe/Berlin') AS a, toNullable(a) AS b, 'x' AS s, [a] AS l, "
        "toDateTime('2024-01-01 00:00:00','Asia/Tokyo') AS tk"
    ).result_rows[0]
    assert [str(value.tzinfo) for value in (row[0], row[4])] == ["Europe/Berlin", "Asia/Tokyo"]
    client.command("CREATE TABLE zones (tz DateTime('Europe/Berlin')) ENGINE=MergeTree ORDER BY tz")
    client.insert("zones", [[dt.datetime(2024, 5, 6, 7, 8, 9)]], column_names=["tz"])
    assert client.query("SELECT tz FROM zones").result_rows[0][0].tzinfo is not None


@pytest.mark.parametrize("form", [False, True])
def test_parameters(connect: Connect, form: bool) -> None:
    values = {"a": 41, "s": "it's \\ \t 'é'", "l": ["a", "b'c"], "d": dt.datetime(2024, 1, 2, 3, 4, 5), "n": None}
    client = connect(form_encode_query_params=form)
    row = client.query(
        "SELECT {a:Int32}+1, {s:String}, {l:Array(String)}, {d:DateTime}, {n:Nullable(Int32)}, {i:Identifier} "
        "FROM (SELECT 5 x)",
        parameters={**values, "i": "x"},
    ).result_rows[0]
    assert row == (42, values["s"], values["l"], values["d"], None, 5)
    client.close()


def test_large_parameters_and_client_side_ones(client: Any) -> None:
    assert client.query("SELECT length({s:String})", parameters={"s": "x" * 200000}).first_row[0] == 200000
    assert client.query("SELECT %(a)s, %(b)s", parameters={"a": 1, "b": "x'y"}).result_rows[0] == (1, "x'y")


def test_settings_hold_for_one_query(client: Any, connect: Connect) -> None:
    question = "SELECT getSetting('max_block_size')"
    assert client.query(question, settings={"max_block_size": 777}).first_row[0] == 777
    assert client.query(question).first_row[0] != 777
    assert connect(settings={"max_threads": 1}).query("SELECT getSetting('max_threads')").first_row[0] == 1


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT 1 SETTINGS foo_bar=1", 115),
        ("SELEC 1", 62),
        ("SELECT * FROM nope", 60),
        ("SELECT throwIf(number=5) FROM numbers(10)", 395),
        ("SELECT nope()", 46),
    ],
)
def test_errors_have_their_codes(client: Any, statement: str, code: int) -> None:
    assert code_of(lambda: client.query(statement)) == code


def test_an_error_has_its_name_and_its_text(client: Any, table: str) -> None:
    with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError) as caught:
        client.query("SELECT * FROM no_such_table")
    assert caught.value.name == "UNKNOWN_TABLE"
    assert "no_such_table" in str(caught.value)
    assert code_of(lambda: client.command(f"INSERT INTO {table} (id) VALUES ('abc')")) in (6, 27, 53)


def test_errors_of_the_login(connect: Connect) -> None:
    assert code_of(lambda: connect(password="zzz")) == 516
    assert code_of(lambda: connect(username="nobody")) == 516
    assert code_of(lambda: connect(database="no_such_db").query("SELECT 1")) == 81


@pytest.mark.parametrize("kind", ["rows", "arrow"])
def test_an_error_after_the_first_rows_is_an_error(client: Any, kind: str) -> None:
    statement = "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)"
    with pytest.raises(Exception, match=r"(?i)395|broken|incomplete|premature|chunk"):
        if kind == "rows":
            with client.query_row_block_stream(statement) as blocks:
                sum(len(block) for block in blocks)
        else:
            with client.query_arrow_stream(statement) as blocks:
                sum(block.num_rows for block in blocks)
    assert client.command("SELECT 1") == 1


def test_empty_results_keep_their_columns(client: Any) -> None:
    assert client.query("SELECT 1 AS x WHERE 0").result_rows == []  # Native has no columns without rows
    assert client.query("SELECT 1 AS x LIMIT 0").column_names == ("x",)
    assert client.query_arrow("SELECT 1 AS x WHERE 0").schema.names == ["x"]


def test_commands(client: Any, table: str) -> None:
    assert type(client.command(f"CREATE TABLE IF NOT EXISTS {table} (a Int8) ENGINE=Memory")).__name__ == "QuerySummary"
    assert client.command(f"SELECT s FROM {table}") == ""
    client.command(f"INSERT INTO {table} FORMAT CSV", data="1,a,1.0\n2,b,2.0\n")
    client.command(f"INSERT INTO {table} VALUES (5,'x',1), (6,'y',2)")
    assert client.command(f"SELECT sum(id) FROM {table}") == 14
    summary = client.command(f"INSERT INTO {table} SELECT number, '', 0 FROM numbers(3)")
    assert summary.written_rows == 3


def test_arrow(client: Any, table: str) -> None:
    rows = pa.table(
        {
            "id": pa.array(range(1000), pa.uint64()),
            "s": [f"r{i}" for i in range(1000)],
            "v": [i * 0.5 for i in range(1000)],
        }
    )
    assert client.insert_arrow(table, rows).written_rows == 1000
    back = client.query_arrow(f"SELECT * FROM {table} ORDER BY id", use_strings=True)
    assert back.to_pydict() == rows.to_pydict()


def test_a_large_arrow_stream_is_whole_and_in_order(client: Any) -> None:
    with client.query_arrow_stream("SELECT number AS n, toString(n) AS s FROM numbers(1000000)") as batches:
        columns = [batch.column("n") for batch in batches]
    assert len(columns) > 3
    assert pa.chunked_array(columns).to_pylist() == list(range(1000000))


def test_streams(client: Any) -> None:
    with client.query_rows_stream("SELECT number FROM numbers(2000000)") as rows:
        assert sum(row[0] for row in rows) == 1999999000000
    lines = client.raw_stream("SELECT number FROM numbers(1000000)", fmt="CSV").read().split()
    assert lines == [str(n).encode() for n in range(1000000)]
    assert client.raw_query("SELECT 1 a", fmt="Parquet")[:4] == b"PAR1"


@pytest.mark.parametrize("packing", [False, "lz4", "zstd", "gzip"])
@pytest.mark.parametrize("count", [1, 100000])
def test_packed_inserts(connect: Connect, database: str, table: str, packing: Any, count: int) -> None:
    client = connect(compress=packing, database=database)
    rows = [[i, "z" * 50, 1.0] for i in range(count)]
    assert client.insert(table, rows, column_names=["id", "s", "v"]).written_rows == count
    assert client.command(f"SELECT sum(id) FROM {table}") == count * (count - 1) // 2
    client.close()


def test_raw_inserts(client: Any, table: str) -> None:
    names = ["id", "s", "v"]
    lines = (f"{i},x,1.0\n".encode() for i in range(100))
    assert client.raw_insert(table, names, lines, fmt="CSV").written_rows == 100
    packed = gzip.compress(b"1,x,1.0\n" * 10)
    assert client.raw_insert(table, names, packed, fmt="CSV", compression="gzip").written_rows == 10
    rows = b'{"id":1,"other":2}\n'
    done = client.raw_insert(table, ["id"], rows, fmt="JSONEachRow", settings={"input_format_skip_unknown_fields": 1})
    assert done.written_rows == 1


def test_sessions_are_apart(connect: Connect) -> None:
    first, second = connect(autogenerate_session_id=True), connect(autogenerate_session_id=True)
    first.command("CREATE TEMPORARY TABLE tt (a Int32)")
    first.command("INSERT INTO tt VALUES (1)")
    assert first.command("SELECT count() FROM tt") == 1
    assert code_of(lambda: second.query("SELECT * FROM tt")) == 60
    first.command("SET max_block_size=555")
    assert first.command("SELECT getSetting('max_block_size')") == 555
    assert second.command("SELECT getSetting('max_block_size')") != 555


def test_small_things(client: Any) -> None:
    assert client.ping() is True
    assert client.query("SELECT 1", settings={"query_id": "my-id-1"}).query_id == "my-id-1"
    assert int(client.query("SELECT count() FROM numbers(1000)").summary["result_rows"]) == 1


def test_external_data(client: Any) -> None:
    from clickhouse_connect.driver.external import ExternalData

    data = ExternalData(file_name="ext", data=b"1\n2\n", fmt="TSV", structure="a Int32")
    assert client.query("SELECT sum(a) FROM ext", external_data=data).first_row[0] == 3
    assert code_of(lambda: client.query("SELECT * FROM ext")) == 60


def test_new_types(client: Any) -> None:
    client.command(
        "CREATE TABLE nt (id Int32, j JSON, v Variant(Int64,String), y Dynamic) ENGINE=MergeTree ORDER BY id"
    )
    client.insert("nt", [[1, {"a": 1, "b": "x"}, 5, "q"]], column_names=["id", "j", "v", "y"])
    assert client.query("SELECT v, y FROM nt").result_rows == [(5, "q")]
    row = client.query("SELECT CAST('a','Enum8(\\'a\\'=1)'), toInt256(5), tuple(1,'x'), [[1],[2]]").first_row
    assert row == ("a", 5, (1, "x"), [[1], [2]])


def test_addresses_old_dates_and_the_names_of_types(client: Any) -> None:
    found = client.query("SELECT toIPv4('1.2.3.4') AS a, toIPv6('::1') AS b, toDate32('1950-01-01') AS c, 1::Bool AS d")
    assert [str(value) for value in found.first_row] == ["1.2.3.4", "::1", "1950-01-01", "True"]
    assert [kind.name for kind in found.column_types] == ["IPv4", "IPv6", "Date32", "Bool"]
    client.command("CREATE TABLE ips (ip IPv4) ENGINE=MergeTree ORDER BY ip")
    client.insert("ips", [[ipaddress.IPv4Address("1.2.3.4")]], column_names=["ip"])
    assert client.query("SELECT ip FROM ips").first_row == (ipaddress.IPv4Address("1.2.3.4"),)


def test_eight_threads_share_one_client(connect: Connect) -> None:
    shared = connect(autogenerate_session_id=False)
    wrong: list[str] = []

    def work(number: int) -> None:
        wrong.extend(f"{number}*{k}" for k in range(30) if shared.command(f"SELECT {number}*{k}") != number * k)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    shared.close()


def test_an_asynchronous_client(services: dict[str, ServiceInfo]) -> None:
    parts = urlsplit(services["clickhouse"].url.get_secret_value())

    async def ask() -> list[int]:
        client = await clickhouse_connect.get_async_client(
            host=parts.hostname, port=parts.port, username=parts.username, password=parts.password
        )
        try:
            answers = await asyncio.gather(*(client.query(f"SELECT {number}") for number in range(10)))
            return [answer.first_row[0] for answer in answers]
        finally:
            await client.close()

    assert asyncio.run(ask()) == list(range(10))


def test_eight_clients_at_once(connect: Connect, database: str, client: Any) -> None:
    client.command("CREATE TABLE threads (i Int32, k Int32) ENGINE=MergeTree ORDER BY (i, k)")
    done: list[int] = []

    def work(number: int) -> None:
        own = connect(database=database)
        for k in range(10):
            own.insert("threads", [[number, k]], column_names=["i", "k"])
            assert own.command(f"SELECT count() FROM threads WHERE i = {number}") == k + 1
        own.close()
        done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(8))


def test_the_engines_files_are_not_roots(client: Any) -> None:
    with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError):
        client.query("SELECT * FROM file('/etc/shadow', 'LineAsString')")
    client.command("INSERT INTO FUNCTION file('own.csv', 'CSV', 'a Int8') SELECT 7")
    assert client.command("SELECT a FROM file('own.csv', 'CSV', 'a Int8')") == 7


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="needs pandas")
def test_data_frames(client: Any, table: str) -> None:
    import pandas as pd

    frame = pd.DataFrame({"id": [1, 2], "s": ["a", "b"], "v": [1.0, 2.0]})
    assert client.insert_df(table, frame).written_rows == 2
    assert len(client.query_df(f"SELECT * FROM {table}")) == 2
