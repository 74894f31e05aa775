"""The gates over the scope lock and over the source of a run, as functions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_dpone.core.gates.ruling import blockers_of, passes
from pytest_dpone.core.gates.scope import ScopeLock, judge_scope, lock_changes, make_lock, scope_facts
from pytest_dpone.core.gates.source import CodeState, FileSet, SourceFacts, SourceState, TreeState, judge_source, told

LOCK = make_lock(dataset="2", contracts="c", cases=["b", "a"], tests={"real_local": ["t2", "t1"]})
WORDS = [
    "failed",
    "unavailable",
    "deselected",
    "crashed",
    "skipped",
    "budget",
    "service died",
    "not implemented yet",
    "rerun",
    "missing",
    "",
    "PASSED",
]


def facts(cases: dict[str, str], tests: dict[str, str], **changes: object):  # type: ignore[no-untyped-def]
    given = {"lock": LOCK, "digest": "d", "declared": ["a"], "dataset": "2", "contracts": "c", **changes}
    profile = str(given.pop("profile", "real_local"))
    return scope_facts(profile, cases=cases, tests=tests, **given)  # type: ignore[arg-type]


GREEN = ({"a": "passed", "b": "passed"}, {"t1": "passed", "t2": "passed"})


def test_all_that_is_locked_has_passed() -> None:
    assert passes(judge_scope(facts(*GREEN)))
    more = facts({**GREEN[0], "c": "failed"}, GREEN[1])
    assert passes(judge_scope(more)), "what is beside the lock is judged by others"
    assert more.beside == ("c",)


@pytest.mark.parametrize("word", WORDS)
def test_nothing_but_passed_is_passed(word: str) -> None:
    for cases, tests in (({**GREEN[0], "b": word}, GREEN[1]), (GREEN[0], {**GREEN[1], "t1": word})):
        rulings = judge_scope(facts(cases, tests))
        assert not passes(rulings)
        (blocker,) = blockers_of(rulings)
        assert blocker.partition(".")[0] in ("b", "t1")


def test_what_left_nothing_is_red() -> None:
    assert blockers_of(judge_scope(facts({"a": "passed"}, {"t1": "passed"}))) == ("b.missing", "t2.not_run")


def test_a_lock_of_other_versions_or_of_another_profile_is_red() -> None:
    assert blockers_of(judge_scope(facts(*GREEN, dataset="3"))) == ("dataset.another_version",)
    assert blockers_of(judge_scope(facts(*GREEN, contracts="x"))) == ("contracts.another_version",)
    assert blockers_of(judge_scope(facts(*GREEN, profile="vendor_live"))) == ("scope_lock.nothing_locked",)


def test_without_a_lock_the_ini_file_says_what_is_required() -> None:
    found = facts({"a": "passed"}, {}, lock=None, digest=None)
    assert (found.basis, found.cases, found.tests) == ("ini", {"a": "passed"}, {})
    assert passes(judge_scope(found))
    assert blockers_of(judge_scope(facts({}, {}, lock=None, digest=None))) == ("a.missing",)
    assert not passes(judge_scope(facts({}, {}, lock=None, digest=None, declared=[])))


BAD = [
    {"profiles": {}},
    {"profiles": {"local_live": {"cases": ["a"], "tests": []}}},
    {"profiles": {"real_local": {"cases": [], "tests": []}}},
    {"profiles": {"real_local": {"cases": ["b", "a"], "tests": []}}},
    {"profiles": {"real_local": {"cases": ["a", "a"], "tests": []}}},
    {"profiles": {"real_local": {"cases": ["a"]}}},
    {"dataset": 2},
    {"schema": "pytest-dpone/scope-lock/v2"},
    {"more": 1},
]


@pytest.mark.parametrize("change", BAD, ids=str)
def test_a_lock_that_says_nothing_clear_is_refused(change: dict[str, object]) -> None:
    data = {**LOCK.model_dump(mode="json", by_alias=True), **change}
    with pytest.raises(ValidationError):
        ScopeLock.model_validate_json(json.dumps(data), strict=True)


NAMES = st.sets(st.text(min_size=1, max_size=5), min_size=1, max_size=5)


@settings(max_examples=25)
@given(NAMES, NAMES)
def test_a_lock_differs_only_where_names_differ(one: set[str], other: set[str]) -> None:
    first, second = (
        make_lock(dataset="2", contracts="c", cases=names, tests={"real_local": ()}) for names in (one, other)
    )
    assert (lock_changes(first, second) == []) is (one == other)
    assert len(lock_changes(first, second)) == len(one ^ other)
    assert ScopeLock.model_validate_json(first.model_dump_json(by_alias=True), strict=True) == first


def files(letter: str, **more: object) -> FileSet:
    return FileSet(digest=letter * 64, **more)  # type: ignore[arg-type]


def state(**changes: object) -> SourceState:
    tree = {"repository": "git", "commit": "1", "tracked": files("a"), "untracked": files("b"), "ignored": files("c")}
    plugin, engine = CodeState(name="pytest-dpone", files=files("d")), CodeState(name="mine", files=files("e"))
    code = {name: changes.pop(name) for name in ("plugin", "engines") if name in changes}
    return SourceState(**{"tree": TreeState(**{**tree, **changes}), "plugin": plugin, "engines": (engine,), **code})  # type: ignore[arg-type]


def judged(start: SourceState, end: SourceState, profile: str | None = "real_local") -> tuple[str, ...]:
    return blockers_of(judge_source(SourceFacts(profile=profile, start=start, end=end)))


def test_the_same_source_is_green() -> None:
    assert judged(state(), state()) == ()
    assert passes(judge_source(SourceFacts(profile="real_local", start=state(), end=state())))


CHANGES = [
    ({"commit": "2"}, "commit.changed"),
    ({"tracked": files("f")}, "tracked.changed"),
    ({"untracked": files("f")}, "untracked.changed"),
    ({"ignored": files("f")}, "ignored.changed"),
    ({"plugin": CodeState(name="pytest-dpone", files=files("f"))}, "plugin.changed"),
    ({"engines": (CodeState(name="mine", files=files("f")),)}, "engine.changed"),
    ({"engines": (CodeState(name="other", files=files("e")),)}, "engine.changed"),
]


@pytest.mark.parametrize(("change", "blocker"), CHANGES, ids=lambda value: str(value)[:30])
def test_each_change_is_red_for_a_release_and_told_else(change: dict[str, object], blocker: str) -> None:
    assert judged(state(), state(**change)) == (blocker,)
    assert judged(state(**change), state()) == (blocker,)
    for profile in ("local_live", None):
        assert judged(state(), state(**change), profile) == ()
        assert told(SourceFacts(profile=profile, start=state(), end=state(**change)))


ALWAYS = [
    ({"differing": 1, "differs": ("a.py",)}, "tracked.differs_from_commit"),
    ({"untracked": files("b", files=1, names=("new.py",))}, "untracked.in_no_commit"),
    ({"problems": ("a.py can't be read",)}, "tree.not_bound"),
    ({"tracked": FileSet()}, "tree.not_bound"),
    ({"plugin": CodeState(name="pytest-dpone")}, "plugin.not_bound"),
    ({"plugin": CodeState(name="pytest-dpone", files=files("d"), edited=("x.py",))}, "plugin.edited"),
    ({"engines": ()}, "engine.not_bound"),
    ({"engines": (CodeState(name="mine", files=files("e"), problems=("gone",)),)}, "engine.not_bound"),
]


@pytest.mark.parametrize(("facts", "blocker"), ALWAYS, ids=lambda value: str(value)[:30])
def test_a_source_that_is_no_commits_is_red_for_a_release(facts: dict[str, object], blocker: str) -> None:
    same = state(**facts)
    assert judged(same, same) == (blocker,)
    assert judged(same, same, "local_live") == ()
    assert told(SourceFacts(profile="local_live", start=same, end=same))


def test_ignored_files_may_lie_there() -> None:
    same = state(ignored=files("c", files=1, names=("_version.py",)))
    assert judged(same, same) == ()
