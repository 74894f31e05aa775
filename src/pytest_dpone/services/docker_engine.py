"""The Docker Engine: a look at what it has, and the removal of remains. As a program it prints the look."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import Any

from ..errors import require
from .choice import DockerLook

RUN_LABEL = "dev.pytest-dpone.run-id"
SERVICE_LABEL = "dev.pytest-dpone.service"
FIDELITY_LABEL = "dev.pytest-dpone.fidelity"
EMULATED_LABEL = "dev.pytest-dpone.emulated"
PRODUCT_LABEL = "dev.pytest-dpone.product"
"""Of the images of stand-ins."""
_LOOK_TIMEOUT = 5
"""Seconds for each question to the engine during the look; asking a registry is one."""
_NONE: Mapping[str, str] = MappingProxyType({})


def client_of(*, timeout: int) -> Any:
    """A client of the engine; `timeout` is for each request, in seconds."""
    docker: Any = require("docker", extra="docker")
    return docker.from_env(timeout=timeout)


def look(images: Mapping[str, str], *, others: Mapping[str, str] = _NONE, compose_file: str = "") -> DockerLook:
    """What the engine says: its version, and for each service's image why it can't be had (empty: it can).

    `others` are those of `images` that were named instead of the pinned ones. With `compose_file` the same for its
    services.
    """
    try:
        client = client_of(timeout=_LOOK_TIMEOUT)
        engine = str(client.version()["Version"])
        info = client.info()
    except Exception as error:  # docker, requests and urllib3 each have trees of their own
        return DockerLook(error=f"no Docker Engine answers: {short(error)}")
    if not _is_local(str(client.api.base_url)):
        return DockerLook(error=f"the Docker Engine at {client.api.base_url} is on another machine")
    with ThreadPoolExecutor(len(images)) as pool:
        reasons = pool.map(lambda reference: _against_image(client, reference), images.values())
        found = dict(zip(images, reasons, strict=True))
        stand_ins = pool.map(lambda reference: _stand_in(client, reference), images.values())
        seen = DockerLook(
            engine=engine,
            error="",
            images=found,
            memory=int(info.get("MemTotal", 0)),
            root=str(info.get("DockerRootDir", "")),
            stand_ins={name: told for name, told in zip(images, stand_ins, strict=True) if told},
        )
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


def short(error: Exception) -> str:
    """What the engine says, on one line."""
    text = str(getattr(error, "explanation", None) or error)
    return " ".join(text.split())[:300]


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


def _against_image(client: Any, reference: str) -> str:
    docker: Any = require("docker", extra="docker")
    try:
        client.images.get(reference)
        return ""
    except docker.errors.ImageNotFound:
        pass
    except Exception as error:
        return f"the engine did not answer about {reference}: {short(error)}"
    try:
        client.images.get_registry_data(reference)
        return ""
    except Exception as error:
        return f"the image {reference} is not here and can't be pulled: {short(error)}"


def _stand_in(client: Any, reference: str) -> str:
    """The fidelity that an image tells of itself; empty for the vendor's, and for one that is not here."""
    try:
        return fidelity_of(client.images.get(reference)).get("fidelity", "")
    except Exception:  # why it can't be had is told by `_against_image`
        return ""


def _is_local(base_url: str) -> bool:
    return base_url.startswith(("http+docker:", "unix:")) or any(
        f"//{host}" in base_url for host in ("localhost", "127.0.0.1", "[::1]")
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(look(**json.loads(sys.stdin.readline())))))
