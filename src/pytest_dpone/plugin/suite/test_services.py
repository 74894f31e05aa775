"""The service tests: each service that the planned cases need does what a connector will ask of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.plugin.active import active_session, session_or_skip
from pytest_dpone.plugin.fixtures import running_service
from pytest_dpone.plugin.suite.scratch import SAMPLE, TESTED, Scratch, open_scratch, sample


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test once per service of the planned cases, marked with the service's marker."""
    session = active_session(metafunc.config)
    names = [name for name in session.plan.services if name in TESTED] if session is not None else []
    params = [pytest.param(name, marks=getattr(pytest.mark, f"integration_{name}")) for name in names]
    metafunc.parametrize("service", params)


@pytest.fixture
def info(request: pytest.FixtureRequest, service: str) -> ServiceInfo:
    """The running service."""
    return running_service(request, service)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """A name that no other run and no other test uses; S3 allows no underscores in it, nor more than 63 bytes."""
    return f"dpone-svc-{session_or_skip(request.config).run_id}-{secrets.token_hex(4)}"


@pytest.fixture
def scratch(service: str, info: ServiceInfo, place: str) -> Iterator[Scratch]:
    """A place of one's own in the service."""
    with open_scratch(service)(info, place) as opened:
        yield opened


def test_native_client(service: str, info: ServiceInfo, scratch: Scratch) -> None:
    """The native client is answered, by the server that the record names."""
    said = scratch.version()
    assert info.record.name == service
    if service != "minio":
        assert said
        said, known = said.split()[0], info.record.version.split()[0]
        assert said.startswith(known) or known.startswith(f"{said}.")  # a server may tell less than we know


def test_bulk_path(scratch: Scratch) -> None:
    """Rows in, rows out, none lost."""
    rows = _many(10_000)
    scratch.put("bulk", rows)
    found = scratch.get("bulk")
    assert found.num_rows == rows.num_rows
    assert pc.sum(found["id"]).as_py() == pc.sum(rows["id"]).as_py()


def test_staging(scratch: Scratch) -> None:
    """What was staged replaces what was live, and the stage is gone."""
    scratch.put("live", _many(10))
    scratch.put("staged", _many(25))
    assert scratch.get("live").num_rows == 10
    scratch.publish("staged", "live")
    assert scratch.get("live").num_rows == 25
    with pytest.raises(Exception, match=_any_text()):
        scratch.get("staged")


def test_state(scratch: Scratch) -> None:
    """State is read back as it was written, and written over."""
    for state in ('{"watermark": "2024-02-29T23:59:59.999999Z"}', "состояние 🙂 '\\n\"", ""):
        scratch.save_state(state)
        assert scratch.load_state() == state


def test_abandoned_write(scratch: Scratch) -> None:
    """A write that was given up leaves nothing; a service without transactions says that it has none."""
    if scratch.transactional:
        scratch.abandon("abandoned", _many(10))
    else:
        with pytest.raises(Exception, match=r"(?i)transaction"):
            scratch.abandon("abandoned", _many(10))
    with pytest.raises(Exception, match=_any_text()):
        scratch.get("abandoned")


def test_types(service: str, scratch: Scratch) -> None:
    """Edge values of the common types come back as they were."""
    rows = sample(service)
    scratch.put("types", rows)
    found = scratch.get("types")
    assert found.schema.names == rows.schema.names
    assert [_comparable(row) for row in found.to_pylist()] == [_comparable(row) for row in rows.to_pylist()]


def test_error(service: str, scratch: Scratch) -> None:
    """A wrong request is told as an error; it names what is wrong."""
    expected = r"NoSuchKey" if service == "minio" else r"no_such_table"
    with pytest.raises(Exception, match=expected):
        scratch.get("no_such_table")


def test_two_clients(service: str, info: ServiceInfo, place: str, scratch: Scratch) -> None:
    """Two clients at once write without harm to each other, and each sees what the other wrote."""
    with open_scratch(service)(info, place) as other, ThreadPoolExecutor(2) as pool:
        writes = [partial(scratch.put, "one", _many(2000)), partial(other.put, "two", _many(3000))]
        for done in [pool.submit(write) for write in writes]:
            done.result(timeout=60)
        assert (other.get("one").num_rows, scratch.get("two").num_rows) == (2000, 3000)


def _many(count: int) -> pa.Table:
    ids = range(count)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "ratio": pa.array([i / 7 for i in ids], pa.float64()),
            "text": pa.array([f"row {i}" for i in ids], pa.string()),
            "data": pa.array([i.to_bytes(4, "big") for i in ids], pa.binary()),
            "amount": pa.array([Decimal(i) / 4 for i in ids], pa.decimal128(20, 4)),
            "at": pa.array(
                [datetime(2024, 1, 1, microsecond=i % 1000, tzinfo=UTC) for i in ids], SAMPLE.schema[5].type
            ),
        }
    )


def _comparable(row: dict[str, object]) -> dict[str, str]:
    # As text: NaN equals itself, negative zero differs from zero, and a Decimal keeps its digits.
    return {name: repr(value) for name, value in row.items()}


def _any_text() -> str:
    return r"(?s).+"
