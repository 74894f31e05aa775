"""What all gates share: one ruling per subject, the names that may be used, and how wrong ones are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ...errors import UsageError
from ..model import Scalar

PROFILES = ("local_live", "real_local", "vendor_live")
RELEASE_PROFILES = ("real_local", "vendor_live")
"""Profiles whose pack may say GO."""

_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,15}", re.ASCII)


class Value(BaseModel):
    """Base of facts and documents: immutable, no unknown keys, no NaN or Infinity.

    It can be read strictly from JSON (`model_validate_json(…, strict=True)`): no text or boolean becomes a number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Ruling(Value):
    """One rule applied to one subject. A red one has a `code`, which with the subject makes the blocker."""

    subject: str
    rule: str
    passed: bool
    expected: Scalar = None
    actual: Scalar = None
    code: str = ""
    text: str = ""
    """For people, one line."""

    @property
    def blocker(self) -> str:
        """The stable code with its subject, e.g. `duration_seconds.missing`."""
        return f"{self.subject}.{self.code}"


@dataclass(frozen=True, slots=True)
class GateResult:
    """How a gate of a run ended, for people: its blockers with their texts, and why it was not run if it was not."""

    name: str
    state: Literal["passed", "failed", "not run"]
    blockers: tuple[tuple[str, str], ...] = ()
    note: str = ""


def green(subject: str, rule: str, *, expected: Scalar = None, actual: Scalar = None, text: str = "") -> Ruling:
    """A rule that holds."""
    return Ruling(subject=subject, rule=rule, passed=True, expected=expected, actual=actual, text=text)


def red(
    subject: str, code: str, text: str, *, rule: str = "", expected: Scalar = None, actual: Scalar = None
) -> Ruling:
    """A rule that is broken; `text` says how."""
    return Ruling(
        subject=subject, rule=rule or code, passed=False, expected=expected, actual=actual, code=code, text=text
    )


def blockers_of(rulings: Iterable[Ruling]) -> tuple[str, ...]:
    """The blockers of the red ones, each once, in order."""
    return tuple(dict.fromkeys(ruling.blocker for ruling in rulings if not ruling.passed))


def passes(rulings: Sequence[Ruling]) -> bool:
    """If there is a ruling and all are green: a gate that judged nothing has not passed."""
    return bool(rulings) and all(ruling.passed for ruling in rulings)


def known_profile(profile: str, *, among: Sequence[str] = PROFILES) -> str:
    """`profile` itself. Raises `UsageError` if it is none of `among`."""
    if profile in among:
        return profile
    if profile in PROFILES:
        raise UsageError(f"the profile {profile} has no such gate", hint=f"use {' or '.join(among)}")
    raise UsageError(f"the profile {profile!r} is unknown", hint=nearest(profile, among))


def valid_release(release: str) -> str:
    """`release` itself. Raises `UsageError` for a name that is no plain word of at most 128 characters."""
    if _RELEASE.fullmatch(release):
        return release
    shown = repr(release[:40]) + ("…" if len(release) > 40 else "")
    raise UsageError(
        f"the release {shown} is no name for a release",
        hint="use 1 to 128 ASCII letters, digits, dots, dashes, plus signs and underscores, e.g. v1.2.0",
    )


def valid_name(name: str, *, what: str) -> str:
    """`name` itself. Raises `UsageError` for one that is no plain word of at most 64 characters."""
    if _NAME.fullmatch(name):
        return name
    raise UsageError(
        f"{name[:40]!r} is no name for {what}", hint="use ASCII letters, digits, dots, dashes and underscores"
    )


def row_count(text: str) -> int:
    """A count of rows from its decimal digits. Raises `UsageError`; nothing is clamped."""
    if _COUNT.fullmatch(text) and int(text) > 0:
        return int(text)
    raise UsageError(f"the row count {text[:40]!r} is no whole number ≥ 1", hint="e.g. --row-count 25000")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the names that look like `name`, else with all."""
    names = list(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(names)}"
