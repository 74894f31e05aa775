"""The days of the partition column, and which of them the strategies rewrite in act 2."""

from __future__ import annotations

import datetime as dt

FIRST = dt.date(2024, 1, 1)
COUNT = 12
VANISHING = FIRST + dt.timedelta(days=COUNT)
"""Half of the rows that S1 lacks are of this day, and no other row: the source has none of it in S1."""
STOP = VANISHING + dt.timedelta(days=1)
"""The day after the last one."""

WINDOW = (dt.date(2024, 1, 4), dt.date(2024, 1, 9))
"""What `replace` and `backfill` rewrite in act 2, from the first day to below the second."""
NAMED = (dt.date(2024, 1, 3), dt.date(2024, 1, 5), dt.date(2024, 1, 11), VANISHING)
"""What `partition_replace` rewrites in act 2."""
ALWAYS = NAMED[1]
"""A day inside of both."""


def days_since_1970(day: dt.date) -> int:
    """`day` as Arrow's date32 counts it."""
    return (day - dt.date(1970, 1, 1)).days
