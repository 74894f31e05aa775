"""Cases into shards: every case once, the same everywhere, and the work spread."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dpone.core.gates.ruling import blockers_of, passes
from pytest_dpone.core.gates.shards import MergedShard, MergeFacts, ShardProblem, judge_merge
from pytest_dpone.core.split import split
from pytest_dpone.errors import UsageError

NAMES = st.sets(st.text("abcdef_", min_size=1, max_size=6), min_size=1, max_size=30)


@settings(max_examples=60)
@given(NAMES, st.data())
def test_every_case_is_in_one_shard_whatever_the_order(names: set[str], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(names)))
    seconds = data.draw(st.dictionaries(st.sampled_from(sorted(names)), st.floats(0, 1e6, allow_nan=False)))
    parts = split(names, count, seconds=seconds)
    assert len(parts) == count
    assert all(parts)
    assert sorted(name for part in parts for name in part) == sorted(names)
    shuffled = list(names)
    random.Random(1).shuffle(shuffled)
    assert split(shuffled, count, seconds=dict(reversed(seconds.items()))) == parts
    longest = max([*seconds.values(), 0])
    if len(seconds) == len(names):
        loads = [sum(max(seconds[name], 1e-6) for name in part) for part in parts]
        assert max(loads) - min(loads) <= longest + 1e-3, "none has more than one case too many"


def test_without_durations_shards_are_equal_in_number() -> None:
    sizes = [len(part) for part in split([f"c{n:03}" for n in range(100)], 7)]
    assert sorted(sizes) == [14, 14, 14, 14, 14, 15, 15]


def test_long_cases_are_apart_and_unknown_ones_are_usual() -> None:
    seconds = {"a": 100.0, "b": 1.0, "c": 1.0, "d": 1.0}
    assert split("abcde", 2, seconds=seconds) == (("a",), ("b", "c", "d", "e"))
    assert split("abc", 3, seconds={"z": 5.0}) == (("a",), ("b",), ("c",)), "a case that is gone counts for nothing"


def test_an_empty_shard_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        split("ab", 3)
    assert str(caught.value) == ("2 cases can't fill 3 shards: one would certify nothing\nhint: give at most 2 shards")


def merged(*indexes: int, parts: tuple[tuple[str, ...], ...] = (("a",), ("b",)), **more: object) -> MergeFacts:
    rows = tuple(MergedShard(index=i, run_id="r", generated_at="t", sha256="a" * 64, cases=1) for i in indexes)
    return MergeFacts(count=2, scope=("a", "b"), parts=parts, shards=rows, **more)  # type: ignore[arg-type]


def test_every_shard_is_there_once() -> None:
    assert passes(judge_merge(merged(1, 2)))
    assert blockers_of(judge_merge(merged(1))) == ("shard_2.missing",)
    assert blockers_of(judge_merge(merged())) == ("shard_1.missing", "shard_2.missing")
    assert blockers_of(judge_merge(merged(1, 2, 2))) == ("shard_2.doubled",)
    assert blockers_of(judge_merge(merged(1, 2, 3))) == ("shard_3.unknown",)
    problem = ShardProblem(subject="shard_2", code="other_settings", text="another seed")
    assert blockers_of(judge_merge(merged(1, 2, problems=(problem,)))) == ("shard_2.other_settings",)


@pytest.mark.parametrize(
    "parts", [(("a",), ("b", "a")), (("a",), ()), (("a", "b"),), (("a",), ("c",)), (("a", "b"), ()), ()]
)
def test_parts_that_are_not_the_scope_are_red(parts: tuple[tuple[str, ...], ...]) -> None:
    assert blockers_of(judge_merge(merged(1, 2, parts=parts))) == ("shards.not_the_scope",)
