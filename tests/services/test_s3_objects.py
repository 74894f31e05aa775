"""Ranges of large objects: what a header asks for, and when moto has to answer itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from pytest_dpone.services.embedded.s3_objects import Environ, Start, from_files, span

SIZE = 1000
DATA = bytes(range(250)) * 4


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, (0, 999)),
        ("bytes=0-0", (0, 0)),
        ("bytes=10-19", (10, 19)),
        ("bytes=990-", (990, 999)),
        ("bytes=10-5000", (10, 999)),
        ("bytes=-7", (993, 999)),
        ("bytes=-5000", (0, 999)),
        ("bytes=1000-", None),
        ("bytes=20-10", None),
        ("bytes=-0", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("rows=0-1", None),
    ],
)
def test_span(wanted: str | None, found: tuple[int, int] | None) -> None:
    assert span(wanted, SIZE) == found


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("moto")
    monkeypatch.setenv("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", "100")
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket("bucket", "us-east-1")
    backend.put_object("bucket", "a key", DATA)
    yield backend
    backend.reset()


def ask(said: int, *, above: int = 100, method: str = "GET", query: str = "", path: str = "/bucket/a%20key") -> Any:
    """(status, headers, body) for bytes 10 to 19, from an application that says that the object has `said` bytes."""

    def moto(environ: Environ, start: Start) -> Iterable[bytes]:
        assert "HTTP_RANGE" not in environ or environ["REQUEST_METHOD"] == method
        head = environ["REQUEST_METHOD"] == "HEAD"
        start("200 OK", [("Content-Length", str(said)), ("ETag", "tag"), ("x-amz-checksum-crc32", "sum")])
        return [b"" if head else b"moto"]

    answers: list[tuple[str, dict[str, str]]] = []
    environ = {"REQUEST_METHOD": method, "QUERY_STRING": query, "HTTP_RANGE": "bytes=10-19", "RAW_URI": path}
    body = from_files(moto, above=above)(environ, lambda status, headers: answers.append((status, dict(headers))))
    return (*answers[-1], b"".join(body))


def test_a_part_comes_from_the_file_with_motos_headers(backend: Any) -> None:
    status, headers, body = ask(SIZE)
    assert (status, body) == ("206 Partial Content", DATA[10:20])
    assert headers == {"ETag": "tag", "Content-Range": "bytes 10-19/1000", "Content-Length": "10"}


@pytest.mark.parametrize(
    "change",
    [
        {"said": SIZE + 1},  # replaced between the two looks
        {"above": SIZE},
        {"query": "versionId=1"},
        {"method": "PUT"},
        {"path": "/bucket/other"},
        {"path": "/other/a%20key"},
    ],
)
def test_everything_else_is_motos(backend: Any, change: dict[str, Any]) -> None:
    status, _, body = ask(**{"said": SIZE, **change})
    assert (status, body) == ("200 OK", b"moto")
