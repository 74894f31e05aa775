"""What is observed of memory and bytes while an act is played."""

from __future__ import annotations

import sys

import pyarrow as pa
import pytest

from pytest_dpone.core.wire import RunFacts
from pytest_dpone.run.acts import Act, Counted
from pytest_dpone.run.memory import PeakMemory, give_back


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
def test_the_peak_is_that_of_the_time_since() -> None:
    before = PeakMemory()
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    high = before.megabytes()
    del block
    after = PeakMemory().megabytes()
    assert high is not None
    assert after is not None
    assert high - after > 40


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the resident set")
def test_what_is_free_is_given_back() -> None:
    def resident() -> float:
        return PeakMemory().megabytes() or 0.0

    give_back()
    before = resident()
    # Small ones: a large one has pages of its own, which go back by themselves. The last one keeps the heap's end.
    blocks = [bytearray(2**14) for _ in range(8_000)]
    last = [bytearray(2**14)]
    del blocks
    held = resident()
    give_back()
    assert held - before > 100
    assert resident() - before < 30
    assert last


def test_where_nobody_tells_nothing_is_invented(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from pytest_dpone.run import memory

    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "no" / "such" / "file")
    assert PeakMemory().megabytes() is None


def test_batches_are_counted_as_they_are_taken() -> None:
    batch = pa.record_batch({"a": pa.array([1, 2, 3], pa.int64())})
    counted = Counted(iter([batch, batch]))
    assert counted.bytes == 0
    assert sum(each.num_rows for each in counted) == 6
    assert counted.bytes == 2 * batch.nbytes > 0


def test_phases_of_several_runs_are_added_up() -> None:
    class Engine:
        name = "e"

        def supports(self, case):  # type: ignore[no-untyped-def]
            raise NotImplementedError

        def run(self, job):  # type: ignore[no-untyped-def]
            return RunFacts(read=1, written=1, seconds={"stage": 0.25, "x" * 999: 1.0})

    act = Act("load")  # type: ignore[arg-type]
    for _ in range(2):
        act.run(Engine(), None)  # type: ignore[arg-type]
    assert act.observed["seconds.stage"] == 0.5
    assert max(map(len, act.observed)) < 300


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e10])
def test_seconds_that_can_not_be_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError):
        RunFacts(read=1, written=1, seconds={"stage": seconds})
