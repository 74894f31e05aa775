"""What SQL a ClickHouse server understands, feature by feature: tables, mutations, partitions, inserts, logs, views."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .clickhouse_client import Connect, code_of, own_database

pytest.importorskip("clickhouse_connect")

pytestmark = pytest.mark.real

_T = "ENGINE=MergeTree ORDER BY k"
SYNC = {"mutations_sync": 2}
NO_USERS = pytest.mark.xfail(reason="the embedded engine has one user, and no rights to give", strict=True)
NO_CLUSTER = pytest.mark.xfail(reason="the embedded engine has no Keeper and no cluster", strict=True)
NO_TRANSACTIONS = pytest.mark.xfail(reason="the embedded engine has no transactions", strict=True)
NO_QUERY_IDS = pytest.mark.xfail(reason="the embedded engine gives its own ids to queries", strict=True)
NO_KAFKA = pytest.mark.xfail(reason="the embedded engine has no consumers of Kafka", strict=True)


@pytest.fixture
def client(connect: Connect) -> Iterator[Any]:
    """Each check has a database of its own, so that none relies on another."""
    with own_database(connect) as name:
        client = connect(database=name)
        yield client
        client.close()


def feature(name: str, statements: tuple[str | tuple[str, dict[str, Any]], ...], found: Any, *marks: Any) -> Any:
    """Statements, the last of which is a question, and the rows that it must find; `...` accepts any."""
    return pytest.param(statements, found, id=name, marks=marks)


FILLED = (f"CREATE TABLE t (k Int32, v Int32) {_T}", "INSERT INTO t SELECT number, number FROM numbers(10)")
PARTED = "(d Date, v Int32) ENGINE=MergeTree PARTITION BY toYYYYMM(d) ORDER BY v"
MONTHS = (
    f"CREATE TABLE a {PARTED}",
    f"CREATE TABLE b {PARTED}",
    "INSERT INTO a VALUES ('2024-01-01', 1), ('2024-02-01', 2)",
    "INSERT INTO b VALUES ('2024-01-05', 77)",
)

FEATURES = [
    feature("the_default_database", ("SELECT count() FROM system.databases WHERE name = 'default'",), [(1,)]),
    feature(
        "an_atomic_database", ("SELECT engine FROM system.databases WHERE name = currentDatabase()",), [("Atomic",)]
    ),
    feature(
        "replacing_and_final",
        (
            "CREATE TABLE t (k Int32, v Int32, ver UInt64) ENGINE=ReplacingMergeTree(ver) ORDER BY k",
            "INSERT INTO t VALUES (1, 1, 1), (2, 1, 1)",
            "INSERT INTO t VALUES (1, 2, 2)",
            "SELECT k, v FROM t FINAL ORDER BY k",
        ),
        [(1, 2), (2, 1)],
    ),
    feature(
        "optimize_final",
        (
            "CREATE TABLE t (k Int32, ver UInt64) ENGINE=ReplacingMergeTree(ver) ORDER BY k",
            "INSERT INTO t VALUES (1, 1)",
            "INSERT INTO t VALUES (1, 2)",
            "OPTIMIZE TABLE t FINAL",
            "SELECT * FROM t",
        ),
        [(1, 2)],
    ),
    feature(
        "replacing_with_deletes",
        (
            "CREATE TABLE t (k Int32, ver UInt64, del UInt8) ENGINE=ReplacingMergeTree(ver, del) ORDER BY k",
            "INSERT INTO t VALUES (1, 1, 0), (2, 1, 0)",
            "INSERT INTO t VALUES (1, 2, 1)",
            "SELECT k FROM t FINAL",
        ),
        [(2,)],
    ),
    feature(
        "collapsing",
        (
            "CREATE TABLE t (k Int32, s Int8) ENGINE=CollapsingMergeTree(s) ORDER BY k",
            "INSERT INTO t VALUES (1, 1), (2, 1)",
            "INSERT INTO t VALUES (1, -1)",
            "SELECT k FROM t FINAL",
        ),
        [(2,)],
    ),
    feature("delete", (*FILLED, "DELETE FROM t WHERE k < 5", "SELECT count() FROM t"), [(5,)]),
    feature(
        "alter_update",
        (*FILLED, ("ALTER TABLE t UPDATE v = 100 WHERE k = 7", SYNC), "SELECT v FROM t WHERE k = 7"),
        [(100,)],
    ),
    feature(
        "mutations_are_listed",
        (
            *FILLED,
            ("ALTER TABLE t UPDATE v = 100 WHERE k = 7", SYNC),
            "SELECT is_done FROM system.mutations WHERE database = currentDatabase()",
        ),
        [(1,)],
    ),
    feature("alter_delete", (*FILLED, ("ALTER TABLE t DELETE WHERE k = 8", SYNC), "SELECT count() FROM t"), [(9,)]),
    feature(
        "lightweight_update",
        (
            (
                f"CREATE TABLE t (k Int32, v Int32) {_T} "
                "SETTINGS enable_block_number_column = 1, enable_block_offset_column = 1"
            ),
            "INSERT INTO t VALUES (1, 1), (2, 2)",
            ("UPDATE t SET v = 50 WHERE k = 1", {"enable_lightweight_update": 1}),
            "SELECT * FROM t ORDER BY k",
        ),
        [(1, 50), (2, 2)],
    ),
    feature(
        "replace_partition",
        (*MONTHS, "ALTER TABLE a REPLACE PARTITION 202401 FROM b", "SELECT v FROM a ORDER BY d"),
        [(77,), (2,)],
    ),
    feature(
        "move_partition",
        (*MONTHS, "ALTER TABLE a MOVE PARTITION 202402 TO TABLE b", "SELECT v FROM b ORDER BY d"),
        [(77,), (2,)],
    ),
    feature(
        "detach_and_attach_partition",
        (
            *MONTHS,
            "ALTER TABLE a DETACH PARTITION 202402",
            "ALTER TABLE a ATTACH PARTITION 202402",
            "SELECT v FROM a ORDER BY v",
        ),
        [(1,), (2,)],
    ),
    feature("drop_partition", (*MONTHS, "ALTER TABLE a DROP PARTITION 202402", "SELECT v FROM a"), [(1,)]),
    feature("exchange_tables", (*MONTHS, "EXCHANGE TABLES a AND b", "SELECT v FROM a"), [(77,)]),
    feature(
        "rename_several_tables", (*MONTHS, "RENAME TABLE a TO c, b TO a", "SELECT count() FROM a, c WHERE 1"), [(2,)]
    ),
    feature(
        "create_or_replace", (*FILLED, f"CREATE OR REPLACE TABLE t {_T} AS SELECT 5 AS k", "SELECT * FROM t"), [(5,)]
    ),
    feature("undrop", (*FILLED, "DROP TABLE t", "UNDROP TABLE t", "SELECT count() FROM t"), [(10,)]),
    feature("truncate", (*FILLED, "TRUNCATE TABLE t", "SELECT count() FROM t"), [(0,)]),
    feature(
        "alter_columns",
        (
            *FILLED,
            "ALTER TABLE t ADD COLUMN z String DEFAULT 'q' AFTER k",
            "ALTER TABLE t MODIFY COLUMN v Int64",
            "ALTER TABLE t RENAME COLUMN z TO y",
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 't' ORDER BY position",
        ),
        [("k", "Int32"), ("y", "String"), ("v", "Int64")],
    ),
    feature("drop_column", (*FILLED, "ALTER TABLE t DROP COLUMN v", "SELECT * FROM t LIMIT 1"), [(0,)]),
    feature(
        "codec_index_projection_and_ttl",
        (
            (
                "CREATE TABLE t (k Int32 CODEC(ZSTD), at DateTime, INDEX i k TYPE minmax, "
                f"PROJECTION p (SELECT k, count() GROUP BY k)) {_T} TTL at + INTERVAL 1 DAY"
            ),
            "INSERT INTO t VALUES (1, now()), (1, now())",
            "SELECT k, count() FROM t GROUP BY k",
        ),
        [(1, 2)],
    ),
    feature(
        "materialized_view",
        (
            f"CREATE TABLE t (k Int32) {_T}",
            f"CREATE TABLE u (k Int32) {_T}",
            "CREATE MATERIALIZED VIEW m TO u AS SELECT k * 2 AS k FROM t",
            "INSERT INTO t VALUES (1), (2)",
            "SELECT sum(k) FROM u",
        ),
        [(6,)],
    ),
    feature(
        "deduplication_window",
        (
            f"CREATE TABLE t (k Int32) {_T} SETTINGS non_replicated_deduplication_window = 100",
            *("INSERT INTO t VALUES (1), (2)",) * 2,
            "SELECT count() FROM t",
        ),
        [(2,)],
    ),
    feature(
        "deduplication_token",
        (
            f"CREATE TABLE t (k Int32) {_T} SETTINGS non_replicated_deduplication_window = 100",
            ("INSERT INTO t VALUES (1)", {"insert_deduplication_token": "one"}),
            ("INSERT INTO t VALUES (2)", {"insert_deduplication_token": "one"}),
            "SELECT k FROM t",
        ),
        [(1,)],
    ),
    feature(
        "deduplication_token_in_the_statement",
        (
            f"CREATE TABLE t (k Int32) {_T} SETTINGS non_replicated_deduplication_window = 100",
            *("INSERT INTO t SETTINGS insert_deduplication_token = 'two' VALUES (9)",) * 2,
            "SELECT count() FROM t",
        ),
        [(1,)],
    ),
    feature(
        "asynchronous_insert_that_is_waited_for",
        (
            f"CREATE TABLE t (k Int32) {_T}",
            ("INSERT INTO t VALUES (2)", {"async_insert": 1, "wait_for_async_insert": 1}),
            "SELECT k FROM t",
        ),
        [(2,)],
    ),
    feature(
        "parts_are_listed",
        (*FILLED, "SELECT sum(rows) FROM system.parts WHERE database = currentDatabase() AND active"),
        [(10,)],
    ),
    feature("processes_are_listed", ("SELECT count() > 0 FROM system.processes",), [(1,)]),
    feature("clusters_are_listed", ("SELECT count() >= 0 FROM system.clusters",), [(1,)]),
    feature(
        "query_log",
        (
            *FILLED,
            "SYSTEM FLUSH LOGS",
            (
                "SELECT count() > 0 FROM system.query_log WHERE type = 'QueryFinish' AND query_kind = 'Insert' "
                "AND current_database = currentDatabase() AND written_rows = 10"
            ),
        ),
        [(1,)],
    ),
    feature(
        "part_log",
        (
            *FILLED,
            "SYSTEM FLUSH LOGS",
            "SELECT count() FROM system.part_log WHERE database = currentDatabase() AND event_type = 'NewPart'",
        ),
        [(1,)],
    ),
    feature("kill_mutation", (*FILLED, "KILL MUTATION WHERE database = currentDatabase() SYNC", "SELECT 1"), [(1,)]),
    feature("a_function", ("CREATE OR REPLACE FUNCTION plus_one AS (x) -> x + 1", "SELECT plus_one(1)"), [(2,)]),
    feature(
        "a_dictionary_on_a_table",
        (
            *FILLED,
            (
                "CREATE DICTIONARY d (k UInt64, v Int32) PRIMARY KEY k "
                "SOURCE(CLICKHOUSE(QUERY 'SELECT toUInt64(k) AS k, v + 1 AS v FROM {database}.t')) "
                "LAYOUT(FLAT()) LIFETIME(0)"
            ),
            "SELECT dictGet('{database}.d', 'v', toUInt64(7))",
        ),
        [(8,)],
    ),
    feature(
        "functions_to_other_systems",
        (
            (
                "SELECT count() FROM system.table_functions "
                "WHERE name IN ('postgresql', 's3', 'url', 'mysql', 'remote', 'deltaLake', 'iceberg', 'mongodb')"
            ),
        ),
        [(8,)],
    ),
    feature("freeze", (*FILLED, "ALTER TABLE t FREEZE", "SELECT 1"), [(1,)]),
    feature("stop_and_start_merges", (*FILLED, "SYSTEM STOP MERGES t", "SYSTEM START MERGES t", "SELECT 1"), [(1,)]),
    feature("explain", (*FILLED, "EXPLAIN indexes = 1 SELECT * FROM t WHERE k = 7"), ...),
    feature("check_table", (*FILLED, "SELECT 1 FROM t LIMIT 1", "CHECK TABLE t"), ...),
    feature("show_create", (*FILLED, "SHOW CREATE TABLE t"), ...),
    feature("json", ("SELECT CAST('{\"a\": 1}', 'JSON').a::Int64",), [(1,)]),
    feature(
        "information_schema",
        (*FILLED, "SELECT table_name FROM information_schema.tables WHERE table_schema = currentDatabase()"),
        [("t",)],
    ),
    feature("settings_are_listed", ("SELECT count() > 1000 FROM system.settings",), [(1,)]),
    feature(
        "parquet_to_a_file",
        (
            ("INSERT INTO FUNCTION file('{database}.parquet', 'Parquet') SELECT 1 AS a", {}),
            "SELECT a FROM file('{database}.parquet', 'Parquet')",
        ),
        [(1,)],
    ),
    feature("a_backup", (*FILLED, "BACKUP TABLE t TO File('{database}.backup')", "SELECT 1"), [(1,)]),
    feature("named_collection", ("CREATE NAMED COLLECTION IF NOT EXISTS nc AS a = '1'", "SELECT 1"), [(1,)]),
    feature(
        "a_user_and_grants",
        ("CREATE USER IF NOT EXISTS u1 IDENTIFIED BY 'x'", "GRANT SELECT ON *.* TO u1", "SELECT 1"),
        [(1,)],
        NO_USERS,
    ),
    feature("a_role_and_a_row_policy", ("CREATE ROLE IF NOT EXISTS rr", "SELECT 1"), [(1,)], NO_USERS),
    feature(
        "replicated",
        ("CREATE TABLE t (k Int32) ENGINE=ReplicatedMergeTree('/t/{database}', 'r1') ORDER BY k", "SELECT 1"),
        [(1,)],
        NO_CLUSTER,
    ),
    feature("on_cluster", ("CREATE TABLE t ON CLUSTER default (k Int8) ENGINE=Memory", "SELECT 1"), [(1,)], NO_CLUSTER),
    feature("a_transaction", ("BEGIN TRANSACTION", "ROLLBACK", "SELECT 1"), [(1,)], NO_TRANSACTIONS),
]


@pytest.mark.parametrize(("statements", "found"), FEATURES)
def test_feature(client: Any, statements: tuple[Any, ...], found: Any) -> None:
    *before, question = [
        (text.replace("{database}", client.database), settings)
        for text, settings in ((each, {}) if isinstance(each, str) else each for each in statements)
    ]
    for text, settings in before:
        client.command(text, settings=settings)
    rows = client.query(question[0]).result_rows
    assert rows if found is ... else rows == found


def eventually(client: Any, question: str, *, least: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if client.command(question) >= least:
            return True
        time.sleep(0.2)
    return False


def test_a_view_that_refreshes_itself(client: Any) -> None:
    client.command(f"CREATE TABLE t (k UInt64) {_T}")
    client.command("CREATE MATERIALIZED VIEW m REFRESH EVERY 1 SECOND TO t AS SELECT 7 AS k")
    assert eventually(client, "SELECT count() FROM t WHERE k = 7", least=1)
    client.command("DROP VIEW m SYNC")


def test_an_asynchronous_insert_that_nobody_waits_for_arrives(client: Any) -> None:
    client.command(f"CREATE TABLE t (k Int32) {_T}")
    client.command("INSERT INTO t VALUES (3)", settings={"async_insert": 1, "wait_for_async_insert": 0})
    assert eventually(client, "SELECT count() FROM t", least=1)


def test_an_asynchronous_insert_of_the_client(client: Any) -> None:
    client.command(f"CREATE TABLE t (k Int32) {_T}")
    client.insert("t", [[1]], column_names=["k"], settings={"async_insert": 1, "wait_for_async_insert": 1})
    assert client.command("SELECT count() FROM t") == 1


def test_a_block_is_inserted_once_in_a_window(client: Any) -> None:
    client.command(f"CREATE TABLE t (k Int32) {_T} SETTINGS non_replicated_deduplication_window = 100")
    for _ in range(2):
        client.insert("t", [[1], [2]], column_names=["k"])
    assert client.command("SELECT count() FROM t") == 2


def test_tables_of_the_default_database_are_exchanged(connect: Connect) -> None:
    client = connect(database="default")
    names = [f"x{time.time_ns()}{letter}" for letter in "ab"]
    for value, name in enumerate(names):
        client.command(f"CREATE TABLE {name} ENGINE=MergeTree ORDER BY a AS SELECT {value} AS a")
    try:
        client.command(f"EXCHANGE TABLES {names[0]} AND {names[1]}")
        assert client.command(f"SELECT a FROM {names[0]}") == 1
        client.command(f"CREATE OR REPLACE TABLE {names[0]} ENGINE=MergeTree ORDER BY a AS SELECT 9 AS a")
        assert client.command(f"SELECT a FROM {names[0]}") == 9
    finally:
        for name in names:
            client.command(f"DROP TABLE IF EXISTS {name} SYNC")
        client.close()


def test_a_query_is_found_in_the_log_by_its_comment(client: Any) -> None:
    comment = f"c{time.time_ns()}"
    client.query("SELECT 42", settings={"log_comment": comment})
    client.command("SYSTEM FLUSH LOGS")
    where = f"log_comment = '{comment}' AND type = 'QueryFinish' AND query_kind = 'Select'"
    assert client.command(f"SELECT count() FROM system.query_log WHERE {where}") == 1


LONG = "SELECT sum(sipHash64(number)) FROM numbers(20000000000)"


def killed(connect: Connect, condition: str, **settings: Any) -> str:
    """Start a long query, kill it by `condition`; gives the error that its client got."""
    told: list[str] = []

    def run() -> None:
        own = connect()
        try:
            own.query(LONG, settings={"max_threads": 1, "max_execution_time": 8, **settings})
        except Exception as error:
            told.append(str(error))
        own.close()

    thread = threading.Thread(target=run)
    thread.start()
    client = connect()
    running = "SELECT count() FROM system.processes WHERE query LIKE '%20000000000%' AND query NOT LIKE '%processes%'"
    assert eventually(client, running, least=1)
    client.command(f"KILL QUERY WHERE {condition} SYNC")
    thread.join(30)
    client.close()
    return told[0]


def test_a_query_is_killed_by_its_text(connect: Connect) -> None:
    assert "394" in killed(connect, "query LIKE '%20000000000%' AND query NOT LIKE 'KILL%'")


@NO_QUERY_IDS
def test_a_query_is_killed_by_the_clients_id(connect: Connect) -> None:
    name = f"victim{time.time_ns()}"
    assert "394" in killed(connect, f"query_id = '{name}'", query_id=name)


def test_a_query_that_takes_too_long_is_stopped(client: Any) -> None:
    assert code_of(lambda: client.query(LONG, settings={"max_execution_time": 1})) == 159


@NO_KAFKA
def test_a_table_of_kafka_is_made_and_dropped(client: Any) -> None:
    client.command(
        "CREATE TABLE t (k String) ENGINE=Kafka SETTINGS kafka_broker_list = '127.0.0.1:1', kafka_topic_list = 't', "
        "kafka_group_name = 'g', kafka_format = 'JSONEachRow'"
    )
    client.command("DROP TABLE t SYNC")
