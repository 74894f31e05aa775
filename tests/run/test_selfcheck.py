"""The table at the end of a selfcheck, and which mutants are killed on their way."""

from __future__ import annotations

import pytest

from pytest_dpone.run.selfcheck import Selfcheck, Trial, kills


def killed(number: int, *checks: str) -> Trial:
    return Trial(kind="mutant", name=f"m{number}", case_id="a_to_b__replace", good=True, killed_by=checks)


def lines(*trials: Trial) -> list[str]:
    selfcheck = Selfcheck(tuple(trial.model_copy(update={"good": False}) for trial in trials))
    for trial in trials:
        selfcheck.take(trial.model_dump_json())
    return [line.text for line in selfcheck.finish().lines]


def test_the_table_has_a_line_for_each_mutant_that_was_killed() -> None:
    survivor = Trial(kind="mutant", name="m3", case_id="a_to_b__scd2", good=False, detail="survived")
    assert lines(killed(1, "rows"), killed(22, "rows", "swap"), survivor) == [
        "m1   a_to_b__replace  rows",
        "m22  a_to_b__replace  rows, swap",
        "SURVIVED m3: survived",
    ]


def test_the_table_is_no_longer_than_a_person_reads() -> None:
    table = lines(*(killed(number, *(f"check{n}" for n in range(9))) for number in range(300)))
    assert len(table) == 201
    assert table[0] == "m0    a_to_b__replace  check0, check1, check2 and 6 more"
    assert table[-1] == "… and 100 more mutants"


def test_nothing_killed_is_no_table() -> None:
    assert Selfcheck(()).finish().lines == ()


@pytest.mark.parametrize(
    ("checks", "killed"),
    [
        (["rows"], False),
        (["state_kept"], False),
        (["rows", "crash.committing.rows"], True),
        (["state_damaged"], True),
        (["state_two_runs"], True),
        (["state_survives_kill"], True),
    ],
)
def test_only_what_shows_by_a_kill_is_played_with_kills(checks: list[str], killed: bool) -> None:
    assert kills(checks) is killed
