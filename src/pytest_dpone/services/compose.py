"""The compose provider: a keeper for one service of the run's project, or of a stack that somebody started by hand.

All keepers of a run share one project. They take turns at the commands of Docker Compose; the first one starts what
was asked for together, and the last one to end takes the project down. The commands themselves are given by an
executor: pytest-docker's, which imports pytest, so that it lives in `plugin.compose`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import ServiceFailed
from .ask import Answer, ask, prove
from .docker import inside_of, print_log, published_port, url_of, watch
from .docker_engine import client_of, digest_of, fidelity_of
from .keeper import Ready, Spec, Wire, shield, stay, wait_until
from .project import (
    Project,
    by_hand,
    compose_command,
    compose_name,
    container_of,
    login_of,
    remove_projects,
)
from .table import SERVICES

Execute = Callable[[str], object]
"""Runs a command of Docker Compose on the project; raises an exception with its output if it fails."""
MakeExecutor = Callable[[str, str, str], Execute]
"""From the words that start Docker Compose, the file and the project's name."""
_TRIES = 3
"""How often a start is tried, if a port was taken between its choice and the start."""
_TAKEN = re.compile(r"port is already allocated|address already in use", re.IGNORECASE)


def keep(spec: Spec, wire: Wire, *, executor: MakeExecutor) -> None:
    """Have the service by Docker Compose, and stay until its container ends. A stack by hand is only looked at."""
    client = client_of(timeout=60)
    project = Project(**spec.compose)
    if (container := by_hand(client, project.file).get(spec.service)) is not None:
        _serve(container, spec, wire, question=ask)  # nothing is written to what is not ours
        return
    os.environ.update(project.environment)
    execute = executor(compose_command(), project.file, project.name)
    wire.owns_project(project.name)
    with _membership(Path(spec.log).parent) as members:
        try:
            container = _started(client, project, spec.service, execute, members)
            _serve(container, spec, wire, question=prove)
        finally:
            shield()
            _end_commands()
            if members.leave():
                with contextlib.suppress(Exception):  # what it can't remove is removed below
                    execute("down --volumes --timeout 1")
                remove_projects(client, [project.name])


class Members:
    """The keepers of a project: each holds a shared lock, and whoever gets the whole lock is the last one."""

    def __init__(self, folder: Path) -> None:
        self._member = os.open(folder / "compose.members", os.O_RDWR | os.O_CREAT, 0o600)
        self._turn = os.open(folder / "compose.turn", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._member, fcntl.LOCK_SH)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """While no other keeper runs a command."""
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def leave(self) -> bool:
        """Be a member no longer; True for the last one."""
        try:
            fcntl.flock(self._member, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gives the shared lock up, also if it fails
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give up what is held."""
        os.close(self._member)
        os.close(self._turn)


@contextlib.contextmanager
def _membership(folder: Path) -> Iterator[Members]:
    members = Members(folder)
    try:
        yield members
    finally:
        members.close()


def _started(client: Any, project: Project, service: str, execute: Execute, members: Members) -> Any:
    """The container of the service, started with its fellows if nobody has done it yet."""
    with members.turn():
        container = container_of(client, project.name, service)
        if container is None and len(project.services) > 1:
            with contextlib.suppress(ServiceFailed):  # it may be the fault of a fellow: then each starts alone
                _up(execute, project.services)
            container = container_of(client, project.name, service)
        if container is None or container.status == "created":
            _up(execute, (service,))
            container = container_of(client, project.name, service)
    if container is None:
        raise ServiceFailed(f"the compose file has started no container of {service}", hint=f"see {project.file}")
    return container


def _up(execute: Execute, services: tuple[str, ...]) -> None:
    # What is there stays as it is: a service may have been started before, with another port of its own.
    command = f"up -d --no-recreate --no-build {' '.join(map(compose_name, services))}"
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            execute(command)
        except Exception as error:  # the executor raises nothing narrower
            if last or not _TAKEN.search(str(error)):
                raise ServiceFailed(f"Docker Compose failed: {_told(error)}", hint="see its words above") from None
        else:
            return


def _serve(container: Any, spec: Spec, wire: Wire, *, question: Callable[[str, str], Answer]) -> None:
    """Tell that the service is there, as soon as it answers, and stay until its container ends."""
    service = SERVICES[spec.service]
    image = service.image
    assert image is not None
    try:
        port = published_port(container, image.port)
        login = login_of(image, container.attrs["Config"]["Env"])
        url = url_of(service, port=port, own=question is prove, **login)
        ended = watch(container)
        answer = wait_until(
            lambda: question(service.name, url), timeout=spec.timeout, what=f"the service {service.name}", ended=ended
        )
        reference = str(container.attrs["Config"]["Image"])
        inside = inside_of(container, image.port)
        facts = {"image": reference, "digest": digest_of(container.image), "inside": inside}
        ready = Ready(url, **asdict(answer), **facts)
        wire.ready(replace(ready, **fidelity_of(container.image)))
        end = stay(ended=ended)
        print_log(container)
        wire.died(f"the container ended: {end}")
    except Exception:
        print_log(container)
        raise


def _end_commands() -> None:
    """End what the executor has running: it is of our process group, and would create what is being removed."""
    with contextlib.suppress(OSError):
        os.killpg(os.getpgrp(), signal.SIGTERM)  # not ourselves: `shield` was called
    sys.stderr.flush()


def _told(error: Exception) -> str:
    """The output of the command, without the command."""
    text = re.sub(r'(?s)^Command .*? returned \d+: """(.*)"""\.$', r"\1", str(error))
    return " ".join(text.split())[-600:]
