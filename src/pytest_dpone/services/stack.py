"""One stack per run: its settings, and the client side of the supervisor that owns every service."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from .. import errors
from ..core.model import ServiceRecord
from ..core.secrets import Scrubber
from ..core.wire import ServiceInfo
from ..errors import DponeError, ServiceFailed, UsageError
from . import lease
from .addresses import check_address
from .choice import Choice, known_provider, known_service
from .keeper import exit_text, last_lines
from .life import children_environ
from .project import PACKAGED

__all__ = ["Choice", "Stack", "StackSettings"]

_LAUNCH = 20.0
"""Seconds until the supervisor must listen."""
_CLOSE = 20.0
"""Seconds for the supervisor to stop everything; the services stop side by side."""


@dataclass(frozen=True)
class StackSettings:
    """What a stack is made of. `external` addresses travel over the supervisor's standard input only.

    providers: service → auto, docker, embedded, external or compose; missing ones are auto.
    images: service → image reference instead of the pinned one. Times are seconds; `start_timeout` does not include
    the pull of an image. Raises `UsageError` for unknown services and providers, and for empty addresses.
    """

    run_id: str
    providers: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    external: Mapping[str, SecretStr] = field(default_factory=dict)
    start_timeout: float = 60.0
    pull_timeout: float = 600.0
    compose_file: str = ""
    """Of the provider compose; without it the one that comes with us."""
    planned: Sequence[str] = ()
    """Services that the run will need. The accounts of those at addresses are tried before any service is given."""

    def __post_init__(self) -> None:
        """Refuse what can't work before anything starts."""
        for name in (*self.providers, *self.images, *self.external):
            known_service(name)
        for provider in self.providers.values():
            known_provider(provider)
        for name, url in self.external.items():
            check_address(name, url.get_secret_value())
        if self.start_timeout <= 0 or self.pull_timeout <= 0:
            raise UsageError("a timeout must be more than 0 seconds", hint="60 is the default for a start")

    def to_json(self) -> str:
        """JSON with the addresses in clear, for the supervisor's standard input only."""
        plain = {name: url.get_secret_value() for name, url in self.external.items()}
        return json.dumps({**asdict(self), "external": plain, "compose_file": self.compose_file or str(PACKAGED)})


class Stack:
    """The services of a run, asked for through the supervisor's socket: the same way from every process."""

    def __init__(self, address: str, *, supervisor: subprocess.Popen[bytes] | None = None) -> None:
        """Use `launch` or `connect`."""
        self.address = address
        self._supervisor = supervisor
        self._scrubber = Scrubber()

    @classmethod
    def launch(cls, settings: StackSettings) -> Self:
        """Start the run's supervisor, after the remains of dead owners are removed; no service is started yet.

        Raises `UsageError` for a bad or taken run id, `ServiceFailed` if the supervisor does not come up.
        """
        base = lease.base_directory()
        lease.reap(base, remove_containers=_remove_containers, remove_projects=_remove_projects)
        held = lease.create(settings.run_id, base=base)
        try:
            supervisor = _start_supervisor(held, settings)
        except BaseException:
            lease.remove_tree(held.path)
            raise
        finally:
            os.close(held.lock_fd)  # the supervisor has inherited it, and the lock with it
        return cls(str(held.path / "private" / "socket"), supervisor=supervisor)

    @classmethod
    def connect(cls, address: str) -> Self:
        """The stack that another process has launched; raises `ServiceFailed` if nobody answers there."""
        stack = cls(address)
        stack._ask("ping", ())
        return stack

    @property
    def folder(self) -> Path:
        """A folder that goes with the run, and that only this user can look into."""
        return Path(self.address).parent

    def choose(self, names: Iterable[str]) -> dict[str, Choice]:
        """Which provider will serve each service, and why; starts nothing."""
        answer = self._ask("choose", names)
        return {name: Choice(**choice) for name, choice in answer.items()}

    def ensure(self, names: Iterable[str]) -> dict[str, ServiceInfo]:
        """Start what is not up yet, side by side, and wait until all of it has answered a query.

        Raises `ServiceUnavailable` (nothing was started then), `ServiceFailed`, `UsageError`. A service that failed
        or died once is not started again in this run: each later call says the same.
        """
        answer = self._ask("ensure", names)
        for data in answer.values():
            self._scrubber.add_url(data["url"])
        return {name: _service_info(name, data) for name, data in answer.items()}

    def scrub(self, text: str) -> str:
        """`text` without the secrets of all services that this process has asked for."""
        return self._scrubber(text)

    def died(self, name: str) -> str | None:
        """None while the service is alive or was never up, else how it ended and its last log lines."""
        answer = self._ask("died", (name,))[name]
        return None if answer is None else str(answer)

    def close(self) -> None:
        """Stop everything and wait until it is gone. For the process that has launched; may be called again."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        assert supervisor.stdin is not None
        with contextlib.suppress(OSError):
            supervisor.stdin.close()
        try:
            supervisor.wait(_CLOSE)
        except subprocess.TimeoutExpired:
            supervisor.kill()  # its children see that, and the directory is reaped below
            supervisor.wait()
        if supervisor.stdout is not None:
            supervisor.stdout.close()
        if self._directory.exists():
            lease.reap(
                self._directory.parent.parent, remove_containers=_remove_containers, remove_projects=_remove_projects
            )

    def leave(self) -> None:
        """Let the services run on without this process, until somebody stops them: see `run.keeping`."""
        self._ask("stay", ())
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        supervisor.returncode = 0  # nobody waits for it, and Popen would warn of that
        for pipe in (supervisor.stdin, supervisor.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _directory(self) -> Path:
        return Path(self.address).parent.parent

    def _ask(self, operation: str, names: Iterable[str]) -> dict[str, Any]:
        request = {"op": operation, "names": [known_service(name) for name in names]}
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(self.address)
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("rb") as file:
                    line = file.readline()
        except OSError as error:
            raise self._gone(str(error)) from None
        if not line.endswith(b"\n"):
            raise self._gone("it closed the connection")
        answer = json.loads(line)
        if "error" in answer:
            raise _error(answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def _gone(self, error: str) -> ServiceFailed:
        log = last_lines(self._directory / "supervisor.log")
        tail = f"\nlast lines of its log:\n{log}" if log else ""
        return ServiceFailed(
            f"the services' supervisor does not answer: {error}{tail}",
            hint="it was killed, or the run that owns it is over; start the run again",
        )


def reap_dead_runs() -> list[str]:
    """Remove processes, containers and directories whose owners are dead; gives the ids of their runs."""
    return lease.reap(lease.base_directory(), remove_containers=_remove_containers, remove_projects=_remove_projects)


def _start_supervisor(held: lease.Lease, settings: StackSettings) -> subprocess.Popen[bytes]:
    log = held.path / "supervisor.log"
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as log_file:
        supervisor = subprocess.Popen(
            [sys.executable, "-P", "-m", "pytest_dpone.services.supervisor"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            cwd=held.path,
            env=children_environ(os.environ),
            pass_fds=(held.lock_fd,),
            start_new_session=True,  # Ctrl-C at the terminal is the controller's business
        )
    head = {"directory": str(held.path), "lock_fd": held.lock_fd, "controller": os.getpid()}
    try:
        assert supervisor.stdin is not None
        supervisor.stdin.write(json.dumps({**head, "settings": settings.to_json()}).encode() + b"\n")
        supervisor.stdin.flush()
        _await_supervisor(supervisor, log)
    except BaseException as error:
        supervisor.kill()
        supervisor.communicate()  # closes the pipes, too
        if isinstance(error, OSError):
            how = exit_text(supervisor.returncode)
            raise ServiceFailed(
                f"the services' supervisor ended: {how}\n{last_lines(log)}", hint="see its log above"
            ) from None
        raise
    return supervisor


def _await_supervisor(supervisor: subprocess.Popen[bytes], log: Path) -> None:
    assert supervisor.stdout is not None
    readable, _, _ = select.select([supervisor.stdout], [], [], _LAUNCH)
    if not readable:
        raise ServiceFailed(
            f"the services' supervisor was not up within {_LAUNCH:g} s\n{last_lines(log)}", hint="is the machine busy?"
        )
    if supervisor.stdout.readline() != b"READY\n":
        raise ServiceFailed(f"the services' supervisor did not come up\n{last_lines(log)}", hint="see its log above")


def _remove_containers(ids: Sequence[str], run_id: str) -> None:
    from .docker_engine import remove_containers

    remove_containers(ids, run_id)


def _remove_projects(names: Sequence[str]) -> None:
    from .docker_engine import client_of
    from .project import remove_projects

    remove_projects(client_of(timeout=30), names)


def _service_info(name: str, data: Mapping[str, Any]) -> ServiceInfo:
    facts = {key: data[key] for key in ("provider", "product", "version", "fidelity", "emulated", "image", "digest")}
    return ServiceInfo(
        record=ServiceRecord.model_validate({"name": name, **facts}),
        url=SecretStr(data["url"]),
        log=data["log"],
        inside=data["inside"],
    )


def _error(data: Mapping[str, str]) -> DponeError:
    kinds = {kind.__name__: kind for kind in (errors.ServiceUnavailable, ServiceFailed, UsageError)}
    return kinds.get(data["type"], ServiceFailed)(data["fact"], hint=data["hint"])
