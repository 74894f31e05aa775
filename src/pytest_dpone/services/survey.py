"""What could run here: each service by each provider, with version, fidelity, and the next step where it can't."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import SecretStr

from ..core.secrets import Scrubber
from ..errors import DponeError, described
from .addresses import check_address, external_from_environ
from .ask import Answer, ask
from .choice import DockerLook, Surroundings, against, choose
from .life import children_environ
from .lookup import LIMIT, has_postgres_binaries, look_at_kafka
from .project import chosen_file
from .table import PROVIDERS, SERVICES, Service, docker_may_answer

Status = Literal["yes", "no", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line. `wrong`: somebody has set it, and it can't work; `no`: it is merely not there."""

    subject: str
    way: str
    status: Status
    version: str = ""
    fidelity: str = ""
    detail: str = ""
    """What it is, or why it can't be had and what to do."""


@dataclass(frozen=True)
class Found:
    """What the lines are made of; the look-ups are done."""

    around: Surroundings
    answers: Mapping[str, Answer | str]
    """Service with an address → what its server says, or why it can't be used."""
    versions: Mapping[str, tuple[str, str]]
    """Service → version and fidelity of the embedded one."""


def survey(found: Found) -> list[Finding]:
    """All lines on services: first what `auto` takes, then each provider."""
    return [line for service in SERVICES.values() for line in _lines(service, found)]


def find(environ: Mapping[str, str], folder: Path) -> Found:
    """Look around: asks Docker and the servers at addresses, and starts nothing. `folder` may have a compose file."""
    external, broken = _addresses(environ)
    with ThreadPoolExecutor(len(SERVICES) + 1) as pool:
        looking = pool.submit(look_at_docker, environ, folder)
        asked = dict(zip(external, pool.map(lambda item: _answer(*item), external.items()), strict=True))
        look = looking.result()
    return Found(
        around=Surroundings(
            {}, frozenset(external) | frozenset(broken), lambda: look, has_postgres_binaries, kafka=look_at_kafka
        ),
        answers={**asked, **broken},
        versions={name: find_embedded(name) for name in _EMBEDDED},
    )


def look_at_docker(environ: Mapping[str, str], folder: Path) -> DockerLook:
    """What the Docker Engine says, by a program of its own, which may take a while but not for ever."""
    if not docker_may_answer(environ):
        return DockerLook(error="no Docker Engine answers: there is neither its socket nor DOCKER_HOST")
    images = {service.name: service.image.reference for service in SERVICES.values() if service.image is not None}
    question = {"images": images, "others": {}, "compose_file": str(chosen_file("", folder))}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pytest_dpone.services.docker_engine"],
            input=json.dumps(question) + "\n",
            env=children_environ(environ),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        return DockerLook(**json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        return DockerLook(error=f"the Docker Engine or its registry did not answer within {LIMIT:g} s")
    except (OSError, ValueError, TypeError) as error:
        return DockerLook(error=f"the look at the Docker Engine failed: {described(error)}")


def _lines(service: Service, found: Found) -> Iterator[Finding]:
    try:
        choice = choose(service.name, found.around)
        status: Status = "yes" if choice.provider else "wrong" if choice.asked else "no"
        reason = f"{choice.provider}: {choice.reason}" if choice.provider else choice.reason
        if choice.provider == "external" and isinstance(found.answers[service.name], str):
            status = "wrong"
    except DponeError as error:
        status, reason = "wrong", f"{error.fact}; {error.hint}"
    yield Finding(service.name, "auto", status, detail=reason)
    for provider in PROVIDERS[1:]:
        yield _line(provider, service, found)


def _line(provider: str, service: Service, found: Found) -> Finding:
    try:
        reason = against(provider, service, found.around)
    except DponeError as error:
        return Finding(service.name, provider, "wrong", detail=f"{error.fact}; {error.hint}")
    if provider == "embedded" and service.name == "kafka" and (named := found.around.kafka().error):
        return Finding(service.name, provider, "wrong", detail=named)
    if reason:
        return Finding(service.name, provider, "no", detail=reason + _next_step(service, reason))
    return _WAYS[provider](service, found)


def _next_step(service: Service, reason: str) -> str:
    """What to do, where the reason does not say so itself."""
    form = f"={service.scheme}://user:password@host:port"
    if not service.variables:
        return ""
    steps = {
        "can't be pulled": f"; bring it with `docker load`, or name another with --dpone-image={service.name}=IMAGE",
        "no Docker Engine answers": "; start Docker, or name its socket in DOCKER_HOST",
        "is on another machine": "; name an engine of this machine in DOCKER_HOST",
        "MB of memory": "; give Docker more memory",
        "nor `docker-compose`": "; install Docker Compose",
        f"set {service.variables[0]}": form if reason == f"set {service.variables[0]}" else "",
    }
    return next((step for sign, step in steps.items() if sign in reason), "")


def _external(service: Service, found: Found) -> Finding:
    answer = found.answers[service.name]
    if isinstance(answer, str):
        return Finding(service.name, "external", "wrong", detail=answer)
    detail = f"{answer.product}; what the account may do is tried by a run"
    return Finding(service.name, "external", "yes", answer.version, answer.fidelity, detail)


def _docker(service: Service, found: Found) -> Finding:
    assert service.image is not None
    reference = service.image.reference
    fidelity = found.around.docker().stand_ins.get(service.name, "real")
    return Finding(service.name, "docker", "yes", reference.rpartition(":")[2], fidelity, f"the image {reference}")


def _compose(service: Service, found: Found) -> Finding:
    up = service.name in found.around.docker().up
    detail = "started by hand, and used as it is" if up else "the compose file has it, and its image can be had"
    return Finding(service.name, "compose", "yes", detail=detail)


def _embedded(service: Service, found: Found) -> Finding:
    number, fidelity = found.versions[service.name]
    what = "a server of ours, and the real thing" if service.name == "api" else "local processes"
    if service.name == "kafka" and fidelity != "real":
        what = "our broker; to run Apache Kafka itself, name its folder in KAFKA_HOME, with Java 17 or later"
    return Finding(service.name, "embedded", "yes", number, fidelity, what)


_WAYS: Mapping[str, Callable[[Service, Found], Finding]] = MappingProxyType(
    {"external": _external, "docker": _docker, "compose": _compose, "embedded": _embedded}
)
_EMBEDDED: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "postgres": ((), "real"),
        "clickhouse": (("chdb-core", "chdb"), "engine"),
        "minio": (("moto",), "emulated"),
        "kafka": (("pytest-dpone",), "emulated"),
        "schema_registry": (("pytest-dpone",), "emulated"),
        "api": (("pytest-dpone",), "real"),
    }
)
"""Embedded service → the packages, one of which has its version, and its fidelity."""


def find_embedded(name: str) -> tuple[str, str]:
    """Version and fidelity that the embedded service `name` would have; an empty version if it can't be told."""
    packages, fidelity = _EMBEDDED[name]
    if name == "postgres":
        return _postgres_version(), fidelity
    if name == "kafka" and (real := look_at_kafka().version):
        return real, "real"
    return _package_version(packages), fidelity


def _package_version(packages: Iterable[str]) -> str:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""


def _postgres_version() -> str:
    from .embedded.postgres import locate

    try:
        binaries = locate(os.environ)
        if binaries is None:
            return ""
        command = [str(binaries.directory / "postgres"), "--version"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (DponeError, OSError, subprocess.SubprocessError):
        return ""  # the line says why
    told = re.search(r"\d+(\.\d+)*", done.stdout)
    return told[0] if told else ""


def _addresses(environ: Mapping[str, str]) -> tuple[dict[str, SecretStr], dict[str, str]]:
    """(addresses by service, what is wrong by service)"""
    try:
        external = external_from_environ(environ)
    except DponeError as error:
        return {}, {"minio": f"{error.fact}; {error.hint}"}
    broken = {}
    for name, url in list(external.items()):
        try:
            check_address(name, url.get_secret_value())
        except DponeError as error:
            broken[name] = f"{error.fact}; {error.hint}"
            del external[name]
    return external, broken


def _answer(name: str, url: SecretStr) -> Answer | str:
    scrub = Scrubber([url.get_secret_value()])
    try:
        return ask(name, url.get_secret_value(), timeout=5.0)
    except DponeError as error:
        return scrub(f"the server refuses: {error.fact}; {error.hint}")
    except OSError as error:
        return scrub(f"the server can't be reached: {error}; check host and port, and that it is up")
    except Exception as error:  # whatever a client of another library raises is told, not thrown
        return scrub(f"the server can't be asked: {described(error)}")
