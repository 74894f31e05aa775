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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydantic import SecretStr

from ..core.wire import Job, scrub
from ..errors import EngineFailed

PATIENCE = 120.0
"""Seconds in which a run must reach its moment, or end."""
CHILD = (sys.executable, "-m", "pytest_dpone.engines.child")

Stop = tuple[str, int]
"""A moment, and how often it must have come."""


class Doomed:
    """A process that is up and waits for its job. `moments` are those that its run has told; `ended` holds its last
    word if it got there."""

    def __init__(self, *, engine: str, command: Sequence[str] = CHILD, patience: float = PATIENCE) -> None:
        self.moments: list[str] = []
        self.ended: dict[str, object] | None = None
        self._patience = patience
        self._urls: list[SecretStr] = []
        self._errors = tempfile.TemporaryFile(prefix="pytest-dpone-")  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [*command, engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            bufsize=0,  # a line that waits in a buffer of ours is none that `select` would tell of
        )

    def begin(self, job: Job, *stops: Stop) -> None:
        """Let it do the job, and wait at each of `stops`."""
        self._urls = [each.url for each in (job.source, job.sink, job.staging) if each is not None]
        self._write(json.dumps({"stops": stops, "job": json.loads(job.to_json())}))

    def go_on(self) -> None:
        """Let it go on from where it waits."""
        self._write("")

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
        """SIGKILL the process and what it has started; False if its work was done, or it had ended by itself."""
        alive = self._process.poll() is None
        if alive:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if not alive or self._process.returncode != -signal.SIGKILL:
            return False
        assert self._process.stdout is not None
        for line in self._process.stdout.read().splitlines():
            if line.endswith(b"}"):  # the last one may be torn
                self._take(line)
        return self.ended is None

    def close(self) -> None:
        """End whatever is left of it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            self._died()

    def _lines(self) -> Iterator[None]:
        """Take one line after the other, until the last word."""
        deadline = time.monotonic() + self._patience
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            while self.ended is None:
                if not ready.select(max(0.0, deadline - time.monotonic())):
                    raise EngineFailed(
                        f"the engine's process told nothing more within {self._patience:g} s after {self.moments}",
                        hint="it waits for something: look for locks on the sink",
                    )
                line = self._process.stdout.readline()
                if not line:
                    self._died()
                self._take(line)
                yield

    def _died(self) -> None:
        """Raises `EngineFailed`."""
        self._process.wait()
        self._errors.seek(0)
        told = self._plain(self._errors.read())[-2000:].strip()
        raise EngineFailed(
            f"the engine's process ended with status {self._process.returncode} and no facts: {told}",
            hint="the text above is what it wrote to standard error",
        )

    def _plain(self, told: bytes) -> str:
        """Without secrets, before any cut: half of one would not be found."""
        return scrub(told.decode(errors="replace"), self._urls)

    def _take(self, line: bytes) -> None:
        try:
            word = json.loads(line)
        except ValueError:
            word = None
        if not isinstance(word, dict):
            raise EngineFailed(
                f"the engine's process told {self._plain(line).rstrip()[:200]!r}, which is no line of its protocol",
                hint="see pytest_dpone.engines.child",
            )
        if "moment" in word:
            self.moments.append(word["moment"])
        else:
            self.ended = word


@contextmanager
def doomed(*, engine: str) -> Iterator[Doomed]:
    """Start a process for a run; nothing of it is left behind."""
    run = Doomed(engine=engine)
    try:
        yield run
    finally:
        run.close()
