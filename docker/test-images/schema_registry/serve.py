"""Serve our registry on port 8081 until SIGTERM, once Kafka answers. The server itself listens on 127.0.0.1 only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pytest_dpone.services.embedded.schema_registry import start

_INSIDE = 18081
_OUTSIDE = 8081
_PATIENCE = 40.0


def main() -> None:
    """Wait for Kafka, start the server and the way to it; then wait for the end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    _await_kafka(urlsplit(os.environ["SCHEMA_REGISTRY_KAFKASTORE_BOOTSTRAP_SERVERS"].lower()))
    user, _, rest = Path("/tmp/dpone.users").read_text().strip().partition(": ")
    server = start(user=user, password=rest.rpartition(",")[0], port=_INSIDE)
    subprocess.Popen(["socat", f"TCP-LISTEN:{_OUTSIDE},fork,reuseaddr", f"TCP:127.0.0.1:{_INSIDE}"])
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.shutdown()


def _await_kafka(address: SplitResult) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with socket.create_connection((address.hostname, address.port), timeout=5):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"Kafka does not answer: {error}")
        time.sleep(0.2)


main()
