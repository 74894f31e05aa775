"""Engines by name: what moves the rows that the harness judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from ..core.wire import Engine
from ..errors import UsageError

SIMULATOR = "mock"
"""The engine of simulated runs, which can move nothing else."""
COMMAND = "command"


def _native() -> Engine:
    from .native import NativeEngine

    return NativeEngine()


def _mock() -> Engine:
    from .mock import MockEngine

    return MockEngine()


def _dlt() -> Engine:
    from .dlt import DltEngine

    return DltEngine()


def _dpone() -> Engine:
    from .dpone import DponeEngine

    return DponeEngine()


_KNOWN: Mapping[str, Callable[[], Engine]] = MappingProxyType({"native": _native, "dlt": _dlt, "dpone": _dpone})
ENGINES = (*_KNOWN, COMMAND)


def load_engine(name: str, *, command: str = "", folder: Path | None = None) -> Engine:
    """The engine called `name`: one of `ENGINES`, or `SIMULATOR`.

    `command` is the line that the engine `command` starts, in `folder`. Raises `UsageError` for any other name, and for
    an engine that can't be had.
    """
    if name == COMMAND:
        from .command import CommandEngine

        return CommandEngine.parse(command, folder=folder)
    if (make := _KNOWN.get(name)) or name == SIMULATOR:
        return (make or _mock)()
    near = get_close_matches(name, ENGINES, n=1)
    raise UsageError(
        f"there is no engine {name!r}", hint=f"did you mean {near[0]}?" if near else "engines are " + ", ".join(ENGINES)
    )
