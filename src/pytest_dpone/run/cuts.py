"""What the job of each act says about the days that a strategy rewrites (DESIGN §4)."""

from __future__ import annotations

from ..core.dataset import partitions
from ..core.model import ActName, Strategy
from ..core.wire import Window

WHOLE = Window(start=partitions.FIRST, stop=partitions.STOP)
"""All days of a dataset."""
PART = Window(start=partitions.WINDOW[0], stop=partitions.WINDOW[1])
"""The days that act 2 rewrites."""
CHUNK_DAYS = 2


def cut(strategy: Strategy, act: ActName) -> dict[str, object]:
    """Fields of the `Job` of `act`, beside those that every job has. A repeated act has the job of the one before."""
    first = act is ActName.LOAD
    if strategy is Strategy.REPLACE:
        return {"window": None if first else PART}
    if strategy is Strategy.PARTITION_REPLACE:
        return {"partitions": None if first else partitions.NAMED}
    if strategy is Strategy.BACKFILL:
        return {
            "window": WHOLE if first else PART,
            "backfill_id": "first" if first else "second",
            "chunk_days": CHUNK_DAYS,
        }
    return {}
