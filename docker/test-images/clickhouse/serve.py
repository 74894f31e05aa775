"""Serve ClickHouse's HTTP interface on port 8123 until SIGTERM. The front itself listens on 127.0.0.1 only."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from pytest_dpone.services.embedded.clickhouse import start

_INSIDE = 18123
_OUTSIDE = 8123


def main() -> None:
    """Start the front and the way to it; then wait."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    login = {"user": os.environ["CLICKHOUSE_USER"], "password": os.environ["CLICKHOUSE_PASSWORD"]}
    server, engine = start(Path("/var/lib/clickhouse"), port=_INSIDE, **login)
    subprocess.Popen(["socat", f"TCP-LISTEN:{_OUTSIDE},fork,reuseaddr", f"TCP:127.0.0.1:{_INSIDE}"])
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.shutdown()
    engine.close()


if __name__ == "__main__":
    main()
