"""S3: boto3, Parquet objects in several parts, a bucket; a manifest that is put last says what is there."""
# ruff: noqa: D102 - the Protocol `Scratch` documents the methods

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ....core.wire import ServiceInfo
from . import namespace

_PART = 5 * 1024 * 1024


class MinioScratch:
    """Tables as Parquet objects in a bucket of their own."""

    transactional = True

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def version(self) -> str:
        return str(self._client.list_buckets()["ResponseMetadata"]["HTTPHeaders"].get("server", ""))

    def put(self, table: str, rows: pa.Table) -> None:
        upload, parts = self._upload(f"{table}/data.parquet", rows)
        self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        self._point(table, f"{table}/data.parquet")

    def get(self, table: str) -> pa.Table:
        manifest = json.loads(self._read(f"{table}/_manifest.json"))
        return pq.read_table(pa.BufferReader(self._read(manifest["object"]))).sort_by("id")

    def publish(self, staged: str, live: str) -> None:
        target = json.loads(self._read(f"{staged}/_manifest.json"))["object"]
        self._point(live, target)
        self._client.delete_object(Bucket=self._bucket, Key=f"{staged}/_manifest.json")

    def save_state(self, text: str) -> None:
        self._client.put_object(Bucket=self._bucket, Key="state", Body=text.encode())

    def load_state(self) -> str:
        return self._read("state").decode()

    def abandon(self, table: str, rows: pa.Table) -> None:
        upload, _ = self._upload(f"{table}/data.parquet", rows)
        self._client.abort_multipart_upload(**upload)

    def _upload(self, key: str, rows: pa.Table) -> tuple[dict[str, str], list[dict[str, object]]]:
        sink = io.BytesIO()
        pq.write_table(rows, sink)
        body = sink.getvalue()
        upload = {"Bucket": self._bucket, "Key": key}
        upload["UploadId"] = self._client.create_multipart_upload(**upload)["UploadId"]
        parts: list[dict[str, object]] = []
        for number, start in enumerate(range(0, len(body), _PART), start=1):
            part = self._client.upload_part(**upload, PartNumber=number, Body=body[start : start + _PART])
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        return upload, parts

    def _point(self, table: str, key: str) -> None:
        body = json.dumps({"object": key}).encode()
        self._client.put_object(Bucket=self._bucket, Key=f"{table}/_manifest.json", Body=body)

    def _read(self, key: str) -> bytes:
        with self._client.get_object(Bucket=self._bucket, Key=key)["Body"] as body:
            content: bytes = body.read()
        return content


@contextmanager
def open_scratch(info: ServiceInfo, name: str) -> Iterator[MinioScratch]:
    """A client for the bucket `name`, which is created if it is not there; who creates it removes it."""
    with namespace(info, name) as client:
        yield MinioScratch(client, name)
