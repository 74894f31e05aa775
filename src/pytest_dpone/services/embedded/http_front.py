"""What our small HTTP servers share: the listening side, and how much of a request they read."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """A thread for each connection; none of them keeps the process alive."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True


def body_of(handler: BaseHTTPRequestHandler, *, largest: int) -> bytes | int:
    """A request's body, or the status that refuses it: only a body that tells its length is read."""
    length = handler.headers.get("Content-Length", "0")
    if "Transfer-Encoding" in handler.headers or not length.isdecimal() or int(length) > largest:
        handler.close_connection = True  # what follows is not read, so it can't be told from a next request
        return 413 if length.isdecimal() else 400
    return handler.rfile.read(int(length))
