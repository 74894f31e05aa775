"""What a mutant is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...core.wire import Engine


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken engine: what it breaks, the case that shows it, and the checks of which at least one must be red."""

    name: str
    breaks: str
    case_id: str
    killed_by: tuple[str, ...]
    build: Callable[[], Engine]
