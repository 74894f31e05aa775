"""Lines below what pytest writes to a terminal: gone before it writes more, and the cursor stays where it was."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TextIO

from ..report.live import cells

_COLOURS = re.compile("\x1b\\[[0-9;]*[mK]")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_BELOW = b"\x1b[J"
"""Clears from the cursor to the end of the screen."""


class Screen:
    """Stands in the place of the file that pytest's terminal writer writes to.

    It draws through a descriptor of its own: while a test runs, pytest has put a file in the terminal's place. All
    moves are relative and end where they began, the cursor is never hidden and no mode is set. So there is nothing to
    restore when a run is interrupted, or killed.
    """

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self._fd = os.dup(file.fileno())
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._line = ""
        self._shown: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, text: str) -> int:
        """Write as pytest asked; what is drawn comes back with the next `show`."""
        if os.getpid() != self._owner:  # a child that a test has forked: its lock may be held for ever
            return self.file.write(text)
        with self._lock:
            self.hide()
            written = self.file.write(text)
            self.file.flush()
            self._line = (self._line + text).rpartition("\n")[2].rpartition("\r")[2]
            return written

    def size(self) -> tuple[int, int]:
        """Columns and rows that there are to draw on: none if the run is in the background of its terminal."""
        try:
            columns, rows = os.get_terminal_size(self._fd)
        except OSError:
            return 0, 0
        with suppress(OSError):  # not the terminal of this session, such as in a container
            if os.tcgetpgrp(self._fd) != os.getpgrp():
                return 0, 0
        # The line that pytest is writing stays in sight.
        return columns or 80, (rows or 24) - 1

    def show(self, lines: Sequence[str]) -> None:
        """Draw `lines`, which fit `size`, below the line that pytest is writing."""
        with self._lock:
            if list(lines) == self._shown or (place := self._column()) is None:
                return
            body = "".join(f"\r\n{line}" for line in lines)
            back = f"\x1b[{len(lines)}A\r" + (f"\x1b[{place}C" if place else "") if lines else ""
            encoding = getattr(self.file, "encoding", None) or "utf-8"
            self._put(_BELOW + body.encode(encoding, "replace") + back.encode())
            self._shown = list(lines)

    def hide(self) -> None:
        """Take away what is drawn."""
        with self._lock:
            if self._shown:
                self._put(_BELOW)
                self._shown = []

    def close(self) -> None:
        """Take away what is drawn, for good."""
        with self._lock:
            self.hide()
            os.close(self._fd)
            self._fd = -1

    def _column(self) -> int | None:
        """Where the cursor is; None if that is not known, or at the right edge, where it can't be put back."""
        plain = _COLOURS.sub("", self._line)
        columns = self.size()[0]
        if _CONTROL.search(plain) or not columns:
            return None
        taken = cells(plain)
        return None if taken and not taken % columns else taken % columns

    def _put(self, data: bytes) -> None:
        with suppress(OSError):  # the terminal is gone; pytest will find that out by itself
            while data:
                data = data[os.write(self._fd, data) :]
