"""Looks at what there is: the Docker Engine, in a process of its own since it may be slow, binaries, Apache Kafka."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from ..errors import UsageError
from .choice import DockerLook, KafkaLook
from .keeper import last_lines
from .kept import spawn
from .table import SERVICES

LIMIT = 10.0
"""Seconds for the whole look; an engine or registry that is slower counts as absent."""


class DockerLookup:
    """Starts the look once, and knows its result afterwards."""

    def __init__(
        self, images: Mapping[str, str], selector: selectors.BaseSelector, *, log: Path, compose_file: str = ""
    ) -> None:
        """`images`: service → reference instead of the pinned one. `log` takes what the look's libraries print.

        `compose_file` is looked at too, if it is given.
        """
        self._question = {"others": dict(images), "compose_file": compose_file}
        self._images = {
            service.name: images.get(service.name) or service.image.reference
            for service in SERVICES.values()
            if service.image is not None
        }
        self._selector = selector
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._result: DockerLook | None = None
        self._deadline = 0.0
        self._received = b""

    @property
    def running(self) -> bool:
        """If a look is under way."""
        return self._process is not None and self._result is None

    def start(self) -> None:
        """Start the look, unless it was started before."""
        if self._process is not None:
            return
        self._deadline = time.monotonic() + LIMIT
        self._process = spawn(
            "pytest_dpone.services.docker_engine", self._log, json.dumps({"images": self._images, **self._question})
        )
        assert self._process.stdout is not None
        self._selector.register(self._process.stdout, selectors.EVENT_READ, lambda _: self._hear())

    def result(self) -> DockerLook:
        """What was found; without a look: no engine."""
        return self._result or DockerLook()

    def look_at_deadline(self, now: float) -> None:
        """Give up a look that takes too long."""
        if self.running and now > self._deadline:
            self._finish(DockerLook(error=f"the Docker Engine or its registry did not answer within {LIMIT:g} s"))

    def stop(self) -> None:
        """End a look that is under way."""
        if self.running:
            self._finish(DockerLook())

    def _hear(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        data = os.read(self._process.stdout.fileno(), 65536)
        self._received += data
        if not data:
            try:
                self._finish(DockerLook(**json.loads(self._received)))
            except ValueError:
                self._finish(
                    DockerLook(error=f"the look at the Docker Engine failed: {last_lines(self._log, lines=1)}")
                )

    def _finish(self, result: DockerLook) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._result = result
        self._selector.unregister(self._process.stdout)
        self._process.kill()
        self._process.wait()


def has_postgres_binaries() -> bool:
    """If an embedded Postgres can run."""
    from .embedded.postgres import locate

    return locate(os.environ) is not None


def look_at_kafka() -> KafkaLook:
    """The Apache Kafka that the environment names."""
    from .embedded.kafka_real import locate

    try:
        home = locate(os.environ)
    except UsageError as error:
        return KafkaLook(error=f"{error.fact}; {error.hint}")
    return KafkaLook(version=home.version) if home is not None else KafkaLook()
