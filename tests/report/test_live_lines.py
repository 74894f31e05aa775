"""The lines of running cases: what they say, how they are cut, and that no case name can do harm."""

from __future__ import annotations

import unicodedata

import pytest

from pytest_dpone.core.model import ActName
from pytest_dpone.report.live import _DOES, Playing, cells, cut, live_lines, order

CASE = Playing("postgres_to_clickhouse__scd2", "change", 3, 6, since=100.0, step_since=107.6)


def lines(*playing: Playing, width: int = 120, height: int = 24, red: int = 0) -> list[str]:
    return live_lines(playing, now=110.0, done=4, red=red, total=12, width=width, height=height)


def test_a_line_says_case_act_seconds_and_what_it_does() -> None:
    assert lines(CASE) == [
        ("postgres_to_clickhouse__scd2  act 3 of 6, change 2 s, in all 10 s  the source changes, the engine follows"),
        "4 of 12 cases done",
    ]
    assert lines(CASE, red=2)[-1] == "4 of 12 cases done, 2 red"
    waiting = Playing("a_to_b__cdc", "services", 0, 0, since=109.0, step_since=109.0)
    assert lines(waiting)[0] == "a_to_b__cdc  services 1 s, in all 1 s  its services are started"


def test_every_act_says_what_it_does() -> None:
    assert {str(act) for act in ActName} <= set(_DOES)


def test_nothing_plays_so_nothing_is_drawn() -> None:
    assert lines() == []


@pytest.mark.parametrize("width", range(2, 140, 3))
def test_a_line_never_reaches_the_edge(width: int) -> None:
    wide = Playing("таблица_数据库_to_émoji🙂__scd2", "load", 2, 6, 0.0, 0.0)
    assert max(map(cells, lines(CASE, wide, width=width))) < width


def test_in_a_narrow_terminal_the_name_gives_way() -> None:
    assert lines(CASE, width=60)[0] == "postgres_to_clickhous…  act 3 of 6, change 2 s, in all 10 s"


@pytest.mark.parametrize(("height", "expected"), [(1, 0), (2, 2), (4, 4), (9, 9), (40, 11)])
def test_more_cases_than_lines(height: int, expected: int) -> None:
    drawn = lines(*[CASE] * 10, height=height)
    assert len(drawn) == expected
    if 2 < expected < 11:
        assert drawn[-2] == f"and {10 - (expected - 2)} more cases"


def test_hostile_names_are_spelled_out() -> None:
    hostile = Playing("\x1b[2J\r\n\u202e\x9b1A\ud800", "\x1b[3J", 1, 2, 0.0, 0.0)
    (line, _) = lines(hostile)
    assert line.startswith("\\x1b[2J\\r\\n\\u202e\\x9b1A\\ud800  act 1 of 2, \\x1b[3J 110 s")
    assert not [character for character in line if unicodedata.category(character) in ("Cc", "Cf", "Cs")]


def test_cells_of_wide_and_combining_characters() -> None:
    assert cells("a數🙂e\u0301") == 6
    assert cut("數數數", 4) == "數…"
    assert cut("數數", 4) == "數數"
    assert cut("abc", 1) == "…"


def test_workers_keep_their_places() -> None:
    named = {name: Playing(name, "load", 1, 2, 0.0, 0.0) for name in ("gw10", "gw2", "gw0")}
    assert [case.name for case in order(named.items())] == ["gw0", "gw2", "gw10"]
