"""An engine's run in a process of its own, which ends by SIGKILL at a moment or after a time."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.wire import Job
from ..errors import EngineFailed

_PATIENCE = 120.0
"""Seconds in which a run must reach its moment, or end."""


class Doomed:
    """A run that is under way. `moments` are those that it has told; `ended` holds its last word if it got there."""

    def __init__(self, job: Job, *, engine: str, stop: tuple[str, int] | None = None) -> None:
        self.moments: list[str] = []
        self.ended: dict[str, object] | None = None
        self._stop = stop
        self._errors = tempfile.TemporaryFile(prefix="pytest-dpone-")  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest_dpone.engines.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            bufsize=0,  # a line that waits in a buffer of ours is none that `select` would tell of
        )
        order = json.dumps({"engine": engine, "stop": stop, "job": json.loads(job.to_json())})
        assert self._process.stdin is not None
        self._process.stdin.write(order.encode() + b"\n")
        self._process.stdin.flush()

    def until(self, moment: str, count: int = 1) -> bool:
        """Wait until it has told `moment` as often as that; False if it ended before.

        Raises `EngineFailed` if it does neither in time, or ends without a last word.
        """
        return any(self.moments.count(moment) >= count for _ in self._lines())

    def wait(self) -> dict[str, object]:
        """Wait for its last word: `facts`, or `error`."""
        for _ in self._lines():
            pass
        assert self.ended is not None  # `_lines` raises otherwise
        return self.ended

    def kill(self) -> bool:
        """SIGKILL the process and what it has started; False if it had ended by itself."""
        alive = self._process.poll() is None
        if alive:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        return alive and self._process.returncode == -signal.SIGKILL

    def close(self) -> None:
        """End whatever is left of it."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _lines(self) -> Iterator[None]:
        """Take one line after the other, until the last word."""
        deadline = time.monotonic() + _PATIENCE
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            while self.ended is None:
                if not ready.select(max(0.0, deadline - time.monotonic())):
                    raise EngineFailed(
                        f"the engine's process told nothing more within {_PATIENCE:g} s after {self.moments}",
                        hint="it waits for something: look for locks on the sink",
                    )
                self._take(self._process.stdout.readline())
                yield

    def _take(self, line: bytes) -> None:
        if not line:
            self._process.wait()
            self._errors.seek(0)
            told = self._errors.read()[-2000:].decode(errors="replace").strip()
            raise EngineFailed(
                f"the engine's process ended with status {self._process.returncode} and no facts: {told}",
                hint="the text above is what it wrote to standard error",
            )
        word = json.loads(line)
        if "moment" in word:
            self.moments.append(word["moment"])
        else:
            self.ended = word


@contextmanager
def doomed(job: Job, *, engine: str, stop: tuple[str, int] | None = None) -> Iterator[Doomed]:
    """Start a run that waits at `stop`, (moment, how often); nothing of it is left behind."""
    run = Doomed(job, engine=engine, stop=stop)
    try:
        yield run
    finally:
        run.close()
