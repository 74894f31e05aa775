"""The process that owns a run's services: single-threaded, started by the controller, asked over a Unix socket.

It ends, and stops everything first, when the controller's pipe closes, when the controller is gone, or on SIGTERM. It
never waits for a service: keepers do that, each in its own process.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.secrets import Scrubber
from ..errors import DponeError, ServiceUnavailable
from .choice import Choice, Surroundings, choose, needs, needs_docker
from .keeper import Spec
from .kept import Kept, start_keeper, stop_all
from .lease import OwnedProcess, Owner, remove_tree, write_owner
from .life import boot_id, new_password, service_owner, start_ticks
from .lookup import DockerLookup, has_postgres_binaries, look_at_kafka
from .project import RunProject
from .switchboard import Client, Switchboard
from .table import SERVICES, docker_may_answer

_TICK = 0.25
"""Seconds between looks at deadlines, if nothing happens before."""
_LONGEST_STAY = 24 * 3600.0
"""Seconds that services are kept for a look after their run."""


@dataclass(frozen=True)
class Settings:
    """`StackSettings` as they arrive, without the models of the client side: this process imports little."""

    run_id: str
    providers: dict[str, str]
    images: dict[str, str]
    external: dict[str, str] = field(repr=False)
    start_timeout: float
    pull_timeout: float
    compose_file: str = ""
    planned: list[str] = field(default_factory=list)


class Supervisor:
    """The event loop's state. Everything happens in `run`, in one thread."""

    def __init__(self, directory: Path, settings: Settings, *, controller: int) -> None:
        """`controller` is the pid whose end is our end."""
        self._directory = directory
        self._settings = settings
        self._controller = controller
        self._selector = selectors.DefaultSelector()
        self._services: dict[str, Kept] = {}
        self._choices: dict[str, Choice] = {}
        self._switchboard = Switchboard(self._selector)
        self._foreign = tuple(
            name
            for name in settings.planned
            if name in settings.external and settings.providers.get(name, "auto") in ("auto", "external")
        )
        """Planned services at addresses: their accounts are tried before anything is started for a case."""
        compose_file = settings.compose_file if "compose" in settings.providers.values() else ""
        self._docker = DockerLookup(
            settings.images, self._selector, log=directory / "docker.log", compose_file=compose_file
        )
        self._scrub = Scrubber(settings.external.values())
        self._project = RunProject(settings.run_id, settings.compose_file, settings.images, learn=self._scrub.add)
        self._stopping = False
        self._signs_of_the_end: list[Any] = [sys.stdin]
        self._stay_until = math.inf

    def run(self) -> None:
        """Serve until it is time to end; then stop all services and remove the run directory."""
        self._note_owner()
        self._switchboard.listen(self._directory / "private")
        self._watch_for_the_end()
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        try:
            while not self._stopping and time.monotonic() < self._stay_until:
                for key, _ in self._selector.select(_TICK):
                    key.data(key.fileobj)
                self._look_at_deadlines()
                self._answer_waiting()
        finally:
            self._docker.stop()
            stop_all(self._services.values())
            remove_tree(self._directory)

    def _watch_for_the_end(self) -> None:
        self._selector.register(sys.stdin, selectors.EVENT_READ, self._stop)
        # A process that the controller forked may hold its end of the pipe open, so its own end is watched too.
        if hasattr(os, "pidfd_open"):
            try:
                self._signs_of_the_end.append(os.pidfd_open(self._controller))
                self._selector.register(self._signs_of_the_end[-1], selectors.EVENT_READ, self._stop)
            except ProcessLookupError:
                self._stopping = True
            except OSError:
                pass  # an old kernel: the pipe has to do
        wake, waker = socket.socketpair()
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._waker = waker  # closed with us, not before
        self._selector.register(wake, selectors.EVENT_READ, self._stop)

    def _stop(self, _: object) -> None:
        self._stopping = True

    def _stay(self) -> dict[str, Any]:
        """Live on after the controller, so that somebody can look into the services; SIGTERM ends us."""
        while self._signs_of_the_end:
            self._selector.unregister(self._signs_of_the_end.pop())
        self._stay_until = time.monotonic() + _LONGEST_STAY
        self._note_owner()
        return {}

    def _answer_waiting(self) -> None:
        for client in self._switchboard.waiting():
            answer = self._answer(client)
            if answer is not None:
                self._switchboard.reply(client, answer)

    def _answer(self, client: Client) -> dict[str, Any] | None:
        try:
            result = self._try(client)
        except DponeError as error:
            return {"error": {"type": type(error).__name__, "fact": error.fact, "hint": error.hint}}
        except Exception as error:  # one question that goes wrong must not end the services of the others
            fact = self._scrub(f"the supervisor failed at {client.operation!r}: {type(error).__name__}: {error}")
            return {"error": {"type": "ServiceFailed", "fact": fact, "hint": "is the disk full?"}}
        return None if result is None else {"result": result}

    def _try(self, client: Client) -> dict[str, Any] | None:
        """The answer to a client, or None if it is not known yet; raises what the client is to get as an error."""
        if client.operation == "ping":
            return {}
        if client.operation == "stay":
            return self._stay()
        if client.operation == "died":
            ends = {name: self._died(name) for name in client.names}
            return None if any(self._services[name].dying for name in client.names if name in self._services) else ends
        if not self._decide(client.names):
            return None
        if client.operation == "choose":
            return {name: vars(self._choices[name]) for name in client.names}
        return self._ensure(client.names) if self._try_accounts() else None

    def _try_accounts(self) -> bool:
        """True if the account of each planned server at an address has been tried; raises if one won't do."""
        if not self._decide(self._foreign):
            return False
        return self._ensure(tuple(name for name in self._foreign if self._choices[name].provider)) is not None

    def _decide(self, names: tuple[str, ...]) -> bool:
        """True if the choice for each name is known now. Look-ups happen once a run."""
        settings = self._settings
        external = frozenset(settings.external)
        pending = [name for name in names if name not in self._choices]
        if any(needs_docker(name, settings.providers, external) for name in pending):
            if docker_may_answer():
                self._docker.start()
            if self._docker.running:
                return False
        around = Surroundings(
            settings.providers, external, self._docker.result, has_postgres_binaries, kafka=look_at_kafka
        )
        for name in pending:
            self._choices[name] = choose(name, around)
            for needed in needs(self._choices[name]):
                self._choices.setdefault(needed, choose(needed, around))
        return True

    def _ensure(self, names: tuple[str, ...]) -> dict[str, Any] | None:
        lost = [self._choices[name].reason for name in names if self._choices[name].provider is None]
        if lost:
            raise ServiceUnavailable(
                "\n".join(lost), hint="see above for each service; `pytest-dpone doctor` lists all"
            )
        everything = tuple(dict.fromkeys(needed for name in names for needed in (*needs(self._choices[name]), name)))
        new = tuple(name for name in everything if name not in self._services)
        for name in new:
            if all(self._is_up(needed) for needed in needs(self._choices[name])):
                self._services[name] = self._start(name, together=new)
                self._note_owner()
        services = {name: self._services[name] for name in everything if name in self._services}
        for service in services.values():
            if service.error is not None:
                raise service.error
        if any(name not in services or services[name].info is None for name in names):
            return None
        return {name: services[name].info for name in names}

    def _is_up(self, name: str) -> bool:
        service = self._services[name]
        return service.info is not None and service.error is None

    def _start(self, name: str, *, together: tuple[str, ...]) -> Kept:
        provider = self._choices[name].provider
        assert provider is not None
        data = self._directory / name
        data.mkdir(mode=0o700, exist_ok=True)  # it is there if an earlier start got no further, e.g. on a full disk
        os.chown(data, *service_owner())
        service = SERVICES[name]
        user = service.embedded_user if provider == "embedded" else (service.image.user if service.image else "")
        spec = Spec(
            service=name,
            run_id=self._settings.run_id,
            data=str(data),
            log=str(self._directory / f"{name}.log"),
            user=user,
            password=new_password(),
            timeout=self._settings.start_timeout,
            pull_timeout=self._settings.pull_timeout,
            image=self._settings.images.get(name) or (service.image.reference if service.image else ""),
            url=self._settings.external.get(name, "") if provider == "external" else "",
            compose=self._project.serve(self._composed(together)) if provider == "compose" else {},
            peers={needed: self._services[needed].containers[-1] for needed in needs(self._choices[name])},
        )
        self._scrub.add(spec.password)
        kept = start_keeper(spec, provider, self._scrub, self._note_owner)
        assert kept.output is not None
        self._selector.register(kept.output, selectors.EVENT_READ, lambda _: self._hear(kept))
        return kept

    def _composed(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if self._choices[name].provider == "compose")

    def _hear(self, service: Kept) -> None:
        assert service.output is not None
        if not service.hear():
            self._selector.unregister(service.output)
            service.ended()

    def _look_at_deadlines(self) -> None:
        now = time.monotonic()
        self._docker.look_at_deadline(now)
        for service in self._services.values():
            service.look_at_deadline(now)

    def _died(self, name: str) -> str | None:
        service = self._services.get(name)
        if service is None:
            return None
        service.poll()
        # One that never came up has not died: `ensure` tells why it failed.
        return service.error.fact if service.error is not None and service.info is not None else None

    def _note_owner(self) -> None:
        """Write down all that is ours now, for whoever finds this directory after us."""
        services = self._services.values()
        pid = os.getpid()
        owner = Owner(
            run_id=self._settings.run_id,
            boot=boot_id(),
            supervisor=OwnedProcess(pid, start_ticks(pid) or 0),
            processes=tuple(process for service in services for process in service.processes),
            containers=tuple(container for service in services for container in service.containers),
            projects=tuple({project: None for service in services for project in service.projects}),
            kept=self._stay_until < math.inf,
        )
        with contextlib.suppress(OSError):  # on a full disk the services still end with this process
            write_owner(self._directory, owner)


def main() -> int:
    """Read one line of JSON from the standard input, then serve."""
    os.umask(0o077)
    line = sys.stdin.readline()
    if not line:
        return 1
    head = json.loads(line)
    os.set_inheritable(head["lock_fd"], False)  # the lock must die with this process, not with a child
    settings = Settings(**json.loads(head["settings"]))
    Supervisor(Path(head["directory"]), settings, controller=head["controller"]).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
