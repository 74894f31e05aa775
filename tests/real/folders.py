"""Folders for servers that run as another user: under root pytest's own are closed to everybody else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_dpone.services.life import service_owner


@contextmanager
def passable() -> Iterator[Path]:
    """A folder of one's own that every user can pass through; it is removed at the end with all that lies in it."""
    with tempfile.TemporaryDirectory(prefix="dpone-", dir="/tmp") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def hand_over(folder: Path) -> Path:
    """Make `folder` if need be, and give it to the user that services run as."""
    folder.mkdir(exist_ok=True)
    os.chown(folder, *service_owner())
    return folder
