"""How the engine behaved to a source that has faults on purpose: it must have met them all, and waited when told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..core.model import ActName
from ..services.catalog import Witness
from .act import Act
from .stage import Stage

FAULTS = ("401", "412", "429", "500")
SEVERAL_PAGES = 100
"""Rows from which on a whole load has so many pages that it meets every fault."""


@contextmanager
def watched(act: Act, stage: Stage) -> Iterator[None]:
    """Play an act, and judge at its end what the source's server has counted, also if the engine failed."""
    try:
        yield
    finally:
        if isinstance(stage.source, Witness):
            _judge(act, stage, stage.source)


def _judge(act: Act, stage: Stage, source: Witness) -> None:
    counts = source.witnessed(stage.source_space)
    if act.name is ActName.PROVISION:
        return  # the engine has not been asked for anything yet
    act.observed.update({f"api.{name}": count for name, count in sorted(counts.items())})
    if act.name is ActName.LOAD and stage.dataset.spec.rows_before >= SEVERAL_PAGES:
        met = [fault for fault in FAULTS if counts.get(fault)]
        act.check("api.faults_met", expected=", ".join(FAULTS), actual=", ".join(met))
    act.check("api.patience", expected=0, actual=counts.get("early", 0))
