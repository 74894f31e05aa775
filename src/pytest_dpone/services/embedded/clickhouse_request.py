"""A request to the ClickHouse front, taken apart: arguments, settings, external tables, body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler
from importlib import import_module
from typing import Protocol, cast

from ..table import ZSTD
from .chdb_engine import QueryError

# Consumed by the transport, never query settings.
_TRANSPORT = frozenset(
    (
        "query",
        "database",
        "user",
        "password",
        "quota_key",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "default_format",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "client_protocol_version",
        "role",
        "stacktrace",
        "close_session",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "enable_http_compression",
        "cancel_http_readonly_queries_on_client_close",
    )
)


@dataclass
class Query:
    """One request, taken apart."""

    arguments: dict[str, str]
    query_id: str
    external: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    """Temporary table → (structure, format, data)."""

    @property
    def parameters(self) -> dict[str, str]:
        """Values of `{name:Type}` placeholders."""
        return {name[6:]: value for name, value in self.arguments.items() if name.startswith("param_")}

    @property
    def settings(self) -> dict[str, str]:
        """Query settings; the client's query id goes to `log_comment`, since the engine makes ids of its own."""
        own = {n: v for n, v in self.arguments.items() if n not in _TRANSPORT and not n.startswith("param_")}
        return {"log_comment": self.query_id, **own}


class _Unpacker(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, /) -> bytes: ...


class Body:
    """A request's body as a stream of bytes: by length or chunked, then unpacked; a client may join several frames."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        headers = handler.headers
        self._file = handler.rfile
        self._left = int(headers.get("Content-Length") or 0)
        self._chunked = "chunked" in (headers.get("Transfer-Encoding") or "").lower()
        self._encoding = headers.get("Content-Encoding") or "identity"
        self._unpacker = _unpacker(self._encoding)
        self._done = False

    def __iter__(self) -> Iterator[bytes]:
        while not self._done:
            data = self._raw()
            if not data:
                self._done = True
            elif plain := self._unpack(data):
                yield plain

    def drain(self) -> None:
        """Read what is left, so that the connection can be used again."""
        while not self._done:
            self._done = not self._raw()

    def _raw(self) -> bytes:
        if self._chunked:
            size = int(self._file.readline().split(b";")[0], 16)
            data = self._file.read(size)
            self._file.readline()
        else:
            data = self._file.read(min(self._left, 1 << 20)) if self._left else b""
            self._left -= len(data)
        return data

    def _unpack(self, data: bytes) -> bytes:
        if self._unpacker is None:
            return data
        plain = []
        while data:
            if self._unpacker.eof:
                self._unpacker = _unpacker(self._encoding)
                assert self._unpacker is not None
            plain.append(self._unpacker.decompress(data))
            data = self._unpacker.unused_data if self._unpacker.eof else b""
        return b"".join(plain)


def read_form(query: Query, content_type: str, body: Body) -> None:
    """Take arguments and external tables from a multipart form."""
    head = b"Content-Type: " + content_type.encode() + b"\r\n\r\n"
    message = BytesParser().parsebytes(head + b"".join(body))
    arguments = query.arguments
    for part in message.get_payload():
        assert not isinstance(part, str)
        name = str(part.get_param("name", header="content-disposition"))
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if part.get_filename() or f"{name}_structure" in arguments:
            structure = arguments.pop(f"{name}_structure")
            query.external[name] = (structure, arguments.pop(f"{name}_format", "TabSeparated"), data)
        else:
            arguments[name] = data.decode()


def _unpacker(encoding: str) -> _Unpacker | None:
    # The server takes what its clients may say of a file, too: endings, and that there is none; dlt does.
    if encoding in ("identity", "auto", "none"):
        return None
    if encoding == "lz4":
        import lz4.frame

        return cast("_Unpacker", lz4.frame.LZ4FrameDecompressor())
    if encoding in ("zstd", "zst"):
        return cast("_Unpacker", import_module(ZSTD).ZstdDecompressor())
    if encoding in ("gzip", "gz", "deflate"):
        import zlib

        return cast("_Unpacker", zlib.decompressobj(wbits=47))
    raise QueryError(432, "UNKNOWN_COMPRESSION_METHOD", f"Unknown compression {encoding}")
