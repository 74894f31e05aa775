"""Schema Registry: confluent-kafka's own client, and subjects of one's own that go for good when the context ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ....core.wire import ServiceInfo
from ....errors import require
from ....services.clients.schema_registry import close, connect, remove


class RegistryScratch:
    """Subjects that start with a name of their own. Every method raises the client's own errors."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client = client
        self._prefix = prefix
        self._used: dict[str, None] = {}
        self._module: Any = require("confluent_kafka.schema_registry", extra="kafka")

    def subject(self, name: str) -> str:
        """The full name of a subject, which is removed at the end."""
        full = f"{self._prefix}-{name}"
        self._used[full] = None
        return full

    def schema(self, text: str, kind: str = "AVRO", uses: tuple[tuple[str, str, int], ...] = ()) -> Any:
        """A schema as the client wants it; `uses` are references: name, full subject, version."""
        references = [self._module.SchemaReference(*use) for use in uses]
        return self._module.Schema(text, kind, references)

    def put(self, name: str, text: str, kind: str = "AVRO", uses: tuple[tuple[str, str, int], ...] = ()) -> int:
        """Register a schema; gives its id."""
        return int(self.client.register_schema(self.subject(name), self.schema(text, kind, uses)))

    def latest(self, name: str) -> Any:
        """The latest version of a subject as the client tells it, read anew."""
        return self.client.get_latest_version(self.subject(name))

    def remove(self) -> None:
        """Delete what was used, the last first, since it may refer to what was there before."""
        there = set(self.client.get_subjects(deleted=True))
        for subject in reversed([name for name in self._used if name in there]):
            remove(self.client, subject)


@contextmanager
def open_scratch(info: ServiceInfo, name: str) -> Iterator[RegistryScratch]:
    """A client with subjects below `name`."""
    client = connect(info.url.get_secret_value())
    scratch = RegistryScratch(client, name)
    try:
        yield scratch
    finally:
        scratch.remove()
        close(client)
