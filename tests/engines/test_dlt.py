"""The engine `dlt`: what it says that it can move, and how it says that dlt is not there."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import Case, Strategy
from pytest_dpone.core.registry import default_registry
from pytest_dpone.engines import load_engine
from pytest_dpone.engines.dlt import engine as module
from pytest_dpone.engines.dlt import mover
from pytest_dpone.errors import EngineFailed, MissingExtra


@pytest.fixture
def dlt(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    return load_engine("dlt")


def test_without_dlt_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="the module 'dlt' is needed and not installed") as caught:
        load_engine("dlt")
    assert caught.value.hint == "pip install 'pytest-dpone[dlt]'"


def test_it_supports_what_dlt_has_and_says_why_not_of_the_rest(dlt: Any) -> None:
    planned = build_matrix(default_registry()).planned
    said = {case: dlt.supports(case) for case in planned}
    whole = ("full_refresh", "incremental_append")
    keyed = (*whole, "incremental_merge", "scd2")
    assert [case.case_id for case, support in said.items() if support.status == "supported"] == [
        f"{source}_to_{sink}__{strategy}"
        for source in ("postgres", "minio")
        for sink, strategies in (("postgres", keyed), ("clickhouse", keyed), ("minio", whole))
        for strategy in strategies
    ]
    rest = [support for support in said.values() if support.status != "supported"]
    assert {support.status for support in rest} == {"unsupported"}
    assert all(support.reason.startswith("excluded: ") for support in rest)
    assert (
        dlt.supports(Case("postgres", "postgres", Strategy.CDC)).reason == "excluded: dlt reads no change log by itself"
    )


def test_dlt_is_not_loaded_before_it_runs(dlt: Any) -> None:
    assert "dlt" not in {name.partition(".")[0] for name in sys.modules if isinstance(sys.modules[name], ModuleType)}


def test_a_failure_of_dlt_is_told_as_its_own(dlt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_dpone.engines.command import CommandEngine

    from_no_program = CommandEngine((sys.executable, "-c", "import sys; sys.exit('no such table')"), called="dlt")
    monkeypatch.setattr(dlt, "_program", from_no_program)
    from .test_command import JOB

    with pytest.raises(EngineFailed, match=r"^dlt ended with status 1; its standard error ends with: no such table"):
        dlt.run(JOB)


def test_causes_are_told_outermost_first_and_without_pages_of_sql() -> None:
    try:
        try:
            raise ValueError("hour must\n be in 0..23")
        except ValueError as error:
            raise RuntimeError("SELECT " + "x, " * 500) from error
    except RuntimeError as error:
        told = list(mover._causes(error))
    assert told[1:] == ["ValueError: hour must be in 0..23"]
    assert len(told[0]) < 200
