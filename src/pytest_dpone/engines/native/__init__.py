"""The reference engine: exact, on native bulk paths, with bounded memory."""

from __future__ import annotations

from .engine import NativeEngine
from .ports import Counts, Extract, Seams, Sink, Source
from .state import State

__all__ = ["Counts", "Extract", "NativeEngine", "Seams", "Sink", "Source", "State"]
