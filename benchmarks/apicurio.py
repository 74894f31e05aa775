"""Apicurio Registry, to hold our Schema Registry against: assembled from its Maven artifact, started, stopped."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ASSEMBLE = Path(__file__).parents[1] / "docker" / "test-images" / "schema_registry" / "assemble.sh"
_PATIENCE = 90.0
"""Seconds until it must answer."""


@contextmanager
def apicurio() -> Iterator[str]:
    """Apicurio Registry in memory on 127.0.0.1, with Confluent's defaults; gives the address of that API.

    Raises OSError if it can't be had.
    """
    if not (shutil.which("java") and shutil.which("mvn")):
        raise FileNotFoundError("Apicurio Registry needs Java 17 and Maven")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "pytest-dpone" / "apicurio"
    subprocess.run([ASSEMBLE, folder], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (jar,) = folder.glob("apicurio-registry-app-*-runner.jar")
    settings = {
        "QUARKUS_HTTP_HOST": "127.0.0.1",
        "QUARKUS_HTTP_PORT": str(port),
        "APICURIO_CCOMPAT_USE_CANONICAL_HASH": "true",
    }
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            ["java", "-Xmx512m", "-jar", str(jar)], env={**os.environ, **settings}, stdout=log, stderr=log
        )
        url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
        try:
            _await(server, url)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _await(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            data = json.dumps({"compatibility": "BACKWARD"}).encode()  # Confluent's default; Apicurio's is NONE
            request = urllib.request.Request(f"{url}/config", data=data, method="PUT")
            request.add_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            with urllib.request.urlopen(request, timeout=5):
                return
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"Apicurio Registry did not come up: {error}") from None
        time.sleep(0.5)
