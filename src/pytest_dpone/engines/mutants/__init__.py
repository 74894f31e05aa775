"""Engines that are broken in one way each: a harness that lets one of them pass is not to be trusted."""

from __future__ import annotations

from .api import CLIENTS
from .crashes import CRASHES
from .events import EVENTS
from .evolutions import EVOLUTIONS
from .facts import FACTS
from .histories import HISTORIES
from .keys import KEYS
from .logs import LOGS
from .mutant import Mutant
from .rejects import REJECTS
from .rewrites import REWRITES
from .rows import ROWS
from .stagings import STAGINGS
from .strategies import STRATEGIES
from .values import VALUES

__all__ = ["MUTANTS", "Mutant"]

MUTANTS: tuple[Mutant, ...] = (
    *VALUES,
    *REJECTS,
    *ROWS,
    *STRATEGIES,
    *KEYS,
    *LOGS,
    *FACTS,
    *REWRITES,
    *HISTORIES,
    *CRASHES,
    *EVOLUTIONS,
    *CLIENTS,
    *EVENTS,
    *STAGINGS,
)
"""Every mutant, with a name of its own."""
