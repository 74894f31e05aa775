"""A door before an HTTP server, which refuses, changes or counts requests: for accounts that may not do everything."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request at the door."""

    method: str
    target: str
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes


Refusal = tuple[int, str, bytes]
"""(status, content type, body)"""


Rule = Callable[[Asked], Refusal | str | None]
_ONE_LINE = ("transfer-encoding", "connection", "content-length")
"""Headers of one connection, which are not passed on."""


class Handler(BaseHTTPRequestHandler):
    """One connection; `door` makes a class of it that knows what is behind, and the rule."""

    protocol_version = "HTTP/1.1"
    behind: SplitResult
    rule: Rule

    def do_GET(self) -> None:
        """Answer any method."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, self._body(headers))
        ruled = type(self).rule(asked)
        if isinstance(ruled, tuple):
            self._answer(ruled[0], {"Content-Type": ruled[1]}, ruled[2])
            return
        connection = http.client.HTTPConnection(self.behind.hostname or "", self.behind.port, timeout=30)
        connection.putrequest(self.command, ruled or self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name not in _ONE_LINE:
                connection.putheader(name, value)
        connection.putheader("content-length", str(len(asked.body)))
        connection.endheaders(asked.body)
        answer = connection.getresponse()
        self._answer(answer.status, dict(answer.getheaders()), answer.read())
        connection.close()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        head = self.command == "HEAD"
        self.send_response(status)
        length = next((value for name, value in headers.items() if name.lower() == "content-length"), "0")
        for name, value in headers.items():
            if name.lower() not in _ONE_LINE:
                self.send_header(name, value)
        self.send_header("Content-Length", length if head else str(len(body)))
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def door(url: str, rule: Rule) -> Iterator[str]:
    """The address of a door before the server at `url`.

    `rule` gives a refusal, another target to ask instead, or None to let the request pass.
    """
    behind = urlsplit(url)
    bound = type("Bound", (Handler,), {"behind": behind, "rule": staticmethod(rule)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        login = behind.netloc.rpartition("@")[0]
        yield f"{behind.scheme}://{login}@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def denied(_: Asked) -> Refusal:
    """What S3 says to somebody who may not."""
    body = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
    return 403, "application/xml", body
