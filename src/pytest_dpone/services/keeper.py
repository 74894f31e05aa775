"""The contract between the supervisor and a keeper: a process whose life is the life of one service.

A keeper reads one JSON line (`Spec`) from its standard input and writes JSON lines to its standard output: what it
`owns` (so that a dead owner's remains can be found), then `ready` or `failed`, later `died`. It stops its service and
ends on SIGTERM, when its standard input closes, or when its parent is gone. Whatever libraries print goes to the log.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

from ..errors import DponeError, ServiceFailed
from .life import die_with_parent, start_ticks

T = TypeVar("T")
_LONGEST_ERROR = 1000
"""Characters: a copy that fails may list a thousand files."""


@dataclass(frozen=True)
class Spec:
    """What a keeper is asked to keep. `data` is its own empty directory, which belongs to `life.service_owner()`.

    `log` is the file that its standard error goes to; times are seconds.
    """

    service: str
    run_id: str
    data: str
    log: str
    user: str
    password: str
    timeout: float
    pull_timeout: float = 600.0
    image: str = ""
    url: str = ""
    """The address, for the external provider only."""
    peers: Mapping[str, str] = field(default_factory=dict)
    """Service → name of its container: what the container must reach by the service's name."""
    compose: Mapping[str, Any] = field(default_factory=dict)
    """A `project.Project` as a mapping, for the compose provider only."""

    def to_json(self) -> str:
        """One line, with the secrets in clear: for the keeper's standard input only."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Ready:
    """A service that has answered a real query; becomes the `ServiceInfo` that workers get."""

    url: str
    product: str
    version: str
    fidelity: str
    emulated: str = ""
    image: str = ""
    digest: str = ""
    inside: str = ""
    """`host:port` by which other containers reach it, if it is one."""


class Wire:
    """A keeper's line to its supervisor."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def owns_process(self, pid: int) -> None:
        """Record a child, to be ended if both we and the supervisor are gone."""
        self._send({"event": "owns", "pid": pid, "start": start_ticks(pid)})

    def owns_container(self, container: str) -> None:
        """Record a container's id."""
        self._send({"event": "owns", "container": container})

    def owns_project(self, project: str) -> None:
        """Record a project of Docker Compose."""
        self._send({"event": "owns", "project": project})

    def ready(self, ready: Ready) -> None:
        """The service answers queries from now on."""
        self._send({"event": "ready", "info": asdict(ready)})

    def failed(self, fact: str, hint: str) -> None:
        """The service could not be started; nothing of it is left."""
        self._send({"event": "failed", "fact": fact, "hint": hint})

    def died(self, fact: str) -> None:
        """The service was ready and has ended by itself."""
        self._send({"event": "died", "fact": fact})

    def _send(self, message: dict[str, object]) -> None:
        try:
            self._stream.write(json.dumps(message) + "\n")
            self._stream.flush()
        except OSError:
            raise SystemExit(1) from None  # nobody listens: the supervisor is gone


def run(keep: Callable[[Spec, Wire], None]) -> int:
    """The main function of a keeper's module: `keep` starts the service, tells `ready` and returns when it has ended.

    Gives the exit status. Errors become `failed`, with a hint; a stop by signal or pipe ends `keep` by SystemExit, so
    that it cleans up in `finally`.
    """
    wire = Wire(_take_stdout())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    die_with_parent(os.getppid())
    line = sys.stdin.readline()
    if not line:
        return 1
    spec = Spec.from_json(line)
    try:
        keep(spec, wire)
    except DponeError as error:
        wire.failed(error.fact, error.hint)
        return 1
    except Exception as error:
        wire.failed(f"{type(error).__name__}: {error}"[:_LONGEST_ERROR], "see its log for where that happened")
        with contextlib.suppress(OSError):  # the disk that holds the log may be what is full
            traceback.print_exc()
        return 1
    return 0


def stay(child: subprocess.Popen[bytes] | None = None, *, ended: Callable[[], str | None] = lambda: None) -> str:
    """Wait until the service has ended by itself, and say how; SystemExit if we are to stop instead.

    `ended()` is asked now and then; a text from it ends the wait.
    """
    watched = [sys.stdin.fileno()]
    if child is not None and hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # an old kernel, or gone already: then the next look finds it
            watched.append(os.pidfd_open(child.pid))
    while True:
        readable, _, _ = select.select(watched, [], [], 0.25)
        if watched[0] in readable and not sys.stdin.readline():
            raise SystemExit(0)
        if child is not None and child.poll() is not None:
            return exit_text(child.returncode)
        if (text := ended()) is not None:
            return text


def wait_until(ask: Callable[[], T], *, timeout: float, what: str, ended: Callable[[], str | None] = lambda: None) -> T:
    """Ask until no exception comes, and give the answer.

    Raises `ServiceFailed` at the deadline with the last error, or as soon as `ended()` gives a text: how it ended.
    """
    started = time.monotonic()
    pause = 0.01
    last: Exception | None = None
    while True:
        elapsed = time.monotonic() - started
        if (end := ended()) is not None:
            raise ServiceFailed(f"{what} ended while starting ({end}) after {elapsed:.1f} s", hint="see its log")
        if elapsed > timeout:
            raise ServiceFailed(
                f"{what} did not answer a query within {timeout:g} s; the last error was: {_one_line(last)}",
                hint="give it more time, or read its log",
            )
        try:
            return ask()
        except (DponeError, OSError, ValueError) as error:
            last = error
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def shield() -> None:
    """From now on SIGTERM interrupts nothing: call it first in a `finally` that cleans up."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """SIGTERM waits for the end of the block, in which something is made that others than we would have to find."""
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
    for number in told[:1]:
        signal.raise_signal(number)


def exit_text(status: int) -> str:
    """How a process ended, for people: `exit status 1` or `killed by SIGKILL`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def last_lines(path: str | Path, *, lines: int = 15, most: int = 8192) -> str:
    """The end of a log file, at most `lines` lines and `most` bytes; empty if there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def _take_stdout() -> TextIO:
    """Keep the standard output for us, and let everybody else's prints go to the log."""
    ours = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(ours, "w", encoding="utf-8")


def _stop(*_: object) -> None:
    shield()
    raise SystemExit(0)


def _one_line(error: Exception | None) -> str:
    if error is None:
        return "none"
    fact = error.fact if isinstance(error, DponeError) else str(error)
    return f"{type(error).__name__}: {' '.join(fact.split())}"
