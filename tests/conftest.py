"""What all tests share."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

try:
    from hypothesis import settings
except ModuleNotFoundError:  # `make certify` loads this file, and has what the package needs, and no more
    settings = None  # type: ignore[assignment, misc]

pytest_plugins = ["pytester"]

# `--hypothesis-profile=nightly` draws many examples, and plays the tests that are marked `nightly` in full.
if settings is not None:
    settings.register_profile("quick", max_examples=40, deadline=None)
    settings.register_profile("nightly", max_examples=1000, deadline=None)
    settings.load_profile("quick")

# The programs that tests start keep what they compile: that is a third of a short run's time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job that a shell put into the background ignores Ctrl-C, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_dpone_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's DPONE_ variables must not decide what the tests see."""
    for name in [name for name in os.environ if name.startswith("DPONE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def nightly(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> bool:
    """If a test is played in full; if not, the summary says what the test's marker `nightly` tells of the rest."""
    full = settings.get_current_profile_name() == "nightly"
    marker = request.node.get_closest_marker("nightly")
    assert marker is not None and marker.args, "mark the test with nightly(what it leaves out)"
    if not full:
        record_property("left out", marker.args[0])
    return full


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests left something out."""
    told = {
        f"{report.nodeid.partition('[')[0]}: {value}"
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(outcome, ())
        for name, value in getattr(report, "user_properties", ())
        if name == "left out"
    }
    if told:
        terminalreporter.section("reduced: `make nightly` runs these in full")
        for line in sorted(told):
            terminalreporter.line(line)


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
