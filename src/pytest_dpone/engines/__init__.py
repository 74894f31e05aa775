"""Engines by name: what moves the rows that the harness judges."""

from __future__ import annotations

from difflib import get_close_matches

from ..core.wire import Engine
from ..errors import UsageError

ENGINES = ("native",)
SIMULATOR = "mock"
"""The engine of simulated runs, which can move nothing else."""


def load_engine(name: str) -> Engine:
    """The engine called `name`: one of `ENGINES`, or `SIMULATOR`. Raises `UsageError` for any other name."""
    if name == "native":
        from .native import NativeEngine

        return NativeEngine()
    if name == SIMULATOR:
        from .mock import MockEngine

        return MockEngine()
    near = get_close_matches(name, ENGINES, n=1)
    raise UsageError(
        f"there is no engine {name!r}", hint=f"did you mean {near[0]}?" if near else "engines are " + ", ".join(ENGINES)
    )
