"""Engines by name: what moves the rows that the harness judges."""

from __future__ import annotations

from difflib import get_close_matches

from ..core.wire import Engine
from ..errors import UsageError

ENGINES = ("native",)


def load_engine(name: str) -> Engine:
    """The engine called `name`. Raises `UsageError` for a name that is none of `ENGINES`."""
    if name == "native":
        from .native import NativeEngine

        return NativeEngine()
    near = get_close_matches(name, ENGINES, n=1)
    raise UsageError(
        f"there is no engine {name!r}", hint=f"did you mean {near[0]}?" if near else "engines are " + ", ".join(ENGINES)
    )
