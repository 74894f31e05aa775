"""The docker provider: a keeper that owns one container."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import quote

from ..errors import ServiceFailed, require
from .ask import prove
from .docker_engine import RUN_LABEL, SERVICE_LABEL, client_of, digest_of, fidelity_of, remove_containers, short
from .keeper import Ready, Spec, Wire, exit_text, run, shield, stay, undisturbed, wait_until
from .table import SERVICES, Image, Service, fill

_ALIVE_EVERY = 1.0
_PORT_ATTEMPTS = 5


def keep(spec: Spec, wire: Wire) -> None:
    """Run the service's image with a port on 127.0.0.1, and stay until the container ends; then remove it."""
    service = SERVICES[spec.service]
    client = client_of(timeout=60)
    image = _have_image(client, spec.image)
    # Its name is recorded before it exists, so that it can be found at whatever moment we are killed.
    name = f"dpone-{spec.run_id}-{spec.service}-{os.urandom(4).hex()}".lower()
    wire.owns_container(name)
    try:
        with undisturbed():  # a container that the engine is still making can't be removed
            _make_network(client, name, spec)
            container = _started(service, spec, name)
        ready = _await(container, service, spec)
        wire.ready(replace(ready, image=spec.image, digest=digest_of(image), **fidelity_of(image)))
        end = stay(ended=watch(container.get_wrapped_container()))
        _print_log(client, name)
        wire.died(f"the container ended: {end}")
    except Exception:
        _print_log(client, name)
        raise
    finally:
        shield()
        remove_containers([name], spec.run_id)


def _make_network(client: Any, name: str, spec: Spec) -> None:
    """A network of the container's own name, on which it reaches its peers by the names of their services."""
    if not spec.peers:
        return
    network = client.networks.create(name, labels={RUN_LABEL: spec.run_id, SERVICE_LABEL: spec.service})
    for service, container in spec.peers.items():
        network.connect(container, aliases=[service])


def _have_image(client: Any, reference: str) -> Any:
    docker: Any = require("docker", extra="docker")
    try:
        return client.images.get(reference)
    except docker.errors.ImageNotFound:
        pass
    try:
        return client.images.pull(reference)
    except docker.errors.APIError as error:
        raise ServiceFailed(
            f"the image {reference} can't be pulled: {short(error)}",
            hint="load it by hand, or name another with --dpone-image",
        ) from None


def _started(service: Service, spec: Spec, name: str) -> Any:
    """A started container. A port that was chosen beforehand may be taken by somebody else meanwhile: then another."""
    for attempt in range(_PORT_ATTEMPTS):
        container = _container(service, spec, name, _free_port() if _image(service).advertised else None)
        try:
            _start(container, spec.image)
            break
        except ServiceFailed as error:
            taken = any(words in error.fact for words in ("already allocated", "already in use"))
            if not (_image(service).advertised and taken) or attempt + 1 == _PORT_ATTEMPTS:
                raise
            remove_containers([name], spec.run_id)
    return container


def _container(service: Service, spec: Spec, name: str, port: int | None = None) -> Any:
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # we remove our containers ourselves, and pull nothing for that
    core: Any = require("testcontainers.core.container", extra="docker")
    image = _image(service)
    values = {"user": spec.user, "password": spec.password, "database": service.database}
    values["port"] = str(port or "")
    container = core.DockerContainer(spec.image)
    container.with_name(name)
    container.with_envs(**{name: fill(value, values) for name, value in image.environment.items()})
    container.with_kwargs(
        labels={RUN_LABEL: spec.run_id, SERVICE_LABEL: spec.service},
        shm_size=image.shm_size,
        restart_policy={"Name": "no"},
        **({"mem_limit": image.memory} if image.memory else {}),
        **({"network": name} if spec.peers else {}),
    )
    if image.command:
        container.with_command(list(image.command))
    container.ports[f"{image.port}/tcp"] = ("127.0.0.1", port)
    return container


def _start(container: Any, reference: str) -> None:
    docker: Any = require("docker", extra="docker")
    try:
        container.start()
    except docker.errors.APIError as error:
        raise ServiceFailed(
            f"the image {reference} can't be started: {short(error)}",
            hint="is it an image of this service? name another with --dpone-image",
        ) from None


def _await(container: Any, service: Service, spec: Spec) -> Ready:
    wrapped = container.get_wrapped_container()
    port = published_port(wrapped, _image(service).port)
    url = url_of(service, user=spec.user, password=spec.password, port=port, own=True)
    answer = wait_until(
        lambda: prove(service.name, url),
        timeout=spec.timeout,
        what=f"the container {spec.image}",
        ended=watch(wrapped),
    )
    return Ready(url=url, **asdict(answer), inside=inside_of(wrapped, _image(service).port))


def url_of(service: Service, *, user: str, password: str, port: int, own: bool) -> str:
    """The address of a service that is published at `port`. `own`: we have started it, and `prove` it."""
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    database = (own and service.own_database) or service.database
    return f"{service.scheme}://{login}@127.0.0.1:{port}" + (f"/{database}" if database else "")


def inside_of(wrapped: Any, port: int) -> str:
    """`host:port` by which the containers of the same network reach it; empty if it has no network."""
    networks = wrapped.attrs["NetworkSettings"].get("Networks") or {}
    addresses = [address for each in networks.values() if (address := each.get("IPAddress"))]
    return f"{addresses[0]}:{port}" if addresses else ""


def published_port(wrapped: Any, port: int) -> int:
    """The port of this machine at which the container's `port` is published."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        wrapped.reload()
        if bindings := wrapped.ports.get(f"{port}/tcp"):
            return int(bindings[0]["HostPort"])
        if wrapped.status in ("exited", "dead"):
            break
        time.sleep(0.05)
    raise ServiceFailed(f"the container has no port {port}: it is {wrapped.status}", hint="see its log")


def watch(wrapped: Any) -> Callable[[], str | None]:
    """A function that tells how the container ended, or None; it asks the engine once a second at most."""
    docker: Any = require("docker", extra="docker")
    asked = -_ALIVE_EVERY

    def ended() -> str | None:
        nonlocal asked
        if time.monotonic() - asked < _ALIVE_EVERY:
            return None
        asked = time.monotonic()
        try:
            wrapped.reload()
        except docker.errors.NotFound:
            return "somebody removed it"
        if wrapped.status not in ("exited", "dead"):
            return None
        return exit_text(int(wrapped.attrs["State"]["ExitCode"]))

    return ended


def _print_log(client: Any, name: str) -> None:
    try:
        container = client.containers.get(name)
    except Exception as error:
        sys.stderr.write(f"the container can't be found: {short(error)}\n")
    else:
        print_log(container)


def print_log(container: Any) -> None:
    """Put the end of the container's log into ours, since it leaves with the container."""
    try:
        text = container.logs(tail=30).decode(errors="replace")
    except Exception as error:
        text = f"the container's log can't be read: {short(error)}"
    sys.stderr.write(text)
    sys.stderr.flush()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _image(service: Service) -> Image:
    if service.image is None:
        raise ServiceFailed(f"{service.name} has no image", hint="choose another provider")
    return service.image


if __name__ == "__main__":
    sys.exit(run(keep))
