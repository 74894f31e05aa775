"""Ways to go wrong over a staging area. For ClickHouse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from ....core.wire import Job
from ...native import Sink


def direct(job: Job) -> Job:
    """A job that stages nothing."""
    return job.model_copy(update={"staging": None})


def never_clears(_job: Job, sink: Sink) -> Sink:
    """The sink, which leaves its objects where they are."""
    inner: Any = sink
    if inner._area is not None:
        inner._area.clear = lambda: None
    return sink


def misses_nothing(_job: Job, sink: Sink) -> Sink:
    """The sink, which loads all objects but the last, and takes as many rows for loaded as it has sent."""
    inner: Any = sink
    area = inner._area
    if area is None:
        return sink
    put, sent = area.put, 0

    def counted(tables: Iterable[pa.Table]) -> Iterable[pa.Table]:
        nonlocal sent
        for table in tables:
            sent += table.num_rows
            yield table

    area.put = lambda tables: put(counted(tables))[:-1]
    inner._count = lambda _name: sent
    return sink
