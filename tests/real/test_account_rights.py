"""The account of a server at an address is tried before any case starts; what it may not do is told, with the way."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.errors import ServiceFailed
from pytest_dpone.services import journal
from pytest_dpone.services.clients import clients_of
from pytest_dpone.services.journal import left
from pytest_dpone.services.rights import try_rights
from pytest_dpone.services.stack import Stack, StackSettings

from .front import Asked, Refusal, denied, door

pytestmark = pytest.mark.real
PASSWORD = "canary-77ab"


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of the test's own."""
    monkeypatch.setattr(journal, "base_directory", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def role(services: dict[str, ServiceInfo]) -> Iterator[tuple[Any, str, str]]:
    """(administrator's connection, a role without any right of its own, its address)."""
    url = services["postgres"].url.get_secret_value()
    name = f"reader_{secrets.token_hex(4)}"
    admin = clients_of("postgres").connect(url)
    admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    parts = urlsplit(url)
    try:
        yield admin, name, parts._replace(netloc=f"{name}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()
    finally:
        admin.execute(f"DROP OWNED BY {name}")
        admin.execute("GRANT TEMPORARY ON DATABASE postgres TO PUBLIC")
        admin.execute(f"DROP ROLE {name}")
        admin.close()


def lack(service: str, url: str, run_id: str = "r1") -> ServiceFailed:
    with pytest.raises(ServiceFailed) as caught:
        try_rights(service, url, run_id)
    assert PASSWORD not in str(caught.value)
    assert str(urlsplit(url).password) not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", ["postgres", "clickhouse", "minio"])
def test_an_account_that_may_leaves_nothing(services: dict[str, ServiceInfo], name: str) -> None:
    url = services[name].url.get_secret_value()
    before = namespaces(name, url)
    try_rights(name, url, "r1")
    assert namespaces(name, url) == before
    assert left("r1") == []


def test_an_account_of_kafka_that_may_leaves_nothing(kafka_url: str) -> None:
    before = namespaces("kafka", kafka_url)
    try_rights("kafka", kafka_url, "r1")
    assert namespaces("kafka", kafka_url) == before


def test_a_postgres_role_that_may_only_read(role: tuple[Any, str, str]) -> None:
    _, _, url = role
    error = lack("postgres", url)
    assert error.fact == (
        "the account lacks a right: it may not create a schema: permission denied for database postgres"
    )
    assert error.hint.startswith("GRANT CREATE ON DATABASE")
    assert left("r1") == []


def test_a_postgres_role_whose_transactions_are_read_only(role: tuple[Any, str, str]) -> None:
    admin, name, url = role
    admin.execute(f"GRANT CREATE ON DATABASE postgres TO {name}")
    admin.execute(f"ALTER ROLE {name} SET default_transaction_read_only = on")
    assert "it may not create a schema: cannot execute CREATE SCHEMA in a read-only" in lack("postgres", url).fact


def test_a_right_in_the_middle_is_named_and_nothing_stays(role: tuple[Any, str, str]) -> None:
    admin, name, url = role
    admin.execute(f"GRANT CREATE ON DATABASE postgres TO {name}")
    try_rights("postgres", url, "r1")
    admin.execute("REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC")
    error = lack("postgres", url)
    assert "it may not create a temporary table" in error.fact
    assert error.hint == "GRANT TEMPORARY ON DATABASE … TO the account"
    assert not [space for space in namespaces("postgres", url) if space.startswith("dpone-r1-")]
    assert left("r1") == []


def test_a_clickhouse_user_that_may_only_read(services: dict[str, ServiceInfo]) -> None:
    def read_only(asked: Asked) -> str:
        return asked.target + ("&" if "?" in asked.target else "?") + "readonly=1"

    with door(services["clickhouse"].url.get_secret_value(), read_only) as url:
        error = lack("clickhouse", url)
    assert "it may not create a database: " in error.fact
    assert "READONLY" in error.fact
    assert "GRANT CREATE DATABASE" in error.hint


@pytest.mark.parametrize(
    ("methods", "doing"),
    [(("PUT", "POST", "DELETE"), "create a bucket"), (("DELETE",), "delete an object")],
)
def test_an_s3_account_that_may_not(services: dict[str, ServiceInfo], methods: tuple[str, ...], doing: str) -> None:
    def rule(asked: Asked) -> Refusal | None:
        return denied(asked) if asked.method in methods else None

    whole = services["minio"].url.get_secret_value()
    with door(whole, rule) as url:
        error = lack("minio", url)
    assert f"the account lacks a right: it may not {doing}: " in error.fact
    assert "AccessDenied" in error.fact
    assert error.hint.startswith("allow s3:")
    made = left("r1")
    assert len(made) == (doing == "delete an object")
    for each in made:  # what can't be taken away is recorded, and told
        assert f"{each.namespace} is left there: `pytest-dpone clean --run-id r1` removes it" in error.hint
        assert each.bucket in namespaces("minio", whole)
        client = clients_of("minio").connect(whole)
        clients_of("minio").drop(client, each.bucket)


def test_a_registry_that_takes_no_schemas() -> None:
    def rule(asked: Asked) -> Refusal | None:
        body = b'{"error_code": 40301, "message": "User is denied operation Write on Subject"}'
        return (403, "application/json", body) if asked.method == "POST" else None

    with launch(providers={"schema_registry": "embedded"}) as stack:
        info = stack.ensure(["schema_registry"])["schema_registry"]
        try_rights("schema_registry", info.url.get_secret_value(), "r1")
        with door(info.url.get_secret_value(), rule) as url:
            error = lack("schema_registry", url)
    assert "it may not register a schema: User is denied operation Write on Subject" in error.fact
    assert "write subjects that begin with dpone" in error.hint


def test_all_planned_accounts_are_tried_before_anything_is_given(
    services: dict[str, ServiceInfo], role: tuple[Any, str, str]
) -> None:
    external = {"postgres": SecretStr(role[2]), "minio": services["minio"].url}
    with launch(external=external, planned=("postgres", "minio")) as stack:
        for _ in range(2):
            with pytest.raises(ServiceFailed, match="it may not create a schema"):
                stack.ensure(["minio"])
    with launch(external=external, planned=("minio",)) as stack:
        assert stack.ensure(["minio"])["minio"].record.provider == "external"


@pytest.mark.parametrize("words", [[], ["-n", "2"]])
def test_a_run_is_red_and_no_case_begins(
    tmp_path: Path, role: tuple[Any, str, str], services: dict[str, ServiceInfo], words: list[str]
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    environ = {
        **kept,
        "DPONE_POSTGRES_URL": role[2],
        "DPONE_MINIO_URL": services["minio"].url.get_secret_value(),
    }
    cases = ["--dpone-case=postgres_to_minio__full_refresh", "--dpone-case=minio_to_minio__full_refresh"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *cases, "--dpone-rows=20", *words],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert "FAILED: 0 of 2 selected cases (of 216 planned) passed; 2 failed" in done.stdout
    assert "the account lacks a right: it may not create a schema" in done.stdout
    assert "hint: GRANT CREATE ON DATABASE" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert not [path for path in tmp_path.rglob("*.json") if PASSWORD in path.read_text()]


def launch(**changes: Any) -> Stack:
    return Stack.launch(StackSettings(run_id=f"t-{secrets.token_hex(6)}", **changes))


def namespaces(service: str, url: str) -> set[str]:
    client = clients_of(service).connect(url)
    try:
        if service == "postgres":
            return {row[0] for row in client.execute("select nspname from pg_namespace where nspname !~ '^pg_'")}
        if service == "clickhouse":
            return {row[0] for row in client.query("select name from system.databases").result_rows}
        if service == "kafka":
            return {name for name in client.admin.list_topics(timeout=10).topics if not name.startswith("__")}
        return {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    finally:
        clients_of(service).close(client)
