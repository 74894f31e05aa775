"""The harness's own hands on the services: `open_catalog` gives the one for a running service."""

from __future__ import annotations

from ...core.wire import ServiceInfo
from ...errors import UsageError
from .protocol import Catalog, Commit, Evolving, Fingerprint, Transactions

__all__ = ["CATALOGS", "Catalog", "Commit", "Evolving", "Fingerprint", "Transactions", "open_catalog"]

CATALOGS = ("postgres", "mssql", "clickhouse", "minio")
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
    raise UsageError(
        f"there is no catalog for the service {info.record.name!r}", hint=f"known are {', '.join(CATALOGS)}"
    )
