"""A service as the supervisor sees it: the keeper's process, what it said, and how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..core.secrets import Scrubber
from ..errors import ServiceFailed
from .keeper import Spec, exit_text, last_lines
from .lease import OwnedProcess
from .life import children_environ, start_ticks
from .table import SERVICES

_MARGIN = 10.0
"""Seconds that a keeper gets to tell about its own timeout before it is killed."""
_STOP = 12.0
"""Seconds for all keepers to stop after SIGTERM; removing a container takes the longest."""


@dataclass(eq=False)
class Kept:
    """One service. It is up when `info` is set; `error` is set once, and then it stays."""

    name: str
    provider: str
    process: subprocess.Popen[bytes]
    log: Path
    deadline: float
    scrub: Scrubber
    note: Callable[[], None]
    started: float = field(default_factory=time.monotonic)
    info: dict[str, Any] | None = None
    error: ServiceFailed | None = None
    processes: list[OwnedProcess] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    received: bytes = b""

    @property
    def output(self) -> IO[bytes] | None:
        """The pipe on which the keeper speaks."""
        return self.process.stdout

    def hear(self) -> bool:
        """Take in what the keeper has said; False if it will say nothing more."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 65536)
        self.received += data
        *lines, self.received = self.received.split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(data)

    def ended(self) -> None:
        """The keeper has closed its pipe: it has ended, or is about to."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.poll()

    def poll(self) -> None:
        """Notice an end that the keeper could not tell about."""
        status = self.process.poll()
        if status is None or self.error is not None:
            return
        if self.info is not None and self.provider == "external" and status == 0:
            return  # somebody else keeps that one; the check is done
        when = "died" if self.info is not None else "ended while it was starting"
        self._fail(f"{when}: {exit_text(status)}", "see its log")

    @property
    def dying(self) -> bool:
        """If a process of the service is gone, and the keeper, which knows how that came, has not told it yet."""
        if self.info is None or self.error is not None or self.provider == "external":
            return False
        return any(start_ticks(process.pid) != process.start for process in self.processes)

    def look_at_deadline(self, now: float) -> None:
        """Kill a keeper that has neither said ready nor failed in time."""
        if self.info is None and self.error is None and now > self.deadline:
            self._fail(f"was not ready after {now - self.started:.0f} s", "give it more time, or read its log")
            self.process.terminate()

    def _take(self, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "owns":
            if "container" in message:
                self.containers.append(message["container"])
            elif "project" in message:
                self.projects.append(message["project"])
            elif message["start"] is not None:
                self.processes.append(OwnedProcess(message["pid"], message["start"]))
            self.note()
        elif event == "ready":
            self.scrub.add_url(message["info"].get("url", ""))
            self.info = {"provider": self.provider, **message["info"], "log": str(self.log)}
        elif event == "failed":
            elapsed = time.monotonic() - self.started
            what = "can't be used" if self.provider == "external" else "could not be started"
            self._fail(f"{what} (after {elapsed:.1f} s): {message['fact']}", message["hint"])
        elif event == "died":
            self._fail(f"died: {message['fact']}", "look for what killed it: memory, disk, another process")

    def _fail(self, what: str, hint: str) -> None:
        if self.error is not None:
            return
        tail = last_lines(self.log)
        text = f"{self.name} ({self.provider}) {what}"
        if tail:
            text += f"\nlast lines of its log:\n{tail}"
        if "No space left on device" in text:
            free = shutil.disk_usage(self.log.parent).free >> 20
            hint = f"the disk is full: {free} MiB are free at {self.log.parent}; free space, or set TMPDIR"
        hint = next((what for sign, what in _log_hints(self.name) if sign in text), hint)
        self.error = ServiceFailed(self.scrub(text), hint=self.scrub(hint))


def _log_hints(name: str) -> tuple[tuple[str, str], ...]:
    service = SERVICES.get(name)
    return service.log_hints if service is not None else ()


def start_keeper(spec: Spec, provider: str, scrub: Scrubber, note: Callable[[], None]) -> Kept:
    """Start the keeper of a service as a child with a session of its own; the spec goes over its standard input."""
    module = {
        "embedded": SERVICES[spec.service].embedded,
        "docker": "pytest_dpone.services.docker",
        "external": "pytest_dpone.services.external",
        "compose": "pytest_dpone.plugin.compose",  # a program's name, not an import: see there
    }[provider]
    process = spawn(module, Path(spec.log), spec.to_json())
    patience = spec.timeout + _MARGIN + (spec.pull_timeout if provider in ("docker", "compose") else 0.0)
    kept = Kept(
        name=spec.service,
        provider=provider,
        process=process,
        log=Path(spec.log),
        deadline=time.monotonic() + patience,
        scrub=scrub,
        note=note,
    )
    start = start_ticks(process.pid)
    if start is not None:
        kept.processes.append(OwnedProcess(process.pid, start))
    return kept


def spawn(module: str, log: Path, line: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Run one of our modules as a child that reads `line` first; its standard input stays open until we end."""
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            cwd=log.parent,
            env=children_environ(os.environ),
            start_new_session=True,
        )
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
    return process


def stop_all(services: Iterable[Kept]) -> None:
    """Stop all keepers side by side: SIGTERM, and SIGKILL to the groups of those that do not end in time."""
    running = [service for service in services if service.process.poll() is None]
    for service in running:
        service.process.terminate()
    deadline = time.monotonic() + _STOP
    for service in running:
        try:
            service.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(service.process.pid, signal.SIGKILL)
            service.process.wait()
