"""The pytest plugin. Every start of pytest loads this module, so it imports pytest and little else."""

from __future__ import annotations

import os

import pytest

from .active import MARKERS, active_session, skip_locked, worker_invitation
from .fixtures import (
    dpone_case,
    dpone_certify,
    dpone_clickhouse,
    dpone_engine,
    dpone_kafka,
    dpone_minio,
    dpone_mssql,
    dpone_postgres,
    dpone_schema_registry,
    dpone_settings,
    dpone_stack,
)
from .options import add_options, gather, is_asked

__all__ = [
    "dpone_case",
    "dpone_certify",
    "dpone_clickhouse",
    "dpone_engine",
    "dpone_kafka",
    "dpone_minio",
    "dpone_mssql",
    "dpone_postgres",
    "dpone_schema_registry",
    "dpone_settings",
    "dpone_stack",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options and ini keys."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks for users."""
    from . import hooks

    pluginmanager.add_hookspecs(hooks)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """With --dpone-plan and --dpone-lock nothing is run, and no worker is started for it."""
    if (
        config.getoption("dpone_plan", None)
        or os.environ.get("DPONE_PLAN", "0") not in ("", "0")
        or config.getoption("dpone_lock", None)
        or os.environ.get("DPONE_LOCK")
    ):
        config.option.collectonly = True


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and wake up if somebody asked for it."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning} (pytest-dpone)")
    invitation = worker_invitation(config)
    if invitation:
        from .session import join

        join(config, invitation)
    elif invitation is None and is_asked(raw := gather(config, os.environ), os.environ):
        from .control import start

        start(config, raw)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In an inactive run, skip what needs services."""
    if active_session(config) is None:
        skip_locked(items, unlocked=frozenset())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise every test that asks for `dpone_case` by the selected cases."""
    own = metafunc.definition.iter_markers("parametrize")
    if "dpone_case" not in metafunc.fixturenames or any("dpone_case" in str(mark.args[:1]) for mark in own):
        return
    session = active_session(metafunc.config)
    if session is None:
        skip = pytest.mark.skip(reason="dpone is not active: give --dpone-profile=local_live")
        metafunc.parametrize("dpone_case", [pytest.param(None, id="inactive", marks=skip)], indirect=True)
        return
    scope = session.plan.scope
    metafunc.parametrize("dpone_case", scope, ids=[case.case_id for case in scope], indirect=True)
