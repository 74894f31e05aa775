"""Serve S3 on port 9000 until SIGTERM. The front itself listens on 127.0.0.1 only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pytest_dpone.services.embedded.s3 import start

_INSIDE = 19000
_OUTSIDE = 9000


def main() -> None:
    """Start the front and the way to it; then wait."""
    if sys.argv[1:2] != ["server"] or len(sys.argv) != 3:
        sys.exit("usage: server DIRECTORY")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    login = {"key": os.environ["MINIO_ROOT_USER"], "secret": os.environ["MINIO_ROOT_PASSWORD"]}
    server = start(Path(sys.argv[2]), port=_INSIDE, **login)
    subprocess.Popen(["socat", f"TCP-LISTEN:{_OUTSIDE},fork,reuseaddr", f"TCP:127.0.0.1:{_INSIDE}"])
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.shutdown()


if __name__ == "__main__":
    main()
