"""The usual client of each service, and a namespace in it: one module a service, each imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

CLIENTS = ("postgres", "mssql", "clickhouse", "kafka", "schema_registry", "minio")
"""Services that have a module here."""


class Clients(Protocol):
    """What each module has. Every function raises the client's own errors."""

    def connect(self, url: str) -> Any:
        """A connected client of the server at `url`."""
        ...

    def create(self, client: Any, name: str) -> bool:
        """Make the namespace `name`; False if it was there already, and is somebody else's."""
        ...

    def drop(self, client: Any, name: str) -> None:
        """Remove the namespace `name` and what is in it, by recorded names."""
        ...

    def close(self, client: Any) -> None:
        """Let the client go."""
        ...


def clients_of(service: str) -> Clients:
    """The module of `service`; raises KeyError if it has none."""
    if service not in CLIENTS:
        raise KeyError(service)
    return cast("Clients", import_module(f"{__name__}.{service}"))
