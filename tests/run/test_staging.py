"""The staging area as the harness sees it: who may use it, who can reach it, and where a job says it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from pytest_dpone.core.model import Case, NotRun, ServiceRecord, Strategy, Verdict
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import SUPPORTED, Endpoint, Job, RunFacts, ServiceInfo, Support
from pytest_dpone.engines.native import NativeEngine
from pytest_dpone.run.attempt import attempt
from pytest_dpone.run.foreign import support_of
from pytest_dpone.run.settings import RunSettings
from pytest_dpone.run.staging import Staging, out_of_reach

CASE = Case("postgres", "clickhouse", Strategy.FULL_REFRESH, "minio")
URL = "s3://key:secret@127.0.0.1:9000"


class Mine:
    """An engine that has never heard of staging."""

    name = "mine"

    def __init__(self, support: Support = SUPPORTED) -> None:
        self._support = support

    def supports(self, case: Case) -> Support:
        return self._support

    def run(self, job: Job) -> RunFacts:
        raise AssertionError("it is never run")


class Catalog:
    family = "minio"

    def __init__(self, found: Mapping[str, int]) -> None:
        self._found = found

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        return Endpoint(family="minio", url=SecretStr(URL + "/b?region=eu"), namespace=namespace, table=table)

    def contents(self, namespace: str) -> Mapping[str, int]:
        return self._found


def service(name: str, provider: str, *, url: str = URL, inside: str = "") -> ServiceInfo:
    record = ServiceRecord(name=name, provider=provider, product=name, version="1", fidelity="real")
    return ServiceInfo(record=record, url=SecretStr(url), inside=inside)


def staging(found: Mapping[str, int], inside: str = "") -> Staging:
    catalog: Any = Catalog(found)
    return Staging(catalog, "space", inside=inside)


def test_an_engine_that_does_not_say_that_it_stages_is_not_asked_to() -> None:
    support = support_of(Mine(), CASE)
    assert support.status == "not implemented yet"
    assert support.reason == "the engine mine does not stage rows in minio on their way to clickhouse"
    assert support_of(Mine(Support(status="supported", via=("minio",))), CASE).status == "supported"
    no = Support(status="unsupported", reason="too hard")
    assert support_of(Mine(no), CASE) is no


def test_the_native_engine_stages_where_the_sinks_server_reads_files() -> None:
    engine = NativeEngine()
    assert engine.supports(CASE).via == ("minio",)
    assert engine.supports(Case("postgres", "postgres", Strategy.FULL_REFRESH)).via == ()


@pytest.mark.parametrize(
    ("sink", "store", "reached"),
    [
        (service("clickhouse", "embedded"), service("minio", "embedded"), True),
        (service("clickhouse", "embedded"), service("minio", "docker", inside="172.17.0.2:9000"), True),
        (service("clickhouse", "docker"), service("minio", "docker", inside="172.17.0.2:9000"), True),
        (service("clickhouse", "docker"), service("minio", "external", url="s3://k:s@store.example:9000"), True),
        (service("clickhouse", "docker"), service("minio", "embedded"), False),
        (service("clickhouse", "compose"), service("minio", "external", url="s3://k:s@localhost:9000"), False),
        (service("clickhouse", "compose"), service("minio", "external", url="s3://k:s@[::1]:9000"), False),
    ],
)
def test_a_server_in_a_container_does_not_reach_this_machines_own_address(
    sink: ServiceInfo, store: ServiceInfo, reached: bool
) -> None:
    told = out_of_reach("minio", sink, store)
    assert (told == "") is reached
    if told:
        assert "runs in a container and can't reach minio at" in told
        assert told.endswith(f"take --dpone-services=minio={sink.record.provider}")


class Choice:
    provider, reason, asked = "docker", "it is there", False


class Services:
    def choose(self, names: Sequence[str]) -> Mapping[str, Any]:
        return {name: Choice() for name in names}

    def ensure(self, names: Sequence[str]) -> Mapping[str, ServiceInfo]:
        return {name: service(name, "embedded" if name == "minio" else "docker") for name in names}

    def died(self, name: str) -> str | None:
        return None


def test_a_case_whose_store_is_out_of_reach_is_unavailable() -> None:
    record = attempt(
        CASE,
        engine=NativeEngine(),
        registry=default_registry(),
        services=Services,
        settings=RunSettings(run_id="t1"),
    )
    assert (record.verdict, record.reason, record.via) == (Verdict.NOT_RUN, NotRun.UNAVAILABLE, "minio")
    assert "clickhouse runs in a container and can't reach minio at 127.0.0.1" in record.detail


def test_a_job_says_where_the_sinks_server_finds_the_store() -> None:
    assert staging({}).endpoint("t").url.get_secret_value() == URL + "/b?region=eu"
    inside = staging({}, "172.17.0.2:9000").endpoint("t").url.get_secret_value()
    assert inside == URL + "/b?region=eu&inside=172.17.0.2%3A9000"


def test_an_empty_mark_of_a_folder_is_no_object() -> None:
    assert staging({"a/": 0, "a/b": 0, "a/c/": 5}).contents() == {"staged a/b": 0, "staged a/c/": 5}


def test_the_secret_of_the_staging_area_is_masked_but_for_the_engine() -> None:
    end = staging({}).endpoint("t")
    fields = {"case_id": "x", "run_id": "r", "strategy": "full_refresh", "source": end, "sink": end, "staging": end}
    rest = {"key": ["id"], "cursor": "id", "partition": "", "state_table": "s", "batch_rows": 1}
    job = Job.model_validate({**fields, **rest})
    assert "secret@" not in job.model_dump_json()
    assert job.to_json().count("secret@") == 3
    assert Job.model_validate_json(job.to_json()).staging == end
    assert '"staging": null' in job.model_copy(update={"staging": None}).to_json()
