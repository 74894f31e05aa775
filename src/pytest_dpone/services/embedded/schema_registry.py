"""Keeper of an embedded Schema Registry: Confluent's REST API by a server of ours, in a process of its own."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import asdict
from http.server import ThreadingHTTPServer
from importlib.metadata import version
from urllib.parse import quote

from ..ask import prove
from ..keeper import Ready, Spec, Wire, run, shield, stay, wait_until
from ..life import die_with_parent, drop_root
from .schema_registry_http import Front, http_server
from .schema_registry_schemas import load_parsers


def keep(spec: Spec, wire: Wire) -> None:
    """Serve a registry on a free port of 127.0.0.1 for one user, and stay until we are stopped."""
    server = start(user=spec.user, password=spec.password)
    try:
        user, password = quote(spec.user, safe=""), quote(spec.password, safe="")
        url = f"http://{user}:{password}@127.0.0.1:{server.server_port}"
        answer = wait_until(lambda: prove("schema_registry", url), timeout=spec.timeout, what="the registry")
        wire.ready(Ready(url=url, **asdict(answer)))
        stay()
    finally:
        shield()
        server.shutdown()


def start(*, user: str, password: str, port: int = 0) -> ThreadingHTTPServer:
    """Serve in a thread of this process; gives the server, whose `server_port` tells the port. Root is dropped."""
    load_parsers()
    front = Front(user, password, version("pytest-dpone"))
    parent = os.getppid()
    drop_root()
    die_with_parent(parent)
    server = http_server(front, port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    sys.exit(run(keep))
