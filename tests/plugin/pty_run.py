"""A run of pytest on a terminal, and a small model of that terminal: what stands on the screen, and what stood there."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

_SEQUENCE = re.compile("\x1b\\[([0-9;?]*)([A-Za-z])")
# A child that leads its session takes the terminal, so that Ctrl-C reaches it.
_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class Model:
    """Characters of one cell, carriage return, newline with scrolling, and the few sequences that a run may send."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines: list[str] = [""]
        self.row = self.column = 0
        self.frames: list[list[str]] = []
        """What was on the screen whenever a frame was drawn: just before the cursor goes back up."""
        self.wrapped: list[str] = []

    def feed(self, text: str) -> None:
        place = 0
        while place < len(text):
            if found := _SEQUENCE.match(text, place):
                self._move(*found.groups())
                place = found.end()
            else:
                self._put(text[place])
                place += 1

    @property
    def screen(self) -> list[str]:
        return [line.rstrip() for line in self.lines[-self.rows :]]

    @property
    def text(self) -> str:
        """All lines, also those that have left the screen."""
        return "\n".join(line.rstrip() for line in self.lines)

    def _move(self, number: str, what: str) -> None:
        count = int(number) if number.isdigit() else 1
        if what == "A":
            self.frames.append(self.screen)
            self.row = max(self.row - count, max(0, len(self.lines) - self.rows))
        elif what == "C":
            self.column = min(self.column + count, self.columns - 1)
        elif what == "J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]
        elif what == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        else:
            assert what == "m", f"the run sent \\x1b[{number}{what}"

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        else:
            assert character.isprintable(), f"the run sent {character!r}"
            if self.column == self.columns:
                self.wrapped.append(self.lines[self.row])
                self._put("\r")
                self._put("\n")
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1


class Played:
    """How a run on a terminal ended."""

    def __init__(self, raw: str, status: int, model: Model) -> None:
        self.raw, self.status, self.model = raw, status, model

    @property
    def drawn(self) -> list[list[str]]:
        """Of each frame the lines of cases, and of the run."""
        live = re.compile(r"  (act \d of \d, )?[a-z-]+ \d+ s, in all|^\d+ of \d+ cases? done")
        return [[line for line in frame if live.search(line)] for frame in self.model.frames]


def play(
    folder: Path,
    *arguments: str,
    columns: int = 100,
    rows: int = 24,
    environ: dict[str, str] | None = None,
    when: Callable[[Model], bytes | None] = lambda model: None,
    seconds: float = 60,
) -> Played:
    """Run pytest in `folder` on a terminal. `when` is asked after each piece of output for what is to be typed, once."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    ours = {"CI", "BUILD_NUMBER", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "COLUMNS", "GITHUB_ACTIONS"}
    env = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("PYTEST_")}
    env |= {"TERM": "xterm", **(environ or {})}
    command = [sys.executable, "-c", _TAKE, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    model, raw, typed, rest = Model(columns, rows), [], False, b""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(master, 65536)
            except OSError:  # the terminal's last user is gone
                break
            whole = rest + data
            text = whole.decode(errors="ignore")
            rest = whole[len(text.encode()) :] if len(whole) - len(text.encode()) < 4 else b""
            if found := re.search("\x1b\\[?[0-9;]*$", text):  # a sequence that is cut here
                rest, text = text[found.start() :].encode() + rest, text[: found.start()]
            raw.append(text)
            model.feed(text)
            if not typed and (keys := when(model)) is not None:
                os.write(master, keys)
                typed = True
        status = process.wait(max(1.0, deadline - time.monotonic()))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(master)
    return Played("".join(raw), status, model)
