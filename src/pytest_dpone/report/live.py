"""What plays right now, in lines that fit a terminal. No I/O, and no control character in what comes out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .escape import visible

_DOES = {
    "services": "its services are started",
    "provision": "the source is made and filled",
    "load": "the engine loads for the first time",
    "change": "the source changes, the engine follows",
    "repeat": "the engine runs with nothing new",
    "return": "deleted keys come back",
    "log": "what only a log tells",
    "reconcile": "deletes are reconciled",
    "evolve": "the source's columns change",
    "crash": "the engine is killed and run again",
    "reject": "values that the sink can't hold are refused",
    "clean-up": "its tables are removed",
}
_NAME_AT_LEAST, _DOES_AT_LEAST = 12, 12
"""Cells that are worth it."""


@dataclass(frozen=True, slots=True)
class Playing:
    """A case that is being played; `since` and `step_since` are seconds of a clock that its reader has, too."""

    name: str
    step: str
    number: int
    of: int
    since: float
    step_since: float


def live_lines(
    playing: Sequence[Playing], *, now: float, done: int, red: int, total: int, width: int, height: int
) -> list[str]:
    """A line per case and one for the run; at most `height` lines, each narrower than `width` cells.

    Nothing if no case is being played.
    """
    if not playing or height < 2 or width < 2:
        return []
    room = height - 1
    shown = playing if len(playing) <= room else playing[: room - 1]
    lines = [_line(case, now, width - 1) for case in shown]
    if len(shown) < len(playing):
        lines.append(cut(f"and {len(playing) - len(shown)} more cases", width - 1))
    return [*lines, cut(_run(done, red, total), width - 1)]


def cells(text: str) -> int:
    """How many cells of a terminal `text` takes, which has no control characters."""
    return sum(_cells(character) for character in text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells."""
    if cells(text) <= width:
        return text
    taken, kept = 0, []
    for character in text:
        taken += _cells(character)
        if taken > width - 1:
            break
        kept.append(character)
    return "".join(kept) + "…" * (width > 0)


def _line(case: Playing, now: float, width: int) -> str:
    """The name gives way first, so that act and seconds can be read in a narrow terminal, too."""
    name, does = visible(case.name), _DOES.get(case.step, "")
    place = f"act {case.number} of {case.of}, " if case.number else ""
    after = f"  {place}{visible(case.step)} {_seconds(now - case.step_since)}, in all {_seconds(now - case.since)}"
    line = cut(cut(name, max(_NAME_AT_LEAST, width - cells(after))) + after, width)
    more = width - cells(line) - 2
    return f"{line}  {cut(does, more)}" if does and more >= _DOES_AT_LEAST else line


def _run(done: int, red: int, total: int) -> str:
    of = f" of {total}" if total >= done else ""
    return f"{done}{of} {'case' if total == 1 else 'cases'} done" + (f", {red} red" if red else "")


def _seconds(seconds: float) -> str:
    return f"{max(0.0, seconds):.0f} s"


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def order(playing: Iterable[tuple[str, Playing]]) -> list[Playing]:
    """By worker: `gw2` before `gw10`, so that a line keeps its place."""
    return [case for _, case in sorted(playing, key=lambda pair: (len(pair[0]), pair[0]))]
