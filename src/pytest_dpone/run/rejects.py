"""The act `reject`: a value that the sink can't hold must raise the declared error (DESIGN §5)."""

from __future__ import annotations

import re

from ..core.dataset import Rejection
from ..core.diff import show
from ..core.kinds import ID
from ..core.model import ActName, Check, Strategy
from ..core.wire import Engine
from ..errors import described
from .act import Act
from .stage import Stage


def reject(act: Act, stage: Stage, engine: Engine) -> None:
    """Each value that the sink can't hold must raise the declared error, and must not be in the sink in any form."""
    every = stage.case.strategy is Strategy.FULL_REFRESH
    for number, rejection in enumerate(stage.dataset.rejections(all_values=every)):
        _reject_one(act, stage, engine, rejection, table=f"reject_{number}")
    act.planned["values"] = len(act.checks)


def rejects_anything(stage: Stage) -> bool:
    """If the source holds a value that the sink must refuse."""
    return next(stage.dataset.rejections(all_values=False), None) is not None


def _reject_one(act: Act, stage: Stage, engine: Engine, rejection: Rejection, *, table: str) -> None:
    name = f"rejects.{rejection.kind}.{rejection.feature}"
    stage.source.create(stage.source_space, table, rejection.schema)
    stage.source.load(stage.source_space, table, rejection.schema, [rejection.rows])
    job = stage.beside(table).job(ActName.LOAD, schema=rejection.schema)
    value = _visible_value(rejection)
    try:
        act.run(engine, job)
    except Exception as error:
        text = stage.scrub(described(error))
        # The message alone: the name of an exception class says nothing about the value.
        declared = re.search(rejection.error, str(error)) is not None
        left = stage.sink.fingerprint(stage.sink_space, table, ID)
        rows = 0 if left is None else left.rows
        detail = f"{value}: " + ("" if declared else f"raised something else than /{rejection.error}/: {text[:300]}")
        act.checks.append(
            Check(name=name, passed=declared and rows == 0, expected="refused", actual=f"{rows} rows", detail=detail)
        )
    else:
        act.checks.append(
            Check(name=name, passed=False, expected="refused", actual="no error", detail=f"{value} was taken silently")
        )


def _visible_value(rejection: Rejection) -> str:
    """The value of a rejection, for people."""
    return show(rejection.rows.column("value")[0].as_py(), rejection.kind)
