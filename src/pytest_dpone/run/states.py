"""What must hold of an engine's state beside the acts: two runs at once, and a state that is damaged (DESIGN §9)."""

from __future__ import annotations

from contextlib import ExitStack

from ..core.kinds import ID
from ..core.model import ActName, Check
from ..core.wire import Engine
from ..errors import described
from .act import Act
from .killing import doomed
from .stage import Stage


def two_runs(act: Act, stage: Stage) -> None:
    """Two runs of one job at once: one may be refused, and neither may load what the other one loads."""
    with ExitStack() as both:
        runs = [both.enter_context(doomed(engine=stage.settings.engine)) for _ in range(2)]
        for run in runs:
            run.begin(stage.job(ActName.CHANGE))
        ends = [run.wait() for run in runs]
    done = sum("facts" in end for end in ends)
    diff = stage.compare_sink(stage.expect(ActName.CHANGE))
    told = "" if diff.equal else f"{diff.missing} lost, {diff.duplicated} doubled, {diff.extra} extra"
    right = diff.equal and done > 0
    why = stage.scrub(str(ends[0].get("error")))[:200]
    detail = told or ("" if done else f"both failed: {why}")
    act.checks.append(
        Check(name="state_two_runs", passed=right, expected="one load", actual=f"{done} done", detail=detail)
    )


def damaged(act: Act, stage: Stage, engine: Engine) -> None:
    """A state that can't be read is an error: to load everything anew in silence would be one, too."""
    if not stage.inner_sink().damage(stage.sink_space, stage.state_table):
        return
    before = stage.sink.fingerprint(stage.sink_space, stage.table, ID)
    try:
        act.run(engine, stage.job(ActName.CHANGE))
    except Exception as error:
        told, raised = stage.scrub(described(error))[:200], True
    else:
        told, raised = "the run went on as if nothing were wrong", False
    same = stage.sink.fingerprint(stage.sink_space, stage.table, ID) == before
    act.checks.append(
        Check(
            name="state_damaged",
            passed=raised and same,
            expected="an error, and the sink untouched",
            actual=("an error" if raised else "no error") + ("" if same else ", and the sink changed"),
            detail=told,
        )
    )
