"""Schema Registry: confluent-kafka's own client; a namespace is what the names of one's subjects start with."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from ...errors import require

_NOT_DELETED_YET = 40405


def connect(url: str) -> Any:
    """A client with the credentials of the address."""
    module: Any = require("confluent_kafka.schema_registry", extra="kafka")
    return module.SchemaRegistryClient(settings(url))


def settings(url: str) -> dict[str, str]:
    """The client's settings for an address."""
    parts = urlsplit(url)
    found = {"url": urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))}
    if parts.username:
        found["basic.auth.user.info"] = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return found


def create(client: Any, name: str) -> bool:
    """Nothing has to be made; False if subjects with such names are there."""
    return not _subjects(client, name)


def drop(client: Any, name: str) -> None:
    """Delete the subjects for good, the latest names first, since they may refer to others."""
    for subject in reversed(_subjects(client, name)):
        remove(client, subject)


def remove(client: Any, subject: str) -> None:
    """Delete a subject for good."""
    module: Any = require("confluent_kafka.schema_registry", extra="kafka")
    try:
        client.delete_subject(subject, permanent=True)  # older clients do both steps with this
    except module.error.SchemaRegistryError as error:
        if error.error_code != _NOT_DELETED_YET:
            raise
        client.delete_subject(subject)
        client.delete_subject(subject, permanent=True)


def close(client: Any) -> None:
    """Close the client's connections."""
    client.__exit__(None, None, None)


def _subjects(client: Any, name: str) -> list[str]:
    return [subject for subject in client.get_subjects(deleted=True) if subject.startswith(name)]
