"""The docker provider: a keeper that owns one container, the look at the engine, and the removal of remains."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from ..errors import ServiceFailed, require
from .ask import prove
from .choice import DockerLook
from .keeper import Ready, Spec, Wire, exit_text, run, shield, stay, wait_until
from .table import SERVICES, Image, Service, fill

RUN_LABEL = "dev.pytest-dpone.run-id"
SERVICE_LABEL = "dev.pytest-dpone.service"
FIDELITY_LABEL = "dev.pytest-dpone.fidelity"
EMULATED_LABEL = "dev.pytest-dpone.emulated"
PRODUCT_LABEL = "dev.pytest-dpone.product"
"""Of the images of stand-ins."""
_LOOK_TIMEOUT = 5
"""Seconds for each question to the engine during the look; asking a registry is one."""
_ALIVE_EVERY = 1.0
_NONE: Mapping[str, str] = MappingProxyType({})
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


def look(images: Mapping[str, str], *, others: Mapping[str, str] = _NONE, compose_file: str = "") -> DockerLook:
    """What the engine says: its version, and for each service's image why it can't be had (empty: it can).

    `others` are those of `images` that were named instead of the pinned ones. With `compose_file` the same for its
    services.
    """
    try:
        client = client_of(timeout=_LOOK_TIMEOUT)
        engine = str(client.version()["Version"])
        memory = int(client.info().get("MemTotal", 0))
    except Exception as error:  # docker, requests and urllib3 each have trees of their own
        return DockerLook(error=f"no Docker Engine answers: {_short(error)}")
    if not _is_local(str(client.api.base_url)):
        return DockerLook(error=f"the Docker Engine at {client.api.base_url} is on another machine")
    with ThreadPoolExecutor(len(images)) as pool:
        reasons = pool.map(lambda reference: _against_image(client, reference), images.values())
        found = dict(zip(images, reasons, strict=True))
        seen = DockerLook(engine=engine, error="", images=found, memory=memory)
        if not compose_file:
            return seen
        from .project import look_at_file

        return look_at_file(client, seen, compose_file, others, partial(_against_image, client))


def remove_containers(names: Sequence[str], run_id: str) -> None:
    """Remove containers by id or name, with their volumes, if they carry the run's label; missing ones are fine.

    A network of the container's name goes with it.
    """
    docker: Any = require("docker", extra="docker")
    client = client_of(timeout=30)
    for name in names:
        try:
            container = client.containers.get(name)
            if container.labels.get(RUN_LABEL) == run_id:
                container.remove(force=True, v=True)
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as error:
            if error.status_code != 409:  # somebody else is removing it at this moment
                raise
        _remove_network(client, name, run_id)


def _make_network(client: Any, name: str, spec: Spec) -> None:
    """A network of the container's own name, on which it reaches its peers by the names of their services."""
    if not spec.peers:
        return
    network = client.networks.create(name, labels={RUN_LABEL: spec.run_id, SERVICE_LABEL: spec.service})
    for service, container in spec.peers.items():
        network.connect(container, aliases=[service])


def _remove_network(client: Any, name: str, run_id: str) -> None:
    docker: Any = require("docker", extra="docker")
    for last in (False, False, False, True):
        try:
            network = client.networks.get(name)
            if network.attrs.get("Labels", {}).get(RUN_LABEL) != run_id:
                return
            for container in network.attrs.get("Containers") or {}:
                with contextlib.suppress(docker.errors.APIError):  # it is being removed itself
                    network.disconnect(container, force=True)
            network.remove()
        except docker.errors.NotFound:
            return
        except docker.errors.APIError:
            if last:
                raise
            time.sleep(0.2)  # a peer is leaving at this moment


def client_of(*, timeout: int) -> Any:
    """A client of the engine; `timeout` is for each request, in seconds."""
    docker: Any = require("docker", extra="docker")
    return docker.from_env(timeout=timeout)


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
            f"the image {reference} can't be pulled: {_short(error)}",
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
            f"the image {reference} can't be started: {_short(error)}",
            hint="is it an image of this service? name another with --dpone-image",
        ) from None


def _await(container: Any, service: Service, spec: Spec) -> Ready:
    wrapped = container.get_wrapped_container()
    port = published_port(wrapped, _image(service).port)
    url = url_of(service, user=spec.user, password=spec.password, port=port)
    answer = wait_until(
        lambda: prove(service.name, url),
        timeout=spec.timeout,
        what=f"the container {spec.image}",
        ended=watch(wrapped),
    )
    return Ready(
        url=url, product=answer.product, version=answer.version, fidelity=answer.fidelity, emulated=answer.emulated
    )


def url_of(service: Service, *, user: str, password: str, port: int) -> str:
    """The address of a service that is published at `port`."""
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return f"{service.scheme}://{login}@127.0.0.1:{port}" + (f"/{service.database}" if service.database else "")


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
        sys.stderr.write(f"the container can't be found: {_short(error)}\n")
    else:
        print_log(container)


def print_log(container: Any) -> None:
    """Put the end of the container's log into ours, since it leaves with the container."""
    try:
        text = container.logs(tail=30).decode(errors="replace")
    except Exception as error:
        text = f"the container's log can't be read: {_short(error)}"
    sys.stderr.write(text)
    sys.stderr.flush()


def digest_of(image: Any) -> str:
    """The registry's digest, or the image's id if it was built here."""
    digests = image.attrs.get("RepoDigests") or []
    return str(digests[0]).partition("@")[2] if digests else str(image.id)


def fidelity_of(image: Any) -> dict[str, str]:
    """What a stand-in's image says of itself by its labels; nothing for any other image."""
    labels = image.attrs.get("Config", {}).get("Labels") or {}
    product = {"product": labels[PRODUCT_LABEL]} if PRODUCT_LABEL in labels else {}
    if (fidelity := labels.get(FIDELITY_LABEL, "real")) == "real":
        return {}
    told = fidelity if fidelity in ("engine", "emulated") else "emulated"
    emulated = labels.get(EMULATED_LABEL) or "everything, since its image does not say what"
    return {"fidelity": told, "emulated": emulated, **product}


def _against_image(client: Any, reference: str) -> str:
    docker: Any = require("docker", extra="docker")
    try:
        client.images.get(reference)
        return ""
    except docker.errors.ImageNotFound:
        pass
    except Exception as error:
        return f"the engine did not answer about {reference}: {_short(error)}"
    try:
        client.images.get_registry_data(reference)
        return ""
    except Exception as error:
        return f"the image {reference} is not here and can't be pulled: {_short(error)}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_local(base_url: str) -> bool:
    return base_url.startswith(("http+docker:", "unix:")) or any(
        f"//{host}" in base_url for host in ("localhost", "127.0.0.1", "[::1]")
    )


def _image(service: Service) -> Image:
    if service.image is None:
        raise ServiceFailed(f"{service.name} has no image", hint="choose another provider")
    return service.image


def _short(error: Exception) -> str:
    text = str(getattr(error, "explanation", None) or error)
    return " ".join(text.split())[:300]


if __name__ == "__main__":
    if sys.argv[1:] == ["--look"]:
        sys.stdout.write(json.dumps(asdict(look(**json.loads(sys.stdin.readline())))))
    else:
        sys.exit(run(keep))
