"""One S3 bucket by boto3: list, put, delete, and objects as files that fetch only what is read."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import SecretStr

from ...errors import require
from ..clients.minio import connect
from .address import parse_address

_TAIL = 65536
_GONE = ("NoSuchKey", "NoSuchBucket", "404")


class ObjectGoneError(LookupError):
    """An object that was listed or named is not there, or has other content than at its first read."""


class Bucket:
    """The bucket `name` at an `s3://key:secret@host:port` address, path style, SigV4. Connects at the first use."""

    def __init__(self, url: SecretStr, *, name: str) -> None:
        require("boto3", extra="minio")
        self._url = url
        self._client: Any = None
        self.name = name

    def ensure(self) -> None:
        """Create the bucket if it is missing; two workers may try at once."""
        client = self._connect()
        try:
            client.head_bucket(Bucket=self.name)
            return
        except client.exceptions.ClientError as error:
            if _code(error) not in _GONE:
                raise
        try:
            client.create_bucket(Bucket=self.name)
        except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            # Somebody was faster; if it were a stranger's, this would raise.
            client.head_bucket(Bucket=self.name)

    def drop(self) -> bool:
        """Delete the bucket if it is empty; False if it holds something, True if it is gone."""
        client = self._connect()
        try:
            client.delete_bucket(Bucket=self.name)
        except client.exceptions.ClientError as error:
            if _code(error) == "BucketNotEmpty":
                return False
            if _code(error) not in _GONE:
                raise
        return True

    def keys(self, prefix: str) -> list[str]:
        """The keys that start with `prefix`, sorted; none if there is no such bucket."""
        client = self._connect()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        try:
            return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))
        except client.exceptions.NoSuchBucket:
            return []

    def get(self, key: str) -> bytes | None:
        """The content of a small object, or None if there is none."""
        client = self._connect()
        try:
            body = client.get_object(Bucket=self.name, Key=key)["Body"]
        except client.exceptions.ClientError as error:
            if _code(error) in _GONE:
                return None
            raise
        with body:
            return bytes(body.read())

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        self._connect().put_object(Bucket=self.name, Key=key, Body=content)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete exactly `keys`, in requests of 1000. Raises `OSError` with the names that were refused."""
        client = self._connect()
        for page in _pages(list(keys), 1000):
            wanted = {"Objects": [{"Key": key} for key in page], "Quiet": True}
            refused = client.delete_objects(Bucket=self.name, Delete=wanted).get("Errors", [])
            if refused:
                raise OSError(f"can't delete {', '.join(e['Key'] for e in refused)}: {refused[0].get('Message', '')}")

    def open(self, key: str) -> ObjectFile:
        """`key` as a file; raises `ObjectGoneError` if there is none."""
        return ObjectFile(self._connect(), self.name, key)

    def disconnect(self) -> None:
        """Close the client; a later call opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self) -> Any:
        if self._client is None:
            url = self._url.get_secret_value()
            parse_address(url, schemes=("s3", "s3s"))
            self._client = connect(
                url,
                retries={"mode": "standard", "max_attempts": 3},
                connect_timeout=10,
                # Servers older than 2025 don't know the checksums that boto3 sends by default.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
        return self._client


class ObjectFile(io.RawIOBase):
    """One object as a seekable file: its last 64 KiB are fetched at once, the rest by ranges as it is read.

    All ranges are of the version that was opened: `ObjectGoneError` if the object was replaced or deleted since.
    """

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        super().__init__()
        self._client, self._bucket, self._key = client, bucket, key
        self._position = 0
        self._etag = ""
        response = self._fetch(f"bytes=-{_TAIL}")
        self._etag = response["ETag"]
        with response["Body"] as body:
            self._tail = bytes(body.read())
        total = re.search(r"/(\d+)$", response.get("ContentRange", ""))
        self._size = int(total[1]) if total else len(self._tail)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in bytes; nothing is fetched."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on; returns the bytes that there were."""
        wanted = memoryview(buffer).cast("B")
        end = min(self._position + len(wanted), self._size)
        if end <= self._position:
            return 0
        tail_start = self._size - len(self._tail)
        if self._position >= tail_start:
            data = self._tail[self._position - tail_start : end - tail_start]
        else:
            with self._fetch(f"bytes={self._position}-{end - 1}")["Body"] as body:
                data = body.read()
        wanted[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _fetch(self, span: str) -> Any:
        same = {"IfMatch": self._etag} if self._etag else {}
        try:
            return self._client.get_object(Bucket=self._bucket, Key=self._key, Range=span, **same)
        except self._client.exceptions.ClientError as error:
            if _code(error) in (*_GONE, "PreconditionFailed", "412"):
                raise ObjectGoneError(self._key) from None
            raise


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _pages(keys: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
