"""Signatures: AWS's published example, and every way to get one wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pytest_dpone.services.sigv4 import RefusedError, check, signed_headers

NOW = datetime(2013, 5, 24, tzinfo=UTC)
KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "examplebucket.s3.amazonaws.com"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def signed(path: str = "/", query: str = "max-keys=2&prefix=J") -> dict[str, str]:
    return signed_headers(host=HOST, path=path, query=query, key=KEY, secret=SECRET, region="us-east-1", now=NOW)


def test_the_published_example_is_signed_the_same() -> None:
    assert signed()["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
        "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    )


def test_a_published_request_with_a_range_is_accepted() -> None:
    headers = {
        "host": HOST,
        "range": "bytes=0-9",
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": "20130524T000000Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    }
    check("GET", "/test.txt", headers, key=KEY, secret=SECRET, now=NOW)
    headers["range"] = "bytes=0-10"
    with pytest.raises(RefusedError) as caught:
        check("GET", "/test.txt", headers, key=KEY, secret=SECRET, now=NOW)
    assert caught.value.code == "SignatureDoesNotMatch"


def test_the_published_presigned_address_is_accepted_while_it_lasts() -> None:
    target = (
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    check("GET", target, {"host": HOST}, key=KEY, secret=SECRET, now=NOW + timedelta(hours=23))
    with pytest.raises(RefusedError) as late:
        check("GET", target, {"host": HOST}, key=KEY, secret=SECRET, now=NOW + timedelta(hours=25))
    assert late.value.code == "AccessDenied"
    with pytest.raises(RefusedError) as other:
        check("GET", target.replace("test.txt", "tess.txt"), {"host": HOST}, key=KEY, secret=SECRET, now=NOW)
    assert other.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"secret": "wrong"}, "SignatureDoesNotMatch"),
        ({"key": "other"}, "InvalidAccessKeyId"),
        ({"target": "/?max-keys=3&prefix=J"}, "SignatureDoesNotMatch"),
        ({"target": "/x?max-keys=2&prefix=J"}, "SignatureDoesNotMatch"),
        ({"method": "PUT"}, "SignatureDoesNotMatch"),
        ({"now": NOW + timedelta(minutes=16)}, "RequestTimeTooSkewed"),
        ({"now": NOW - timedelta(minutes=16)}, "RequestTimeTooSkewed"),
    ],
)
def test_a_wrong_request_is_refused(change: dict[str, object], code: str) -> None:
    request = {"method": "GET", "target": "/?max-keys=2&prefix=J", "key": KEY, "secret": SECRET, "now": NOW, **change}
    with pytest.raises(RefusedError) as caught:
        check(request.pop("method"), request.pop("target"), signed(), **request)  # type: ignore[arg-type]
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AccessDenied"),
        ({"authorization": "Basic eDp5"}, "AccessDenied"),
        ({"authorization": "AWS4-HMAC-SHA256 nothing"}, "AuthorizationHeaderMalformed"),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=a/b"}, "AuthorizationHeaderMalformed"),
    ],
)
def test_a_request_without_a_signature_is_refused(headers: dict[str, str], code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        check("GET", "/", headers, key=KEY, secret=SECRET, now=NOW)
    assert caught.value.code == code


@pytest.mark.parametrize(("path", "query"), [("/b/a%20b%2Bc%C3%A9.txt", ""), ("/b", "list-type=2&prefix=a%2Fb%20c")])
def test_what_is_signed_is_accepted(path: str, query: str) -> None:
    headers = signed(path, query)
    check("GET", f"{path}?{query}" if query else path, headers, key=KEY, secret=SECRET, now=NOW)
