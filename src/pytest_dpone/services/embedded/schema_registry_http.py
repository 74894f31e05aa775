"""The registry's HTTP server: who may come in, which content types there are, and how errors are told."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .http_front import Server, body_of
from .schema_registry_routes import answer
from .schema_registry_schemas import RegistryError
from .schema_registry_store import Registry

EMULATED = (
    "REST API by us: in memory only, no contexts, rules are stored and not run, Protobuf is stored and not checked, "
    "one user"
)
CONTENT_TYPES = (
    "application/vnd.schemaregistry.v1+json",
    "application/vnd.schemaregistry+json",
    "application/json",
)
_ACCEPTED = (*CONTENT_TYPES, "application/octet-stream")
_LARGEST = 16 << 20
"""Bytes of a request's body."""


@dataclass(frozen=True)
class Front:
    """What all requests share. One at a time touches the registry."""

    user: str
    password: str
    version: str
    registry: Registry = field(default_factory=Registry)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(BaseHTTPRequestHandler):
    """One connection. A subclass made by `http_server` has the `front`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    front: Front

    def do_GET(self) -> None:
        """Answer any method; the path's table knows which there are."""
        status, told = 200, None
        try:
            body = self._body()
            self._authorise()
            told = self._answer(body)
        except RegistryError as error:
            status, told = error.status, {"error_code": error.code, "message": str(error)}
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            return
        except Exception as error:  # a defect of ours becomes an answer too, so that a client never hangs
            status, told = 500, {"error_code": 50001, "message": f"{type(error).__name__}: {error}"}
        self._send(status, told)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the base class asks for these names

    def log_message(self, *_: object) -> None:
        """Say nothing: thousands of requests are normal."""

    def _body(self) -> bytes:
        body = body_of(self, largest=_LARGEST)
        if isinstance(body, int):
            raise RegistryError(body, f"a body needs a length of at most {_LARGEST}")
        return body

    def _authorise(self) -> None:
        given = self.headers.get("Authorization", "")
        try:
            token = base64.b64decode(given.removeprefix("Basic "), validate=True)
        except (binascii.Error, ValueError):
            token = b""
        right = f"{self.front.user}:{self.front.password}".encode()
        if not given.startswith("Basic ") or not hmac.compare_digest(token, right):
            raise RegistryError(401, "Unauthorized")

    def _answer(self, body: bytes) -> Any:
        if self.path == "/v1/metadata/version" and self.command == "GET":
            return {"product": "pytest-dpone", "version": self.front.version, "emulated": EMULATED}
        kind = self.headers.get("Content-Type", CONTENT_TYPES[0]).partition(";")[0].strip().lower()
        if body and kind not in _ACCEPTED:
            raise RegistryError(415, "HTTP 415 Unsupported Media Type")
        try:
            content = json.loads(body) if body else None
        except ValueError:
            raise RegistryError(400, "the body is no JSON") from None
        with self.front.lock:
            return answer(self.front.registry, self.command, self.path, content)

    def _send(self, status: int, told: Any) -> None:
        data = json.dumps(told, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type(self.headers.get("Accept", "")))
        self.send_header("Content-Length", str(len(data)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="schema-registry"')
        self.end_headers()
        self.wfile.write(data)


def http_server(front: Front, port: int) -> ThreadingHTTPServer:
    """A server for `front` on 127.0.0.1, bound and not yet serving; port 0 takes a free one."""
    return Server(("127.0.0.1", port), type("BoundHandler", (Handler,), {"front": front}))


def content_type(accept: str) -> str:
    """The first of the registry's content types that the client asks for; its own one, if it does not care."""
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return next((kind for kind in wanted if kind in CONTENT_TYPES), CONTENT_TYPES[0])
