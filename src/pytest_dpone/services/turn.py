"""Taking turns on one service of a run, across all its processes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from .lease import base_directory


@contextmanager
def turn(run_id: str, service: str, *, alone: bool) -> Iterator[None]:
    """Wait until nobody is in the way: who is `alone` shares with nobody, the others share with each other.

    The lock lies in the run's directory and belongs to the open file, so it ends with its process, however that ends.
    A run without a directory of its own started no service that anybody else of it could use.
    """
    directory = base_directory() / "runs" / run_id
    if not directory.is_dir():
        yield
        return
    with open(directory / f"{service}.turn", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
