"""Mutants that read the API wrongly."""

from __future__ import annotations

from functools import partial

from ..native.api import ApiSource
from . import cases
from .mutant import Mutant
from .parts import api


def _reads(name: str, breaks: str, kind: type[ApiSource], *killed_by: str) -> Mutant:
    """A mutant that reads the API by `kind`."""
    return Mutant(name, breaks, cases.API_FULL, killed_by, partial(api.reading, kind))


CLIENTS = (
    _reads("lose_last_page", "the last page is lost", api.LosesLastPage, "rows"),
    _reads("double_page_after_retry", "a page that failed at first comes twice", api.DoublesRepeated, "rows"),
    _reads("give_up_when_limited", "a 429 is taken for the end", api.GivesUpWhenLimited, "rows"),
    _reads("read_across_changes", "pages by offset are of two versions", api.ReadsAcrossChanges, "rows"),
    _reads("ignore_retry_after", "a 429 is not waited for", api.IgnoresRetryAfter, "api.patience"),
)
