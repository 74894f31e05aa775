"""Transaction ids of Postgres: which rows a transaction since a watermark may have written, also when ids wrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ...errors import EngineFailed
from .ports import Source

_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class Horizon:
    """What a snapshot says about the ids of transactions, in 64 bits; `counter` names the server that counts them."""

    oldest: int
    """`pg_snapshot_xmin`: every transaction below it has ended, so what it wrote is seen, or never will be."""
    next: int
    """`pg_snapshot_xmax`: no transaction from here on is seen."""
    counter: str


@runtime_checkable
class TransactionSource(Source, Protocol):
    """A source whose rows tell which transaction wrote them, so that `Extract.xid` can be a watermark."""

    def horizon(self) -> Horizon:
        """What the snapshot that `read` reads from says about transactions."""
        ...


def written_since(xid: str, since: int, horizon: Horizon) -> str:
    """A condition over the expression `xid`, a row's 32-bit `xmin` as a bigint: written by `since` or later.

    Every visible row that a transaction in `since` … `horizon.next` has written meets it. The distance to `since` is
    taken modulo 2^32, so a wrap between the two changes nothing. Freezing does not matter either: a frozen row keeps
    its `xmin`, and so does one that VACUUM FULL moves. A frozen row from an earlier round of the counter may meet the
    condition, too: it is read once more than needed, and a merge leaves it as it is. When more than 2^32 transactions
    lie between, every row meets it.
    """
    if since > horizon.next:
        raise EngineFailed(
            f"the watermark {since} is ahead of the server, whose next transaction is {horizon.next}",
            hint="the server was put back to an older backup: remove the state and the table to load anew",
        )
    return f"({xid} - {since % _WRAP} + {_WRAP}) % {_WRAP} < {horizon.next - since}"
