"""ClickHouse's own S3 client against the S3 service: tables that are written, read, partitioned and kept there."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from pytest_dpone.core.wire import ServiceInfo

from .clickhouse_client import Connect, code_of, own_database

boto3 = pytest.importorskip("boto3")
pytest.importorskip("clickhouse_connect")

pytestmark = pytest.mark.real

LARGE = 3_000_000
IN_PARTS = {"s3_min_upload_part_size": 5 << 20, "s3_max_single_part_upload_size": 5 << 20}


@dataclass
class Bucket:
    """A bucket, by boto3 and as ClickHouse names it."""

    s3: Any
    name: str
    url: str
    key: str
    secret: str

    def table(self, path: str, form: str = "Parquet", *, secret: str = "") -> str:
        """The table function of what is at `path`."""
        return f"s3('{self.url}/{path}', '{self.key}', '{secret or self.secret}', '{form}')"


@pytest.fixture
def client(connect: Connect) -> Iterator[Any]:
    with own_database(connect) as name:
        client = connect(database=name, send_receive_timeout=120)
        yield client
        client.close()


@pytest.fixture(scope="module")
def bucket(services: dict[str, ServiceInfo]) -> Iterator[Bucket]:
    from botocore.config import Config

    parts = urlsplit(services["minio"].url.get_secret_value())
    endpoint, key, secret = f"http://{parts.hostname}:{parts.port}", unquote(parts.username or ""), parts.password
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=unquote(secret or ""),
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    name = f"tables-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    yield Bucket(s3, name, f"{endpoint}/{name}", key, unquote(secret or ""))
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", ()):
            s3.delete_object(Bucket=name, Key=found["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture(scope="module")
def written(connect: Connect, bucket: Bucket) -> str:
    """A table of 100,000 rows."""
    client = connect()
    summary = client.command(
        f"INSERT INTO FUNCTION {bucket.table('a.parquet')} SELECT number AS id, toString(number) AS s, "
        "now64(3) AS ts, toDecimal64(number / 3, 4) AS d FROM numbers(100000)"
    )
    client.close()
    assert summary.written_rows == 100000
    return "a.parquet"


@pytest.fixture(scope="module")
def large(connect: Connect, bucket: Bucket) -> str:
    """A table that is uploaded in many parts."""
    client = connect(send_receive_timeout=120)
    summary = client.command(
        f"INSERT INTO FUNCTION {bucket.table('large.parquet')} SELECT number AS id, sipHash64(number) AS h, "
        f"hex(sipHash128(number)) AS s FROM numbers({LARGE})",
        settings=IN_PARTS,
    )
    client.close()
    assert summary.written_rows == LARGE
    return "large.parquet"


def test_what_was_written_is_read(client: Any, bucket: Bucket, written: str) -> None:
    found = client.query(f"SELECT count(), sum(id) FROM {bucket.table(written)}").result_rows
    assert found == [(100000, 4999950000)]


def test_boto3_sees_it(bucket: Bucket, written: str) -> None:
    assert bucket.s3.head_object(Bucket=bucket.name, Key=written)["ContentLength"] > 1000


def test_pyarrow_reads_it(bucket: Bucket, written: str) -> None:
    import pyarrow.parquet as pq

    data = bucket.s3.get_object(Bucket=bucket.name, Key=written)["Body"].read()
    assert pq.read_table(io.BytesIO(data)).num_rows == 100000


def test_an_object_is_not_overwritten_by_chance(client: Any, bucket: Bucket) -> None:
    target = bucket.table("once.parquet")
    client.command(f"INSERT INTO FUNCTION {target} SELECT 1 AS id")
    code_of(lambda: client.command(f"INSERT INTO FUNCTION {target} SELECT 2 AS id"))
    assert client.command(f"SELECT id FROM {target}") == 1


def test_an_object_is_replaced_on_wish(client: Any, bucket: Bucket) -> None:
    target = bucket.table("replaced.parquet")
    client.command(f"INSERT INTO FUNCTION {target} SELECT number AS id FROM numbers(9)")
    client.command(f"INSERT INTO FUNCTION {target} SELECT 1 AS id", settings={"s3_truncate_on_insert": 1})
    assert client.command(f"SELECT count() FROM {target}") == 1


def test_a_new_object_is_put_beside_on_wish(client: Any, bucket: Bucket) -> None:
    for number in range(2):
        client.command(
            f"INSERT INTO FUNCTION {bucket.table('beside.parquet')} SELECT {number} AS id",
            settings={"s3_create_new_file_on_insert": 1},
        )
    assert client.command(f"SELECT count() FROM {bucket.table('beside*.parquet')}") == 2


def test_partitions_are_objects_and_a_pattern_finds_them(client: Any, bucket: Bucket) -> None:
    target = bucket.table("p/{_partition_id}.parquet")
    client.command(f"INSERT INTO FUNCTION {target} PARTITION BY id % 5 SELECT number AS id FROM numbers(50)")
    found = client.query(f"SELECT count(), uniqExact(_path) FROM {bucket.table('p/*.parquet')}").result_rows
    assert found == [(50, 5)]


def test_a_pattern_finds_more_than_a_page_of_objects(client: Any, bucket: Bucket) -> None:
    for number in range(1200):
        bucket.s3.put_object(Bucket=bucket.name, Key=f"m/{number:05d}.csv", Body=b"1\n")
    assert client.command(f"SELECT count() FROM {bucket.table('m/*.csv', 'CSV')}") == 1200


def test_packed_csv(client: Any, bucket: Bucket) -> None:
    target = bucket.table("z.csv.gz", "CSVWithNames")
    client.command(f"INSERT INTO FUNCTION {target} SELECT number AS a FROM numbers(1000)")
    assert client.command(f"SELECT sum(a) FROM {target}") == 499500


def test_a_large_table_is_an_upload_in_parts(bucket: Bucket, large: str) -> None:
    head = bucket.s3.head_object(Bucket=bucket.name, Key=large)
    assert head["ContentLength"] > 50 << 20
    assert "-" in head["ETag"]


def test_a_large_table_is_read_whole(client: Any, bucket: Bucket, large: str) -> None:
    found = client.query(f"SELECT count(), sum(id) FROM {bucket.table(large)} WHERE s != ''").result_rows
    assert found == [(LARGE, LARGE * (LARGE - 1) // 2)]


def test_a_large_table_becomes_one_of_clickhouse(client: Any, bucket: Bucket, large: str) -> None:
    client.command(f"CREATE TABLE t ENGINE=MergeTree ORDER BY id AS SELECT * FROM {bucket.table(large)}")
    assert client.command("SELECT uniqExact(id) FROM t") == LARGE


def test_a_table_that_lives_there(client: Any, bucket: Bucket) -> None:
    engine = bucket.table("e.parquet").replace("s3(", "S3(", 1)
    client.command(f"CREATE TABLE e (id UInt64) ENGINE={engine}")
    client.command("INSERT INTO e VALUES (1), (2)")
    assert client.command("SELECT sum(id) FROM e") == 3


def test_a_wrong_secret_is_refused(client: Any, bucket: Bucket, written: str) -> None:
    assert code_of(lambda: client.command(f"SELECT count() FROM {bucket.table(written, secret='badbadbad')}")) == 499


def test_a_missing_object_is_an_error(client: Any, bucket: Bucket) -> None:
    code_of(lambda: client.command(f"SELECT count() FROM {bucket.table('nope.parquet')}"))


def test_a_disk_of_merge_trees(client: Any, bucket: Bucket) -> None:
    disk = (
        f"disk(type=s3, endpoint='{bucket.url}/disk/', access_key_id='{bucket.key}', "
        f"secret_access_key='{bucket.secret}')"
    )
    client.command(f"CREATE TABLE d (a Int32) ENGINE=MergeTree ORDER BY a SETTINGS disk={disk}")
    client.command("INSERT INTO d VALUES (1), (2)")
    assert client.command("SELECT sum(a) FROM d") == 3
    client.command("DROP TABLE d SYNC")
