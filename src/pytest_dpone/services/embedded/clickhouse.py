"""Keeper of an embedded ClickHouse: the vendor's engine (chDB) behind our HTTP front, in a process of its own."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import asdict
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from ...errors import require
from ..ask import ask
from ..keeper import Ready, Spec, Wire, run, shield, stay, wait_until
from ..life import die_with_parent, drop_root
from ..table import ZSTD
from .chdb_engine import Engine
from .clickhouse_http import Front, http_server


def keep(spec: Spec, wire: Wire) -> None:
    """Serve ClickHouse's HTTP interface on a free port of 127.0.0.1 for one user, and stay until we are stopped."""
    server, engine = start(Path(spec.data), user=spec.user, password=spec.password)
    try:
        user, password = quote(spec.user, safe=""), quote(spec.password, safe="")
        url = f"clickhouse://{user}:{password}@127.0.0.1:{server.server_port}"
        answer = wait_until(lambda: ask("clickhouse", url), timeout=spec.timeout, what="the ClickHouse front")
        wire.ready(Ready(url=url, **asdict(answer)))
        stay()
    finally:
        shield()
        server.shutdown()
        engine.close()


def start(data: Path, *, user: str, password: str, port: int = 0) -> tuple[ThreadingHTTPServer, Engine]:
    """Serve in a thread of this process; gives the server, whose `server_port` tells the port, and the engine.

    Root is dropped first, since the engine's `file()` reads whatever the process may read. `data` must be writable
    for `life.service_owner()`.
    """
    _load_native_modules()
    parent = os.getppid()
    drop_root()
    die_with_parent(parent)
    files = data / "files"
    files.mkdir(exist_ok=True)
    os.chdir(files)  # relative names in `file()` start here
    engine = Engine(data)
    server = http_server(Front(engine, user, password), port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, engine


def _load_native_modules() -> None:
    """Import the libraries with native parts, while their files can still be read by their own names."""
    for module in ("chdb", "lz4.frame", ZSTD):
        require(module, extra="embedded")


if __name__ == "__main__":
    sys.exit(run(keep))
