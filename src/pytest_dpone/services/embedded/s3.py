"""Keeper of an embedded S3: moto's server in a process of its own, with signatures checked as MinIO checks them."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...errors import require
from ..ask import STAND_IN, ask
from ..keeper import Ready, Spec, Wire, run, stay, wait_until
from ..life import die_with_parent, drop_root, give_back_memory
from ..sigv4 import RefusedError, check
from .s3_objects import Application, Environ, Start, from_files

EMULATED = "S3 API by moto: no durability, no encryption, no users or policies but one key pair"
_SPOOL_ABOVE = 256 * 1024
"""Bytes: larger objects live in unlinked files below the data directory, so they leave with the object."""

_FORM = "application/x-www-form-urlencoded"
"""What curl and urllib say of any body."""
_MAPPED_ABOVE = 1 << 20
"""Bytes: larger blocks of memory go back to the system when they are freed."""


def keep(spec: Spec, wire: Wire) -> None:
    """Serve S3 on a free port of 127.0.0.1 for the given key pair, and stay until we are stopped."""
    server = start(Path(spec.data), key=spec.user, secret=spec.password)
    url = f"s3://{quote(spec.user, safe='')}:{quote(spec.password, safe='')}@127.0.0.1:{server.server_port}"
    answer = wait_until(lambda: ask("minio", url), timeout=spec.timeout, what="the S3 server")
    wire.ready(Ready(url=url, **asdict(answer)))
    stay()


def start(data: Path, *, key: str, secret: str, port: int = 0) -> Any:
    """Serve in a thread of this process; gives the server, whose `server_port` tells the port.

    Root is dropped. Objects are kept below `data`, which must be writable for `life.service_owner()`.
    """
    os.environ["MOTO_S3_DEFAULT_KEY_BUFFER_SIZE"] = str(_SPOOL_ABOVE)
    os.environ["TMPDIR"] = str(data)
    _raise_file_limit()  # every spooled object holds a file open
    give_back_memory(_MAPPED_ABOVE)
    moto_server: Any = require("moto.server", extra="embedded")
    serving: Any = require("werkzeug.serving", extra="embedded")
    moto = moto_server.DomainDispatcherApplication(moto_server.create_backend_app)
    application = from_files(moto, above=_SPOOL_ABOVE)
    server = serving.make_server(
        "127.0.0.1",
        port,
        signed_only(application, key=key, secret=secret),
        threaded=True,
        request_handler=_quiet(serving),
    )
    parent = os.getppid()
    drop_root()
    die_with_parent(parent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def signed_only(application: Application, *, key: str, secret: str) -> Application:
    """`application` for requests that `key` and `secret` have signed; 403 for others."""

    def checked(environ: Environ, start: Start) -> Iterable[bytes]:
        def telling(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            own = {"server", STAND_IN.lower()}
            kept = [(name, value) for name, value in headers if name.lower() not in own]
            return start(
                status, [*kept, ("Server", f"moto/{version('moto')}"), (STAND_IN, f"emulated; {EMULATED}")], *more
            )

        headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name[:5] == "HTTP_"}
        headers["content-type"] = environ.get("CONTENT_TYPE", "")
        headers["content-length"] = environ.get("CONTENT_LENGTH", "")
        try:
            check(environ["REQUEST_METHOD"], environ["RAW_URI"], headers, key=key, secret=secret, now=datetime.now(UTC))
        except RefusedError as refusal:
            return _refuse(environ, start, refusal.code)
        if environ["REQUEST_METHOD"] == "PUT" and environ.get("CONTENT_TYPE", "").startswith(_FORM):
            environ["CONTENT_TYPE"] = "binary/octet-stream"  # else werkzeug takes the object for a form, and eats it
        return application(environ, telling)

    return checked


def _refuse(environ: Environ, start: Start, code: str) -> Iterable[bytes]:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'.encode()
    # The request's body is left unread: werkzeug closes each connection after its answer.
    start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


def _quiet(serving: Any) -> type:
    class Handler(serving.WSGIRequestHandler):  # type: ignore[misc]
        protocol_version = "HTTP/1.1"

        def log_request(self, *_: object) -> None:
            """Say nothing: thousands of requests are normal."""

    return Handler


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(run(keep))
