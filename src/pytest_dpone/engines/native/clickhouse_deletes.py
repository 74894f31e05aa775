"""Deletes that a ClickHouse server still has to do: it reads the staging tables when it does them, not before."""

# ruff: noqa: S608 - values are written by `literal`

from __future__ import annotations

import time
from typing import Any

from ...core.wire import Endpoint
from ...errors import EngineFailed
from .address import place
from .clickhouse import literal

PATIENCE = 60.0
"""Seconds that a run waits for the deletes of an interrupted one."""
_PAUSE = 0.1


def wait_for_deletes(client: Any, endpoint: Endpoint, reads: str) -> None:
    """Return when the table has no delete to do that has the name `reads` in its text.

    Raises `EngineFailed` if that takes too long.
    """
    until = time.monotonic() + PATIENCE
    while reasons := _unfinished(client, endpoint, reads):
        if time.monotonic() > until:
            said = next(filter(None, reasons), "")
            raise EngineFailed(
                f"a delete that an interrupted load began on {place(endpoint)} is not done after {PATIENCE:g} s"
                + (f": {said}" if said else ""),
                hint="it reads a staging table, which stays for it: run again when system.mutations has it done, "
                "or end it by KILL MUTATION first; a new staging table of that name would make it delete other rows",
            )
        time.sleep(_PAUSE)


def _unfinished(client: Any, endpoint: Endpoint, reads: str) -> list[str]:
    """Of each such delete that is not done: why it failed last, or ""."""
    found = client.query(
        f"SELECT latest_fail_reason FROM system.mutations WHERE database = {literal(endpoint.namespace)}"
        f" AND table = {literal(endpoint.table)} AND NOT is_done AND position(command, {literal(reads)}) > 0"
    )
    return [str(row[0]) for row in found.result_rows]
