"""Real services for the tests: from addresses in the environment, else a stack of our own."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from pytest_dpone.core.model import ServiceRecord
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.services.stack import Stack, StackSettings

from .clickhouse_client import Connect, connector
from .folders import passable

NAMES = ("postgres", "clickhouse", "minio")


@pytest.fixture(scope="session")
def services() -> Iterator[dict[str, ServiceInfo]]:
    """Service → address. `DPONE_TEST_POSTGRES_URL` and its siblings name servers that are up already."""
    given = {name: url for name in NAMES if (url := os.environ.get(f"DPONE_TEST_{name.upper()}_URL"))}
    infos = {
        name: ServiceInfo(
            record=ServiceRecord(name=name, provider="external", product=name, version="", fidelity="real"),
            url=SecretStr(url),
        )
        for name, url in given.items()
    }
    missing = [name for name in NAMES if name not in given]
    if not missing:
        yield infos
        return
    stack = Stack.launch(
        StackSettings(run_id=f"test-{secrets.token_hex(4)}", providers=dict.fromkeys(missing, "embedded"))
    )
    try:
        yield {**infos, **stack.ensure(missing)}
    finally:
        stack.close()


@pytest.fixture(scope="session")
def kafka_url() -> Iterator[str]:
    """The address of a Kafka: `DPONE_TEST_KAFKA_URL`, else of an embedded one that is started."""
    if given := os.environ.get("DPONE_TEST_KAFKA_URL"):
        yield given
        return
    with Stack.launch(StackSettings(run_id=f"test-{secrets.token_hex(4)}", providers={"kafka": "embedded"})) as stack:
        yield stack.ensure(["kafka"])["kafka"].url.get_secret_value()


@pytest.fixture(scope="session")
def connect(services: dict[str, ServiceInfo]) -> Connect:
    """A function that gives a client of ClickHouse."""
    return connector(services)


@pytest.fixture
def own_base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place of the test's own for all that runs put down, so that none elsewhere on the machine cleans up before us.

    Every process of such a run has it in its environment.
    """
    with passable() as folder:
        folder.chmod(0o755)  # a base that not everybody can read is left for another one
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield folder
