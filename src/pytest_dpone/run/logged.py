"""The act `log`: what a change log tells that two snapshots do not (cdc, DESIGN §4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa

from ..core.dataset import logged
from ..core.kinds import ID
from ..core.model import ActName
from ..core.oracle import expect_table
from ..core.wire import Engine
from .act import Act
from .acts import judge, keep_state
from .stage import Stage


def log(act: Act, stage: Stage, engine: Engine) -> None:
    """Keys change, then the table is emptied and filled anew; after each the sink must mirror the source."""
    source, dataset = stage.transactions(), stage.dataset
    keys = logged.rekeyed(dataset)
    act.planned["rekeyed"] = len(keys)
    source.rekey(stage.source_space, stage.table, ID, keys, offset=logged.OFFSET)
    _mirrored(act, stage, engine, partial(logged.after_rekeying, dataset))
    if any(not check.passed for check in act.checks):
        return
    source.truncate(stage.source_space, stage.table)
    rows = partial(logged.after_truncating, dataset)
    stage.source.load(stage.source_space, stage.table, dataset.schema, rows())
    _mirrored(act, stage, engine, rows)


def _mirrored(act: Act, stage: Stage, engine: Engine, rows: Callable[[], Iterator[pa.RecordBatch]]) -> None:
    facts = act.run(engine, stage.job(ActName.LOG))
    judge(act, stage, expect_table(stage.dataset, rows))
    keep_state(act, stage, facts)
