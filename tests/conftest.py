"""What all tests share."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

pytest_plugins = ["pytester"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job that a shell put into the background ignores Ctrl-C, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_dpone_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's DPONE_ variables must not decide what the tests see."""
    for name in [name for name in os.environ if name.startswith("DPONE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def api_url() -> Iterator[SecretStr]:
    """The address of an API's server in a thread of this process."""
    from pytest_dpone.services.embedded.api_http import Front, http_server

    server = http_server(Front("dpone", "canary-7f3", "1.2"))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield SecretStr(f"http://dpone:canary-7f3@127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    thread.join()
