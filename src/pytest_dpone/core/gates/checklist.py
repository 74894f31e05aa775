"""The pre-release checklist: which checks a release of a version needs, and who says that they are done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from ...errors import UsageError
from .ruling import Ruling, Value, green, nearest, red

ReleaseType = Literal["patch", "minor", "major"]
TYPES: tuple[ReleaseType, ...] = ("patch", "minor", "major")
"""From the weakest to the strictest."""

_PATCH = ("source_sink_matrix", "contracts_guardrails", "documentation", "package")
_MINOR = ("cli_commands", "run_cli", "run_python_api", "hierarchical_lineage", *_PATCH)
REQUIRED: dict[ReleaseType, tuple[str, ...]] = {
    "patch": _PATCH,
    "minor": _MINOR,
    "major": (*_MINOR, "upgrade_notes"),
}
"""Checks by release type; each type needs all that the weaker ones need."""

_NUMBER = r"(0|[1-9][0-9]{0,8})"
_SUFFIX = r"(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_VERSION = re.compile(rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}{_SUFFIX}", re.ASCII)


class ChecklistItem(Value):
    """A check and who says so: the `run` that measured it, or a person (`self_asserted`)."""

    name: str
    done: bool
    by: Literal["run", "self_asserted"]


class ChecklistFacts(Value):
    """Input of the checklist."""

    release: str
    release_type: ReleaseType
    items: Annotated[tuple[ChecklistItem, ...], Field(min_length=1)]


def judge_checklist(facts: ChecklistFacts) -> tuple[Ruling, ...]:
    """One ruling per required check, then one per other check that was given: these must be done, too."""
    given = {item.name: item for item in facts.items}
    required = REQUIRED[facts.release_type]
    rulings = [*_type_rulings(facts), *_twice(facts.items)]
    for name in required:
        item = given.get(name)
        rulings.append(_missing(name, facts, given) if item is None else _ruling(item, "required"))
    rulings += [_ruling(item, "given") for item in facts.items if item.name not in required]
    return tuple(rulings)


def release_type_of(release: str) -> ReleaseType:
    """What the version's number says: x.0.0 is major, x.y.0 minor. Raises `UsageError` if it is no version."""
    found = _VERSION.fullmatch(release)
    if found is None:
        raise UsageError(f"the release {release[:60]!r} is no version", hint="use MAJOR.MINOR.PATCH, e.g. v1.2.0")
    if found[3] != "0":
        return "patch"
    return "minor" if found[2] != "0" or found[1] == "0" else "major"


def known_type(release: str, release_type: str) -> ReleaseType:
    """`release_type` itself. Raises `UsageError` if it is unknown, or weaker than the version's number asks for."""
    for known in TYPES:
        if known == release_type:
            least = release_type_of(release)
            if TYPES.index(known) < TYPES.index(least):
                raise UsageError(
                    f"the release type {release_type} is weaker than {release}, a {least} release",
                    hint=f"use --release-type {least}",
                )
            return known
    raise UsageError(f"the release type {release_type!r} is unknown", hint=nearest(release_type, TYPES))


def _type_rulings(facts: ChecklistFacts) -> list[Ruling]:
    try:
        known_type(facts.release, facts.release_type)
    except UsageError as error:
        return [red("release_type", "too_weak", error.fact)]
    return []


def _twice(items: Sequence[ChecklistItem]) -> list[Ruling]:
    names = [item.name for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [red(name, "given_twice", f"the check {name} is given twice") for name in twice]


def _missing(name: str, facts: ChecklistFacts, given: dict[str, ChecklistItem]) -> Ruling:
    others = [other for other in given if other not in REQUIRED[facts.release_type]]
    near = nearest(name, others) if others else ""
    meant = f"; {near}" if near.startswith("did") else ""
    text = f"the check {name} is required for a {facts.release_type} release and was not given{meant}"
    return red(name, "missing", text, rule="required", expected=True)


def _ruling(item: ChecklistItem, rule: str) -> Ruling:
    by = "from the run" if item.by == "run" else "self-asserted"
    if item.done:
        return green(item.name, rule, expected=True, actual=True, text=by)
    text = f"the check {item.name} is not done ({by})"
    return red(item.name, "not_done", text, rule=rule, expected=True, actual=False)
