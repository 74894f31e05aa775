"""What a case is about to do, for whoever watches: the step before an act, and those around all acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SERVICES = "services"
"""The services that the case needs are started, unless they are up."""
CLEAN_UP = "clean-up"


@dataclass(frozen=True, slots=True)
class Step:
    """An act by its name and its place, or something that is none: then `number` and `of` are 0."""

    name: str
    number: int = 0
    of: int = 0


OnStep = Callable[[Step], None]
"""Hears of a step as it begins; must not raise."""


def silent(step: Step) -> None:
    """Tell nobody."""
