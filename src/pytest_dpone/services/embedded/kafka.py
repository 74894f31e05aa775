"""Keeper of an embedded Kafka: Apache Kafka itself where it is at hand, else a broker of our own."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from dataclasses import asdict
from urllib.parse import quote

from ...errors import require
from ..ask import prove
from ..keeper import Ready, Spec, Wire, run, stay, wait_until
from ..life import die_with_parent, drop_root


def keep(spec: Spec, wire: Wire) -> None:
    """Serve Kafka on a free port of 127.0.0.1 for one user of SASL PLAIN, and stay until we are stopped."""
    from . import kafka_real

    home = kafka_real.locate(os.environ)
    if home is not None:
        kafka_real.keep(home, spec, wire)
        return
    thread, port = start(user=spec.user, password=spec.password)

    def ended() -> str | None:
        return None if thread.is_alive() else "the broker's loop ended"

    url = address(spec, port)
    answer = wait_until(lambda: prove("kafka", url), timeout=spec.timeout, what="the Kafka broker", ended=ended)
    wire.ready(Ready(url=url, **asdict(answer)))
    wire.died(stay(ended=ended))


def address(spec: Spec, port: int) -> str:
    """The address for the spec's login."""
    return f"kafka://{quote(spec.user, safe='')}:{quote(spec.password, safe='')}@127.0.0.1:{port}"


def start(*, user: str, password: str, port: int = 0) -> tuple[threading.Thread, int]:
    """Serve in a thread of this process, as another user than root; gives the thread and the port."""
    for module in ("kio.schema.index", "crc32c", "cramjam"):  # native parts, while their files can still be read
        require(module, extra="embedded")
    from .kafka_server import Login, serve
    from .kafka_state import Broker

    parent = os.getppid()
    drop_root()
    die_with_parent(parent)
    listener = socket.create_server(("127.0.0.1", port), backlog=256)
    listener.setblocking(False)
    bound = int(listener.getsockname()[1])
    serving = serve(Broker("127.0.0.1", bound), Login(user, password), listener)
    thread = threading.Thread(target=asyncio.run, args=(serving,), daemon=True)
    thread.start()
    return thread, bound


if __name__ == "__main__":
    sys.exit(run(keep))
