from __future__ import annotations

import pytest

from pytest_dpone.engines.native.xids import Horizon, written_since
from pytest_dpone.errors import EngineFailed

WRAP = 2**32


def is_read(xid: int, since: int, following: int) -> bool:
    """If a row that the 64-bit `xid` wrote meets the condition: its arithmetic is SQL and Python alike."""
    condition = written_since(str(xid % WRAP), since, Horizon(since, following, "a test"))
    return bool(eval(condition))


@pytest.mark.parametrize(
    ("since", "following"),
    [
        (800, 1000),
        (WRAP - 5, WRAP + 20),  # the counter wraps between the two runs
        (WRAP + 800, WRAP + 1000),  # and before both
        (3 * WRAP - 1, 3 * WRAP + 3),
        (10, 10 + 2**31 + 7),  # more than half of the counter's round between the two runs
    ],
)
def test_every_row_since_the_watermark_is_read_and_none_before_it(since: int, following: int) -> None:
    inside = {since, since + 1, following - 1}
    assert [xid for xid in inside if not is_read(xid, since, following)] == []
    outside = {max(3, since - 1), max(3, since - 200), following}
    assert [xid for xid in outside - inside if is_read(xid, since, following)] == []


def test_a_frozen_row_of_an_earlier_round_may_be_read_again() -> None:
    assert is_read(900, WRAP + 800, WRAP + 1000)


def test_nothing_happened() -> None:
    assert not is_read(999, 1000, 1000)


def test_after_a_whole_round_everything_is_read() -> None:
    assert all(is_read(xid, 1000, 1000 + WRAP) for xid in (3, 999, 1000, WRAP - 1))


def test_a_watermark_ahead_of_the_server_is_refused() -> None:
    with pytest.raises(EngineFailed, match="the watermark 1001 is ahead of the server, whose next transaction is 1000"):
        is_read(5, 1001, 1000)
