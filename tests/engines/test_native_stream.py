from __future__ import annotations

import threading
import time

import pyarrow as pa
import pytest

from pytest_dpone.engines.native.arrow import grouped, sliced
from pytest_dpone.engines.native.stream import Guarded, ahead


def batches(*sizes: int) -> list[pa.RecordBatch]:
    return [pa.record_batch({"i": pa.array(range(size), pa.int64())}) for size in sizes]


def reading_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "dpone-read-ahead"]


def test_ahead_keeps_order_and_ends_its_thread() -> None:
    sizes = list(range(1, 50))
    assert [batch.num_rows for batch in ahead(iter(batches(*sizes)))] == sizes
    assert reading_threads() == []


def test_ahead_raises_the_readers_error_behind_the_batches_before_it() -> None:
    def broken():
        yield from batches(1, 2)
        raise LookupError("the reader's own")

    seen = []
    with pytest.raises(LookupError, match="the reader's own"):
        seen.extend(batch.num_rows for batch in ahead(broken()))
    assert seen == [1, 2]
    assert reading_threads() == []


def test_ahead_is_bounded_and_closing_it_closes_the_reader() -> None:
    produced = []
    closed = threading.Event()

    def endless():
        try:
            while True:
                produced.append(1)
                yield from batches(1)
        finally:
            closed.set()

    stream = ahead(endless())
    next(stream)
    time.sleep(0.1)  # long enough for thousands of batches
    assert len(produced) < 10
    stream.close()
    assert closed.is_set()
    assert reading_threads() == []


def test_sliced_and_grouped_keep_rows() -> None:
    assert [b.num_rows for b in sliced(iter(batches(5, 0, 2)), rows=2)] == [2, 2, 1, 2]
    assert [t.num_rows for t in grouped(iter(batches(2, 2, 2)), rows=4, size=10**9)] == [4, 2]
    assert [t.num_rows for t in grouped(iter(batches(2, 2, 2)), rows=10**9, size=1)] == [2, 2, 2]
    assert list(grouped(iter(()), rows=1, size=1)) == []


def test_guarded_keeps_the_batches_own_error() -> None:
    def broken():
        yield from batches(3)
        raise LookupError("mine")

    guarded = Guarded(broken())
    with pytest.raises(LookupError, match="mine"), guarded.kept():
        try:
            list(guarded)
        except LookupError:
            raise OSError("reworded by a driver") from None
    assert guarded.rows == 3
    with pytest.raises(OSError, match="a driver's"), Guarded(iter(())).kept():
        raise OSError("a driver's")
