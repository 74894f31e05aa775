"""dpone (https://pypi.org/project/dpone) as an engine, in an environment of its own: it pins what it needs."""

from __future__ import annotations

from .engine import DponeEngine
from .environment import Environment

__all__ = ["DponeEngine", "Environment"]
