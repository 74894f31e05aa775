"""The services of a simulated run: no process, no port; a folder with Arrow files stands for each of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

from pydantic import SecretStr

from ..core.model import ServiceRecord
from ..core.wire import ServiceInfo
from ..errors import DponeError, ServiceFailed
from . import lease
from .choice import Choice

EMULATED = "the whole service: Arrow files that obey the family's contracts"


class MemoryStack:
    """Answers what `Stack` answers, for any service. `address` is the run's folder."""

    def __init__(self, address: str, *, lock: int | None = None) -> None:
        """Use `launch` or `connect`."""
        self.address = address
        self._lock = lock

    @classmethod
    def launch(cls, run_id: str) -> Self:
        """Make the run's folder, after those of dead owners are removed; raises `ServiceFailed` if it can't be made.

        The folder lies below the temporary directory. A run that was killed leaves it to the next run.
        """
        base = lease.base_directory()
        lease.reap(base, remove_containers=_leave_containers)
        held = lease.create(run_id, base=base)
        return cls(str(held.path), lock=held.lock_fd)

    @classmethod
    def connect(cls, address: str) -> Self:
        """The stack that another process has launched; raises `ServiceFailed` if its folder is gone."""
        if not Path(address).is_dir():
            raise ServiceFailed(
                f"the folder of the simulated run is gone: {address}",
                hint="the run that owns it is over; start the run again",
            )
        return cls(address)

    @property
    def folder(self) -> Path:
        """A folder that goes with the run."""
        return Path(self.address)

    def choose(self, names: Iterable[str]) -> dict[str, Choice]:
        """`memory` for each service; nothing is looked for. Which families can be simulated, the engine says."""
        return {name: Choice(name, "memory", "the run is simulated") for name in names}

    def ensure(self, names: Iterable[str]) -> dict[str, ServiceInfo]:
        """A folder for each service."""
        return {name: self._info(name) for name in names}

    def died(self, name: str) -> str | None:  # noqa: ARG002 - the signature is that of `Stack`
        """None: there is nothing that could die."""
        return None

    def scrub(self, text: str) -> str:
        """`text` as it is: the addresses of a simulated run hold no secret."""
        return text

    def close(self) -> None:
        """Remove the folder. For the process that has launched; may be called again."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lease.remove_tree(Path(self.address))
            os.close(lock)

    def _info(self, name: str) -> ServiceInfo:
        folder = Path(self.address) / "tables" / name
        folder.mkdir(parents=True, exist_ok=True)
        record = ServiceRecord(
            name=name,
            provider="memory",
            product="simulated",
            version="in memory",
            fidelity="emulated",
            emulated=EMULATED,
        )
        return ServiceInfo(record=record, url=SecretStr(f"memory://{quote(str(folder))}?family={name}"))


def _leave_containers(ids: Sequence[str], run_id: str) -> None:
    raise DponeError(f"the run {run_id} left {len(ids)} containers", hint="a run with services removes them")
