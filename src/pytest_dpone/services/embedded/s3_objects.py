"""Large objects straight from their files: moto loads an object as a whole, even to answer for a few bytes of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any
from urllib.parse import unquote

Environ = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], object]
Application = Callable[[Environ, Start], Iterable[bytes]]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_BLOCK = 1 << 20
_NOT_OF_A_PART = ("content-length", "content-range", "transfer-encoding")


def from_files(application: Application, *, above: int) -> Application:
    """`application`, a moto server, but plain GETs of objects larger than `above` bytes are read from their files.

    Headers and all other answers are moto's own. Memory for a GET is one block, whatever the object's size.
    """

    def serve(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET" and not environ.get("QUERY_STRING"):
            answer = _answer(application, environ, start, above)
            if answer is not None:
                return answer
        return application(environ, start)

    return serve


def span(wanted: str | None, size: int) -> tuple[int, int] | None:
    """(first, last) byte that a Range header asks for; None: it can't be served, or says nothing that is understood."""
    if wanted is None:
        return 0, size - 1
    found = _RANGE.fullmatch(wanted)
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        first, last = max(0, size - int(found[2])), size - 1
    else:
        first, last = int(found[1]), min(int(found[2] or size), size - 1)
    return (first, last) if first <= last else None


def _answer(application: Application, environ: Environ, start: Start, above: int) -> Iterable[bytes] | None:
    wanted = environ.get("HTTP_RANGE")
    status, headers = _head(application, environ)
    size = int({name.lower(): value for name, value in headers}.get("content-length", 0))
    part = span(wanted, size)
    if not status.startswith("200") or size <= above or part is None:
        return None
    descriptor = _open(environ, size)
    if descriptor is None:
        return None
    first, last = part
    kept = [(name, value) for name, value in headers if name.lower() not in _NOT_OF_A_PART]
    if wanted is not None:
        kept = [(name, value) for name, value in kept if not name.lower().startswith("x-amz-checksum-")]
        kept.append(("Content-Range", f"bytes {first}-{last}/{size}"))
    kept.append(("Content-Length", str(last - first + 1)))
    start("200 OK" if wanted is None else "206 Partial Content", kept)
    return _blocks(descriptor, first, last)


def _head(application: Application, environ: Environ) -> tuple[str, list[tuple[str, str]]]:
    """What moto says about the object, with the request's own conditions."""
    seen: list[tuple[str, list[tuple[str, str]]]] = []
    asked = {name: value for name, value in environ.items() if name != "HTTP_RANGE"}
    asked |= {"REQUEST_METHOD": "HEAD", "wsgi.input": BytesIO()}
    body = application(asked, lambda status, headers, *_: seen.append((status, list(headers))))
    for _ in body:
        pass
    return seen[0]


def _open(environ: Environ, size: int) -> int | None:
    """A descriptor of the object's file; it stays readable when the object is deleted or replaced meanwhile."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    bucket, _, key = unquote(environ["RAW_URI"].partition("?")[0]).lstrip("/").partition("/")
    try:
        found: Any = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key)
        with found.lock:
            found._value_buffer.flush()
            descriptor = os.dup(found._value_buffer.fileno())
    except Exception:  # deleted meanwhile, or kept in another way: moto itself answers that best
        return None
    if os.fstat(descriptor).st_size == size:
        return descriptor
    os.close(descriptor)
    return None


def _blocks(descriptor: int, first: int, last: int) -> Iterator[bytes]:
    try:
        while first <= last:
            data = os.pread(descriptor, min(_BLOCK, last - first + 1), first)
            if not data:
                return
            first += len(data)
            yield data
    finally:
        os.close(descriptor)
