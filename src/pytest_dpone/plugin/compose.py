"""The keeper's program of the compose provider.

pytest-docker's executor runs the commands of Docker Compose. Its module imports pytest, so it is brought in here, and
not in `services`. The supervisor starts this module as a process of its own; nothing imports it.
"""

from __future__ import annotations

import sys
from functools import partial

from ..services.compose import Execute, keep
from ..services.keeper import run


def executor(command: str, file: str, project: str) -> Execute:
    """pytest-docker's executor for the project."""
    from pytest_docker.plugin import DockerComposeExecutor

    execute: Execute = DockerComposeExecutor(command, file, project).execute
    return execute


if __name__ == "__main__":
    sys.exit(run(partial(keep, executor=executor)))
