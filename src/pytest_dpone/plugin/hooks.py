"""The hooks that a conftest or another plugin may implement; their docstrings are the documentation.

Put them into the `conftest.py` of rootdir, or into a plugin: a conftest further below is loaded too late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..core.registry import Registry
    from ..core.wire import Engine


@pytest.hookspec
def pytest_dpone_register(registry: Registry) -> None:
    """Add families to the registry, or rules that exclude cases; called once per process, before collection.

    `registry` holds the shipped families already. The cases of a new family are planned like all others, so the
    implementation must be a pure function: the same families in the same order in every process.
    """


@pytest.hookspec(firstresult=True)
def pytest_dpone_engine(name: str) -> Engine | None:
    """Give the engine that `--dpone-engine=NAME` asks for, or None to leave it to others.

    In a simulated run (`--dpone-run-mode=mock_local`) the name is `mock`, and the tables are files in memory.
    """
