"""The service fixtures: each gives a connected client and a namespace of one's own, which is gone at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from pytest_dpone.core.model import ServiceRecord
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.services.clients import CLIENTS, clients_of
from pytest_dpone.services.handle import ServiceHandle

pytestmark = pytest.mark.real

USER_TEST = """
def test_postgres(dpone_postgres):
    pg = dpone_postgres
    pg.client.execute(f'create table "{pg.namespace}".t (n int)')
    pg.client.execute(f'create view "{pg.namespace}".v as select n from "{pg.namespace}".t')
    assert pg.record.product == "PostgreSQL"
    assert (pg.host, pg.user, pg.database) == ("127.0.0.1", "postgres", "postgres")
    assert pg.password.get_secret_value() not in repr(pg)


def test_clickhouse(dpone_clickhouse):
    ch = dpone_clickhouse
    ch.client.command(f"create table `{ch.namespace}`.t (n Int64) engine = MergeTree order by n")
    ch.client.insert(f"`{ch.namespace}`.t", [[1], [2]], column_names=["n"])
    assert ch.client.query(f"select sum(n) from `{ch.namespace}`.t").result_rows == [(3,)]


def test_minio(dpone_minio):
    s3 = dpone_minio
    s3.client.put_object(Bucket=s3.namespace, Key="a/b", Body=b"x")
    assert s3.client.get_object(Bucket=s3.namespace, Key="a/b")["Body"].read() == b"x"


def test_kafka(dpone_kafka):
    topic = f"{dpone_kafka.namespace}.t"
    assert dpone_kafka.client.create_topic(topic)
    producer = dpone_kafka.client.producer(linger_ms=0)
    producer.produce(topic, b"x")
    assert producer.flush(10) == 0
    consumer = dpone_kafka.client.consumer(f"{dpone_kafka.namespace}.group")
    consumer.subscribe([topic])
    assert consumer.consume(1, 10)[0].value() == b"x"
    consumer.commit(asynchronous=False)
    consumer.close()


def test_one_place_a_session(dpone_postgres):
    print("place", dpone_postgres.namespace)
    assert dpone_postgres.client.execute("select count(*) from pg_namespace where nspname like 'dpone-own-%'").fetchone()
"""


@pytest.fixture(scope="module")
def services(services: dict[str, ServiceInfo], kafka_url: str) -> dict[str, ServiceInfo]:
    record = ServiceRecord(name="kafka", provider="external", product="", version="", fidelity="emulated")
    return {**services, "kafka": ServiceInfo(record=record, url=SecretStr(kafka_url))}


def environ(services: dict[str, ServiceInfo]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    addresses = {f"DPONE_{name.upper()}_URL": info.url.get_secret_value() for name, info in services.items()}
    return {**kept, **addresses, "DPONE_RUN_INTEGRATION": "1"}


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_a_users_tests_have_a_client_and_a_place(
    services: dict[str, ServiceInfo], tmp_path: Path, workers: list[str]
) -> None:
    (tmp_path / "test_mine.py").write_text(USER_TEST)
    before = places(services)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *workers],
        cwd=tmp_path, env=environ(services), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert places(services) == before


def places(services: dict[str, ServiceInfo]) -> dict[str, set[str]]:
    found = {}
    for name in CLIENTS:
        if name not in services:
            continue
        handle = ServiceHandle(services[name], name="unused")
        client = handle.client
        if name == "postgres":
            rows = client.execute("select nspname from pg_namespace").fetchall()
        elif name == "clickhouse":
            rows = client.query("select name from system.databases").result_rows
        elif name == "kafka":
            groups = client.admin.list_consumer_groups().result(10).valid
            rows = [(topic,) for topic in client.admin.list_topics(timeout=10).topics]
            rows += [(group.group_id,) for group in groups]
        else:
            rows = [(bucket["Name"],) for bucket in client.list_buckets()["Buckets"]]
        found[name] = {row[0] for row in rows if str(row[0]).startswith("dpone-own-")}
        handle.close()
    return found


@pytest.mark.parametrize("service", ["postgres", "clickhouse", "kafka", "minio"])
def test_what_somebody_else_made_is_not_ours(services: dict[str, ServiceInfo], service: str) -> None:
    clients = clients_of(service)
    client = clients.connect(services[service].url.get_secret_value())
    name = "dpone-own-test-of-clients"
    try:
        assert clients.create(client, name)
        assert not clients.create(client, name)
        clients.drop(client, name)
        assert clients.create(client, name)
        clients.drop(client, name)
    finally:
        clients.close(client)


def test_a_service_without_a_client_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        clients_of("unheard_of")


def test_a_handle_that_nobody_used_connects_to_nothing() -> None:
    record = ServiceRecord(name="postgres", provider="external", product="x", version="1", fidelity="real")
    handle = ServiceHandle(ServiceInfo(record=record, url=SecretStr("postgresql://u:secret@127.0.0.1:1/d")), name="n")
    handle.close()
    assert repr(handle) == "<postgres at 127.0.0.1:1>"


def test_a_handle_of_several_servers_tells_the_first() -> None:
    record = ServiceRecord(name="kafka", provider="external", product="x", version="1", fidelity="real")
    handle = ServiceHandle(ServiceInfo(record=record, url=SecretStr("kafka://u:s%2Ct@one:1,two:2")), name="n")
    assert (handle.host, handle.port, handle.user, handle.password.get_secret_value()) == ("one", 1, "u", "s,t")
