"""What an engine has made for change data capture outside of the namespace: replication slots and publications."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import DponeError
from .pgcopy import quoted

if TYPE_CHECKING:
    import psycopg

_PATIENCE = 10.0


def drop_slots(connection: psycopg.Connection, names: Sequence[str]) -> None:
    """Drop the slots and publications with exactly these names, as far as they are there.

    A server process that still uses a slot belongs to an engine that is gone: it is ended first. Raises `DponeError`
    if the slot stays in use.
    """
    from psycopg import errors, sql

    wanted = "SELECT slot_name, active_pid FROM pg_replication_slots WHERE slot_name = ANY(%s)"
    patience = time.monotonic() + _PATIENCE
    while found := connection.execute(wanted, (list(names),)).fetchall():
        for name, process in found:
            if process is not None:
                connection.execute("SELECT pg_terminate_backend(%s)", (process,))
            try:
                connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
            except (errors.ObjectInUse, errors.UndefinedObject):
                if time.monotonic() > patience:
                    raise DponeError(
                        f"the replication slot {name!r} stays in use",
                        hint=f"end process {process} of the server, then run SELECT pg_drop_replication_slot('{name}')",
                    ) from None
                time.sleep(0.1)
    there = "SELECT pubname FROM pg_publication WHERE pubname = ANY(%s)"
    for (name,) in connection.execute(there, (list(names),)).fetchall():
        connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(quoted(name)))
