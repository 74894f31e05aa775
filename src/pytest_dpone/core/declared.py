"""Contracts as somebody declares them: a row that nobody could be held to is refused, with what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import get_args

from ..errors import UsageError
from .contracts import RULES, Contract, How
from .dataset.values import edges_of
from .kinds import KINDS
from .own import OTHER, OWN

_HOW: tuple[str, ...] = get_args(How)
_DECIMAL = "decimal"
_KINDS = (*KINDS, _DECIMAL, OTHER, *OWN)


def check_contracts(contracts: Iterable[Contract]) -> None:
    """Raise `UsageError` for the first row that says something unknown, too little, or what another has said."""
    seen: set[tuple[str, str, str]] = set()
    for row in contracts:
        for fact, hint in _wrong(row):
            raise UsageError(f"{_named(row)} {fact}", hint=hint)
        name = (row.family, row.kind, row.feature)
        if name in seen:
            raise UsageError(f"{_named(row)} is there twice", hint="leave one of them: nobody could tell which counts")
        seen.add(name)


def _named(row: Contract) -> str:
    feature = f", feature={row.feature!r}" if row.feature else ""
    return f"Contract({row.family!r}, {row.kind!r}, {row.how!r}{feature})"


def _wrong(row: Contract) -> Iterator[tuple[str, str]]:
    """What is wrong with the row, and what to do."""
    if row.how not in _HOW:
        yield "says how by a word that is unknown", _known("how", row.how, _HOW)
    if row.kind not in _KINDS:
        yield "is of an unknown kind", _known("kind", row.kind, _KINDS)
    elif row.feature and row.feature not in (features := _features(row.kind)):
        yield "is of a feature that values of this kind don't have", _known("feature", row.feature, features)
    yield from _wrong_rule(row)
    yield from _wrong_error(row)
    if not row.native and not row.feature and row.how != "rejected":
        yield "names no column type", 'give it native=("…",): the names of types that the family may store the kind in'


def _wrong_rule(row: Contract) -> Iterator[tuple[str, str]]:
    if row.how == "lossy" and row.rule not in RULES:
        fact = f"has the rule {row.rule!r}, which is unknown" if row.rule else "does not say by which rule"
        yield fact, _known("rule", row.rule, tuple(RULES))
    if row.how != "lossy" and row.rule:
        yield f"has the rule {row.rule!r}, and loses nothing", "a rule says what a value becomes that is 'lossy'"


def _wrong_error(row: Contract) -> Iterator[tuple[str, str]]:
    if row.how != "rejected":
        if row.error:
            yield f"has the error {row.error!r}, and rejects nothing", "an error is that of a value that is 'rejected'"
        return
    hint = 'give it error="…", a pattern that the text of the error matches, and that of no other error'
    if not row.error:
        yield "does not say by which error", hint
        return
    try:
        vacuous = re.search(row.error, "") is not None
    except re.error as error:
        yield f"has the error {row.error!r}, which is no pattern: {error}", hint
        return
    if vacuous:
        yield f"has the error {row.error!r}, which any text matches", hint


def _features(kind: str) -> tuple[str, ...]:
    """The features that values of the kind may have."""
    if kind in (_DECIMAL, OTHER):
        return ()
    return tuple(dict.fromkeys(edge.feature for edge in edges_of(kind) if edge.feature))


def _known(what: str, word: str, words: tuple[str, ...]) -> str:
    """A hint that names what is known, or what is near to `word`."""
    if not words:
        return f"leave {what} out"
    near = get_close_matches(word, words, n=1)
    listed = ", ".join(name for name in words if ":" not in name or name == OTHER)
    return f"did you mean {what}={near[0]!r}?" if near else f"{what} is one of {listed}"
