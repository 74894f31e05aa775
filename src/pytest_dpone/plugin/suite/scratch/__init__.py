"""A place of one's own in a service, for the service tests: each service does the same things in its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Protocol

import pyarrow as pa

from ....core.wire import ServiceInfo
from ....services.clients import clients_of


class Scratch(Protocol):
    """A schema, database or bucket that goes when its context ends. Every method raises the client's own errors."""

    transactional: bool
    """If the service can take back what was written in several statements."""

    def version(self) -> str:
        """What the server says about itself, asked by its native client; empty if it does not say."""
        ...

    def put(self, table: str, rows: pa.Table) -> None:
        """Create `table` with `rows` on the bulk path; its columns are those of `SAMPLE`."""
        ...

    def get(self, table: str) -> pa.Table:
        """All rows of `table` by id, in the types that they were put with; raises if there is no such table."""
        ...

    def publish(self, staged: str, live: str) -> None:
        """Make `live` hold what `staged` holds, so that no reader sees a part of it; `staged` is gone then."""
        ...

    def save_state(self, text: str) -> None:
        """Keep `text`, instead of what was kept before."""
        ...

    def load_state(self) -> str:
        """What was kept."""
        ...

    def abandon(self, table: str, rows: pa.Table) -> None:
        """Write `rows` to a new `table` and give up before the end; raises if the service has no way to give up."""
        ...


Opener = Callable[[ServiceInfo, str], AbstractContextManager[Scratch]]


def open_scratch(service: str) -> Opener:
    """The way into `service`; raises KeyError for a service without service tests."""
    from importlib import import_module

    if service not in TESTED:
        raise KeyError(service)
    opener: Opener = import_module(f"{__name__}.{service}").open_scratch
    return opener


TESTED = ("postgres", "mssql", "clickhouse", "kafka", "minio")
"""The services that hold tables: what `test_services.py` checks."""

SUITES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"services": TESTED, "registry": ("schema_registry",), "api": ("api",)}
)
"""Module of service tests → services that it checks. What a service can't have by its nature is tested nowhere."""

LACKS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "schema_registry": MappingProxyType(
            {
                "staging": "a version is there at once, and no subject can take the place of another",
                "state": "it keeps schemas only",
                "abandoned_write": "a schema is registered by one request; one that is refused is checked instead",
            }
        )
    }
)
"""Service → test of `test_services.py` that does not apply to it, and why."""

SAMPLE = pa.table(
    {
        "id": pa.array([-(2**63), -1, 0, 2**53 + 1, 2**63 - 1], pa.int64()),
        "ratio": pa.array([float("nan"), float("-inf"), -0.0, 5e-324, None], pa.float64()),
        "text": pa.array(["", " ", "NULL \\N \t\n'\"", "Привет 🙂 e\u0301", None], pa.string()),
        "data": pa.array([b"", b"\x00\xff", b"\\x41", b"\n", None], pa.binary()),
        "amount": pa.array(
            [Decimal("-9999999999999999.9999"), Decimal("0.0000"), Decimal("1.5000"), Decimal("0.0001"), None],
            pa.decimal128(20, 4),
        ),
        "at": pa.array(
            [
                datetime(1900, 1, 1, tzinfo=UTC),
                datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
                datetime(1970, 1, 1, tzinfo=UTC),
                datetime(2262, 4, 11, 23, 47, 16, 854775, tzinfo=UTC),
                None,
            ],
            pa.timestamp("us", tz="UTC"),
        ),
    }
)
"""Edge values that every tested service can hold."""


@contextmanager
def namespace(info: ServiceInfo, name: str) -> Iterator[Any]:
    """A client of the service, and the namespace `name` in it; who creates the namespace drops it."""
    clients = clients_of(info.record.name)
    client = clients.connect(info.url.get_secret_value())
    try:
        created = clients.create(client, name)
        try:
            yield client
        finally:
            if created:
                clients.drop(client, name)
    finally:
        clients.close(client)


def sample(service: str) -> pa.Table:
    """`SAMPLE`, with other edge values where `service` has no place for some of them."""
    if service != "mssql":
        return SAMPLE
    # float(53) has no NaN, no infinity and no subnormal numbers, and negative zero is not promised.
    finite = [-1.7976931348623157e308, 2.2250738585072014e-308, 0.1, 1 / 7, None]
    return SAMPLE.set_column(1, "ratio", pa.array(finite, pa.float64()))
