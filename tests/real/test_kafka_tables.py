"""Kafka as source and sink of the native engine: what is committed counts, once, whoever is killed."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from pytest_dpone.core.dataset import Commit
from pytest_dpone.core.kinds import Field, TableSchema
from pytest_dpone.core.model import Strategy
from pytest_dpone.core.wire import Job, RunFacts, ServiceInfo
from pytest_dpone.engines.native import NativeEngine, Seams
from pytest_dpone.engines.native.kafka_sink import KafkaSink
from pytest_dpone.engines.native.state import State
from pytest_dpone.errors import DponeError, EngineFailed, ServiceFailed, UsageError
from pytest_dpone.services.catalog import Fingerprint, open_catalog, with_registry
from pytest_dpone.services.catalog.kafka import KafkaCatalog
from pytest_dpone.services.stack import Stack, StackSettings

pytestmark = pytest.mark.real

NEWS = TableSchema(
    (
        Field("id", "int64", nullable=False),
        Field("at", "timestamptz", nullable=False),
        Field("day", "date", nullable=False),
        Field("a note", "text"),
    ),
    cursor="at",
    partition="day",
)
DAY = dt.date(2024, 1, 1)
SERVICES = ("kafka", "schema_registry")


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, ServiceInfo]]:
    providers = dict.fromkeys(SERVICES, "embedded")
    with Stack.launch(StackSettings(run_id=f"test-{secrets.token_hex(4)}", providers=providers)) as stack:
        yield stack.ensure(SERVICES)


@pytest.fixture(params=["avro", "json"])
def catalog(running: dict[str, ServiceInfo], request: pytest.FixtureRequest) -> Iterator[KafkaCatalog]:
    services = with_registry(running) if request.param == "avro" else running
    made = open_catalog(services["kafka"], bucket="")
    assert isinstance(made, KafkaCatalog)
    yield made
    made.disconnect()


@pytest.fixture
def space(catalog: KafkaCatalog) -> Iterator[str]:
    name = f"tables_{secrets.token_hex(4)}"
    catalog.open(name)
    yield name
    catalog.close(name)
    assert catalog._topics.names(name) == []
    if catalog._topics.avro:
        assert [s for s in catalog._topics.registry.get_subjects(deleted=True) if s.startswith(name)] == []


def news(*rows: tuple[int, int, str | None]) -> pa.Table:
    moments = [dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=at) for _, at, _ in rows]
    days = [DAY + dt.timedelta(days=at) for _, at, _ in rows]
    return pa.table([[r[0] for r in rows], moments, days, [r[2] for r in rows]], schema=NEWS.arrow())


def job(catalog: KafkaCatalog, space: str, strategy: Strategy, **more: object) -> Job:
    return Job.model_validate(
        {
            "case_id": "x",
            "run_id": "r",
            "strategy": strategy,
            "source": catalog.endpoint(space, "src"),
            "sink": catalog.endpoint(space, "dst"),
            "key": NEWS.key,
            "cursor": NEWS.cursor,
            "partition": NEWS.partition,
            "state_table": "state",
            "batch_rows": 2,
            **more,
        }
    )


def run(job: Job, **seams: Any) -> RunFacts:
    return NativeEngine(Seams(**seams)).run(job)


def seed(catalog: KafkaCatalog, space: str, rows: pa.Table) -> None:
    catalog.create(space, "src", NEWS)
    catalog.load(space, "src", NEWS, rows.to_batches())


def change(catalog: KafkaCatalog, space: str, *, gone: tuple[int, ...] = (), **parts: pa.Table) -> None:
    deletes = pa.table({"id": pa.array(gone, pa.int64())})
    empty = news()
    commit = Commit(deletes, parts.get("updates", empty), parts.get("inserts", empty))
    catalog.change(space, "src", NEWS, [commit])


def held(catalog: KafkaCatalog, space: str, table: str = "dst") -> list[tuple[int, str]]:
    batches = catalog.read(space, table, NEWS.fields, order_by=["id"])
    return [(row["id"], row["a note"]) for batch in batches for row in batch.to_pylist()]


def written(catalog: KafkaCatalog, space: str) -> list[tuple[str, str]]:
    return sorted((row["op"], row["key"]) for row in catalog.events(space, "dst", ("id",)).to_pylist())


def test_a_source_is_what_its_committed_events_leave(catalog: KafkaCatalog, space: str) -> None:
    seed(catalog, space, news(*((number, number, "old") for number in range(1, 10))))
    stable, ends = catalog._topics.ends(f"{space}.src")
    assert sum(stable.values()) < sum(ends.values()), "a transaction must be open while the engine reads"
    assert run(job(catalog, space, Strategy.FULL_REFRESH)).read == 9
    assert held(catalog, space) == [(number, "old") for number in range(1, 10)]
    change(catalog, space, gone=(1, 2), updates=news((3, 3, "new")), inserts=news((2, 2, "back")))
    assert run(job(catalog, space, Strategy.SNAPSHOT_DIFF)).model_dump(
        include={"read", "inserted", "updated", "deleted", "unchanged"}
    ) == {"read": 8, "inserted": 0, "updated": 2, "deleted": 1, "unchanged": 6}
    assert held(catalog, space)[:3] == [(2, "back"), (3, "new"), (4, "old")]
    places = catalog.events(space, "src", ("id",)).column("partition")
    assert len(places.unique()) > 1


def test_a_change_that_fits_no_row_is_refused(catalog: KafkaCatalog, space: str) -> None:
    seed(catalog, space, news((1, 1, "a")))
    with pytest.raises(DponeError, match="1 rows by their keys"):
        change(catalog, space, gone=(2,))


def test_an_append_repeats_nothing(catalog: KafkaCatalog, space: str) -> None:
    work = job(catalog, space, Strategy.INCREMENTAL_APPEND)
    seed(catalog, space, news((1, 1, "a"), (2, 2, "b")))
    run(work)
    change(catalog, space, updates=news((1, 3, "later")), inserts=news((3, 2, "tie")))
    assert run(work).written == 2
    assert run(work).written == 0
    every = [("insert", '{"id":1}'), ("insert", '{"id":2}'), ("insert", '{"id":3}'), ("update", '{"id":1}')]
    assert written(catalog, space) == sorted(every)


def test_versions_of_rows_are_told_by_a_column_that_is_no_key(catalog: KafkaCatalog, space: str) -> None:
    schema = TableSchema((Field("id", "int64", nullable=False), Field("a key", "text", nullable=False)), key=("a key",))
    rows = pa.table([[1, 2, 3], ["a", "A", "a "]], schema=schema.arrow())
    catalog.create(space, "src", schema)
    catalog.load(space, "src", schema, rows.to_batches())
    before = catalog.row_versions(space, "src", "id")
    assert before is not None
    catalog.change(space, "src", schema, [Commit(rows.select(["a key"]).slice(2), rows.slice(1, 1), rows.slice(0, 0))])
    after = catalog.row_versions(space, "src", "id")
    assert after is not None
    assert [found.column("key").to_pylist() for found in (before, after)] == [[1, 2, 3], [1, 2]]
    assert after.column("version")[0] == before.column("version")[0]
    assert after.column("version")[1].as_py() > before.column("version")[1].as_py()
    read = catalog.read(space, "src", schema.fields, order_by=["id"])
    assert [row["a key"] for batch in read for row in batch.to_pylist()] == ["a", "A"]
    assert {event["key"] for event in catalog.events(space, "src", ("id",)).to_pylist()} == {
        '{"a key":"a"}',
        '{"a key":"A"}',
        '{"a key":"a "}',
    }
    assert catalog.row_versions(space, "none", "id").num_rows == 0  # type: ignore[union-attr]


def test_a_window_is_written_anew(catalog: KafkaCatalog, space: str) -> None:
    seed(catalog, space, news((1, 1, "a"), (2, 2, "b"), (3, 3, "c"), (4, 4, "d")))
    run(job(catalog, space, Strategy.REPLACE))
    change(catalog, space, gone=(2,), updates=news((1, 3, "moved in"), (3, 9, "moved out"), (4, 4, "not seen")))
    window = {"start": DAY + dt.timedelta(days=2), "stop": DAY + dt.timedelta(days=4)}
    assert run(job(catalog, space, Strategy.REPLACE, window=window)).written == 1
    assert held(catalog, space) == [(1, "moved in"), (4, "d")]


def test_keys_that_a_log_names_go(catalog: KafkaCatalog, space: str) -> None:
    seed(catalog, space, news((1, 1, "a"), (2, 2, "b"), (3, 3, "c")))
    work = job(catalog, space, Strategy.SNAPSHOT_DIFF)
    run(work)
    sink = KafkaSink(work, lambda _moment: None)
    try:
        source = NativeEngine()._open_source(work)
        assert sink.prepare(source.schema)
        sink.stage(iter(()))
        counts = sink.merge(None, delete=False, gone=pa.table({"id": [2, 99]}))
        source.close()
    finally:
        sink.close()
    assert (counts.deleted, counts.inserted, counts.updated) == (1, 0, 0)
    assert held(catalog, space) == [(1, "a"), (3, "c")]


def test_a_state_may_be_longer_than_an_event(catalog: KafkaCatalog, space: str) -> None:
    seed(catalog, space, news((1, 1, "a")))
    work = job(catalog, space, Strategy.INCREMENTAL_APPEND)
    states = [State("incremental_append", "at", "1", tuple(f"{n:032x}" for n in range(count))) for count in (90_000, 3)]
    for state in states:
        sink = KafkaSink(work, lambda _moment: None)
        try:
            assert sink.prepare(news().schema) is (state is states[1])
            sink.stage(iter(()))
            sink.append(state)
            assert sink.state() == state
        finally:
            sink.close()
    left = [key for key, value in last(catalog, f"{space}.{work.state_table}").items() if value is not None]
    assert left == [b"dst"]


def last(catalog: KafkaCatalog, topic: str) -> dict[bytes, bytes | None]:
    messages = catalog._topics.read(topic, catalog._topics.settled(topic))
    return {message.key(): message.value() for message in messages}


def test_a_key_that_comes_twice_is_refused_and_nothing_is_sent(catalog: KafkaCatalog, space: str) -> None:
    seed(catalog, space, news((1, 1, "a"), (2, 2, "b")))
    for strategy in (Strategy.FULL_REFRESH, Strategy.SNAPSHOT_DIFF, Strategy.REPLACE):
        with pytest.raises(EngineFailed, match="staged twice"):
            run(job(catalog, space, strategy), tap=lambda _, batches: (b for batch in batches for b in (batch, batch)))
    assert catalog.fingerprint(space, "dst", "id") in (None, Fingerprint(0, 0))


def test_other_columns_are_refused(catalog: KafkaCatalog, space: str) -> None:
    seed(catalog, space, news((1, 1, "a")))
    run(job(catalog, space, Strategy.FULL_REFRESH))
    other = TableSchema((*NEWS.fields[:3], Field("other", "text")), cursor="at", partition="day")
    catalog.create(space, "src2", other)
    catalog.load(space, "src2", other, news((1, 1, "a")).rename_columns([f.name for f in other.fields]).to_batches())
    with pytest.raises(EngineFailed, match="the source now needs"):
        run(job(catalog, space, Strategy.FULL_REFRESH, source=catalog.endpoint(space, "src2")))


def test_there_must_be_a_table(catalog: KafkaCatalog, space: str) -> None:
    with pytest.raises(EngineFailed, match="there is no table"):
        run(job(catalog, space, Strategy.FULL_REFRESH))
    with pytest.raises(UsageError, match="can't be a topic"):
        run(job(catalog, space, Strategy.FULL_REFRESH, source=catalog.endpoint(space, "a b")))
    assert catalog.columns(space, "src") == {}
    assert catalog.fingerprint(space, "src", "id") is None
    assert catalog.events(space, "src", ("id",)).num_rows == 0


KILLED = """
import os, signal, sys
from pytest_dpone.core.wire import Job
from pytest_dpone.engines.native import NativeEngine, Seams
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def moment(name):
    if name == sys.argv[1]:
        die()
def opened(job, sink):
    every = []
    def sent(events):
        for event in events:
            yield event
            every.append(event)
            if len(every) == 2:
                sink.producer.flush(30)
                print("sent", flush=True)
                die()
    if sys.argv[1] == "half":
        sink.tap = sent
    return sink
NativeEngine(Seams(moment=moment, sink=opened)).run(Job.model_validate_json(sys.stdin.read()))
"""


@pytest.mark.parametrize("moment", ["staged", "half", "committing", "applied"])
@pytest.mark.parametrize("strategy", [Strategy.INCREMENTAL_APPEND, Strategy.INCREMENTAL_MERGE])
def test_a_killed_process_loses_and_repeats_nothing(
    catalog: KafkaCatalog, space: str, strategy: Strategy, moment: str
) -> None:
    work = job(catalog, space, strategy)
    seed(catalog, space, news((1, 1, "a"), (2, 2, "b")))
    run(work)
    change(catalog, space, inserts=news((3, 2, "tie"), (4, 4, "d"), (5, 5, "e")))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, moment], input=work.to_json(), text=True, capture_output=True, timeout=60
    )
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "sent\n" if moment == "half" else ""), killed.stderr
    if moment in ("half", "committing"):
        stable, ends = catalog._topics.ends(f"{space}.dst")
        assert stable != ends, "there must be something half done"
    assert run(work).written == (0 if moment == "applied" else 3)
    assert run(work).written == 0
    assert held(catalog, space) == [(1, "a"), (2, "b"), (3, "tie"), (4, "d"), (5, "e")]
    assert written(catalog, space) == [("insert", f'{{"id":{number}}}') for number in range(1, 6)]


def test_an_older_engine_is_fenced_off(catalog: KafkaCatalog, space: str) -> None:
    seed(catalog, space, news((1, 1, "a"), (2, 2, "b")))
    work = job(catalog, space, Strategy.FULL_REFRESH)

    others: list[RunFacts] = []

    def overtaken(_job: Job, sink: Any) -> Any:
        def events(found: Iterator[Any]) -> Iterator[Any]:
            yield from found
            if not others:
                others.append(run(work))

        sink.tap = events
        return sink

    with pytest.raises(EngineFailed, match=r"(?i)fenced|epoch|producer"):
        run(work, sink=overtaken)
    assert len(written(catalog, space)) == 2


def test_a_transaction_that_stays_open_is_told(
    catalog: KafkaCatalog, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(catalog, space, news((1, 1, "a")))
    monkeypatch.setattr("pytest_dpone.services.catalog.kafka_topics.TIMEOUT", 0.2)
    other = KafkaCatalog(catalog._url)
    try:
        with pytest.raises(ServiceFailed, match="still open"):
            held(other, space, "src")
    finally:
        other.disconnect()


def test_a_compatible_schema_follows_between_two_acts(running: dict[str, ServiceInfo]) -> None:
    catalog = open_catalog(with_registry(running)["kafka"], bucket="")
    assert isinstance(catalog, KafkaCatalog)
    space = f"tables_{secrets.token_hex(4)}"
    try:
        seed(catalog, space, news((1, 1, "a"), (2, 2, "b")))
        change(catalog, space, updates=news((1, 3, "new")))
        registry = catalog._topics.registry
        assert registry.get_versions(f"{space}.src-value") == [1, 2]
        run(job(catalog, space, Strategy.FULL_REFRESH))
        assert held(catalog, space) == [(1, "new"), (2, "b")]
        ids = {m.value()[1:5] for m in catalog._topics.read(f"{space}.src", catalog._topics.ends(f"{space}.src")[0])}
        assert len(ids) == 2
        text = registry.get_latest_version(f"{space}.dst-value").schema.schema_str
        assert json.loads(text)["fields"][-1]["type"]["fields"][-1]["name"] == "_x_61206e6f7465"
    finally:
        catalog.close(space)
        catalog.disconnect()


def test_no_secret_is_told(running: dict[str, ServiceInfo]) -> None:
    info = with_registry(running)["kafka"]
    registry = running["schema_registry"].url.get_secret_value()
    catalog = open_catalog(info.model_copy(update={"url": SecretStr(info.url.get_secret_value())}), bucket="")
    assert isinstance(catalog, KafkaCatalog)
    with pytest.raises(EngineFailed) as raised:
        run(job(catalog, "nothing", Strategy.FULL_REFRESH))
    password = registry.partition("@")[0].rpartition(":")[2]
    assert password
    assert password not in str(raised.value)
    assert password not in repr(info)
    catalog.disconnect()
