"""A line per running case while a run goes on, on a terminal. Elsewhere nothing is drawn."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..report.live import Playing, live_lines, order
from . import telling
from .active import case_param
from .collection import SuiteModule
from .screen import Screen

if TYPE_CHECKING:
    from .session import DponeSession

_PAUSE = 0.25
"""Seconds between two looks at what is played."""


class Live:
    """Draws what this process and its workers play. Registered in the controller, or in the only process."""

    def __init__(self, session: DponeSession) -> None:
        self._session = session
        self._screen: Screen | None = None
        self._writer: Any = None
        self._files: dict[str, Path] = {}
        self._total = 0
        self._done: dict[str, bool] = {}
        self._thread: threading.Thread | None = None
        self._end = threading.Event()

    def took(self, name: str, *, red: bool) -> None:
        """Count a case, or a mutant, that has ended."""
        self._done[name] = red or self._done.get(name, False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Put the screen between pytest and its terminal, if there is one to draw on."""
        writer = session.config.get_terminal_writer() if is_wanted(session.config) else None
        file = getattr(writer, "_file", None)
        if file is None or not _is_terminal(file):
            return
        self._screen, self._writer = Screen(file), writer
        self._writer._file = self._screen

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker the file in which it says what it plays; only if somebody will look."""
        if self._screen is None:
            return
        folder = self._session.services().folder / "progress"
        folder.mkdir(mode=0o700, exist_ok=True)
        name = node.gateway.id
        self._files[name] = folder / f"{name}.json"
        node.workerinput[telling.INVITATION] = str(self._files[name])
        self._begin()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What a worker says that is gone counts no more."""
        self._files.pop(node.gateway.id, None)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Without workers, a thread lives only as long as a case: other tests may fork, or count threads."""
        if case_param(item) is None and not isinstance(item.parent, SuiteModule):
            return (yield)
        self._begin()
        try:
            return (yield)
        finally:
            self._pause()

    def pytest_enter_pdb(self) -> None:
        """Leave the terminal to the debugger."""
        self._pause()

    def pytest_leave_pdb(self) -> None:
        """The case goes on."""
        self._begin()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Give the terminal back."""
        self._close()

    def pytest_unconfigure(self) -> None:
        """The same, for a session that has not come to its end."""
        self._close()

    def _begin(self) -> None:
        if self._screen is None or self._thread is not None:
            return
        self._end.clear()
        self._thread = threading.Thread(target=self._draw, args=(self._screen,), name="dpone-live", daemon=True)
        self._thread.start()

    def _pause(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and self._screen is not None:
            self._end.set()
            thread.join()
            self._screen.hide()

    def _close(self) -> None:
        self._pause()
        screen, self._screen = self._screen, None
        if screen is not None:
            self._writer._file = screen.file
            screen.close()

    def _draw(self, screen: Screen) -> None:
        while not self._end.wait(_PAUSE):
            columns, rows = screen.size()
            lines = live_lines(
                self._playing(),
                now=time.monotonic(),
                done=len(self._done),
                red=sum(list(self._done.values())),
                total=self._total,
                width=columns,
                height=rows,
            )
            screen.show(lines)

    def _playing(self) -> list[Playing]:
        told = {"": self._session.teller.told}
        told |= {name: found for name, file in list(self._files.items()) if (found := telling.read(file)) is not None}
        self._total = max(self._total, *(one.total for one in told.values()))
        return order((name, one.playing) for name, one in told.items() if one.playing is not None)


def is_wanted(config: pytest.Config) -> bool:
    """If people look, and if nobody else writes to the terminal while a test runs."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    captured = config.getoption("capture", "no") in ("fd", "sys") and config.pluginmanager.hasplugin("capturemanager")
    return (
        type(reporter) is pytest.TerminalReporter  # others draw by themselves
        and captured
        and config.get_verbosity() >= 0
        and not config.option.collectonly
        and os.environ.get("TERM", "dumb") not in ("", "dumb")
        and not (os.environ.get("CI") or os.environ.get("BUILD_NUMBER"))
    )


def _is_terminal(file: Any) -> bool:
    try:
        return bool(os.isatty(file.fileno()))
    except (AttributeError, OSError, ValueError):
        return False
