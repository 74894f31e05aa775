"""The public surface is small, lazy, and what the package says it is."""

from __future__ import annotations

import subprocess
import sys

import pytest_dpone

NAMES = [
    "Case",
    "CaseRecord",
    "Contract",
    "DponeError",
    "Endpoint",
    "Engine",
    "EngineFailed",
    "Family",
    "Field",
    "Fingerprint",
    "HistoryColumns",
    "Job",
    "Registry",
    "RunFacts",
    "ServiceHandle",
    "ServiceInfo",
    "SinkCatalog",
    "Strategy",
    "Support",
    "ValueRejected",
    "Verdict",
    "to_kind",
]


def test_the_public_names() -> None:
    assert pytest_dpone.__all__ == NAMES
    assert dir(pytest_dpone) == NAMES
    for name in NAMES:
        assert getattr(pytest_dpone, name).__name__ == name
    assert not hasattr(pytest_dpone, "Matrix")


def test_the_package_loads_nothing_before_it_is_asked() -> None:
    code = "import sys, pytest_dpone; assert not [m for m in sys.modules if m.startswith('pytest_dpone.')]"
    subprocess.run([sys.executable, "-c", code], check=True)
