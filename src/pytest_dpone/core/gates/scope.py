"""The scope lock: the committed list of what a release must pass, and a run held against it (DESIGN §1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator

from .ruling import RELEASE_PROFILES, Ruling, Value, green, red

LOCK_FILE = "dpone-scope.lock.json"
"""Its name, in rootdir."""
LOCK_SCHEMA = "pytest-dpone/scope-lock/v1"
PASSED = "passed"
MISSING = "missing"
"""What became of a case that the run does not plan."""
NOT_RUN = "not_run"
"""What became of a test that left no result."""
_NOT_RUN = frozenset(
    {NOT_RUN, "unavailable", "deselected", "crashed", "skipped", "budget", "service died", "not implemented yet"}
)


class LockedScope(Value):
    """What one profile must pass: ids of cases, and ids of tests that need services. Both sorted, each once."""

    cases: Annotated[tuple[str, ...], Field(min_length=1)]
    tests: tuple[str, ...]

    @field_validator("cases", "tests")
    @classmethod
    def _in_order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if list(names) != sorted(set(names)):
            raise ValueError("the names are not sorted, or one is there twice")
        return names


class ScopeLock(Value):
    """The file. `dataset` and `contracts` are the versions that the lock was made with."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True, serialize_by_alias=True
    )

    schema_: Literal["pytest-dpone/scope-lock/v1"] = Field(default="pytest-dpone/scope-lock/v1", alias="schema")
    dataset: str
    contracts: str
    profiles: dict[str, LockedScope]

    @field_validator("profiles")
    @classmethod
    def _of_releases(cls, profiles: dict[str, LockedScope]) -> dict[str, LockedScope]:
        if not profiles or not set(profiles) <= set(RELEASE_PROFILES):
            raise ValueError(f"it must lock one or more of {' and '.join(RELEASE_PROFILES)}, and nothing else")
        return profiles


class ScopeFacts(Value):
    """Input of the gate: name → what became of it in this run, for everything that is required."""

    profile: str
    basis: Literal["lock", "ini"]
    """`ini`: there is no lock, and what the ini file plans is required."""
    lock: str | None = None
    """SHA-256 of the lock's bytes."""
    dataset: str
    contracts: str
    """Versions of this run."""
    locked_dataset: str | None = None
    locked_contracts: str | None = None
    cases: dict[str, str]
    tests: dict[str, str] = Field(default_factory=dict)
    beside: tuple[str, ...] = ()
    """Cases of the run that the lock does not name."""


def make_lock(*, dataset: str, contracts: str, cases: Iterable[str], tests: Mapping[str, Iterable[str]]) -> ScopeLock:
    """The lock of `cases`, with `tests` by release profile. Raises `ValueError` (of pydantic) if there is no case."""
    names = tuple(sorted(set(cases)))
    scopes = {profile: LockedScope(cases=names, tests=tuple(sorted(set(found)))) for profile, found in tests.items()}
    return ScopeLock(dataset=dataset, contracts=contracts, profiles=scopes)


def lock_changes(old: ScopeLock, new: ScopeLock) -> list[str]:
    """How `new` differs from `old`, a line each; empty if it does not."""
    lines = [
        f"{name} {getattr(old, name)} → {getattr(new, name)}"
        for name in ("dataset", "contracts")
        if getattr(old, name) != getattr(new, name)
    ]
    for profile in dict.fromkeys((*old.profiles, *new.profiles)):
        before, after = old.profiles.get(profile), new.profiles.get(profile)
        for kind in ("cases", "tests"):
            known, found = set(getattr(before, kind, ())), set(getattr(after, kind, ()))
            lines += [f"{profile}: + {name}" for name in sorted(found - known)]
            lines += [f"{profile}: - {name}" for name in sorted(known - found)]
    return lines


def scope_facts(
    profile: str,
    *,
    lock: ScopeLock | None,
    digest: str | None,
    declared: Sequence[str],
    dataset: str,
    contracts: str,
    cases: Mapping[str, str],
    tests: Mapping[str, str],
) -> ScopeFacts:
    """Hold what became of `cases` and `tests` against the lock, or without one against the `declared` cases.

    A lock that does not name `profile` requires nothing of it that could be passed: its cases are empty, which is red.
    """
    if lock is None:
        required = {name: cases.get(name, MISSING) for name in declared}
        return ScopeFacts(profile=profile, basis="ini", dataset=dataset, contracts=contracts, cases=required)
    locked = lock.profiles.get(profile)
    names, of_tests = (locked.cases, locked.tests) if locked is not None else ((), ())
    return ScopeFacts(
        profile=profile,
        basis="lock",
        lock=digest,
        dataset=dataset,
        contracts=contracts,
        locked_dataset=lock.dataset,
        locked_contracts=lock.contracts,
        cases={name: cases.get(name, MISSING) for name in names},
        tests={name: tests.get(name, NOT_RUN) for name in of_tests},
        beside=tuple(sorted(set(cases).difference(names))),
    )


def judge_scope(facts: ScopeFacts) -> tuple[Ruling, ...]:
    """All that is required has passed: nothing skipped, left out, expected to fail, or run until it was green."""
    if not facts.cases:
        text = f"the lock names no case for {facts.profile}: run `pytest-dpone lock`, and commit what it writes"
        return (red("scope_lock", "nothing_locked", text),)
    rulings = [*_versions(facts)]
    wrong = [(name, word) for name, word in (*facts.cases.items(), *facts.tests.items()) if word != PASSED]
    rulings += [red(name, _code(word), f"{name}: {_told(word)}, and the scope needs it") for name, word in wrong]
    if not wrong:
        beside = f"{len(facts.beside)} cases beside the lock" if facts.beside else ""
        count = len(facts.cases) + len(facts.tests)
        rulings.append(green("scope_lock", f"passed as the {facts.basis} says", actual=count, text=beside))
    return tuple(rulings)


def _versions(facts: ScopeFacts) -> Iterable[Ruling]:
    for name, locked, used in (
        ("dataset", facts.locked_dataset, facts.dataset),
        ("contracts", facts.locked_contracts, facts.contracts),
    ):
        if facts.basis == "lock" and locked != used:
            text = f"the lock is of another version of the {name}: run `pytest-dpone lock`, and look at what changed"
            yield red(name, "another_version", text, expected=locked, actual=used)


def _code(word: str) -> str:
    return "not_run" if word in _NOT_RUN else word


def _told(word: str) -> str:
    told = {
        "rerun": "it passed only after it was run again",
        MISSING: "the run does not plan it",
        NOT_RUN: "it was not run",
    }
    return told.get(word, word)
