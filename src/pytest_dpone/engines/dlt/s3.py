"""dlt on S3: Parquet objects as a source and as a sink, by Arrow's own client.

dlt's extra for S3 brings s3fs, which needs an older botocore than the clients that the harness has. fsspec lets another
file system take the name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from ...core.model import Strategy
from ...core.wire import Endpoint, Job

LAYOUT = "{table_name}/{load_id}.{file_id}.{ext}"
"""Objects right below the table's prefix, where a reader looks for them."""


def rows(job: Job, incremental: str | None) -> Any:
    """The rows of a table's objects, as a resource of Arrow tables."""
    import dlt
    from dlt.sources.filesystem import filesystem
    from pyarrow import Table
    from pyarrow.parquet import ParquetFile

    bucket, options = _place(job.source)
    url, files = f"s3://{bucket}/{job.source.namespace}/{job.source.table}", _client()(**options)

    def read() -> Iterator[Any]:
        for item in filesystem(bucket_url=url, file_glob="*.parquet", credentials=files):
            with item.open() as file:
                for batch in ParquetFile(file).iter_batches(job.batch_rows):
                    yield Table.from_batches([batch])

    found: Any = dlt.resource(read, name=job.source.table)
    if not incremental:
        return found
    names = () if job.strategy is Strategy.INCREMENTAL_MERGE else tuple(next(read()).schema.names)
    cursor: Any = dlt.sources.incremental
    return found.apply_hints(incremental=cursor(incremental, primary_key=names))


def destination(sink: Endpoint) -> Any:
    """dlt's destination of files, below the bucket of `sink`."""
    import dlt
    from dlt.common.configuration.specs import AwsCredentials

    _client()
    bucket, options = _place(sink)
    credentials = AwsCredentials(
        aws_access_key_id=options["key"],
        aws_secret_access_key=options["secret"],
        aws_session_token=options["token"],
        region_name=options["client_kwargs"]["region_name"],
        endpoint_url=options["endpoint_url"],
    )
    return dlt.destinations.filesystem(bucket_url=f"s3://{bucket}", credentials=credentials, layout=LAYOUT)


def _place(end: Endpoint) -> tuple[str, dict[str, Any]]:
    """The bucket, and what a client needs to know, in the words of s3fs."""
    parts = urlsplit(end.url.get_secret_value())
    query = parse_qs(parts.query)
    scheme = "https" if parts.scheme.startswith("s3s") else "http"
    return parts.path.strip("/"), {
        "key": unquote(parts.username or ""),
        "secret": unquote(parts.password or ""),
        "token": query.get("token", [None])[0],
        "endpoint_url": f"{scheme}://{parts.hostname}:{parts.port}",
        "client_kwargs": {"region_name": query.get("region", ["us-east-1"])[0]},
    }


def _client() -> Any:
    """Arrow's client in the place of s3fs."""
    from fsspec import register_implementation
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import S3FileSystem

    class S3(ArrowFSWrapper):  # type: ignore[misc]
        protocol: ClassVar[tuple[str, ...]] = ("s3", "s3a")

        def __init__(self, **options: Any) -> None:
            parts = urlsplit(options.pop("endpoint_url"))
            region = options.pop("client_kwargs", {}).get("region_name", "us-east-1")
            client = S3FileSystem(
                access_key=options.pop("key"),
                secret_key=options.pop("secret"),
                session_token=options.pop("token", None),
                endpoint_override=parts.netloc,
                scheme=parts.scheme,
                region=region,
            )
            options.pop("config_kwargs", None)
            super().__init__(fs=client, **options)

        def _make_entry(self, info: Any) -> dict[str, Any]:
            return {**super()._make_entry(info), "LastModified": info.mtime}  # as s3fs calls it

    register_implementation("s3", S3, clobber=True)
    return S3
