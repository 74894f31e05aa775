"""The API's HTTP server: who may come in, which paths there are, and how errors are told."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from .api_admin import administer
from .api_faults import TOKEN_LASTS
from .api_listing import answer
from .api_store import ApiError, Space
from .http_front import Server, body_of

_JSON = "application/json"
_LARGEST = 1 << 30
"""Bytes of a request's body."""


@dataclass
class Front:
    """What all requests share."""

    user: str
    password: str
    version: str
    spaces: dict[str, Space] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    """Token → requests that it is still good for."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def space(self, name: str) -> Space:
        """The namespace, or 404."""
        if name not in self.spaces:
            raise ApiError(404, f"there is no namespace {name!r}")
        return self.spaces[name]

    def new_token(self) -> str:
        """A token for the next few requests; one that is used up is forgotten."""
        token = secrets.token_urlsafe(24)
        with self.lock:
            self.tokens = {name: left for name, left in self.tokens.items() if left}
            self.tokens[token] = TOKEN_LASTS
        return token

    def accepts(self, token: str) -> bool:
        """If the token is good for this request."""
        with self.lock:
            left = self.tokens.get(token, 0)
            if left:
                self.tokens[token] = left - 1
        return left > 0


class Handler(BaseHTTPRequestHandler):
    """One connection. A subclass made by `http_server` has the `front`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    front: Front

    def do_GET(self) -> None:
        """Answer any method; the routes know which there are."""
        try:
            self._send(*self._answer(self._body()))
        except ApiError as error:
            self._send(error.status, {**error.headers, "Content-Type": _JSON}, _told(str(error)))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as error:  # a defect of ours becomes an answer too, so that a client never hangs
            self._send(500, {"Content-Type": _JSON}, _told(f"a defect: {type(error).__name__}: {error}"))

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the base class asks for these names

    def log_message(self, *_: object) -> None:
        """Say nothing: thousands of requests are normal."""

    def _body(self) -> bytes:
        body = body_of(self, largest=_LARGEST)
        if isinstance(body, int):
            raise ApiError(body, f"a body needs a length of at most {_LARGEST}")
        return body

    def _answer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        if path[0] == "admin":
            self._require_login()
            return administer(self.front, self.command, path[1:], body)
        if (self.command, path) == ("POST", ["v1", "token"]):
            self._require_login()
            content = {"access_token": self.front.new_token(), "token_type": "Bearer"}
            return 200, {"Content-Type": _JSON, "Cache-Control": "no-store"}, json.dumps(content).encode()
        if path[0] != "v1" or self.command != "GET":
            raise ApiError(404, f"there is no {self.command} {parts.path}")
        return answer(
            self.front, path[1:], parse_qs(parts.query, keep_blank_values=True), self.headers, allowed=self._has_token()
        )

    def _require_login(self) -> None:
        given = self.headers.get("Authorization", "")
        try:
            login = base64.b64decode(given.removeprefix("Basic "), validate=True)
        except (binascii.Error, ValueError):
            login = b""
        right = f"{self.front.user}:{self.front.password}".encode()
        if not given.startswith("Basic ") or not hmac.compare_digest(login, right):
            raise ApiError(401, "user or password is wrong", WWW_Authenticate='Basic realm="api"')

    def _has_token(self) -> bool:
        given = self.headers.get("Authorization", "")
        return given.startswith("Bearer ") and self.front.accepts(given.removeprefix("Bearer "))

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if status == 304 else body)


def http_server(front: Front, port: int = 0) -> ThreadingHTTPServer:
    """A server at 127.0.0.1, not yet serving."""
    return Server(("127.0.0.1", port), type("_Handler", (Handler,), {"front": front}))


def _told(message: str) -> bytes:
    return json.dumps({"error": message}, ensure_ascii=False).encode()
