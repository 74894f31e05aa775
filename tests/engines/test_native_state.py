from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dpone.engines.native.state import State
from pytest_dpone.errors import EngineFailed

STATE = State("incremental_append", "updated_at", "2024-01-02 03:04:05.000006Z", ("aa", "bb", "bb"))


@given(st.text(), st.none() | st.text(), st.lists(st.text()))
def test_text_round_trip(cursor: str, watermark: str | None, hashes: list[str]) -> None:
    state = State("incremental_append", cursor, watermark, tuple(sorted(hashes)))
    assert State.from_text(state.to_text(), where="x") == state


def test_text_is_canonical() -> None:
    assert State("s", "c", "1", ("b", "a")).to_text() == State("s", "c", "1", ("a", "b")).to_text()
    assert json.loads(STATE.to_text())["watermark"] == "2024-01-02 03:04:05.000006Z"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1],
        lambda text: text.replace("03:04", "03:05"),
        lambda text: text.replace('"bb","bb"', '"bb"'),
        lambda text: text.replace('"version":2', '"version":1'),
        lambda text: "[]",
        lambda text: "",
        lambda text: "{}",
        lambda text: None,
    ],
    ids=["cut", "watermark", "hash lost", "version", "list", "empty", "no parts", "null"],
)
def test_damage_is_noticed(damage) -> None:
    with pytest.raises(EngineFailed, match=r"the engine's state in the place can't be read") as caught:
        State.from_text(damage(STATE.to_text()), where="the place")
    assert "restore the state" in caught.value.hint


def test_every_changed_character_is_noticed() -> None:
    text = STATE.to_text()
    for position, character in enumerate(text):
        changed = text[:position] + ("x" if character != "x" else "y") + text[position + 1 :]
        with pytest.raises(EngineFailed):
            State.from_text(changed, where="x")
