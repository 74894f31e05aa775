"""What this machine has for the services: memory, disk, ports, Java, a user that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .choice import DockerLook
from .life import NOBODY, is_root
from .survey import Finding
from .table import SERVICES

_DISK = 1 << 30
"""Bytes that should be free: services and their tables take some hundred megabytes."""
_MACHINE = "machine"


@dataclass(frozen=True)
class Machine:
    """What was looked at."""

    docker: DockerLook
    temp: Path
    temp_free: int
    docker_free: int | None
    """None: the folder of the engine can't be seen from here."""
    java: str
    """A Java of version 17 or later; empty: there is none."""
    taken: Mapping[str, int]
    """Service → the port at which `docker compose up` would publish it, if somebody else is there."""
    lacks_user: str
    """Why services can't leave root; empty: they can, or need not."""


def examine(machine: Machine) -> list[Finding]:
    """All lines on the machine."""
    return [_memory(machine), *_disks(machine), _java(machine), *_ports(machine), _user(machine)]


def look_around(environ: Mapping[str, str], docker: DockerLook) -> Machine:
    """Look at this machine."""
    from .embedded.kafka_real import find_java

    try:
        temp = Path(tempfile.gettempdir())
    except OSError:
        temp = Path("/tmp")  # none can be written to, so there is nothing free either
    return Machine(
        docker=docker,
        temp=temp,
        temp_free=(_free(str(temp)) or 0) if os.access(temp, os.W_OK) else 0,
        docker_free=_free(docker.root),
        java=find_java(environ),
        taken=_taken(environ, docker),
        lacks_user=_lacks_user(),
    )


def _memory(machine: Machine) -> Finding:
    needed = max(service.image.needs_memory for service in SERVICES.values() if service.image is not None)
    needs = f"SQL Server needs {needed // 10**6} MB"
    memory = machine.docker.memory
    if not memory:
        return Finding(_MACHINE, "memory of Docker", "no", detail=f"not known: {machine.docker.error}; {needs}")
    told = f"{memory // 10**6} MB; {needs}"
    if memory < needed:
        return Finding(_MACHINE, "memory of Docker", "no", detail=f"{told}: give Docker more, or set DPONE_MSSQL_URL")
    return Finding(_MACHINE, "memory of Docker", "yes", detail=told)


def _disks(machine: Machine) -> Iterator[Finding]:
    yield _disk("disk for temporary files", machine.temp, machine.temp_free, "free space, or set TMPDIR")
    if machine.docker_free is not None:
        advice = "free space, for example from images and volumes that nobody needs"
        yield _disk("disk of Docker", Path(machine.docker.root), machine.docker_free, advice)


def _disk(way: str, folder: Path, free: int, advice: str) -> Finding:
    told = f"{free >> 20} MiB are free at {folder}"
    return Finding(
        _MACHINE, way, "yes" if free >= _DISK else "no", detail=told if free >= _DISK else f"{told}: {advice}"
    )


def _java(machine: Machine) -> Finding:
    if machine.java:
        return Finding(_MACHINE, "Java for Apache Kafka", "yes", detail=machine.java)
    advice = "no Java of version 17 or later: install one, or name it in JAVA_HOME, to run Apache Kafka from KAFKA_HOME"
    return Finding(_MACHINE, "Java for Apache Kafka", "no", detail=advice)


def _ports(machine: Machine) -> Iterator[Finding]:
    way = "ports of the compose file"
    for name, port in machine.taken.items():
        advice = (
            f"somebody listens at {port}: to start {name} by hand, set DPONE_{name.upper()}_PORT; runs take free ports"
        )
        yield Finding(_MACHINE, way, "no", detail=advice)
    if not machine.taken:
        yield Finding(_MACHINE, way, "yes", detail="all are free, or taken by services that were started from it")


def _user(machine: Machine) -> Finding:
    if machine.lacks_user:
        return Finding(_MACHINE, "user of embedded services", "no", detail=machine.lacks_user)
    who = f"root starts them, and they run as the user {NOBODY}" if is_root() else "they run as you"
    return Finding(_MACHINE, "user of embedded services", "yes", detail=who)


def _free(folder: str) -> int | None:
    try:
        return shutil.disk_usage(folder).free if folder else None
    except OSError:
        return None


def _taken(environ: Mapping[str, str], docker: DockerLook) -> dict[str, int]:
    found = {}
    for service in SERVICES.values():
        if service.image is None or service.name in docker.up:
            continue
        text = environ.get(f"DPONE_{service.name.upper()}_PORT") or str(service.image.port)
        if text.isdecimal() and 0 < int(text) < 1 << 16 and _somebody_listens(int(text)):
            found[service.name] = int(text)
    return found


def _somebody_listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _lacks_user(*, uid_map: Path = Path("/proc/self/uid_map")) -> str:
    """Why root can't become the user of services: initdb asks for its name, and a container may not have its number."""
    if not is_root():
        return ""
    try:
        ranges = [tuple(map(int, line.split())) for line in uid_map.read_text().splitlines()]
    except (OSError, ValueError):
        ranges = []
    if ranges and not any(start <= NOBODY < start + count for start, _, count in ranges):
        return f"you are root, and this container has no user {NOBODY}: start pytest as another user"
    try:
        pwd.getpwuid(NOBODY)
    except KeyError:
        return f"you are root, and there is no user {NOBODY}: add one, or start pytest as another user"
    return ""
