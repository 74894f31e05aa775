"""Answers that ask for patience: they are known by their words, and the question is asked again, with an end."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

from ..errors import ServiceFailed

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try; each is stretched by up to a quarter, so that clients do not come back together."""

_BUSY = re.compile(
    r"\b429\b|too many requests|slow ?down|throttl|rate.?limit|quota|RequestLimitExceeded|"
    r"\b503\b|service unavailable|too many (clients|connections)|remaining connection slots|"
    r"TOO_MANY_SIMULTANEOUS_QUERIES|resource limit|\b10928\b|\b10929\b|\b40501\b",
    re.IGNORECASE,
)

T = TypeVar("T")


def asks_for_patience(text: str) -> bool:
    """If a server's words mean that it has too much to do, or that a quota is used up."""
    return _BUSY.search(text) is not None


def patiently(
    call: Callable[[], T], *, sleep: Callable[[float], None] = time.sleep, pauses: tuple[float, ...] = PAUSES
) -> T:
    """`call()`, again after each of `pauses` while it raises a `ServiceFailed` that asks for patience.

    Raises what the last try raised; its text says how often it was tried.
    """
    for pause in pauses:
        try:
            return call()
        except ServiceFailed as error:
            if not asks_for_patience(error.fact):
                raise
        sleep(pause * (1 + random.random() / 4))
    try:
        return call()
    except ServiceFailed as error:
        if not asks_for_patience(error.fact):
            raise
        fact = f"{error.fact} (asked {len(pauses) + 1} times)"
        raise ServiceFailed(fact, hint="wait, or raise the quota of the account") from None
