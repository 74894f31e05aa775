"""What only one family has: settings and dependencies on Postgres, engines on ClickHouse, manifests on S3."""

from __future__ import annotations

import datetime as dt
import gc
import io
import json
import secrets
import threading
import warnings
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import clickhouse_connect
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql
from pydantic import SecretStr

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.kinds import Field, TableSchema
from pytest_dpone.core.own import OWN, PARQUET_TYPES
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.errors import DponeError, ServiceFailed, ValueRejected
from pytest_dpone.services.catalog import Catalog, Fingerprint, open_catalog
from pytest_dpone.services.catalog.address import parse_address
from pytest_dpone.services.catalog.clickhouse import ClickHouseCatalog
from pytest_dpone.services.catalog.convert import UnreadableColumnError
from pytest_dpone.services.catalog.minio import MinioCatalog
from pytest_dpone.services.catalog.objects import Bucket, ObjectGoneError
from pytest_dpone.services.catalog.postgres import PostgresCatalog

pytestmark = pytest.mark.real

ID_V = TableSchema((Field("id", "int64", nullable=False), Field("v", "text")))


def id_v(*rows: tuple[int, str | None]) -> pa.Table:
    return pa.table({"id": [r[0] for r in rows], "v": [r[1] for r in rows]}, ID_V.arrow())


def read(catalog: Catalog, space: str, table: str, *fields: Field, by: str = "id") -> list[dict[str, Any]]:
    batches = catalog.read(space, table, fields, order_by=[by])
    return [row for batch in batches for row in batch.to_pylist()]


class TestPostgres:
    @pytest.fixture
    def catalog(self, services: dict[str, ServiceInfo]) -> Iterator[PostgresCatalog]:
        made = PostgresCatalog(services["postgres"].url)
        yield made
        made.disconnect()

    @pytest.fixture
    def space(self, catalog: PostgresCatalog) -> Iterator[str]:
        name = f"dpone test {secrets.token_hex(4)}"
        catalog.open(name)
        yield name
        catalog.close(name)

    @pytest.fixture
    def server(self, services: dict[str, ServiceInfo], space: str) -> Iterator[psycopg.Connection]:
        with psycopg.connect(services["postgres"].url.get_secret_value(), autocommit=True) as connection:
            connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(space)))
            yield connection

    def test_wider_types_are_read_as_the_kind(
        self, catalog: PostgresCatalog, space: str, server: psycopg.Connection
    ) -> None:
        columns = "u numeric(20,0), i integer, f double precision, g text, h varchar(40), n numeric, m time(3)"
        server.execute(f"CREATE TABLE t (id bigint, {columns})")
        server.execute("INSERT INTO t VALUES (2)")
        uuid = "00000000-0000-0000-0000-00000000000a"
        values = "1, 18446744073709551615, -7, 1.5, %s, '23:59:59.5', 1.5, '01:02:03.004'"
        server.execute(f"INSERT INTO t VALUES ({values})", (uuid,))
        fields = [Field("id", "int64"), Field("u", "uint64"), Field("i", "int16"), Field("f", "float32")]
        fields += [Field("g", "uuid"), Field("h", "time"), Field("n", "decimal(38,10)"), Field("m", "time")]
        first, second = read(catalog, space, "t", *fields)
        assert list(first.values()) == [
            *(1, 2**64 - 1, -7, 1.5, uuid, dt.time(23, 59, 59, 500000), Decimal("1.5000000000"), dt.time(1, 2, 3, 4000))
        ]
        assert list(second.values()) == [2, None, None, None, None, None, None, None]

    @pytest.mark.parametrize(
        ("native", "literal", "kind"),
        [
            ("numeric", "'NaN'", "decimal(38,10)"),
            ("numeric", "18446744073709551616", "uint64"),
            ("double precision", "0.1", "float32"),
            ("timestamptz", "'infinity'", "timestamptz"),
            ("date", "'0044-03-15 BC'", "date"),
            ("time", "'24:00'", "time"),
            ("bigint[]", "'{{1},{2}}'", "array<int64>"),
        ],
    )
    def test_what_the_kind_cannot_hold_raises(
        self, catalog: PostgresCatalog, space: str, server: psycopg.Connection, native: str, literal: str, kind: str
    ) -> None:
        server.execute(f"CREATE TABLE t (id bigint, v {native})")
        server.execute(f"INSERT INTO t VALUES (1, {literal})")
        with pytest.raises(UnreadableColumnError, match="'v'"):
            read(catalog, space, "t", Field("v", kind))

    def test_a_server_with_much_to_say_does_not_stop_a_load(
        self, catalog: PostgresCatalog, space: str, server: psycopg.Connection
    ) -> None:
        """Nobody reads its notices while rows are sent: once the buffers are full, both sides would wait."""
        server.execute("CREATE TABLE t (id bigint, v tsquery, w text)")  # a query without words is worth a notice
        rows = 80_000
        schema = TableSchema((*ID_V.fields, Field("w", "text")))
        table = pa.table({"id": range(rows), "v": [""] * rows, "w": ["w" * 1000] * rows}, schema.arrow())
        loading = threading.Thread(
            target=catalog.load, args=(space, "t", schema, table.to_batches(20_000)), daemon=True
        )
        loading.start()
        loading.join(60)
        stuck = loading.is_alive()
        if stuck:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%'")
        assert not stuck
        assert catalog.fingerprint(space, "t", "id") == Fingerprint(rows, rows * (rows - 1) // 2)

    def test_settings_of_the_role_do_not_matter(
        self, services: dict[str, ServiceInfo], catalog: PostgresCatalog, space: str
    ) -> None:
        hostile = {"TimeZone": "Asia/Kathmandu", "DateStyle": "German", "extra_float_digits": "-10"}
        hostile |= {"bytea_output": "escape", "search_path": "public", "statement_timeout": "60000"}
        options = quote(" ".join(f"-c {name}={value}" for name, value in hostile.items()))
        url = services["postgres"].url.get_secret_value()
        other = PostgresCatalog(SecretStr(f"{url}{'&' if '?' in url else '?'}options={options}"))
        kinds = {"z": "timestamptz", "d": "date", "f": "float64", "b": "binary"}
        schema = TableSchema(
            (Field("id", "int64", nullable=False), *(Field(name, kind) for name, kind in kinds.items()))
        )
        values = [[1], [dt.datetime(1800, 7, 1, 12)], [dt.date(2021, 2, 3)], [0.1 + 0.2], [b"\0\\a"]]
        rows = pa.table(values, schema.arrow())
        try:
            assert other._connect().execute("SHOW statement_timeout").fetchone() == ("0",)
            other.create(space, "t", schema)
            other.load(space, "t", schema, rows.to_batches())
            assert read(other, space, "t", *schema.fields) == rows.to_pylist()
        finally:
            other.disconnect()
        assert read(catalog, space, "t", *schema.fields) == rows.to_pylist()

    def test_a_connection_that_cannot_be_prepared_is_closed(
        self, services: dict[str, ServiceInfo], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pytest_dpone.services.catalog.postgres.SESSION", ("SELECT 1 / 0",))
        with pytest.raises(psycopg.errors.DivisionByZero):
            PostgresCatalog(services["postgres"].url).open("never")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            gc.collect()
        assert [str(w.message) for w in warned if issubclass(w.category, ResourceWarning)] == []

    def test_an_error_in_the_middle_of_the_rows_is_not_their_end(
        self, catalog: PostgresCatalog, space: str, server: psycopg.Connection
    ) -> None:
        server.execute("CREATE VIEW t AS SELECT id, 1 / (70000 - id) AS v FROM generate_series(1::bigint, 80000) AS id")
        batches = catalog.read(space, "t", [Field("id", "int64"), Field("v", "int64")], order_by=[], batch_rows=1000)
        with pytest.raises(psycopg.errors.DivisionByZero):
            list(batches)

    def test_row_versions_change_when_a_row_is_written(
        self, catalog: PostgresCatalog, space: str, server: psycopg.Connection
    ) -> None:
        catalog.create(space, "t", ID_V)
        catalog.load(space, "t", ID_V, id_v((1, "a"), (2, "b"), (10, "c")).to_batches())
        before = catalog.row_versions(space, "t", "id")
        server.execute("UPDATE t SET v = v WHERE id = 2")
        server.execute("VACUUM FULL t")
        after = catalog.row_versions(space, "t", "id")
        assert before is not None
        assert after is not None
        assert before.schema == pa.schema([("key", pa.int64()), ("version", pa.int64())])
        assert before["key"].to_pylist() == after["key"].to_pylist() == [1, 2, 10]
        changed = [a != b for a, b in zip(before["version"].to_pylist(), after["version"].to_pylist(), strict=True)]
        assert changed == [False, True, False]

    def test_row_versions_by_a_text_key_and_of_no_rows(self, catalog: PostgresCatalog, space: str) -> None:
        catalog.create(space, "t", ID_V)
        empty = catalog.row_versions(space, "t", "v")
        assert empty is not None
        assert empty.num_rows == 0
        catalog.load(space, "t", ID_V, id_v((1, "b"), (2, "B")).to_batches())
        versions = catalog.row_versions(space, "t", "v")
        assert versions is not None
        assert versions["key"].to_pylist() == ["B", "b"]

    def test_close_drops_what_depends_on_each_other(
        self, catalog: PostgresCatalog, space: str, server: psycopg.Connection
    ) -> None:
        for statement in (
            "CREATE TYPE mood AS ENUM ('a'); CREATE DOMAIN short AS text; CREATE TYPE pair AS (a int, b text)",
            'CREATE TABLE "A b" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood, s short, p pair)',
            'CREATE TABLE child (id bigint REFERENCES "A b")',
            'CREATE VIEW "1 view" AS SELECT * FROM "A b"; CREATE MATERIALIZED VIEW seen AS SELECT * FROM "1 view"',
            "CREATE SEQUENCE numbers; CREATE TABLE counted (n bigint DEFAULT nextval('numbers'))",
            "CREATE TABLE split (id bigint) PARTITION BY RANGE (id)",
            "CREATE TABLE part PARTITION OF split FOR VALUES FROM (0) TO (9)",
            'CREATE FUNCTION "f x"(a mood) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
        ):
            server.execute(statement)
        catalog.close(space)
        assert server.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", (space,)).fetchone() == (0,)

    def test_close_names_what_somebody_else_depends_on(
        self, catalog: PostgresCatalog, space: str, server: psycopg.Connection
    ) -> None:
        other = sql.Identifier(f"{space} other")
        server.execute("CREATE TABLE t (id bigint); CREATE TABLE free (id bigint)")
        server.execute(sql.SQL("CREATE SCHEMA {0}; CREATE VIEW {0}.v AS SELECT * FROM t").format(other))
        try:
            with pytest.raises(DponeError) as caught:
                catalog.close(space)
            assert str(caught.value) == (
                f'the schema {space!r} can\'t be emptied: something outside depends on "{space}".t\n'
                "hint: drop what depends on them, then the schema"
            )
            assert server.execute(sql.SQL("SELECT count(*) FROM {}.v").format(other)).fetchone() == (0,)
        finally:
            server.execute(sql.SQL("DROP VIEW {0}.v; DROP SCHEMA {0}").format(other))


class TestClickHouse:
    @pytest.fixture
    def catalog(self, services: dict[str, ServiceInfo]) -> Iterator[ClickHouseCatalog]:
        made = ClickHouseCatalog(services["clickhouse"].url)
        yield made
        made.disconnect()

    @pytest.fixture
    def space(self, catalog: ClickHouseCatalog) -> Iterator[str]:
        name = f"dpone_test_{secrets.token_hex(4)}"
        catalog.open(name)
        yield name
        catalog.close(name)

    @pytest.fixture
    def server(self, services: dict[str, ServiceInfo], space: str) -> Iterator[Any]:
        address = parse_address(services["clickhouse"].url.get_secret_value(), schemes=("clickhouse",))
        client = clickhouse_connect.get_client(
            host=address.host,
            port=address.port or 8123,
            username=address.user,
            password=address.password,
            database=space,
            autogenerate_session_id=False,
        )
        yield client
        client.close()

    @pytest.mark.parametrize(("engine", "rows"), [("ReplacingMergeTree", 2), ("MergeTree", 3)])
    def test_final_on_replacing_engines_only(
        self, catalog: ClickHouseCatalog, space: str, server: Any, engine: str, rows: int
    ) -> None:
        server.command(f"CREATE TABLE t (id Int64, v String) ENGINE = {engine} ORDER BY id")
        server.command("SYSTEM STOP MERGES t")
        for values in ("(1, 'old'), (2, 'b')", "(1, 'new')"):
            server.command(f"INSERT INTO t VALUES {values}")
        assert len(read(catalog, space, "t", *ID_V.fields)) == rows
        fingerprint = catalog.fingerprint(space, "t", "id")
        assert fingerprint is not None
        assert fingerprint.rows == rows

    def test_collapsing_engines_too(self, catalog: ClickHouseCatalog, space: str, server: Any) -> None:
        server.command("CREATE TABLE t (id Int64, v String, s Int8) ENGINE = CollapsingMergeTree(s) ORDER BY id")
        server.command("SYSTEM STOP MERGES t")
        for values in ("(1, 'a', 1), (2, 'b', 1)", "(1, 'a', -1)"):
            server.command(f"INSERT INTO t VALUES {values}")
        assert read(catalog, space, "t", *ID_V.fields) == [{"id": 2, "v": "b"}]

    def test_stand_in_types_are_read_as_the_kind(self, catalog: ClickHouseCatalog, space: str, server: Any) -> None:
        server.command(
            "CREATE TABLE t (id Int64, b String, m Nullable(String), k Time64(6), j JSON, n DateTime64(6, 'UTC'), "
            "z DateTime64(6, 'Asia/Tokyo'), u Nullable(UInt8), g String) ENGINE = MergeTree ORDER BY id"
        )
        server.command(
            "INSERT INTO t SELECT 1, unhex('00FF5C'), '23:59:59.000001', '01:02:03.5', '{\"a\": [1]}', "
            "'2021-03-28 02:30:00.000001', toDateTime64('2021-01-01 09:00:00', 6, 'Asia/Tokyo'), 1, 'not a uuid'"
        )
        kinds = {"id": "int64", "b": "binary", "m": "time", "k": "time", "j": "json", "n": "timestamp"}
        kinds |= {"z": "timestamptz", "u": "bool", "g": "uuid"}
        (row,) = read(catalog, space, "t", *(Field(name, kind) for name, kind in kinds.items()))
        assert json.loads(row.pop("j")) == {"a": [1]}
        assert row.pop("z").isoformat() == "2021-01-01T00:00:00+00:00"
        assert list(row.values()) == [
            *(1, b"\0\xff\\", dt.time(23, 59, 59, 1), dt.time(1, 2, 3, 500000)),
            *(dt.datetime(2021, 3, 28, 2, 30, 0, 1), True, "not a uuid"),
        ]

    def test_bytes_that_are_no_text_raise(self, catalog: ClickHouseCatalog, space: str, server: Any) -> None:
        server.command("CREATE TABLE t (id Int64, v String) ENGINE = MergeTree ORDER BY id")
        server.command("INSERT INTO t SELECT 1, unhex('FF')")
        with pytest.raises(UnreadableColumnError, match="the column 'v' is binary and can't be read as text"):
            read(catalog, space, "t", *ID_V.fields)

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("date", dt.date(1899, 12, 31)),
            ("date", dt.date(2300, 1, 1)),
            ("timestamptz", dt.datetime(1899, 12, 31, 23, 59, 59, 999999)),
            ("timestamptz", dt.datetime(9999, 1, 1)),
        ],
    )
    def test_dates_that_the_server_would_clip_are_rejected(
        self, catalog: ClickHouseCatalog, space: str, kind: str, value: object
    ) -> None:
        schema = TableSchema((Field("id", "int64", nullable=False), Field("v", kind)))
        catalog.create(space, "t", schema)
        rows = pa.table([[1, 2], [value, None]], schema.arrow())
        with pytest.raises(ValueRejected, match="'v' is out of the range 1900-01-01 to 2299-12-31"):
            catalog.load(space, "t", schema, rows.to_batches())
        assert catalog.fingerprint(space, "t", "id") == Fingerprint(0, 0)

    def test_null_arrays_become_empty_as_the_contract_says(self, catalog: ClickHouseCatalog, space: str) -> None:
        schema = TableSchema((Field("id", "int64", nullable=False), Field("v", "array<int64>")))
        catalog.create(space, "t", schema)
        rows = pa.table([[1, 2], [None, [3, None]]], schema.arrow())
        catalog.load(space, "t", schema, rows.to_batches())
        assert [r["v"] for r in read(catalog, space, "t", *schema.fields)] == [[], [3, None]]

    def test_close_drops_views_too(self, catalog: ClickHouseCatalog, space: str, server: Any) -> None:
        server.command("CREATE TABLE t (id Int64) ENGINE = MergeTree ORDER BY id")
        server.command("CREATE VIEW a AS SELECT * FROM t")
        catalog.close(space)
        assert catalog.columns(space, "t") == {}
        assert space not in catalog._connect().command("SHOW DATABASES")

    def test_a_time_without_zone_in_another_zone_is_refused(
        self, catalog: ClickHouseCatalog, space: str, server: Any
    ) -> None:
        server.command("CREATE TABLE t (id Int64, v DateTime64(6, 'Asia/Tokyo')) ENGINE = MergeTree ORDER BY id")
        with pytest.raises(UnreadableColumnError, match="'v' is DateTime64"):
            read(catalog, space, "t", Field("v", "timestamp"))

    def test_row_versions_cannot_be_observed(self, catalog: ClickHouseCatalog, space: str) -> None:
        assert catalog.row_versions(space, "t", "id") is None


class TestMinio:
    @pytest.fixture
    def bucket(self, services: dict[str, ServiceInfo]) -> Iterator[Bucket]:
        made = Bucket(services["minio"].url, name=f"dpone-test-{secrets.token_hex(6)}")
        made.ensure()
        yield made
        made.delete(made.keys(""))
        assert made.drop()
        made.disconnect()

    @pytest.fixture
    def catalog(self, services: dict[str, ServiceInfo], bucket: Bucket) -> Iterator[MinioCatalog]:
        made = MinioCatalog(services["minio"].url, bucket=bucket.name)
        made.open("s")
        yield made
        made.disconnect()

    @staticmethod
    def put(bucket: Bucket, name: str, rows: pa.Table) -> None:
        sink = io.BytesIO()
        pq.write_table(rows, sink)
        bucket.put(f"s/t/{name}", sink.getvalue())

    @staticmethod
    def manifest(bucket: Bucket, *names: str) -> None:
        bucket.put("s/t/_manifest.json", json.dumps({"objects": names, "state": {}}).encode())

    def test_the_manifest_is_the_truth(self, catalog: MinioCatalog, bucket: Bucket) -> None:
        self.put(bucket, "a.parquet", id_v((2, "a")))
        self.put(bucket, "b.bin", id_v((1, "b")))
        self.put(bucket, "stray.parquet", pa.table({"other": [1]}))
        self.manifest(bucket, "a.parquet", "b.bin")
        assert read(catalog, "s", "t", *ID_V.fields) == [{"id": 1, "v": "b"}, {"id": 2, "v": "a"}]
        assert catalog.columns("s", "t") == {"id": "int64", "v": "string"}
        assert catalog.fingerprint("s", "t", "id") == Fingerprint(2, 3)

    def test_without_a_manifest_every_parquet_object_counts(self, catalog: MinioCatalog, bucket: Bucket) -> None:
        self.put(bucket, "a.parquet", id_v((2, "a")))
        self.put(bucket, "x/b.parquet", id_v((1, "b")))
        bucket.put("s/t/notes.txt", b"x")
        bucket.put("s/t2/c.parquet", b"not this table's")
        assert [r["id"] for r in read(catalog, "s", "t", *ID_V.fields)] == [1, 2]

    def test_a_manifest_without_objects_is_an_empty_table(self, catalog: MinioCatalog, bucket: Bucket) -> None:
        self.put(bucket, "a.parquet", id_v((2, "a")))
        self.manifest(bucket)
        assert catalog.fingerprint("s", "t", "id") == Fingerprint(0, 0)
        assert read(catalog, "s", "t", *ID_V.fields) == []

    def test_objects_with_other_columns_raise(self, catalog: MinioCatalog, bucket: Bucket) -> None:
        self.put(bucket, "a.parquet", id_v((2, "a")))
        self.put(bucket, "b.parquet", pa.table({"id": [1], "v": [b"b"]}))
        with pytest.raises(DponeError, match=r"s/t/b\.parquet has the columns .*'v': 'binary'"):
            catalog.columns("s", "t")
        with pytest.raises(DponeError, match="has the columns"):
            read(catalog, "s", "t", *ID_V.fields)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"objects": "a"}', b'{"objects": [1]}', b"{}"])
    def test_a_broken_manifest_raises(self, catalog: MinioCatalog, bucket: Bucket, content: bytes) -> None:
        bucket.put("s/t/_manifest.json", content)
        with pytest.raises(DponeError, match="the manifest of s/t/ can't be read"):
            catalog.fingerprint("s", "t", "id")

    def test_a_named_object_that_is_missing_raises(self, catalog: MinioCatalog, bucket: Bucket) -> None:
        self.manifest(bucket, "lost.parquet")
        with pytest.raises(ServiceFailed, match=r"names the object s/t/lost\.parquet, which does not exist"):
            catalog.columns("s", "t")

    def test_a_swap_in_the_middle_of_a_reading_is_followed(
        self, catalog: MinioCatalog, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.put(bucket, "old.parquet", id_v((1, "old")))
        self.manifest(bucket, "old.parquet")
        real, swaps = Bucket.open, []

        def swap_then_open(self_: Bucket, key: str) -> Any:
            if not swaps:
                swaps.append(key)
                TestMinio.put(bucket, "new.parquet", id_v((5, "new"), (6, "new")))
                TestMinio.manifest(bucket, "new.parquet")
                bucket.delete(["s/t/old.parquet"])
            return real(self_, key)

        monkeypatch.setattr(Bucket, "open", swap_then_open)
        assert catalog.fingerprint("s", "t", "id") == Fingerprint(2, 11)
        assert swaps == ["s/t/old.parquet"]

    def test_a_replaced_object_is_never_read_half_old_half_new(self, bucket: Bucket) -> None:
        bucket.put("k", b"a" * 200_000)
        file = bucket.open("k")
        assert file.read(10) == b"a" * 10
        bucket.put("k", b"b" * 200_000)
        with pytest.raises(ObjectGoneError):
            file.read(10)
        assert file.seek(-5, io.SEEK_END) == 199_995
        assert file.read() == b"aaaaa"
        with pytest.raises(ObjectGoneError):
            bucket.open("none")

    def test_stored_variants_of_a_type_are_read_as_the_kind(self, catalog: MinioCatalog, bucket: Bucket) -> None:
        rows = pa.table(
            {
                "id": pa.array([1, 2], pa.int32()),
                "t": pa.array(["x", None], pa.large_string()),
                "u": pa.array([bytes(16), None], pa.binary(16)),
                "z": pa.array([0, None], pa.timestamp("ms", "Asia/Tokyo")),
            }
        )
        self.put(bucket, "a.parquet", rows)
        fields = [Field("id", "int64"), Field("t", "text"), Field("u", "uuid"), Field("z", "timestamptz")]
        first, second = read(catalog, "s", "t", *fields)
        assert first.pop("z").isoformat() == "1970-01-01T00:00:00+00:00"
        assert first == {"id": 1, "t": "x", "u": "00000000-0000-0000-0000-000000000000"}
        assert second == {"id": 2, "t": None, "u": None, "z": None}

    def test_a_column_that_keeps_a_nested_type_is_accepted(self, catalog: MinioCatalog, bucket: Bucket) -> None:
        """Parquet has its own names for what is in a list or a map, so Arrow spells the type differently."""
        own = {kind: PARQUET_TYPES[row.native] for kind, row in OWN.items() if row.family == "minio"}
        self.put(bucket, "a.parquet", pa.table({kind: pa.nulls(1, found) for kind, found in own.items()}))
        found = catalog.columns("s", "t")
        contracts = default_contracts()
        assert list(found) == list(own)
        assert [kind for kind in own if not contracts.accepts("minio", kind, found[kind])] == []
        assert not contracts.accepts("minio", "minio:list of bool", found["minio:list of lists"])

    def test_a_source_with_a_manifest_is_not_changed(self, catalog: MinioCatalog, bucket: Bucket) -> None:
        from pytest_dpone.services.catalog import Commit

        self.put(bucket, "a.parquet", id_v((2, "a")))
        self.manifest(bucket, "a.parquet")
        with pytest.raises(DponeError, match="has a manifest"):
            catalog.change("s", "t", ID_V, [Commit(id_v().select(["id"]), id_v(), id_v((3, "c")))])

    def test_the_bucket_goes_when_it_is_empty_only(self, services: dict[str, ServiceInfo], bucket: Bucket) -> None:
        other = MinioCatalog(services["minio"].url, bucket=bucket.name + "-2")
        again = open_catalog(services["minio"], bucket=bucket.name + "-2")
        other.open("s")
        again.open("s")
        other.create("s", "t", ID_V)
        other.create("r", "t", ID_V)
        other.close("r")
        assert again.columns("s", "t") == {"id": "int64", "v": "string"}
        again.close("s")
        names = [found["Name"] for found in bucket._connect().list_buckets()["Buckets"]]
        assert bucket.name + "-2" not in names
        other.close("s")
        other.disconnect()
        again.disconnect()

    def test_more_than_a_page_of_objects(self, catalog: MinioCatalog, bucket: Bucket) -> None:
        for number in range(1005):
            bucket.put(f"s/t/{number}", b"")
        bucket.put("s2/t/keep", b"")
        catalog.close("s")
        assert bucket.keys("") == ["s2/t/keep"]
