"""What all tests share."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _no_dpone_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's DPONE_ variables must not decide what the tests see."""
    for name in [name for name in os.environ if name.startswith("DPONE_")]:
        monkeypatch.delenv(name)
