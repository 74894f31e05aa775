"""What the batteries of ClickHouse share: clients, a database of one's own, the code of an error."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytest_dpone.core.wire import ServiceInfo

Connect = Callable[..., Any]


def connector(services: dict[str, ServiceInfo]) -> Connect:
    """A function that connects with the login of the address; what it is given takes precedence."""
    parts = urlsplit(services["clickhouse"].url.get_secret_value())
    login = {"username": parts.username or "default", "password": parts.password or ""}

    def connect(**changes: Any) -> Any:
        import clickhouse_connect

        return clickhouse_connect.get_client(host=parts.hostname, port=parts.port, **{**login, **changes})

    return connect


@contextmanager
def own_database(connect: Connect) -> Iterator[str]:
    """The name of a new database, which goes with all of its tables at the end."""
    name = f"battery_{uuid.uuid4().hex[:8]}"
    client = connect()
    client.command(f"CREATE DATABASE {name} ENGINE=Atomic")
    yield name
    made = client.query(f"SELECT name, engine FROM system.tables WHERE database = '{name}'").result_rows
    for table, engine in made:
        kind = "DICTIONARY" if engine == "Dictionary" else "TABLE"
        client.command(f"DROP {kind} {name}.`{table}` SYNC")
    client.command(f"DROP DATABASE {name} SYNC")
    client.close()


def code_of(action: Callable[[], object]) -> int:
    """The code of the error that `action` must raise."""
    import clickhouse_connect

    with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError) as caught:
        action()
    return int(caught.value.code)
