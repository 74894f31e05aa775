"""Tells pytest-dpone of the family `duckdb`, and which engine the name `duck` means."""

from __future__ import annotations

from duckdb_family import CONTRACTS, FAMILY, DuckDbSink
from mover import DuckMover

from pytest_dpone import Engine, Registry


def pytest_dpone_register(registry: Registry) -> None:
    registry.add(FAMILY, contracts=CONTRACTS, catalog=DuckDbSink)


def pytest_dpone_engine(name: str) -> Engine | None:
    return DuckMover() if name == "duck" else None
