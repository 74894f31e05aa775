"""A running service as a test gets it: where it is, what it is, a connected client, and a namespace of one's own."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from ..core.model import ServiceRecord
from ..core.wire import ServiceInfo
from .clients import Clients, clients_of


class ServiceHandle:
    """`info` is what the run knows of the service; `name` will be the namespace's, if anybody asks for one.

    `repr` shows no secret. Client and namespace are made at the first look, and go with `close`.
    """

    def __init__(self, info: ServiceInfo, *, name: str) -> None:
        self.info = info
        self._name = name
        parts = urlsplit(info.url.get_secret_value())
        login, at, servers = parts.netloc.rpartition("@")
        self._parts = parts._replace(netloc=login + at + servers.partition(",")[0])

    def __repr__(self) -> str:
        return f"<{self.record.name} at {self.host}:{self.port}>"

    @property
    def record(self) -> ServiceRecord:
        """Provider, product, version as the server says it, image, fidelity."""
        return self.info.record

    @property
    def url(self) -> SecretStr:
        """The whole address, with credentials."""
        return self.info.url

    @property
    def host(self) -> str:
        """The host's name or address; the first one of a list."""
        return self._parts.hostname or ""

    @property
    def port(self) -> int | None:
        """The port; None if the address leaves it to the protocol."""
        return self._parts.port

    @property
    def user(self) -> str:
        """The user, or the access key of S3."""
        return unquote(self._parts.username or "")

    @property
    def password(self) -> SecretStr:
        """The password, or the secret key of S3."""
        return SecretStr(unquote(self._parts.password or ""))

    @property
    def database(self) -> str:
        """The database of the address; empty where there is none."""
        return unquote(self._parts.path.strip("/"))

    @cached_property
    def client(self) -> Any:
        """A connected client of the usual library; raises `MissingExtra` if that is not installed, else its errors."""
        return self._clients.connect(self.url.get_secret_value())

    @cached_property
    def namespace(self) -> str:
        """A schema, database, prefix of topics or bucket that nobody else uses; it is removed at the end."""
        self._clients.create(self.client, self._name)
        return self._name

    @property
    def _clients(self) -> Clients:
        return clients_of(self.record.name)

    def close(self) -> None:
        """Remove the namespace and let the client go, if there are any."""
        if "client" not in self.__dict__:
            return
        try:
            if "namespace" in self.__dict__:
                self._clients.drop(self.client, self._name)
        finally:
            self._clients.close(self.client)
