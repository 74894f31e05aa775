"""A Docker Compose project: its file, its environment, its containers. What the provider `compose` rests on."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import DponeError, ServiceFailed, UsageError
from .choice import DockerLook
from .life import new_password
from .table import SERVICES, Image

FILE = Path("docker", "docker-compose.integration.yml")
"""Where a project has the file, below its root."""
PACKAGED = Path(__file__).with_name(FILE.name)
PROJECT_PREFIX = "dpone-run-"
"""Of the names of our own projects; nobody attaches to those."""
_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_FILES = "com.docker.compose.project.config_files"
_FOLDER = "com.docker.compose.project.working_dir"


@dataclass(frozen=True)
class Project:
    """The run's own project: the file, the name, and the environment that fills the file in."""

    file: str
    name: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    services: tuple[str, ...] = ()
    """Our names of the services that were asked for together, so that one command starts them all."""


class RunProject:
    """The one project of a run, made when the first service needs it; every keeper gets the same."""

    def __init__(self, run_id: str, file: str, images: Mapping[str, str], *, learn: Callable[[str], None]) -> None:
        """`images` by our names of services; `learn` is told the password."""
        self._run_id = run_id
        self._file = file
        self._images = images
        self._learn = learn
        self._project: Project | None = None

    def serve(self, services: tuple[str, ...]) -> dict[str, Any]:
        """The project as a mapping, for the keepers of `services`."""
        if self._project is None:
            self._project = self._new()
        return asdict(replace(self._project, services=services))

    def _new(self) -> Project:
        password = new_password()
        self._learn(password)
        plain = re.sub(r"[^a-z0-9_-]", "-", self._run_id.lower())
        found = {"DPONE_COMPOSE_RUN_ID": self._run_id}
        for name, service in SERVICES.items():
            advertised = service.image is not None and service.image.advertised
            found[f"DPONE_{name.upper()}_PORT"] = str(_free_port()) if advertised else "0"
            found[f"DPONE_{name.upper()}_PASSWORD"] = password
        found |= image_variables(self._images)
        return Project(self._file, f"{PROJECT_PREFIX}{plain}-{os.urandom(4).hex()}", found)


def image_variables(images: Mapping[str, str]) -> dict[str, str]:
    """The variables of the file that name other images; `images` by our names of services."""
    return {f"DPONE_{name.upper()}_IMAGE": reference for name, reference in images.items()}


def compose_name(service: str) -> str:
    """What the file calls our `service`."""
    return service.replace("_", "-")


def chosen_file(given: str, root: Path) -> Path:
    """The file: the one that was given, else the one of the project at `root`, else the one that comes with us.

    Raises `UsageError` for one that is not there, or that can't stand in a shell's command, as pytest-docker has it.
    """
    if not given:
        return root / FILE if (root / FILE).is_file() else PACKAGED
    path = Path(given).absolute()
    if not path.is_file():
        raise UsageError(f"there is no compose file {path}", hint=f"without the option {FILE} or ours is used")
    if set(str(path)) & set('"$`\\\n'):
        raise UsageError("the path of the compose file has a character of the shell", hint="move it, or rename it")
    return path


def compose_command() -> str:
    """The words that start Docker Compose; empty if there is none here."""
    if shutil.which("docker"):
        done = subprocess.run(
            ["docker", "compose", "version"], capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=20
        )
        if done.returncode == 0:
            return "docker compose"
    return "docker-compose" if shutil.which("docker-compose") else ""


def images_of(command: str, file: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Image by service, by the file's names, as Compose itself reads the file; raises `ServiceFailed` if it can't."""
    done = subprocess.run(
        [*command.split(), "-f", file, "config"],
        env={**os.environ, **environment},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=20,
    )
    if done.returncode:
        raise ServiceFailed(
            f"the compose file {file} can't be read: {' '.join(done.stderr.split())[:300]}",
            hint="see what `config` of Docker Compose says about it",
        )
    # What `config` writes is in one form, whatever the file looks like: services two spaces deep, their keys four.
    found: dict[str, str] = {}
    part = name = ""
    for line in done.stdout.splitlines():
        if top := re.fullmatch(r"(\S+):.*", line):
            part = top[1]
        elif key := re.fullmatch(r"  (\S+):\s*", line):
            name = key[1].strip("'\"")
        elif part == "services" and (image := re.fullmatch(r"    image: (\S+)", line)):
            found[name] = image[1].strip("'\"")
    return found


def look_at_file(
    client: Any, seen: DockerLook, file: str, others: Mapping[str, str], against: Callable[[str], str]
) -> DockerLook:
    """`seen` with what there is to say about the compose file; `against` says of an image why it can't be had."""
    try:
        up = by_hand(client, file)
        if not (command := compose_command()):
            error = "" if up else "neither `docker compose` nor `docker-compose` is here"
            return replace(seen, compose_error=error, composed=dict.fromkeys(up, ""), up=tuple(up))
        images = images_of(command, file, image_variables(others))
    except DponeError as error:
        return replace(seen, compose_error=error.fact)
    except (OSError, subprocess.SubprocessError) as error:
        return replace(seen, compose_error=f"Docker Compose can't be asked: {error}"[:300])
    named = {name: images[compose_name(name)] for name in SERVICES if compose_name(name) in images}
    with ThreadPoolExecutor(max(1, len(named))) as pool:
        reasons = dict(zip(named, pool.map(against, named.values()), strict=True))
    return replace(seen, compose_error="", composed=reasons | dict.fromkeys(up, ""), up=tuple(up))


def by_hand(client: Any, file: str) -> dict[str, Any]:
    """Our names of the services that somebody has started from `file`, with their containers; one project only.

    Raises `ServiceFailed` if there are several such projects.
    """
    projects: dict[str, dict[str, Any]] = {}
    for container in client.containers.list(filters={"label": _PROJECT}):
        labels = container.labels
        project = labels[_PROJECT]
        if not project.startswith(PROJECT_PREFIX) and _is_from(labels, file):
            projects.setdefault(project, {})[labels.get(_SERVICE, "")] = container
    if len(projects) > 1:
        raise ServiceFailed(
            f"several projects run from {file}: {', '.join(sorted(projects))}",
            hint="stop all but one, or give a file of your own with --dpone-compose-file",
        )
    found = next(iter(projects.values()), {})
    return {name: found[compose_name(name)] for name in SERVICES if compose_name(name) in found}


def container_of(client: Any, project: str, service: str) -> Any | None:
    """The container of our `service` in the project, running or not; None if there is none."""
    labels = [f"{_PROJECT}={project}", f"{_SERVICE}={compose_name(service)}"]
    return next(iter(client.containers.list(all=True, filters={"label": labels})), None)


def remove_projects(client: Any, names: Sequence[str]) -> None:
    """Remove the containers, volumes and networks of our own projects; those of others are never touched."""
    for name in names:
        if not name.startswith(PROJECT_PREFIX):
            continue
        mine = {"label": f"{_PROJECT}={name}"}
        for container in client.containers.list(all=True, filters=mine):
            container.remove(force=True, v=True)
        for thing in (*client.volumes.list(filters=mine), *client.networks.list(filters=mine)):
            thing.remove()


def login_of(image: Image, environment: Sequence[str]) -> dict[str, str]:
    """User and password in a container's environment, found where the row of the service puts them."""
    there = dict(entry.partition("=")[::2] for entry in environment)
    found = {"user": image.user, "password": ""}
    for name, template in image.environment.items():
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.*)", re.escape(template))
        if match := re.fullmatch(pattern, there.get(name, "")):
            found |= match.groupdict()
    return {name: found[name] for name in ("user", "password")}


def _is_from(labels: Mapping[str, str], file: str) -> bool:
    folder = Path(labels.get(_FOLDER, ""))
    wanted = os.path.realpath(file)
    # Older versions of Compose note the path as it was typed, and the file's own folder beside it.
    return any(
        os.path.realpath(candidate) == wanted
        for noted in labels.get(_FILES, "").split(",")
        if noted
        for candidate in (folder / noted, folder / Path(noted).name)
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
