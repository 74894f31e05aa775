"""MinIO and other S3: a client of boto3; a namespace is a bucket."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


def connect(url: str, **config: Any) -> Any:
    """A client with SigV4 and path style addresses; `?token=` of the address is a session token.

    `config` is for botocore.
    """
    import boto3
    from botocore.config import Config

    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    return boto3.client(
        "s3",
        endpoint_url=f"{'https' if parts.scheme == 's3s' else 'http'}://{parts.netloc.rpartition('@')[2]}",
        aws_access_key_id=unquote(parts.username or ""),
        aws_secret_access_key=unquote(parts.password or ""),
        aws_session_token=options.get("token"),
        region_name=options.get("region", "us-east-1"),
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, **config),
    )


def create(client: Any, name: str) -> bool:
    """Create the bucket."""
    if name in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        return False
    client.create_bucket(Bucket=name)
    return True


def drop(client: Any, name: str) -> None:
    """Delete the objects by key, then the bucket."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for item in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=item["Key"])
    client.delete_bucket(Bucket=name)


def close(client: Any) -> None:
    """Close the client's connections."""
    client.close()
