"""What all tests share."""

from __future__ import annotations

import os
import signal

import pytest

pytest_plugins = ["pytester"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job that a shell put into the background ignores Ctrl-C, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_dpone_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's DPONE_ variables must not decide what the tests see."""
    for name in [name for name in os.environ if name.startswith("DPONE_")]:
        monkeypatch.delenv(name)
