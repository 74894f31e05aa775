"""The harness's own hands on the services: `open_catalog` gives the one for a running service."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from ...core.wire import ServiceInfo
from ...errors import UsageError
from .protocol import Catalog, Commit, Events, Evolving, Fingerprint, SinkCatalog, Transactions, Witness

__all__ = [
    "CATALOGS",
    "Catalog",
    "Commit",
    "Events",
    "Evolving",
    "Fingerprint",
    "SinkCatalog",
    "Transactions",
    "Witness",
    "open_catalog",
    "with_registry",
]

CATALOGS = ("postgres", "mssql", "clickhouse", "kafka", "minio", "api")
"""Services that have a catalog."""


def open_catalog(info: ServiceInfo, *, bucket: str) -> Catalog:
    """A catalog for the service `info`, with connections of its own: for one thread at a time.

    `bucket` is the case's own S3 bucket, created when it is missing and deleted when it is empty; other services don't
    use it. Raises `UsageError` for a service without a catalog and `MissingExtra` when its client isn't installed.
    """
    if info.url.get_secret_value().startswith("memory:"):
        from .memory import MemoryCatalog

        return MemoryCatalog(info.url)
    if info.record.name == "postgres":
        from .postgres import PostgresCatalog

        return PostgresCatalog(info.url)
    if info.record.name == "mssql":
        from .mssql import MssqlCatalog

        return MssqlCatalog(info.url)
    if info.record.name == "clickhouse":
        from .clickhouse import ClickHouseCatalog

        return ClickHouseCatalog(info.url)
    if info.record.name == "minio":
        from .minio import MinioCatalog

        return MinioCatalog(info.url, bucket=bucket)
    if info.record.name == "kafka":
        from .kafka import KafkaCatalog

        return KafkaCatalog(info.url)
    if info.record.name == "api":
        from .api import ApiCatalog

        return ApiCatalog(info.url)
    raise UsageError(
        f"there is no catalog for the service {info.record.name!r}", hint=f"known are {', '.join(CATALOGS)}"
    )


def with_registry(services: Mapping[str, ServiceInfo]) -> dict[str, ServiceInfo]:
    """The services with the registry's address in Kafka's, if both are there: its events are then Avro."""
    from ..kafka_address import with_registry as joined

    kafka, registry = services.get("kafka"), services.get("schema_registry")
    if kafka is None or registry is None or kafka.url.get_secret_value().startswith("memory:"):
        return dict(services)
    url = SecretStr(joined(kafka.url.get_secret_value(), registry.url.get_secret_value()))
    return {**services, "kafka": kafka.model_copy(update={"url": url})}
