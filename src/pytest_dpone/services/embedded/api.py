"""Keeper of the API: tables behind a REST server of ours, in a process of its own. Its protocol: docs/api.md."""

from __future__ import annotations

import os
import sys
import threading
from http.server import ThreadingHTTPServer
from importlib.metadata import version
from urllib.parse import quote

import pyarrow as pa

from ...core.contracts import default_contracts
from ...core.dataset import Dataset, DatasetSpec
from ..ask import prove
from ..keeper import Ready, Spec, Wire, run, shield, stay, wait_until
from ..life import die_with_parent, drop_root
from .api_http import Front, http_server
from .api_store import Space, Table


def keep(spec: Spec, wire: Wire) -> None:
    """Serve on a free port of 127.0.0.1 for one user, and stay until we are stopped."""
    server = start(user=spec.user, password=spec.password)
    try:
        user, password = quote(spec.user, safe=""), quote(spec.password, safe="")
        url = f"http://{user}:{password}@127.0.0.1:{server.server_port}"
        answer = wait_until(lambda: prove("api", url), timeout=spec.timeout, what="the API")
        wire.ready(Ready(url=url, product=answer.product, version=answer.version, fidelity="real"))
        stay()
    finally:
        shield()
        server.shutdown()


def start(*, user: str, password: str) -> ThreadingHTTPServer:
    """Serve in a thread of this process; gives the server, whose `server_port` tells the port. Root is dropped."""
    front = Front(user, password, version("pytest-dpone"), {"demo": Space({"orders": _example()})})
    parent = os.getppid()
    drop_root()
    die_with_parent(parent)
    server = http_server(front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _example() -> Table:
    """A small table for whoever wants to look at the API, as docs/api.md does."""
    dataset = Dataset(
        DatasetSpec(seed=1, rows=24, kind="narrow"), source="api", sink="api", contracts=default_contracts()
    )
    table = Table(dataset.schema, dataset.schema.arrow().empty_table())
    table.put(pa.Table.from_batches(dataset.before()))
    return table


if __name__ == "__main__":
    sys.exit(run(keep))
