"""One run of a foreign program: what goes in, what comes out within bounds, and nothing left behind."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import EngineFailed

MOST_OUTPUT = 1 << 20
"""Bytes of an answer."""
MOST_ERRORS = 8 << 10
"""Bytes of standard error that are kept: the last ones."""
_GUARD = Path(__file__).with_name("guard.py")
_PATIENCE = 15.0
_OURS = ("DPONE_", "PYTEST_")
"""Variables that no program gets: some hold the addresses of services, with passwords."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program has ended. `status` is negative for a signal; `errors` is the end of its standard error."""

    status: int
    output: bytes
    errors: str
    cut: bool
    """If standard error was longer."""
    left: tuple[str, ...]
    """Names of processes that it left running; they are dead now."""


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a program may know of our environment."""
    return {name: value for name, value in environ.items() if not name.startswith(_OURS)}


def play(
    command: Sequence[str],
    *,
    text: str,
    folder: Path | None = None,
    scratch: str = "",
    environ: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> Ended:
    """Run `command`, with `text` on its standard input, to its end.

    It works in `folder`; with `scratch`, in a new one whose name begins so, and which is removed whatever happens.

    Whatever ends the waiting, such as Ctrl-C or a case's time limit, ends the program and all that it has started.
    Raises `EngineFailed` if it can't be started, answers too much, or takes longer than `seconds`.
    """
    with _guarded(command, folder, scratch, environment(os.environ) | dict(environ or {})) as run:
        deadline = None if seconds is None else time.monotonic() + seconds
        for _ in run.streams(text.encode()):
            if deadline is not None and time.monotonic() > deadline:
                raise EngineFailed(
                    f"the command gave no answer within {seconds:g} s",
                    hint="does it read its standard input? try it by hand",
                )
    told = json.loads(run.status or b"{}")
    if "error" in told:
        raise EngineFailed(
            f"the command {command[0]!r} can't be started: {told['error']}", hint="is it installed, and on the PATH?"
        )
    if told.get("status") is None:
        raise EngineFailed("the command was ended from outside", hint="something on this machine has killed it")
    errors = run.errors.decode(errors="replace")
    return Ended(told["status"], bytes(run.output), errors, run.cut, tuple(told["left"]))


@dataclass(slots=True)
class _Run:
    """The pipes of a program that is guarded."""

    guard: subprocess.Popen[bytes]
    control: int
    told: int
    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    cut: bool = False
    status: bytes = b""

    def streams(self, text: bytes) -> Iterator[None]:
        """Feed `text` and take in what comes, until the guard has told the end; yields at least every half second."""
        stdin, stdout, stderr = self.guard.stdin, self.guard.stdout, self.guard.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        os.set_blocking(stdin.fileno(), False)
        with selectors.DefaultSelector() as ready:
            ready.register(stdin, selectors.EVENT_WRITE, "in")
            for stream, name in ((stdout, "out"), (stderr, "err"), (self.told, "told")):
                ready.register(stream, selectors.EVENT_READ, name)
            while ready.get_map():
                for key, _ in ready.select(0.5):
                    if key.data == "in":
                        text = _feed(key.fd, text)
                        if not text:
                            ready.unregister(stdin)
                            with suppress(BrokenPipeError):
                                stdin.close()
                    elif not self._take(key.data, os.read(key.fd, 1 << 16)):
                        ready.unregister(key.fileobj)
                yield

    def _take(self, name: str, data: bytes) -> bool:
        if name == "out":
            self.output += data
            if len(self.output) > MOST_OUTPUT:
                raise EngineFailed(
                    f"the command wrote more than {MOST_OUTPUT} bytes to standard output",
                    hint="facts are one small JSON object; everything else belongs to standard error",
                )
        elif name == "err":
            self.errors += data
            self.cut |= len(self.errors) > MOST_ERRORS
            del self.errors[:-MOST_ERRORS]
        else:
            self.status += data
        return bool(data)


def _feed(fd: int, text: bytes) -> bytes:
    """Write what the pipe takes; returns the rest. A program that does not read gets nothing more."""
    try:
        return text[os.write(fd, text[: 1 << 16]) :]
    except BlockingIOError:
        return text
    except BrokenPipeError:
        return b""


@contextmanager
def _guarded(command: Sequence[str], folder: Path | None, scratch: str, environ: Mapping[str, str]) -> Iterator[_Run]:
    held, control = os.pipe()
    told, status = os.pipe()
    guard: subprocess.Popen[bytes] | None = None
    try:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), str(held), str(status), scratch, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(held, status),
            cwd=folder,
            env=dict(environ),
            start_new_session=True,
            bufsize=0,
        )
        os.close(held)
        os.close(status)
        yield _Run(guard, control, told)
    finally:
        os.close(control)
        if guard is not None:
            _end(guard)
        os.close(told)


def _end(guard: subprocess.Popen[bytes]) -> None:
    """The guard ends by itself, as nobody holds its control any more."""
    for stream in (guard.stdin, guard.stdout, guard.stderr):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
    try:
        guard.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()
