"""The native engine on real services: what it must carry, refuse, and survive."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from pytest_dpone.core.kinds import Field, TableSchema, arrow_type
from pytest_dpone.core.model import Strategy
from pytest_dpone.core.wire import Job, RunFacts, ServiceInfo
from pytest_dpone.engines.native import NativeEngine, Seams, Sink
from pytest_dpone.errors import DponeError, EngineFailed, ValueRejected
from pytest_dpone.services.catalog import Catalog, open_catalog

pytestmark = pytest.mark.real

FAMILIES = ("postgres", "clickhouse", "minio")
PAIRS = [(source, sink) for source in FAMILIES for sink in FAMILIES]
KEYED = [pair for pair in PAIRS if pair[1] != "minio"]
UTC = dt.UTC
NEWS = TableSchema(
    (
        Field("id", "int64", nullable=False),
        Field("at", "timestamptz", nullable=False),
        Field("note", "text"),
        Field("price", "decimal(38,10)"),
        Field("score", "float64"),
    ),
    cursor="at",
)


class Bench:
    """One namespace on each service, and jobs between them."""

    def __init__(self, services: Mapping[str, ServiceInfo]) -> None:
        token = secrets.token_hex(4)
        self.name = f"native_{token}"
        self.catalogs: dict[str, Catalog] = {
            family: open_catalog(services[family], bucket=f"dpone-native-{token}") for family in FAMILIES
        }
        for catalog in self.catalogs.values():
            catalog.open(self.name)

    def close(self) -> None:
        for catalog in self.catalogs.values():
            catalog.close(self.name)
            catalog.disconnect()

    def seed(self, family: str, rows: pa.Table, schema: TableSchema = NEWS, table: str = "src") -> None:
        self.catalogs[family].create(self.name, table, schema)
        self.add(family, rows, schema, table)

    def add(self, family: str, rows: pa.Table, schema: TableSchema = NEWS, table: str = "src") -> None:
        self.catalogs[family].load(self.name, table, schema, rows.to_batches())

    def job(
        self,
        pair: tuple[str, str],
        strategy: Strategy,
        *,
        schema: TableSchema = NEWS,
        table: str = "src",
        **more: object,
    ) -> Job:
        source, sink = pair
        return Job.model_validate(
            {
                "case_id": "x",
                "run_id": "r",
                "strategy": strategy,
                "source": self.catalogs[source].endpoint(self.name, table),
                "sink": self.catalogs[sink].endpoint(self.name, "dst"),
                "key": schema.key,
                "cursor": schema.cursor,
                "partition": schema.partition,
                "state_table": "_dpone_state",
                "batch_rows": 2,
                **more,
            }
        )

    def held(self, family: str, schema: TableSchema = NEWS) -> list[tuple[object, ...]]:
        """The sink's rows, sorted by key, with values that compare exactly."""
        batches = self.catalogs[family].read(self.name, "dst", schema.fields, order_by=schema.key)
        return sorted(row for batch in batches for row in exact(pa.Table.from_batches([batch])))

    def sql(self, family: str, statement: str) -> list[Any]:
        """Run a statement with the service's own client; `{ns}` is the namespace."""
        statement = statement.replace("{ns}", self.name)
        url = self.catalogs[family].endpoint(self.name, "x").url.get_secret_value()
        if family == "postgres":
            import psycopg

            with psycopg.connect(url, autocommit=True) as connection:
                cursor = connection.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []
        import clickhouse_connect

        client = clickhouse_connect.get_client(dsn=url.replace("clickhouse://", "http://"))
        try:
            if statement.startswith("SELECT"):
                return list(client.query(statement).result_rows)
            client.command(statement)
            return []
        finally:
            client.close()

    def names(self, family: str) -> set[str]:
        """Tables, or objects on S3, in the namespace, but the sources."""
        if family == "minio":
            files, root = self.bucket()
            from pyarrow import fs

            found = files.get_file_info(fs.FileSelector(f"{root}/dst", allow_not_found=True, recursive=True))
            return {info.base_name for info in found if info.type == fs.FileType.File}
        if family == "postgres":
            query = "SELECT tablename FROM pg_tables WHERE schemaname = '{ns}' AND tablename <> 'src'"
        else:
            query = "SELECT name FROM system.tables WHERE database = '{ns}' AND name <> 'src'"
        return {row[0] for row in self.sql(family, query)}

    def bucket(self) -> tuple[Any, str]:
        from pyarrow import fs

        from pytest_dpone.engines.native.address import Address

        address = Address.of(self.catalogs["minio"].endpoint(self.name, "dst"))
        files = fs.S3FileSystem(
            access_key=address.user,
            secret_key=address.password,
            endpoint_override=f"{address.host}:{address.port}",
            scheme="http",
            region="us-east-1",
        )
        return files, f"{address.path}/{self.name}"

    def manifest(self) -> dict[str, Any]:
        files, root = self.bucket()
        with files.open_input_stream(f"{root}/dst/_manifest.json") as stream:
            return json.loads(stream.read())

    def published(self) -> list[str]:
        return self.manifest()["objects"]

    def damage_state(self, family: str, change: Callable[[str], str]) -> None:
        if family == "postgres":
            ((text,),) = self.sql(family, 'SELECT state FROM "{ns}"._dpone_state')
            self.sql(family, f'UPDATE "{{ns}}"._dpone_state SET state = $x${change(text)}$x$')
        elif family == "clickhouse":
            query = "SELECT state FROM `{ns}`._dpone_state ORDER BY version DESC LIMIT 1"
            text = change(self.sql(family, query)[0][0]).replace("\\", "\\\\").replace("'", "\\'")
            newer = "SELECT 'dst', max(version) + 1"
            self.sql(family, f"INSERT INTO `{{ns}}`._dpone_state {newer}, '{text}', '' FROM `{{ns}}`._dpone_state")
        else:
            files, root = self.bucket()
            manifest = self.manifest()
            manifest["state"] = change(manifest["state"])
            with files.open_output_stream(f"{root}/dst/_manifest.json") as stream:
                stream.write(json.dumps(manifest).encode())


@pytest.fixture
def bench(services: dict[str, ServiceInfo]) -> Iterator[Bench]:
    made = Bench(services)
    try:
        yield made
    finally:
        made.close()


def exact(table: pa.Table) -> list[tuple[object, ...]]:
    """Rows as tuples of text: floats by their bits' text, so NaN equals NaN and -0.0 differs from 0.0."""
    return [tuple(repr(value) for value in row.values()) for row in table.to_pylist()]


def news(*rows: tuple[int, int, str | None], score: float | None = 0.5) -> pa.Table:
    """Rows of (id, minute of the cursor, note)."""
    start = dt.datetime(2024, 5, 1, tzinfo=UTC)
    return pa.table(
        {
            "id": [key for key, _, _ in rows],
            "at": [start + dt.timedelta(minutes=minute) for _, minute, _ in rows],
            "note": [note for _, _, note in rows],
            "price": [Decimal("1.10")] * len(rows),
            "score": [score] * len(rows),
        },
        schema=NEWS.arrow(),
    )


def run(job: Job, **seams: Any) -> RunFacts:
    return NativeEngine(Seams(**seams)).run(job)


class Boom(BaseException):
    """What a test lets a run die of; no error handler takes it for an error of a driver."""


def dies_in_stream(_job: Job, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield next(batches)
    raise Boom


def dies_at(name: str) -> Callable[[str], None]:
    def moment(reached: str) -> None:
        if reached == name:
            raise Boom

    return moment


def killed(_job: Job, sink: Sink) -> Sink:
    """A sink that a kill keeps from cleaning up: only its connection ends."""
    inner: Any = sink
    connection = getattr(inner, "_connection", None) or getattr(inner, "_client", None)
    inner.close = connection.close if connection else lambda: None
    return sink


VALUES: dict[str, list[object]] = {
    "bool": [True, False, None, True],
    "int16": [-(2**15), 2**15 - 1, None, 0],
    "int32": [-(2**31), 2**31 - 1, None, 0],
    "int64": [-(2**63), 2**63 - 1, None, 2**53 + 1],
    "uint64": [2**64 - 1, 2**63, None, 0],
    "float32": [float("nan"), -0.0, None, 1.401298464324817e-45],
    "float64": [float("nan"), -0.0, float("-inf"), 5e-324],
    "decimal(38,10)": [Decimal("9" * 28 + "." + "9" * 10), Decimal("-0.0000000001"), None, Decimal("1.10")],
    "text": ["", None, "\\N\t\n'\"`\\.", "🦆 e\u0301"],
    "binary": [b"", None, b"\0\xff\\x00", b"NULL"],
    "date": [dt.date(1900, 1, 1), dt.date(2299, 12, 31), None, dt.date(1969, 12, 31)],
    "time": [dt.time(0), dt.time(23, 59, 59, 999999), None, dt.time(0, 0, 0, 1)],
    "timestamptz": [
        dt.datetime(1900, 1, 1, tzinfo=UTC),
        dt.datetime(2299, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        None,
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-fffffffffffe", None, None],
    "json": ['{"a": 1}', "[]", None, "null"],
    "array<int64>": [[], [None, 1], [2**63 - 1], [-(2**63)]],
    "array<text>": [[], [None, ""], ["NULL", '"', "\\", "{,}"], ["'\n"]],
}
NAMES = {"text": 'sel"ect`\\ %s $1', "int64": "Order", "int32": "order", "bool": "x" * 63}


def wide(source: str) -> tuple[TableSchema, pa.Table]:
    from pytest_dpone.core.contracts import default_contracts

    kinds = [kind for kind in VALUES if default_contracts().is_source_kind(source, kind)]
    fields = [Field("id", "int64", nullable=False)]
    fields += [Field(NAMES.get(kind, f"c {kind}"), kind, nullable=not kind.startswith("array")) for kind in kinds]
    columns = [pa.array([1, 2, 3, 4])] + [pa.array(VALUES[kind], arrow_type(kind)) for kind in kinds]
    schema = TableSchema(tuple(fields), cursor="id")
    return schema, pa.Table.from_arrays(columns, schema=schema.arrow())


@pytest.mark.parametrize("pair", PAIRS)
def test_every_value_arrives_as_it_was(bench: Bench, pair: tuple[str, str]) -> None:
    schema, rows = wide(pair[0])
    bench.seed(pair[0], rows, schema)
    facts = run(bench.job(pair, Strategy.FULL_REFRESH, schema=schema))
    assert (facts.read, facts.written) == (4, 4)
    assert bench.held(pair[1], schema) == sorted(exact(rows))


@pytest.mark.parametrize("pair", PAIRS)
def test_append_takes_each_row_once(bench: Bench, pair: tuple[str, str]) -> None:
    first = news((1, 1, "a"), (2, 5, "tie"), (3, 5, "tie too"))
    later = news((2, 5, "tie, changed"), (4, 5, "late tie"), (5, 6, "new"))
    bench.seed(pair[0], first)
    bench.seed(
        pair[0], pa.concat_tables([news((1, 1, "a"), (3, 5, "tie too"), (6, 0, "too old")), later]), table="then"
    )
    job, then = (bench.job(pair, Strategy.INCREMENTAL_APPEND, table=table) for table in ("src", "then"))
    loaded = run(job)
    assert (loaded.written, loaded.state_before) == (3, "")
    again = run(job)
    assert (again.written, again.state_after) == (0, loaded.state_after)
    changed = run(then)
    assert (changed.written, changed.state_before) == (3, loaded.state_after)
    repeated = run(then)
    assert (repeated.written, repeated.state_after) == (0, changed.state_after)
    assert Counter(bench.held(pair[1])) == Counter(exact(pa.concat_tables([first, later])))
    assert json.loads(changed.state_after)["watermark"] == "2024-05-01 00:06:00.000000Z"


@pytest.mark.parametrize("sink", ["postgres", "clickhouse", "minio"])
def test_a_watermark_may_have_very_many_keys(bench: Bench, sink: str) -> None:
    """The state keeps the keys at the watermark: as a part of a statement it would be too long for a server."""
    rows = 40_000
    bench.seed("postgres", news(*((number, 5, None) for number in range(rows))))
    job = bench.job(("postgres", sink), Strategy.INCREMENTAL_APPEND, batch_rows=10_000)
    assert run(job).written == rows
    assert run(job).written == 0


def changed_source(bench: Bench, family: str) -> pa.Table:
    """Replace the source: 1 stays, 2 changes, 3 goes, 4 comes late, 5 is new, 6 differs in the sign of zero."""
    before = pa.concat_tables([news((1, 1, "a"), (2, 2, ""), (3, 9, "c")), news((6, 3, "z"), score=0.0)])
    after = pa.concat_tables(
        [news((1, 1, "a"), (2, 10, None), (4, 4, "late"), (5, 11, "new")), news((6, 12, "z"), score=-0.0)]
    )
    bench.seed(family, before, table="before")
    bench.seed(family, after, table="after")
    return after


@pytest.mark.parametrize("pair", KEYED)
def test_merge_then_reconcile(bench: Bench, pair: tuple[str, str]) -> None:
    after = changed_source(bench, pair[0])
    strategy = Strategy.INCREMENTAL_MERGE
    loaded = run(bench.job(pair, strategy, table="before"))
    assert (loaded.inserted, loaded.updated, loaded.written) == (4, 0, 4)
    repeated = run(bench.job(pair, strategy, table="before"))
    assert (repeated.written, repeated.unchanged, repeated.state_after) == (0, 1, loaded.state_after)
    merged = run(bench.job(pair, strategy, table="after"))
    assert (merged.read, merged.inserted, merged.updated, merged.deleted) == (3, 1, 2, 0)
    by_key = {row[0]: row for row in bench.held(pair[1])}
    assert set(by_key) == {"1", "2", "3", "5", "6"}
    assert by_key["6"][4] == "-0.0"
    reconciled = run(bench.job(pair, strategy, table="after", mode="reconcile"))
    assert (reconciled.inserted, reconciled.updated, reconciled.deleted, reconciled.unchanged) == (1, 0, 1, 4)
    assert reconciled.state_after == merged.state_after
    assert bench.held(pair[1]) == sorted(exact(after))
    assert run(bench.job(pair, strategy, table="after", mode="reconcile")).written == 0


@pytest.mark.parametrize("pair", KEYED)
def test_snapshot_diff_counts_and_writes_what_differs(bench: Bench, pair: tuple[str, str]) -> None:
    after = changed_source(bench, pair[0])
    strategy = Strategy.SNAPSHOT_DIFF
    assert run(bench.job(pair, strategy, table="before")).inserted == 4
    facts = run(bench.job(pair, strategy, table="after"))
    assert (facts.inserted, facts.updated, facts.deleted, facts.unchanged) == (2, 2, 1, 1)
    assert bench.held(pair[1]) == sorted(exact(after))
    repeated = run(bench.job(pair, strategy, table="after"))
    assert (repeated.written, repeated.deleted, repeated.unchanged) == (0, 0, 5)


@pytest.mark.parametrize("sink", ["postgres", "clickhouse"])
def test_equal_values_are_equal_in_a_diff(bench: Bench, sink: str) -> None:
    schema, rows = wide("postgres")
    bench.seed("postgres", rows, schema)
    job = bench.job(("postgres", sink), Strategy.SNAPSHOT_DIFF, schema=schema)
    assert run(job).inserted == 4
    facts = run(job)
    assert (facts.inserted, facts.updated, facts.deleted, facts.unchanged) == (0, 0, 0, 4)


@pytest.mark.parametrize("sink", ["postgres", "clickhouse"])
def test_a_diff_sees_every_bit(bench: Bench, sink: str) -> None:
    """Rows 1 to 6 differ in one value of one column each, row 7 in none."""
    scores = [(0.0, -0.0), (0.0, None), (None, 0.0), (1.0, 1.0), (1.0, 1.0), (float("nan"), 1.0), (float("nan"),) * 2]
    notes = [("", ""), ("", ""), ("", ""), ("", None), (None, ""), ("", ""), (None, None)]
    for side, table in enumerate(("before", "after")):
        rows = [
            news((key, key, note[side]), score=score[side])
            for key, (note, score) in enumerate(zip(notes, scores, strict=True), start=1)
        ]
        bench.seed("postgres", pa.concat_tables(rows), table=table)
    pair = ("postgres", sink)
    run(bench.job(pair, Strategy.SNAPSHOT_DIFF, table="before"))
    facts = run(bench.job(pair, Strategy.SNAPSHOT_DIFF, table="after"))
    assert (facts.inserted, facts.updated, facts.deleted, facts.unchanged) == (0, 6, 0, 1)
    assert bench.held(sink) == exact(pa.concat_tables(rows))


@pytest.mark.parametrize("strategy", [Strategy.FULL_REFRESH, Strategy.INCREMENTAL_MERGE])
@pytest.mark.parametrize("sink", ["postgres", "clickhouse"])
def test_a_key_that_is_null_is_an_error(bench: Bench, sink: str, strategy: Strategy) -> None:
    schema = TableSchema((Field("id", "int64"), Field("v", "int32")), cursor="v")
    bench.seed("minio", pa.table({"id": [1, None], "v": [1, 2]}, schema=schema.arrow()), schema)
    with pytest.raises(EngineFailed, match=r"(?i)null value|convert NULL"):
        run(bench.job(("minio", sink), strategy, schema=schema))
    assert "dst" not in bench.names(sink)


@pytest.mark.parametrize("strategy", [Strategy.FULL_REFRESH, Strategy.INCREMENTAL_APPEND])
@pytest.mark.parametrize("pair", PAIRS)
def test_an_empty_source_makes_an_empty_table(bench: Bench, pair: tuple[str, str], strategy: Strategy) -> None:
    bench.seed(pair[0], news().slice(0, 0))
    job = bench.job(pair, strategy)
    assert (run(job).written, bench.held(pair[1])) == (0, [])
    assert (run(job).written, bench.held(pair[1])) == (0, [])
    bench.add(pair[0], news((1, 1, "first")))
    assert run(job).written == 1
    assert bench.held(pair[1]) == exact(news((1, 1, "first")))


@pytest.mark.parametrize("clean", [True, False], ids=["error", "kill"])
@pytest.mark.parametrize("strategy", [Strategy.FULL_REFRESH, Strategy.INCREMENTAL_APPEND])
@pytest.mark.parametrize("sink", FAMILIES)
def test_a_run_that_dies_while_staging_changes_nothing(
    bench: Bench, sink: str, strategy: Strategy, clean: bool
) -> None:
    bench.seed("postgres", news((1, 1, "a"), (2, 2, "b"), (3, 3, "c")))
    job = bench.job(("postgres", sink), strategy)
    seams = {} if clean else {"sink": killed}
    with pytest.raises(Boom):
        run(job, tap=dies_in_stream, **seams)
    assert bench.catalogs[sink].fingerprint(bench.name, "dst", "id") is None
    run(job)
    names = bench.names(sink)
    bench.add("postgres", news((4, 4, "d"), (5, 5, "e"), (6, 6, "f")))
    with pytest.raises(Boom):
        run(job, tap=dies_in_stream, **seams)
    with pytest.raises(Boom):
        run(job, moment=dies_at("staged"), **seams)
    assert [row[0] for row in bench.held(sink)] == ["1", "2", "3"]
    assert (bench.names(sink) == names) is clean
    assert run(job).written == (6 if strategy is Strategy.FULL_REFRESH else 3)
    assert [row[0] for row in bench.held(sink)] == ["1", "2", "3", "4", "5", "6"]
    if sink == "minio":
        assert bench.names(sink) == {"_manifest.json", *bench.published()}
    else:
        assert bench.names(sink) == names


@pytest.mark.parametrize("clean", [True, False], ids=["error", "kill"])
@pytest.mark.parametrize("moment", ["pending", "committing"])
@pytest.mark.parametrize("strategy", [Strategy.INCREMENTAL_APPEND, Strategy.INCREMENTAL_MERGE])
def test_clickhouse_finishes_or_forgets_what_was_pending(
    bench: Bench, strategy: Strategy, moment: str, clean: bool
) -> None:
    job = bench.job(("postgres", "clickhouse"), strategy)
    seams = {} if clean else {"sink": killed}
    bench.seed("postgres", news((1, 1, "a"), (2, 2, "b")))
    with pytest.raises(Boom):
        run(job, moment=dies_at(moment), **seams)
    assert run(job).written == (2 if moment == "pending" else 0)
    names = bench.names("clickhouse")
    bench.add("postgres", news((3, 2, "tie"), (4, 4, "d")))
    with pytest.raises(Boom):
        run(job, moment=dies_at(moment), **seams)
    facts = run(job)
    assert facts.written == (2 if moment == "pending" else 0)
    assert bench.held("clickhouse") == exact(news((1, 1, "a"), (2, 2, "b"), (3, 2, "tie"), (4, 4, "d")))
    assert (run(job).written, run(job).state_after) == (0, facts.state_after)
    assert bench.names("clickhouse") == names == {"dst", "_dpone_state"}


KILLED = """
import os, signal, sys
from pytest_dpone.core.wire import Job
from pytest_dpone.engines.native import NativeEngine, Seams
def moment(name):
    if name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
NativeEngine(Seams(moment=moment)).run(Job.model_validate_json(sys.stdin.read()))
"""


@pytest.mark.parametrize(
    ("sink", "moment"),
    [
        ("postgres", "staged"),
        ("postgres", "applied"),
        ("clickhouse", "staged"),
        ("clickhouse", "pending"),
        ("clickhouse", "committing"),
        ("minio", "staged"),
        ("minio", "applied"),
    ],
)
def test_a_killed_process_loses_and_repeats_nothing(bench: Bench, sink: str, moment: str) -> None:
    job = bench.job(("postgres", sink), Strategy.INCREMENTAL_APPEND)
    bench.seed("postgres", news((1, 1, "a"), (2, 2, "b")))
    run(job)
    names = bench.names(sink)
    bench.add("postgres", news((3, 2, "tie"), (4, 4, "d")))
    process = subprocess.run(
        [sys.executable, "-c", KILLED, moment], input=job.to_json(), text=True, capture_output=True, timeout=60
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    done = moment in ("applied", "committing")
    assert run(job).written == (0 if done else 2)
    assert Counter(bench.held(sink)) == Counter(exact(news((1, 1, "a"), (2, 2, "b"), (3, 2, "tie"), (4, 4, "d"))))
    assert run(job).written == 0
    if sink == "minio":
        assert bench.names(sink) == {"_manifest.json", *bench.published()}
    else:
        assert bench.names(sink) == names


def test_a_staging_table_that_somebody_changed_is_not_guessed_about(bench: Bench) -> None:
    bench.seed("postgres", news((1, 1, "a"), (2, 2, "b")))
    job = bench.job(("postgres", "clickhouse"), Strategy.INCREMENTAL_APPEND)
    with pytest.raises(Boom):
        run(job, moment=dies_at("pending"))
    (stage,) = {name for name in bench.names("clickhouse") if name.startswith("dpone_stage_")}
    bench.sql("clickhouse", f"DELETE FROM `{{ns}}`.{stage} WHERE id = 1")
    with pytest.raises(EngineFailed, match="holds 1 of 2 rows"):
        run(job)


@pytest.mark.parametrize("sink", FAMILIES)
def test_a_damaged_or_lost_state_is_an_error(bench: Bench, sink: str) -> None:
    bench.seed("postgres", news((1, 1, "a")))
    job = bench.job(("postgres", sink), Strategy.INCREMENTAL_APPEND)
    run(job)
    before = bench.held(sink)
    bench.damage_state(sink, lambda text: text.replace("00:01", "00:00"))
    with pytest.raises(EngineFailed, match=r"the engine's state in .* can't be read: its version or digest"):
        run(job)
    bench.damage_state(sink, lambda _text: "{")
    with pytest.raises(EngineFailed, match=r"the engine's state in .* can't be read"):
        run(job)
    if sink != "postgres":
        bench.damage_state(sink, lambda _text: "")
    else:
        bench.sql(sink, 'TRUNCATE "{ns}"._dpone_state')
    with pytest.raises(EngineFailed, match="the table 'dst' holds rows and its state is gone"):
        run(job)
    assert bench.held(sink) == before


@pytest.mark.parametrize("sink", ["postgres", "clickhouse"])
def test_a_lost_table_is_an_error(bench: Bench, sink: str) -> None:
    bench.seed("postgres", news((1, 1, "a")))
    job = bench.job(("postgres", sink), Strategy.INCREMENTAL_MERGE)
    run(job)
    bench.sql(sink, 'DROP TABLE "{ns}".dst')
    with pytest.raises(EngineFailed, match="the state knows the table 'dst', and the table is gone"):
        run(job)


@pytest.mark.parametrize("sink", FAMILIES)
def test_another_strategy_does_not_touch_an_incremental_table(bench: Bench, sink: str) -> None:
    bench.seed("postgres", news((1, 1, "a")))
    run(bench.job(("postgres", sink), Strategy.INCREMENTAL_APPEND))
    with pytest.raises(EngineFailed, match="would make its state stale"):
        run(bench.job(("postgres", sink), Strategy.FULL_REFRESH))


@pytest.mark.parametrize("sink", FAMILIES)
def test_a_changed_type_is_an_error(bench: Bench, sink: str) -> None:
    bench.seed("postgres", news((1, 1, "a")))
    job = bench.job(("postgres", sink), Strategy.INCREMENTAL_APPEND)
    run(job)
    before = bench.held(sink)
    bench.sql("postgres", 'ALTER TABLE "{ns}".src ALTER price TYPE numeric(30,5)')
    with pytest.raises(EngineFailed, match=r"the source now needs .*30,\s?5.*"):
        run(job)
    assert bench.held(sink) == before


REFUSED = {
    "infinity": ("date", "'infinity'", "infinity can't be carried"),
    "timestamp infinity": ("timestamptz", "'-infinity'", "infinity can't be carried"),
    "numeric NaN": ("numeric(10,2)", "'NaN'", "'nan' is not a valid decimal"),
    "two dimensions": ("bigint[]", "'{{1,2},{3,4}}'", "not a plain list: {{1,2},{3,4}}"),
    "lower bound": ("text[]", "'[0:1]={a,b}'", "not a plain list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_driver_would_bend_is_refused(bench: Bench, name: str) -> None:
    native, value, error = REFUSED[name]
    bench.sql("postgres", f'CREATE TABLE "{{ns}}".src (id bigint PRIMARY KEY, v {native})')
    bench.sql("postgres", f'INSERT INTO "{{ns}}".src VALUES (1, {value})')
    with pytest.raises(DponeError) as caught:
        run(bench.job(("postgres", "postgres"), Strategy.FULL_REFRESH))
    assert error in str(caught.value)
    assert "dst" not in bench.names("postgres")


def one_value(kind: str, value: object) -> tuple[TableSchema, pa.Table]:
    schema = TableSchema((Field("id", "int64", nullable=False), Field("v", kind)), cursor="id")
    return schema, pa.table({"id": [1], "v": pa.array([value], arrow_type(kind))}, schema=schema.arrow())


@pytest.mark.parametrize(
    ("pair", "kind", "value", "error"),
    [
        (("minio", "postgres"), "text", "a\0b", "0x00"),
        (("clickhouse", "postgres"), "text", "a\0b", "0x00"),
        (("postgres", "clickhouse"), "date", dt.date(1899, 12, 31), "out of range"),
        (("minio", "clickhouse"), "date", dt.date(9999, 12, 31), "out of range"),
        (("postgres", "clickhouse"), "timestamptz", dt.datetime(2300, 1, 1, tzinfo=UTC), "out of range"),
        (("minio", "clickhouse"), "timestamptz", dt.datetime(1, 1, 1, tzinfo=UTC), "out of range"),
    ],
)
def test_what_the_sink_cannot_hold_is_refused(
    bench: Bench, pair: tuple[str, str], kind: str, value: object, error: str
) -> None:
    schema, rows = one_value(kind, value)
    bench.seed(pair[0], rows, schema)
    with pytest.raises((ValueRejected, EngineFailed)) as caught:
        run(bench.job(pair, Strategy.FULL_REFRESH, schema=schema))
    assert error in str(caught.value)
    assert "dst" not in bench.names(pair[1])


def test_text_that_is_no_text_is_refused(bench: Bench) -> None:
    bench.sql("clickhouse", "CREATE TABLE `{ns}`.src (id Int64, v String) ENGINE = MergeTree ORDER BY id")
    bench.sql("clickhouse", "INSERT INTO `{ns}`.src SELECT 1, unhex('ff00')")
    for sink in ("postgres", "minio"):
        with pytest.raises(DponeError, match=r"(?i)utf-?8"):
            run(bench.job(("clickhouse", sink), Strategy.FULL_REFRESH))
        assert not bench.names(sink)


def test_arrays_that_are_null_become_empty_in_clickhouse(bench: Bench) -> None:
    schema, rows = one_value("array<text>", None)
    bench.seed("postgres", rows, schema)
    run(bench.job(("postgres", "clickhouse"), Strategy.FULL_REFRESH, schema=schema))
    assert bench.sql("clickhouse", "SELECT v FROM `{ns}`.dst") == [([],)]


@pytest.mark.parametrize("strategy", [Strategy.INCREMENTAL_MERGE, Strategy.SNAPSHOT_DIFF])
@pytest.mark.parametrize("sink", ["postgres", "clickhouse"])
def test_a_key_that_comes_twice_is_an_error(bench: Bench, sink: str, strategy: Strategy) -> None:
    bench.seed("minio", news((1, 1, "a"), (1, 2, "b")))
    with pytest.raises(EngineFailed, match=r"duplicated|more than once"):
        run(bench.job(("minio", sink), strategy))
    assert "dst" not in bench.names(sink)


@pytest.mark.parametrize("sink", ["postgres", "clickhouse"])
def test_keys_of_several_columns_and_of_text(bench: Bench, sink: str) -> None:
    fields = (Field("b", "text", nullable=False), Field("id", "int64", nullable=False), Field("v", "int32"))
    schema = TableSchema(fields, key=("b", "id"), cursor="v")

    def rows(*values: tuple[str, int, int]) -> pa.Table:
        return pa.Table.from_pylist([dict(zip(["b", "id", "v"], row, strict=True)) for row in values], schema.arrow())

    bench.seed("postgres", rows(("a", 1, 1), ("A", 1, 1), ("a", 2, 1), ("", 1, 1)), schema, table="before")
    bench.seed("postgres", rows(("a", 1, 1), ("A", 1, 2), ("", 1, 1), ("b", 1, 3)), schema, table="after")
    pair = ("postgres", sink)
    run(bench.job(pair, Strategy.SNAPSHOT_DIFF, schema=schema, table="before"))
    facts = run(bench.job(pair, Strategy.SNAPSHOT_DIFF, schema=schema, table="after"))
    assert (facts.inserted, facts.updated, facts.deleted, facts.unchanged) == (1, 1, 1, 2)
    assert Counter(bench.held(sink, schema)) == Counter(exact(rows(("a", 1, 1), ("A", 1, 2), ("", 1, 1), ("b", 1, 3))))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_source_is_told_without_secrets(bench: Bench, family: str) -> None:
    with pytest.raises(EngineFailed, match="nowhere") as caught:
        run(bench.job((family, "postgres"), Strategy.FULL_REFRESH, table="nowhere"))
    url = bench.catalogs[family].endpoint(bench.name, "x").url.get_secret_value()
    assert url not in str(caught.value)
    assert bench.names("postgres") == set()


def test_nothing_of_a_first_load_on_s3_shows_before_its_manifest(bench: Bench) -> None:
    seen = []
    bench.seed("postgres", news((1, 1, "a")))
    job = bench.job(("postgres", "minio"), Strategy.FULL_REFRESH)

    def look(moment: str) -> None:
        if moment == "staged":
            seen.append((bench.names("minio"), bench.catalogs["minio"].fingerprint(bench.name, "dst", "id")))

    run(job, moment=look)
    ((names, fingerprint),) = seen
    assert len(names) == 1
    assert fingerprint is None


def test_old_objects_go_after_a_refresh_on_s3(bench: Bench) -> None:
    bench.seed("postgres", news((1, 1, "a")))
    job = bench.job(("postgres", "minio"), Strategy.FULL_REFRESH)
    run(job)
    first = bench.names("minio")
    run(job)
    assert len(first) == len(bench.names("minio")) == 2
    assert first & bench.names("minio") == {"_manifest.json"}


def test_objects_that_a_kill_left_on_s3_go(bench: Bench) -> None:
    bench.seed("postgres", news((1, 1, "a")))
    job = bench.job(("postgres", "minio"), Strategy.INCREMENTAL_APPEND)
    run(job)
    files, root = bench.bucket()
    for name in ("part-00000002-00007.parquet-part", "part-of-somebody-else"):
        with files.open_output_stream(f"{root}/dst/{name}") as stream:
            stream.write(b"half")
    run(job)
    assert bench.names("minio") == {"_manifest.json", "part-of-somebody-else", *bench.published()}


@pytest.mark.parametrize("strategy", [Strategy.FULL_REFRESH, Strategy.INCREMENTAL_APPEND])
def test_a_manifest_whose_answer_was_lost_keeps_its_objects_on_s3(bench: Bench, strategy: Strategy) -> None:
    def deaf(job: Job, sink: Any) -> Sink:
        put = sink._bucket.put

        def lost(manifest: object) -> None:
            put(manifest)
            raise OSError("the connection was reset")

        sink._bucket.put = lost
        return sink

    bench.seed("postgres", news((1, 1, "a"), (2, 2, "b")))
    job = bench.job(("postgres", "minio"), strategy)
    with pytest.raises(EngineFailed, match="the connection was reset"):
        NativeEngine(Seams(sink=deaf)).run(job)
    assert len(bench.held("minio")) == 2
    NativeEngine().run(job)
    assert len(bench.held("minio")) == 2


def test_objects_of_somebody_else_are_left_alone(bench: Bench) -> None:
    bench.seed("postgres", news((1, 1, "a")))
    bench.seed("minio", news((7, 7, "theirs")), table="dst")
    with pytest.raises(EngineFailed, match=r"\d Parquet objects and no manifest"):
        run(bench.job(("postgres", "minio"), Strategy.FULL_REFRESH))
    assert bench.held("minio") == exact(news((7, 7, "theirs")))


def test_the_state_is_committed_with_the_data_on_postgres(bench: Bench) -> None:
    bench.seed("postgres", news((1, 1, "a")))
    job = bench.job(("postgres", "postgres"), Strategy.INCREMENTAL_APPEND)
    run(job)
    bench.add("postgres", news((2, 2, "b")))
    # a state that can't be written takes the data back with it
    bench.sql("postgres", "ALTER TABLE \"{ns}\"._dpone_state ADD CHECK (state NOT LIKE '%00:02%')")
    with pytest.raises(EngineFailed, match="violates check constraint"):
        run(job)
    assert bench.held("postgres") == exact(news((1, 1, "a")))
    assert bench.names("postgres") == {"dst", "_dpone_state"}
