"""The packaged suite as items of the user's session, whatever the arguments, the directory and the ini file are."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from .active import SERVICE_MARKERS, case_param

if TYPE_CHECKING:
    from ..run.plan import Plan

PREFIX = "dpone"
_PACKAGE = "pytest_dpone.plugin.suite"


class SuiteModule(pytest.Module):
    """A module of the packaged suite.

    It is named `dpone/test_….py` wherever the package is installed, so node ids are the same on every machine, and it
    is collected by pytest's default names, so that a user's `python_functions` can't hide it.
    """

    def funcnamefilter(self, name: str) -> bool:
        """The suite's own naming."""
        return name.startswith("test_")

    def classnamefilter(self, name: str) -> bool:  # noqa: ARG002 - the signature is pytest's
        """The suite has no test classes."""
        return False

    def _getobj(self) -> ModuleType:
        # The user's import mode must not import the module a second time under another name.
        return importlib.import_module(f"{_PACKAGE}.{self.path.stem}")


def suite_items(session: pytest.Session, suites: Iterable[str]) -> list[pytest.Item]:
    """The items of the packaged suites, in their order."""
    items: list[pytest.Item] = []
    for suite in suites:
        path = Path(__file__).parent / "suite" / f"test_{suite}.py"
        module = SuiteModule.from_parent(session, path=path, nodeid=f"{PREFIX}/{path.name}")
        items.extend(session.genitems(module))
    return items


def keep_shard(config: pytest.Config, items: list[pytest.Item], plan: Plan, index: int) -> None:
    """Deselect what belongs to other shards than number `index`.

    The tests of a service are with the first shard whose cases need it, all others that are about no case with the
    first of all. A test that brings cases of its own keeps those of the shard.
    """
    here, asked = set(plan.scope), set(plan.asked)

    def is_elsewhere(item: pytest.Item) -> bool:
        case = case_param(item)
        if case is None:
            return plan.owners.get(_service(item), 1) != index
        return case in asked and case not in here

    rest = [item for item in items if is_elsewhere(item)]
    if rest:
        left_out = set(map(id, rest))
        config.hook.pytest_deselected(items=rest)
        items[:] = [item for item in items if id(item) not in left_out]


def _service(item: pytest.Item) -> str:
    """The service that the test is of: by its parameter in the packaged suite, else by its first marker."""
    callspec = getattr(item, "callspec", None)
    if callspec is not None and item.getparent(SuiteModule) and "service" in callspec.params:
        return str(callspec.params["service"])
    names = {mark.name for mark in item.iter_markers()}
    return next((name.removeprefix("integration_") for name in SERVICE_MARKERS if name in names), "")


def keep_selected(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect everything but the packaged suite and the tests that are parametrised by a case."""
    chosen = [item for item in items if item.getparent(SuiteModule) or case_param(item)]
    rest = [item for item in items if not (item.getparent(SuiteModule) or case_param(item))]
    if rest:
        config.hook.pytest_deselected(items=rest)
        items[:] = chosen
