from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from pytest_dpone.engines.native.changes import KEPT, Change, Emptied, Gone, Key, Net, Partial, Put, Values
from pytest_dpone.engines.native.postgres_log import number
from pytest_dpone.errors import EngineFailed


@pytest.fixture
def net() -> Iterator[Net]:
    with closing(Net((0,))) as made:
        yield made


def told(net: Net, *changes: Change) -> tuple[list[Values], list[Partial], list[Key]]:
    for change in changes:
        net.take(change)
    return sorted(net.rows()), list(net.partial()), sorted(net.gone())  # type: ignore[type-var]


def test_the_last_word_counts(net: Net) -> None:
    rows, partial, gone = told(
        net, Put(("1", "a")), Put(("1", None)), Put(("2", "x")), Gone(("2",)), Gone(("3",)), Put(("3", "again"))
    )
    assert (rows, partial, gone) == ([("1", None), ("3", "again")], [], [("2",)])


def test_a_kept_value_comes_from_the_change_before(net: Net) -> None:
    assert told(net, Put(("1", "big", "a")), Put(("1", KEPT, "b"))) == ([("1", "big", "b")], [], [])


def test_a_kept_value_that_the_log_never_had_is_the_sinks(net: Net) -> None:
    changes = (Put(("1", KEPT, KEPT, "a")), Put(("1", KEPT, "new", "b")))
    assert told(net, *changes) == ([], [Partial(("1", KEPT, "new", "b"), ("1",))], [])
    assert told(net, Put(("1", "known", KEPT, "c"))) == ([("1", "known", "new", "c")], [], [])


def test_a_key_that_changes_takes_its_values_along(net: Net) -> None:
    rows, partial, gone = told(net, Put(("2", KEPT), before=("1",)), Put(("3", KEPT), before=("2",)))
    assert (rows, partial, gone) == ([], [Partial(("3", KEPT), ("1",))], [("1",), ("2",)])


def test_keys_that_are_exchanged(net: Net) -> None:
    changes = [Put(("9", KEPT), before=("1",)), Put(("1", KEPT), before=("2",)), Put(("2", KEPT), before=("9",))]
    rows, partial, gone = told(net, *changes)
    assert partial == [Partial(("1", KEPT), ("2",)), Partial(("2", KEPT), ("1",))]
    assert (rows, gone) == ([], [("9",)])


def test_an_old_key_that_is_the_same_is_no_change_of_the_key(net: Net) -> None:
    assert told(net, Put(("1", "a"), before=("1",))) == ([("1", "a")], [], [])


def test_a_table_that_is_emptied_forgets_everything(net: Net) -> None:
    assert told(net, Put(("1", "a")), Gone(("2",)), Emptied(), Put(("3", "b"))) == ([("3", "b")], [], [])
    assert net.emptied


def test_a_kept_value_of_a_row_that_is_gone_is_refused(net: Net) -> None:
    net.take(Gone(("1",)))
    with pytest.raises(EngineFailed, match="which is not there"):
        net.take(Put(("1", KEPT)))
    net.take(Emptied())
    with pytest.raises(EngineFailed, match="which is not there"):
        net.take(Put(("5", KEPT)))


@pytest.mark.parametrize("value", [None, KEPT])
def test_a_row_without_its_key_is_refused(net: Net, value: None) -> None:
    with pytest.raises(EngineFailed, match="without telling its whole key"):
        net.take(Put((value, "a")))


def test_positions_are_ordered_as_numbers() -> None:
    assert number("16/B374D848") == 0x16_B374D848
    assert number("A/0") > number("9/FFFFFFFF")
