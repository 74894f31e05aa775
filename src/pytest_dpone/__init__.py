"""Certify data connectors with pytest: real rows, real services, an independent judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core.contracts import Contract
    from .core.kinds import Field
    from .core.model import Case, CaseRecord, Strategy, Verdict
    from .core.registry import Family, Registry
    from .core.wire import Endpoint, Engine, HistoryColumns, Job, RunFacts, ServiceInfo, Support
    from .errors import DponeError, EngineFailed, ValueRejected
    from .services.catalog import Fingerprint, SinkCatalog
    from .services.catalog.convert import to_kind
    from .services.handle import ServiceHandle

__all__ = [
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

_HOMES = {
    "core.contracts": ("Contract",),
    "core.kinds": ("Field",),
    "core.model": ("Case", "CaseRecord", "Strategy", "Verdict"),
    "core.registry": ("Family", "Registry"),
    "core.wire": ("Endpoint", "Engine", "HistoryColumns", "Job", "RunFacts", "ServiceInfo", "Support"),
    "errors": ("DponeError", "EngineFailed", "ValueRejected"),
    "services.catalog": ("Fingerprint", "SinkCatalog"),
    "services.catalog.convert": ("to_kind",),
    "services.handle": ("ServiceHandle",),
}


def __getattr__(name: str) -> object:
    # pytest loads this package at every start, so nothing is imported before somebody asks for it.
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
