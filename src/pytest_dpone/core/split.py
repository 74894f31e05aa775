"""Cases into shards: the same parts on every machine for the same cases and the same durations."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from statistics import median_low

from ..errors import UsageError


def split(
    cases: Iterable[str], count: int, *, seconds: Mapping[str, float] | None = None
) -> tuple[tuple[str, ...], ...]:
    """Part the ids of cases into `count` shards, each sorted; none is empty.

    The longest case goes first, to the shard that has the least to do. A case without a duration takes the median of
    those that have one; without any, all count alike. Raises `UsageError` if there are fewer cases than shards.
    """
    names = sorted(set(cases))
    if len(names) < count:
        raise UsageError(
            f"{len(names)} cases can't fill {count} shards: one would certify nothing",
            hint=f"give at most {len(names)} shards",
        )
    # Whole microseconds, so that no sum hangs on the order of its parts; a case always costs something.
    known = {name: max(1, round((seconds or {})[name] * 1e6)) for name in names if name in (seconds or {})}
    other = median_low(known.values()) if known else 1
    parts: list[list[str]] = [[] for _ in range(count)]
    loads = [(0, 0, number) for number in range(count)]
    for name in sorted(names, key=lambda name: (-known.get(name, other), name)):
        load, size, number = heapq.heappop(loads)
        parts[number].append(name)
        heapq.heappush(loads, (load + known.get(name, other), size + 1, number))
    return tuple(tuple(sorted(part)) for part in parts)
