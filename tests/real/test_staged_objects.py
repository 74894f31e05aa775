"""Rows that are staged as Parquet objects on S3, from which ClickHouse loads them by itself."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pytest
from pydantic import SecretStr

from pytest_dpone.core.kinds import Field, TableSchema
from pytest_dpone.core.model import Case, CaseRecord, Strategy, Verdict
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import Job, ServiceInfo
from pytest_dpone.engines.native import NativeEngine, Seams
from pytest_dpone.errors import EngineFailed, UsageError
from pytest_dpone.run.case import certify
from pytest_dpone.run.settings import RunSettings
from pytest_dpone.services.catalog import Catalog, open_catalog

pytestmark = pytest.mark.real

ROWS = TableSchema((Field("id", "int64", nullable=False), Field("note", "text")), cursor="id")
ROWS_A_LOAD = 7


class Bench:
    """A source with a few rows, a sink, a staging area, and a way to spoil what lies in it."""

    def __init__(self, services: Mapping[str, ServiceInfo]) -> None:
        token = secrets.token_hex(4)
        self.name = f"staging_{token}"
        self.secret = unquote(urlsplit(services["minio"].url.get_secret_value()).password or "")
        self.catalogs: dict[str, Catalog] = {
            family: open_catalog(services[family], bucket=f"dpone-staging-{token}") for family in services
        }
        for catalog in self.catalogs.values():
            catalog.open(self.name)
        self.catalogs["postgres"].create(self.name, "src", ROWS)
        self.add(range(ROWS_A_LOAD))
        self.bucket: Any = self.catalogs["minio"]._bucket  # type: ignore[attr-defined]

    def add(self, keys: range) -> None:
        rows = pa.record_batch([list(keys), [f"note {key}" for key in keys]], schema=ROWS.arrow())
        self.catalogs["postgres"].load(self.name, "src", ROWS, [rows])

    def job(self, strategy: Strategy = Strategy.FULL_REFRESH, **more: object) -> Job:
        return Job.model_validate(
            {
                "case_id": "x",
                "run_id": "r",
                "strategy": strategy,
                "source": self.catalogs["postgres"].endpoint(self.name, "src"),
                "sink": self.catalogs["clickhouse"].endpoint(self.name, "dst"),
                "staging": self.catalogs["minio"].endpoint(self.name, "dst"),
                "key": ("id",),
                "cursor": "id",
                "partition": "",
                "state_table": "_dpone_state",
                "batch_rows": 3,
                **more,
            }
        )

    def held(self) -> list[int]:
        found = self.catalogs["clickhouse"].read(self.name, "dst", ROWS.fields, order_by=("id",))
        return [key for batch in found for key in batch.column(0).to_pylist()]

    def staged(self) -> list[str]:
        return [key for key in self.bucket.keys(f"{self.name}/") if not key.endswith("/")]

    def tables(self) -> set[str]:
        return set(self.catalogs["clickhouse"].contents(self.name))

    def close(self) -> None:
        for catalog in self.catalogs.values():
            catalog.close(self.name)
            catalog.disconnect()


@pytest.fixture
def bench(services: dict[str, ServiceInfo]) -> Iterator[Bench]:
    made = Bench(services)
    try:
        yield made
    finally:
        made.close()


def at(name: str, do: Callable[[], object]) -> Callable[[str], None]:
    def moment(reached: str) -> None:
        if reached == name:
            do()

    return moment


def run(job: Job, moment: Callable[[str], None] = lambda _name: None) -> Any:
    return NativeEngine(Seams(moment=moment)).run(job)


@pytest.fixture(params=["full_refresh", "incremental_merge", "scd2", "backfill"])
def record(request: pytest.FixtureRequest, services: dict[str, ServiceInfo], nightly: bool) -> CaseRecord:
    if not nightly and request.param in ("scd2", "backfill"):
        pytest.skip("scd2 and backfill are played by `make nightly` alone")
    registry = default_registry()
    registry.staging = "minio"
    case = Case("postgres", "clickhouse", Strategy(request.param), "minio")
    settings = RunSettings(run_id="staging", rows=80, crash="quick")
    return certify(case, engine=NativeEngine(), registry=registry, services=services, settings=settings)


@pytest.mark.nightly("two of four strategies; the others are skipped")
def test_a_case_is_certified_by_the_same_acts_and_says_how_its_rows_went(record: CaseRecord) -> None:
    assert record.verdict is Verdict.PASSED, record.detail
    assert (record.via, record.case.pair) == ("minio", "postgres_to_clickhouse_via_minio")
    assert [service.name for service in record.services] == ["clickhouse", "minio", "postgres"]
    assert "--dpone-staging=minio" in record.rerun
    names = [str(act.name) for act in record.acts]
    assert [n for n in names if n in ("load", "change", "repeat", "crash")] == ["load", "change", "repeat", "crash"]
    assert ("reconcile" in names) is (record.strategy is Strategy.INCREMENTAL_MERGE)
    load, crash = (next(act for act in record.acts if act.name == name) for name in ("load", "crash"))
    assert {"staging.used", "staging.empty", "rows"} <= {check.name for check in load.checks}
    assert {"crash.staged.rows.staging.empty", "crash.committing.proof"} <= {check.name for check in crash.checks}


def test_objects_are_there_while_they_are_loaded_and_not_afterwards(bench: Bench) -> None:
    seen: list[list[str]] = []
    facts = run(bench.job(), at("uploaded", lambda: seen.append(bench.staged())))
    assert facts.written == ROWS_A_LOAD
    assert [len(names) for names in seen] == [1]
    assert (bench.held(), bench.staged()) == (list(range(ROWS_A_LOAD)), [])


def test_a_staged_object_that_is_lost_is_an_error(bench: Bench) -> None:
    run(bench.job())
    bench.add(range(100, 103))
    with pytest.raises(EngineFailed, match="staging failed at clickhouse"):
        run(bench.job(), at("uploaded", lambda: bench.bucket.delete(bench.staged())))
    assert (bench.held(), bench.staged(), bench.tables()) == (list(range(ROWS_A_LOAD)), [], {"dst"})


def test_a_staged_object_that_is_cut_short_is_an_error(bench: Bench) -> None:
    def cut() -> None:
        (name,) = bench.staged()
        bench.bucket.put(name, bench.bucket.get(name)[:-30])

    with pytest.raises(EngineFailed, match="staging failed at clickhouse"):
        run(bench.job(), at("uploaded", cut))
    assert (bench.tables(), bench.staged()) == (set(), [])


def test_a_staged_object_with_fewer_rows_is_an_error(bench: Bench) -> None:
    import io

    import pyarrow.parquet as pq

    def shorten() -> None:
        (name,) = bench.staged()
        rows = pq.read_table(io.BytesIO(bench.bucket.get(name)))
        body = io.BytesIO()
        pq.write_table(rows.slice(1), body)
        bench.bucket.put(name, body.getvalue())

    with pytest.raises(EngineFailed, match=r"7 rows were sent to .*, and 6 are staged"):
        run(bench.job(), at("uploaded", shorten))
    assert (bench.tables(), bench.staged()) == (set(), [])


KILLED = """
import os, signal, sys
from pytest_dpone.core.wire import Job
from pytest_dpone.engines.native import NativeEngine, Seams
def moment(name):
    if name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
NativeEngine(Seams(moment=moment)).run(Job.model_validate_json(sys.stdin.read()))
"""


@pytest.mark.parametrize("moment", ["uploaded", "staged", "pending", "committing"])
def test_what_a_killed_run_has_staged_is_not_loaded_and_goes(bench: Bench, moment: str) -> None:
    job = bench.job(Strategy.INCREMENTAL_APPEND)
    command = [sys.executable, "-c", KILLED, moment]
    done = subprocess.run(command, input=job.to_json(), text=True, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(bench.staged()) == 1
    bench.add(range(100, 102))
    run(job)
    assert (bench.held(), bench.staged()) == ([*range(ROWS_A_LOAD), 100, 101], [])
    assert bench.tables() == {"dst", "_dpone_state"}


def test_no_secret_is_in_an_error_or_in_the_servers_log_of_queries(bench: Bench) -> None:
    run(bench.job())
    job = bench.job()
    assert job.staging is not None
    wrong = job.staging.url.get_secret_value().replace(":9000", ":9000")
    parts = urlsplit(wrong)
    login, _, place = parts.netloc.rpartition("@")
    key, _, _ = login.partition(":")
    wrong = parts._replace(netloc=f"{key}:not-the-Secret-4711@{place}").geturl()
    refused = job.model_copy(update={"staging": job.staging.model_copy(update={"url": SecretStr(wrong)})})
    with pytest.raises(EngineFailed) as told:
        run(refused)
    assert "not-the-Secret-4711" not in str(told.value)
    with pytest.raises(EngineFailed) as lost:
        run(job, at("uploaded", lambda: bench.bucket.delete(bench.staged())))
    assert bench.secret not in str(lost.value)
    client: Any = bench.catalogs["clickhouse"]._client  # type: ignore[attr-defined]
    client.command("SYSTEM FLUSH LOGS")
    found = client.query("SELECT query, exception FROM system.query_log WHERE query LIKE '%s3(%part-%'").result_rows
    assert any("INSERT INTO" in query for query, _ in found)
    assert not [text for row in found for text in row if bench.secret in text]


def test_an_engine_says_what_it_does_not_stage(bench: Bench) -> None:
    source = bench.catalogs["postgres"].endpoint(bench.name, "other")
    with pytest.raises(UsageError, match="does not stage rows in minio on their way to postgres"):
        run(bench.job(sink=source))
    with pytest.raises(UsageError, match="does not stage rows in postgres on their way to clickhouse"):
        run(bench.job(staging=source))


def test_a_place_that_a_server_takes_for_a_pattern_is_refused(bench: Bench) -> None:
    job = bench.job()
    assert job.staging is not None
    odd = job.staging.model_copy(update={"namespace": "a{1,2}"})
    with pytest.raises(UsageError, match="has a name that a server may take for a pattern"):
        run(job.model_copy(update={"staging": odd}))


@pytest.mark.parametrize(
    ("name", "check"),
    [("stage_nowhere", "staging.used"), ("leave_what_was_staged", "staging.empty"), ("lose_a_staged_object", "rows")],
)
def test_an_engine_that_stages_wrongly_is_found_out(services: dict[str, ServiceInfo], name: str, check: str) -> None:
    from pytest_dpone.engines.child import load

    registry = default_registry()
    registry.staging = "minio"
    case = Case("postgres", "clickhouse", Strategy.FULL_REFRESH, "minio")
    settings = RunSettings(run_id="staging", rows=40, dataset="narrow", crash="off")
    record = certify(case, engine=load(f"mutant:{name}"), registry=registry, services=services, settings=settings)
    red = [each.name for act in record.acts for each in act.checks if not each.passed]
    assert red[:1] == [check], record.detail
