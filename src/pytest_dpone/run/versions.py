"""Row versions: which rows of the sink an engine has written again."""

from __future__ import annotations

import pyarrow as pa

from ..core.kinds import ID
from ..services.catalog import Catalog
from .act import Act
from .stage import Stage


def versions(stage: Stage) -> pa.Table | None:
    """(number, version) of each row of the sink; None if a reader can't see that."""
    if not isinstance(stage.sink, Catalog):
        return None
    return stage.sink.row_versions(stage.sink_space, stage.table, ID)


def judge_versions(act: Act, stage: Stage, before: pa.Table) -> None:
    """Rows that did not change were not rewritten: their versions are the same as before."""
    after = versions(stage)
    kept = stage.unchanged_versions(before)
    act.observed["unchanged_observed"] = kept.num_rows
    if kept.num_rows:
        written = rewritten(kept, after) if after is not None else None
        act.check("unchanged_not_rewritten", expected=0, actual=written)


def judge_repeat(act: Act, stage: Stage, before: pa.Table) -> None:
    """A run that finds nothing new has written no row again: each has the version that it had before."""
    after = versions(stage)
    written = rewritten(before, after) if after is not None else None
    act.check("repeat_writes_nothing", expected=0, actual=written)


def rewritten(before: pa.Table, after: pa.Table) -> int:
    """Rows of `before` that `after` does not hold with the same version. A number may be there twice."""
    names = ["key", "version"]
    one, other = before.rename_columns(names), after.rename_columns(names)
    return int(one.join(other, keys=names, join_type="left anti").num_rows)
