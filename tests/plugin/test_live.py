"""The lines of running cases: drawn on a terminal and taken away again, and nowhere else."""

from __future__ import annotations

import os
import re
import select

import pytest

from pytest_dpone.plugin.live import is_wanted
from pytest_dpone.plugin.screen import Screen

from .conftest import LIGHT, WORKERS, Project
from .pty_run import Model, Played, play

pytestmark = pytest.mark.apart

FULL = ("--dpone-profile=local_live", "-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:rerunfailures")


@pytest.fixture
def slow(project: Project) -> Project:
    project.behave({"*": "slow"})
    return project


def lines_of(played: Played, name: str) -> list[str]:
    return [line for frame in played.drawn for line in frame if line.startswith(name)]


@pytest.mark.parametrize("workers", WORKERS)
def test_a_case_has_a_line_while_it_runs(slow: Project, workers: list[str]) -> None:
    played = play(slow.path, *FULL, *workers)
    assert played.status == 0, played.raw
    for strategy in ("full_refresh", "replace", "scd2"):
        lines = lines_of(played, f"alpha_to_beta__{strategy} ")
        first = next(
            n for n, line in enumerate(lines) if "  act 1 of 2, load 0 s, in all 0 s  the engine loads" in line
        )
        second = next(n for n, line in enumerate(lines) if "  act 2 of 2, change 0 s, in all 1 s  the source" in line)
        assert first < second
    totals = {line for frame in played.drawn for line in frame if line.endswith("done")}
    assert {"0 of 3 cases done", "2 of 3 cases done"} <= totals
    most = max(len([line for line in frame if "in all" in line]) for frame in played.drawn)
    assert most == (2 if workers else 1)
    ended(played)


def ended(played: Played) -> None:
    """Nothing of what was drawn is left, and pytest's own lines are whole."""
    text = played.model.text
    assert " in all " not in text
    assert "cases done" not in text
    dots = r"^\.\.\. +\[100%\]$" if "workers" in text else r"^dpone/test_matrix\.py \.\.\. +\[100%\]$"
    assert re.search(dots, text, re.M), text
    assert not [line for line in played.model.wrapped if " in all " in line or "done" in line]
    assert text.splitlines()[-1].strip("= ").startswith("3 passed in")
    assert played.model.column == 0


def test_what_pytest_writes_meanwhile_is_whole(slow: Project) -> None:
    """Other tests' letters, and the lines of -v, come between."""
    own = "import pytest\n\n@pytest.mark.parametrize('n', range(30))\ndef test_own(n): print('noise')\n"
    slow.pytester.makepyfile(own)
    played = play(slow.path, *FULL, "-v", "-n2")
    assert played.status == 0
    text = played.model.text
    assert " in all " not in text
    assert len(re.findall(r"^\[gw\d\] \[ *\d+%\] PASSED test_what\w+\.py::test_own\[\d+\] *$", text, re.M)) == 30
    assert text.count("\n    passed in 0.00 s: load 0.25, change 0.00\n") == 3
    assert "noise" not in played.raw
    assert lines_of(played, "alpha_to_beta__scd2")


def test_a_narrow_terminal_gets_lines_that_are_cut(slow: Project) -> None:
    played = play(slow.path, *FULL, "-n2", columns=44, rows=10)
    assert played.status == 0
    frames = [line for frame in played.drawn for line in frame]
    assert any(line.startswith("alpha_to_be…  act 1 of 2, load 0 s, in all") for line in frames), frames
    assert max(map(len, frames)) <= 43
    assert " in all " not in played.model.text


@pytest.mark.parametrize("quiet", ["-q", "-s"])
def test_nothing_is_drawn_where_it_would_disturb(slow: Project, quiet: str) -> None:
    slow.behave({"*__scd2": "slow"})
    played = play(slow.path, *FULL, quiet)
    assert played.status == 0, played.raw
    assert not played.model.frames
    assert " in all " not in played.raw
    assert "\x1b[J" not in played.raw


@pytest.mark.parametrize(
    ("arguments", "environ", "wanted"),
    [
        ((), {}, True),
        (("-v",), {}, True),
        (("--capture=sys",), {}, True),
        (("-q",), {}, False),
        (("-s",), {}, False),
        (("--capture=tee-sys",), {}, False),
        (("--collect-only",), {}, False),
        (("-p", "no:terminal"), {}, False),
        ((), {"TERM": "dumb"}, False),
        ((), {"TERM": ""}, False),
        ((), {"CI": "true"}, False),
        ((), {"BUILD_NUMBER": "7"}, False),
    ],
)
def test_who_is_not_looked_at_draws_nothing(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    environ: dict[str, str],
    wanted: bool,
) -> None:
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert is_wanted(pytester.parseconfigure(*LIGHT, *arguments)) is wanted


def test_without_colours_there_are_lines_but_no_colour(slow: Project) -> None:
    played = play(slow.path, *FULL, "--color=no")
    assert lines_of(played, "alpha_to_beta__scd2")
    assert not re.search("\x1b\\[[0-9;]*m", played.raw)
    ended(played)


@pytest.mark.parametrize("workers", WORKERS)
def test_without_a_terminal_there_is_no_control_character(project: Project, workers: list[str]) -> None:
    project.behave({"*__scd2": "slow"})
    result = project.run_with(workers, "--dpone-profile=local_live", "-v")
    assert result.ret == 0
    text = result.stdout.str() + result.stderr.str()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert " in all " not in text
    assert text.count("    passed in 0.00 s: load 0.25, change 0.00") == 3


def test_the_line_of_a_dead_worker_goes(project: Project) -> None:
    project.behave({"*__full_refresh": "slowkill", "*": "slow"}, ("full_refresh", "replace", "scd2", "snapshot_diff"))
    played = play(project.path, *FULL, "-n2")
    assert played.status == 1
    drawn = [[line.partition(" ")[0] for line in frame if "in all" in line] for frame in played.drawn]
    dead = [number for number, names in enumerate(drawn) if "alpha_to_beta__full_refresh" in names]
    assert dead
    assert any(names for names in drawn[dead[-1] + 1 :]), "others play on, and are still drawn"
    assert any(line.endswith("cases done, 1 red") for frame in played.drawn for line in frame)
    assert " in all " not in played.model.text


def once_drawn(model: Model) -> bytes | None:
    return b"\x03" if model.frames else None


@pytest.mark.parametrize("workers", WORKERS)
def test_ctrl_c_leaves_the_terminal_as_it_was(slow: Project, workers: list[str]) -> None:
    slow.behave({"*": "slow"}, ("full_refresh", "replace", "scd2", "snapshot_diff", "backfill"))
    played = play(slow.path, *FULL, *workers, when=once_drawn)
    assert played.status == 2, played.raw
    assert "KeyboardInterrupt" in played.model.text
    assert " in all " not in played.model.text
    assert "\x1b[?" not in played.raw, "no mode is set, so none is to be restored"
    assert "FAILED: " in played.model.text


def test_a_debugger_has_the_terminal_for_itself(slow: Project) -> None:
    slow.behave({"*": "fail"})

    def at_the_prompt(model: Model) -> bytes | None:
        return b"c\n" * 9 if "(Pdb)" in model.text else None

    played = play(slow.path, *FULL, "--pdb", when=at_the_prompt)
    assert "(Pdb)" in played.raw
    after = played.raw.partition("(Pdb)")[2].partition("PDB continue")[0]
    assert "\x1b[J" not in after


def test_a_screen_that_forgot_to_clear_would_be_seen(slow: Project) -> None:
    """The model of the terminal shows what is not taken away."""
    conftest = slow.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        + "\n\nfrom pytest_dpone.plugin.screen import Screen\n\nScreen.hide = lambda self: self._shown.clear()\n"
    )
    played = play(slow.path, *FULL)
    with pytest.raises(AssertionError):
        ended(played)


def test_the_cursor_goes_back_to_where_pytest_writes() -> None:
    master, slave = os.openpty()
    model = Model(20, 5)

    def look() -> list[str]:
        # The kernel hands on what is written a moment later.
        while select.select([master], [], [], 0.2)[0]:
            model.feed(os.read(master, 65536).decode())
        return model.screen

    with open(slave, "w", encoding="utf-8") as file:
        screen = Screen(file)
        screen.size = lambda: (20, 4)  # type: ignore[method-assign]
        for n in range(6):
            screen.write(f"line {n}\n")
        screen.write("\x1b[32m..\x1b[0m")
        screen.show(["one", "two"])
        assert look() == ["line 4", "line 5", "..", "one", "two"]
        screen.write(".")
        assert look()[-1] == "..."
        screen.show(["one"])
        assert look()[-2:] == ["...", "one"]
        screen.write("." * 17)
        screen.show(["one"])
        assert look()[-1] == "." * 20, "at the right edge the cursor can't be put back"
        screen.write("\n\x1b]0;title\x07")
        screen.show(["one"])
        assert not screen._shown, "the cursor's place is not known"
        screen.close()
        screen.show(["late"])
    os.close(master)
