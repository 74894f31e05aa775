"""The engine of simulated runs: it moves rows between Arrow files, as the contracts of the sink's family say."""

from __future__ import annotations

from .engine import MockEngine
from .load import Load, Tap
from .strategy import STRATEGIES, Strategies

__all__ = ["STRATEGIES", "Load", "MockEngine", "Strategies", "Tap"]
