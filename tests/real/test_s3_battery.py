"""The unmodified boto3 against the S3 service: what a client may expect of MinIO."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import os
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from pytest_dpone.core.wire import ServiceInfo

boto3 = pytest.importorskip("boto3")

pytestmark = pytest.mark.real

LARGE = 5 << 20
Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def connect(services: dict[str, ServiceInfo]) -> Connect:
    from botocore.config import Config

    parts = urlsplit(services["minio"].url.get_secret_value())

    def connect(secret: str | None = None, key: str | None = None, **config: Any) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://{parts.hostname}:{parts.port}",
            aws_access_key_id=key or unquote(parts.username or ""),
            aws_secret_access_key=secret or unquote(parts.password or ""),
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, **config),
        )

    return connect


@pytest.fixture(scope="module")
def s3(connect: Connect) -> Any:
    return connect()


@pytest.fixture(scope="module")
def bucket(s3: Any) -> Iterator[str]:
    name = f"battery-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    yield name
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", ()):
            s3.delete_object(Bucket=name, Key=found["Key"])
    s3.delete_bucket(Bucket=name)


def refused(action: Callable[[], object]) -> tuple[str, int]:
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        action()
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_buckets(s3: Any, bucket: str) -> None:
    assert bucket in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    assert refused(lambda: s3.head_bucket(Bucket="nope-xyz"))[1] == 404
    assert refused(lambda: s3.get_object(Bucket="nope-xyz", Key="k")) == ("NoSuchBucket", 404)
    s3.put_object(Bucket=bucket, Key="one", Body=b"1")
    assert refused(lambda: s3.delete_bucket(Bucket=bucket))[1] == 409


def test_objects_with_odd_names_and_metadata(s3: Any, bucket: str) -> None:
    key = "a/b c+é.txt"
    put = s3.put_object(Bucket=bucket, Key=key, Body=b"hello", Metadata={"k": "v"}, ContentType="text/x")
    assert put["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key=key)
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (b"hello", {"k": "v"}, "text/x")
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, Prefix="a/")["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"hello"


@pytest.mark.parametrize("size", [0, 1, 300_000, LARGE])
def test_sizes(s3: Any, bucket: str, size: int) -> None:
    data = os.urandom(size)
    s3.put_object(Bucket=bucket, Key=f"size-{size}", Body=io.BytesIO(data))
    got = s3.get_object(Bucket=bucket, Key=f"size-{size}")
    assert (got["ContentLength"], got["Body"].read()) == (size, data)


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=10-19", slice(10, 20)),
        ("bytes=0-0", slice(0, 1)),
        ("bytes=990-", slice(990, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=10-99999999", slice(10, None)),
    ],
)
def test_ranges(s3: Any, bucket: str, size: int, wanted: str, part: slice) -> None:
    data = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    s3.put_object(Bucket=bucket, Key="ranges", Body=data, Metadata={"k": "v"})
    got = s3.get_object(Bucket=bucket, Key="ranges", Range=wanted)
    first = part.indices(size)[0]
    assert got["Body"].read() == data[part]
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {first}-{first + len(data[part]) - 1}/{size}"
    assert got["ContentLength"] == len(data[part])
    assert got["Metadata"] == {"k": "v"}
    assert refused(lambda: s3.get_object(Bucket=bucket, Key="ranges", Range=f"bytes={size}-"))[1] == 416


def test_a_reader_keeps_an_object_that_is_replaced(s3: Any, bucket: str) -> None:
    data = os.urandom(64 << 20)
    s3.put_object(Bucket=bucket, Key="replaced", Body=data)
    body = s3.get_object(Bucket=bucket, Key="replaced")["Body"]
    start = body.read(1000)
    s3.put_object(Bucket=bucket, Key="replaced", Body=b"new")
    assert start + body.read() == data
    assert s3.get_object(Bucket=bucket, Key="replaced")["Body"].read() == b"new"


def needs_crt(algorithm: str) -> Any:
    missing = importlib.util.find_spec("awscrt") is None
    return pytest.param(algorithm, marks=pytest.mark.skipif(missing, reason="needs botocore[crt]"))


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256", needs_crt("CRC32C"), needs_crt("CRC64NVME")])
def test_checksums(s3: Any, bucket: str, algorithm: str) -> None:
    s3.put_object(Bucket=bucket, Key="sum", Body=b"abc", ChecksumAlgorithm=algorithm)
    assert s3.head_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")[f"Checksum{algorithm}"]


def test_missing_objects(s3: Any, bucket: str) -> None:
    assert refused(lambda: s3.get_object(Bucket=bucket, Key="zz")) == ("NoSuchKey", 404)
    assert refused(lambda: s3.head_object(Bucket=bucket, Key="zz"))[1] == 404


@pytest.mark.parametrize("size", [10, LARGE])
def test_conditions(s3: Any, bucket: str, size: int) -> None:
    key = f"once-{size}"
    s3.put_object(Bucket=bucket, Key=key, Body=b"1" * size, IfNoneMatch="*")
    again = lambda: s3.put_object(Bucket=bucket, Key=key, Body=b"2", IfNoneMatch="*")  # noqa: E731
    assert refused(again) == ("PreconditionFailed", 412)
    tag = s3.head_object(Bucket=bucket, Key=key)["ETag"]
    assert refused(lambda: s3.get_object(Bucket=bucket, Key=key, IfNoneMatch=tag))[1] == 304
    assert refused(lambda: s3.get_object(Bucket=bucket, Key=key, IfMatch='"bad"'))[1] == 412
    assert s3.get_object(Bucket=bucket, Key=key, IfMatch=tag)["ContentLength"] == size
    assert refused(lambda: s3.put_object(Bucket=bucket, Key=key, Body=b"4", IfMatch='"bad"'))[1] == 412
    s3.put_object(Bucket=bucket, Key=key, Body=b"3", IfMatch=tag)


def test_only_one_of_eight_writers_is_first(connect: Connect, bucket: str) -> None:
    from botocore.exceptions import ClientError

    results: list[str] = []

    def write(number: int) -> None:
        try:
            connect().put_object(Bucket=bucket, Key="race", Body=str(number).encode() * 100000, IfNoneMatch="*")
            results.append("ok")
        except ClientError as error:
            results.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(results), results.count("ok")) == (8, 1)


def test_listing(s3: Any, bucket: str) -> None:
    for number in range(25):
        s3.put_object(Bucket=bucket, Key=f"l/{number:03d}", Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="l/", PaginationConfig={"PageSize": 10})
    assert [len(page["Contents"]) for page in pages] == [10, 10, 5]
    assert s3.list_objects_v2(Bucket=bucket, Prefix="l/", StartAfter="l/020")["KeyCount"] == 4
    assert {"Prefix": "l/"} in s3.list_objects_v2(Bucket=bucket, Delimiter="/")["CommonPrefixes"]
    assert len(s3.list_objects(Bucket=bucket, Prefix="l/", Marker="l/022")["Contents"]) == 2
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"l/{number:03d}"} for number in range(25)]})
    assert s3.list_objects_v2(Bucket=bucket, Prefix="l/")["KeyCount"] == 0


def upload(s3: Any, bucket: str, key: str, parts: list[bytes], **options: Any) -> Any:
    started = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    done = []
    for number, data in enumerate(parts, 1):
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=started, PartNumber=number, Body=data)
        done.append({"PartNumber": number, "ETag": part["ETag"]})
    assert len(s3.list_parts(Bucket=bucket, Key=key, UploadId=started)["Parts"]) == len(parts)
    document = {"Parts": done}
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=started, MultipartUpload=document, **options)


def test_uploads_in_parts(s3: Any, bucket: str) -> None:
    parts = [bytes([n]) * (5 << 20) for n in (1, 2)] + [b"end"]
    assert upload(s3, bucket, "parts", parts)["ETag"].endswith('-3"')
    assert s3.get_object(Bucket=bucket, Key="parts")["Body"].read() == b"".join(parts)
    assert refused(lambda: upload(s3, bucket, "parts", [b"z"], IfNoneMatch="*"))[1] == 412
    assert refused(lambda: upload(s3, bucket, "small", [b"z", b"z"])) == ("EntityTooSmall", 400)


def test_an_upload_that_is_given_up(s3: Any, bucket: str) -> None:
    started = s3.create_multipart_upload(Bucket=bucket, Key="gone")["UploadId"]
    uploads = lambda: [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]  # noqa: E731
    assert started in uploads()
    s3.abort_multipart_upload(Bucket=bucket, Key="gone", UploadId=started)
    assert started not in uploads()


def test_the_transfer_manager(s3: Any, bucket: str) -> None:
    data = os.urandom(1 << 20) * 20
    s3.upload_fileobj(io.BytesIO(data), bucket, "managed")
    back = io.BytesIO()
    s3.download_fileobj(bucket, "managed", back)
    assert back.getvalue() == data


def test_presigned_addresses(connect: Connect, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="signed", Body=b"hello")
    signer = connect(signature_version="s3v4")
    params = {"Bucket": bucket, "Key": "signed"}
    url = signer.generate_presigned_url("get_object", Params=params, ExpiresIn=60)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"hello"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url[:-3] + ("abc" if not url.endswith("abc") else "cba"))
    assert caught.value.code == 403
    caught.value.close()


def test_a_presigned_put(connect: Connect, s3: Any, bucket: str) -> None:
    params = {"Bucket": bucket, "Key": "put-by-address"}
    url = connect(signature_version="s3v4").generate_presigned_url("put_object", Params=params, ExpiresIn=60)
    with urllib.request.urlopen(urllib.request.Request(url, data=b"pp", method="PUT")) as answer:
        assert answer.status == 200
    assert s3.get_object(**params)["Body"].read() == b"pp"


@pytest.fixture
def versioned(s3: Any) -> Iterator[str]:
    name = f"versions-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    yield name
    found = s3.list_object_versions(Bucket=name)
    for each in (*found.get("Versions", ()), *found.get("DeleteMarkers", ())):
        s3.delete_object(Bucket=name, Key=each["Key"], VersionId=each["VersionId"])
    s3.delete_bucket(Bucket=name)


def test_versions(s3: Any, versioned: str) -> None:
    ids = [s3.put_object(Bucket=versioned, Key="v", Body=body)["VersionId"] for body in (b"1", b"2")]
    found = s3.list_object_versions(Bucket=versioned, Prefix="v")["Versions"]
    assert sorted(version["VersionId"] for version in found) == sorted(ids)
    assert s3.get_object(Bucket=versioned, Key="v")["Body"].read() == b"2"


def test_a_deleted_object_has_its_versions(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="v", Body=b"1")["VersionId"]
    s3.delete_object(Bucket=versioned, Key="v")
    assert refused(lambda: s3.get_object(Bucket=versioned, Key="v"))[0] == "NoSuchKey"
    assert s3.get_object(Bucket=versioned, Key="v", VersionId=first)["Body"].read() == b"1"


def test_a_lifecycle(s3: Any, versioned: str) -> None:
    rule = {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=versioned, LifecycleConfiguration={"Rules": [rule]})
    (found,) = s3.get_bucket_lifecycle_configuration(Bucket=versioned)["Rules"]
    assert (found["ID"], found["Expiration"]) == ("x", {"Days": 1})


def test_a_quarter_of_a_gigabyte(s3: Any, bucket: str) -> None:
    data = os.urandom(1 << 20) * 256
    s3.put_object(Bucket=bucket, Key="large", Body=data)
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == data
    s3.upload_fileobj(io.BytesIO(data), bucket, "large")
    assert s3.head_object(Bucket=bucket, Key="large")["ContentLength"] == len(data)


def test_who_may_come_in(connect: Connect, bucket: str) -> None:
    assert refused(lambda: connect(secret="wrongwrong").list_buckets()) == ("SignatureDoesNotMatch", 403)
    assert refused(lambda: connect(key="somebody").list_buckets()) == ("InvalidAccessKeyId", 403)
    # A refused body is not taken for the next request on the connection.
    wrong = connect(secret="wrongwrong")
    for _ in range(3):
        assert refused(lambda: wrong.put_object(Bucket=bucket, Key="k", Body=b"x" * 100000))[1] == 403


def test_tags(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="tagged", Body=b"")
    tags = [{"Key": "a", "Value": "b"}]
    s3.put_object_tagging(Bucket=bucket, Key="tagged", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == tags


def test_eight_clients_at_once(connect: Connect, bucket: str) -> None:
    done: list[int] = []

    def work(number: int) -> None:
        client = connect()
        for k in range(20):
            client.put_object(Bucket=bucket, Key=f"c/{number}/{k}", Body=f"{number}-{k}".encode())
            assert client.get_object(Bucket=bucket, Key=f"c/{number}/{k}")["Body"].read() == f"{number}-{k}".encode()
        done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(8))


@pytest.mark.xfail(reason="moto stores an object whose checksum is wrong", strict=True)
def test_a_wrong_checksum_is_refused(s3: Any, bucket: str) -> None:
    wrong = base64.b64encode(b"0" * 32).decode()
    assert refused(lambda: s3.put_object(Bucket=bucket, Key="bad", Body=b"abc", ChecksumSHA256=wrong))[1] == 400
