"""What a vendor's system is asked for before it is reached, and how its pleas for patience are answered."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from pytest_dpone.errors import ServiceFailed
from pytest_dpone.services.patience import PAUSES, asks_for_patience, patiently
from pytest_dpone.services.vendor import is_encrypted, missing_addresses, with_password


def test_everything_that_is_missing_is_named_at_once() -> None:
    external = {
        "postgres": SecretStr("postgresql://me:secret@db.example:5432/app"),
        "clickhouse": SecretStr("clickhouses://me@ch.example:8443"),
    }
    assert missing_addresses(["postgres", "clickhouse", "minio"], external) == [
        "DPONE_CLICKHOUSE_URL has no password",
        "DPONE_MINIO_URL is not set",
    ]


def test_another_password_in_the_same_address() -> None:
    wrong = with_password("postgresql://me:secret@db.example:5432/app?sslmode=require", "a/b@c")
    assert wrong == "postgresql://me:a%2Fb%40c@db.example:5432/app?sslmode=require"


@pytest.mark.parametrize(
    ("service", "url", "told"),
    [
        ("clickhouse", "clickhouses://me:x@h:8443", True),
        ("clickhouse", "clickhouse://me:x@h:8123", False),
        ("minio", "s3s://k:s@h:443", True),
        ("minio", "s3://k:s@h:9000", False),
        ("postgres", "postgresql://me:x@h/db?sslmode=disable", False),
        ("unheard_of", "https://h", False),
    ],
)
def test_what_an_address_says_of_the_line(service: str, url: str, told: bool) -> None:
    assert is_encrypted(service, url) is told


@pytest.mark.parametrize(
    "text",
    [
        "HTTP 429: Too Many Requests",
        "SlowDown: Please reduce your request rate",
        "FATAL: sorry, too many clients already",
        "FATAL: remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)",
        "HTTP 503: Service Unavailable",
        "The request limit for the database is 60 and has been reached (10928)",
        "quota exceeded for user",
        "ThrottlingException: Rate exceeded",
    ],
)
def test_words_that_ask_for_patience(text: str) -> None:
    assert asks_for_patience(text)


@pytest.mark.parametrize("text", ["password authentication failed", "HTTP 403: Forbidden", "port 4290 refused", ""])
def test_words_that_do_not(text: str) -> None:
    assert not asks_for_patience(text)


def answers(*texts: str):  # type: ignore[no-untyped-def]
    left = list(texts)

    def call() -> str:
        text = left.pop(0)
        if text != "ok":
            raise ServiceFailed(text, hint="x")
        return text

    return call


def test_a_busy_server_is_asked_again_with_growing_pauses() -> None:
    slept: list[float] = []
    assert patiently(answers("HTTP 429", "SlowDown", "ok"), sleep=slept.append) == "ok"
    assert len(slept) == 2
    assert PAUSES[0] <= slept[0] <= PAUSES[0] * 1.25
    assert PAUSES[1] <= slept[1] <= PAUSES[1] * 1.25


def test_patience_ends() -> None:
    slept: list[float] = []
    with pytest.raises(ServiceFailed) as caught:
        patiently(answers(*["HTTP 429"] * 9), sleep=slept.append)
    assert str(caught.value) == "HTTP 429 (asked 5 times)\nhint: wait, or raise the quota of the account"
    assert sum(slept) <= sum(PAUSES) * 1.25


def test_another_refusal_is_told_at_once() -> None:
    for texts in (("password authentication failed",), (*["HTTP 429"] * 4, "password authentication failed")):
        slept: list[float] = []
        with pytest.raises(ServiceFailed, match="password authentication failed"):
            patiently(answers(*texts), sleep=slept.append)
        assert len(slept) == len(texts) - 1
