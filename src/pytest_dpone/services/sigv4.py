"""AWS Signature Version 4 for S3: sign a request, and check one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote

UNSIGNED = "UNSIGNED-PAYLOAD"
_ALGORITHM = "AWS4-HMAC-SHA256"
_EMPTY = hashlib.sha256(b"").hexdigest()
_SKEW = timedelta(minutes=15)
_STAMP = "%Y%m%dT%H%M%SZ"


class RefusedError(Exception):
    """Why a request is not accepted: `code` is one of S3's error codes."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def signed_headers(
    *, host: str, path: str, query: str, key: str, secret: str, region: str, now: datetime, token: str = ""
) -> dict[str, str]:
    """Headers that make `GET path?query` without a body acceptable to `host`; `token` is of temporary credentials."""
    stamp = now.astimezone(UTC).strftime(_STAMP)
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    headers = {"host": host, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    if token:
        headers["x-amz-security-token"] = token
    names = sorted(headers)
    pairs = parse_qsl(query, keep_blank_values=True)
    canonical = _canonical("GET", path, pairs, [(name, headers[name]) for name in names], _EMPTY)
    signature = _signature(secret, stamp, scope, canonical)
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return headers


def check(method: str, target: str, headers: Mapping[str, str], *, key: str, secret: str, now: datetime) -> None:
    """Raise `RefusedError` unless the request is signed, in its headers or its query, by `key` and `secret`.

    `target` is the raw request target; `headers` have lower-case names.
    """
    path, _, query = target.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    claim = _claim(headers, dict(pairs))
    access, _, scope = claim.credential.partition("/")
    if access != key:
        raise RefusedError("InvalidAccessKeyId")
    _must_be_fresh(claim, now)
    rest = [pair for pair in pairs if pair[0] != "X-Amz-Signature"]
    names = claim.signed.split(";")
    canonical = _canonical(
        method, path, rest, [(n, " ".join(headers.get(n, "").split())) for n in names], claim.payload
    )
    if not hmac.compare_digest(_signature(secret, claim.stamp, scope, canonical), claim.signature):
        raise RefusedError("SignatureDoesNotMatch")


@dataclass(frozen=True)
class _Claim:
    credential: str
    signed: str
    signature: str
    stamp: str
    payload: str
    lifetime: timedelta | None
    """How long a presigned address is good; None for a request signed in its headers."""


def _claim(headers: Mapping[str, str], query: Mapping[str, str]) -> _Claim:
    authorization = headers.get("authorization", "")
    try:
        if authorization.startswith(_ALGORITHM + " "):
            parts = dict(part.strip().split("=", 1) for part in authorization[len(_ALGORITHM) + 1 :].split(","))
            payload = headers.get("x-amz-content-sha256", UNSIGNED)
            stamp = headers["x-amz-date"]
            return _Claim(parts["Credential"], parts["SignedHeaders"], parts["Signature"], stamp, payload, None)
        if query.get("X-Amz-Algorithm") == _ALGORITHM:
            return _Claim(
                query["X-Amz-Credential"],
                query["X-Amz-SignedHeaders"],
                query["X-Amz-Signature"],
                query["X-Amz-Date"],
                UNSIGNED,
                timedelta(seconds=int(query["X-Amz-Expires"])),
            )
    except (KeyError, ValueError):
        raise RefusedError("AuthorizationHeaderMalformed") from None
    raise RefusedError("AccessDenied")


def _must_be_fresh(claim: _Claim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise RefusedError("AuthorizationHeaderMalformed") from None
    if claim.lifetime is None:
        if abs(now - signed_at) > _SKEW:
            raise RefusedError("RequestTimeTooSkewed")
    elif not signed_at - _SKEW <= now <= signed_at + claim.lifetime:
        raise RefusedError("AccessDenied")


def _canonical(
    method: str, path: str, pairs: Iterable[tuple[str, str]], headers: Iterable[tuple[str, str]], payload: str
) -> str:
    headers = list(headers)
    query = "&".join(f"{name}={value}" for name, value in sorted((_encode(n), _encode(v)) for n, v in pairs))
    lines = [method, quote(unquote(path), safe="/-_.~"), query]
    lines += [f"{name}:{value}" for name, value in headers]
    lines += ["", ";".join(name for name, _ in headers), payload]
    return "\n".join(lines)


def _signature(secret: str, stamp: str, scope: str, canonical: str) -> str:
    to_sign = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")
