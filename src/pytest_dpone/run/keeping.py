"""Services that stay up after their run, since somebody wants to look into what its cases left there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DponeError
from ..services import journal, lease

if TYPE_CHECKING:
    from ..services.journal import Made
    from ..services.stack import Stack

_PATIENCE = 20.0
"""Seconds that a supervisor gets to stop its services."""


def keep_services(run_id: str, services: Callable[[], Stack]) -> list[str]:
    """Let the services run on that hold tables to keep; gives what a person needs to look into them.

    `services` is asked only if there is anything to keep.
    """
    kept: dict[str, list[Made]] = {}
    for made in journal.left(run_id):
        if made.ours:
            kept.setdefault(made.service, []).append(made)
    if not kept:
        return []
    stack = services()
    lines = [line for name, left in kept.items() for line in _told(stack, name, left)]
    stack.leave()
    return [
        (
            f"the services run on for a look, for a day at most; stop and remove them with "
            f"`pytest-dpone clean --run-id {run_id}`"
        ),
        *lines,
    ]


def kept_run(run_id: str) -> lease.Owner | None:
    """The owner of services that were kept after the run, or None if there are none."""
    base = lease.base_directory()
    owner = lease.read_owner(base / "runs" / run_id)
    return owner if owner is not None and owner.kept and lease.is_alive(run_id, base=base) else None


def stop_kept(owner: lease.Owner) -> None:
    """Stop the services of such a run, and forget what was in them. Its supervisor stops them, and nothing else."""
    if owner.supervisor is not None:
        lease.end_process(owner.supervisor, grace=_PATIENCE)
    for made in journal.left(owner.run_id):
        if made.ours:
            journal.forget(owner.run_id, made)


def _told(stack: Stack, name: str, left: list[Made]) -> list[str]:
    from ..services.handle import ServiceHandle
    from ..services.look import command_for

    try:
        handle = ServiceHandle(stack.ensure([name])[name], name="")
    except DponeError as error:
        return [f"  {error.fact.partition(chr(10))[0]}"]
    spaces = [made.namespace for made in left]
    folder = Path(stack.address).parent
    return [
        f"  {name} at {handle.host}:{handle.port}: {', '.join(spaces)}",
        f"    {command_for(handle, folder, spaces=spaces, bucket=left[0].bucket)}",
    ]
