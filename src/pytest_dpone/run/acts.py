"""The acts of a case: each plays one part, then judges what the services hold (DESIGN §3)."""

from __future__ import annotations

from contextlib import ExitStack

import pyarrow as pa
import pyarrow.compute as pc

from ..core.counts import certain_counts
from ..core.dataset import Commit, partitions
from ..core.kinds import ID
from ..core.model import ActName, Check, Strategy
from ..core.oracle import Expectation, expect_source, reconciles
from ..core.wire import Engine, RunFacts
from ..services.catalog import Events
from . import events, history, staging
from .act import Act, Counted, cut_short
from .poll import Poll
from .stage import Stage
from .versions import judge_repeat, judge_versions, versions

WATERMARKED = (Strategy.INCREMENTAL_APPEND, Strategy.INCREMENTAL_MERGE, Strategy.XMIN, Strategy.CDC)
"""Strategies that go on from a state that the last run has left."""
_MOVING = (Strategy.XMIN, Strategy.CDC)
"""Of these the ones whose state is a place in the server's own history, which moves by what others do, too."""
KEPT = (*WATERMARKED, Strategy.BACKFILL)
"""Strategies that keep a state."""
_WRITES_NOTHING = (Strategy.INCREMENTAL_APPEND, Strategy.BACKFILL)
_WRITES_NO_ROW_AGAIN = (Strategy.SNAPSHOT_DIFF, Strategy.BACKFILL)


def provision(act: Act, stage: Stage) -> None:
    """Act 0: create and seed the source, read it back, so that a bad seed is never blamed on the engine."""
    stage.source.open(stage.source_space)
    if stage.sink_space != stage.source_space:
        stage.sink.open(stage.sink_space)
    if stage.staging is not None:
        stage.staging.catalog.open(stage.staging.space)
    schema = stage.dataset.schema
    stage.source.create(stage.source_space, stage.table, schema)
    batches = Counted(stage.dataset.before())
    loaded = stage.source.load(stage.source_space, stage.table, schema, batches)
    act.observed["bytes"] = batches.bytes
    act.planned["rows"] = stage.dataset.spec.rows_before
    act.planned["key"] = f"{stage.dataset.key}: {', '.join(schema.key)}"
    act.check("seeded", expected=stage.dataset.spec.rows_before, actual=loaded)
    act.check_rows("source", stage.compare_source(expect_source(stage.dataset, changed=False)))


def load(act: Act, stage: Stage, engine: Engine) -> None:
    """Act 1: the sink must equal `expected(S0)`. For xmin a transaction is open meanwhile, which commits afterwards."""
    staging.judge_use(act, stage, engine)
    with ExitStack() as held:
        if stage.case.strategy is Strategy.XMIN:
            finish = stage.transactions().hold(
                stage.source_space, stage.table, stage.dataset.schema, stage.dataset.commits()[-1]
            )
            held.callback(finish)
            _write_again(stage)
        facts = act.run(engine, stage.job(ActName.LOAD))
        judge(act, stage, stage.expect(ActName.LOAD))
    rows = stage.dataset.spec.rows_before
    act.check("facts.read", expected=rows, actual=facts.read)
    act.check("facts.written", expected=rows, actual=facts.written)
    judge_counts(act, stage, facts)
    keep_state(act, stage, facts)


def _write_again(stage: Stage) -> None:
    """Write a row of S0 as it is: now the table's greatest `xmin` is beyond the transaction that is open.

    Who goes on from that, or from the end of the snapshot, will miss what the open transaction commits.
    """
    schema, late = stage.dataset.schema, stage.dataset.commits()[-1]
    for batch in stage.dataset.before():
        free = batch.filter(pc.invert(pc.is_in(batch.column(ID), late.updates.column(ID).combine_chunks())))
        if free.num_rows:
            none, row = late.updates.slice(0, 0), pa.Table.from_batches([free.slice(0, 1)])
            stage.source.change(stage.source_space, stage.table, schema, [Commit(late.deletes.slice(0, 0), row, none)])
            return


def change(act: Act, stage: Stage, engine: Engine) -> None:
    """Act 2: real DML on the source, then the sink must equal `expected(S0, S1)`."""
    strategy = stage.case.strategy
    _change_source(act, stage)
    if strategy is Strategy.PARTITION_REPLACE:
        _keep_empty_partition(act, stage, engine)
    before = versions(stage) if strategy is Strategy.SNAPSHOT_DIFF else None
    expectation = stage.expect(ActName.CHANGE)
    facts = _run_polled(act, stage, engine, expectation)
    judge(act, stage, expectation)
    if strategy in KEPT and stage.dataset.spec.rows_before:
        act.check("state_continues", expected=stage.claims[ActName.LOAD], actual=facts.state_before)
    judge_counts(act, stage, facts)
    if before is not None:
        judge_versions(act, stage, before)
    keep_state(act, stage, facts)


def repeat(act: Act, stage: Stage, engine: Engine) -> None:
    """Act 3: nothing new, so the sink is unchanged, no row is new, and the state means the same."""
    strategy = stage.case.strategy
    before = versions(stage) if strategy in _WRITES_NO_ROW_AGAIN else None
    facts = act.run(engine, stage.job(ActName.REPEAT))
    judge(act, stage, stage.expect(ActName.REPEAT))
    if strategy in KEPT and strategy not in _MOVING:
        act.check("state_unchanged", expected=stage.claims[ActName.CHANGE], actual=facts.state_after)
    if strategy in _WRITES_NOTHING:
        act.check("repeat_writes_nothing", expected=0, actual=facts.written)
    judge_counts(act, stage, facts)
    if before is not None:
        judge_repeat(act, stage, before)


def reconcile(act: Act, stage: Stage, engine: Engine) -> None:
    """Act 4: the engine's snapshot reconciliation removes what the source lost and brings what came late."""
    planned = stage.dataset.counts.delete
    act.planned["deletes"] = planned
    facts = act.run(engine, stage.job(ActName.RECONCILE, mode="reconcile"))
    judge(act, stage, stage.expect(ActName.RECONCILE))
    act.check("deletes_reconciled", expected=planned, actual=facts.deleted)
    judge_counts(act, stage, facts)
    act.observed["deletes_checked"] = planned
    if act.diff is not None:
        act.observed |= {"deletes_missed": act.diff.extra, "deletes_false": act.diff.missing}


def needs_reconcile(stage: Stage) -> bool:
    """If act 4 is played."""
    return reconciles(stage.case.strategy)


def return_keys(act: Act, stage: Stage, engine: Engine) -> None:
    """scd2: keys that the source had lost come back; each gets a version that begins after its absence."""
    returns = stage.dataset.returns()
    act.planned["returned"] = returns.inserts.num_rows
    stage.source.change(stage.source_space, stage.table, stage.dataset.schema, [returns])
    facts = act.run(engine, stage.job(ActName.RETURN))
    judge(act, stage, stage.expect(ActName.RETURN))
    judge_counts(act, stage, facts)


def judge(act: Act, stage: Stage, expectation: Expectation) -> None:
    """Compare the sink's columns and rows with `expectation`, and the intervals of a history with each other."""
    schema = stage.check_schema()
    act.checks.append(schema)
    if not schema.passed:
        act.error = f"rows not compared: the sink's columns are wrong: {schema.detail}"
        return
    act.check_rows("rows", stage.compare_sink(expectation))
    if stage.case.strategy is Strategy.SCD2:
        history.judge(act, stage)
    events.judge(act, stage)
    staging.judge_rest(act, stage)


def keep_state(act: Act, stage: Stage, facts: RunFacts) -> None:
    """Remember the state that the engine says it left; a strategy that goes on from it must have one."""
    stage.claims[act.name] = facts.state_after
    if stage.case.strategy in KEPT:
        told = cut_short(facts.state_after)
        act.checks.append(Check(name="state_kept", passed=bool(facts.state_after), expected="a state", actual=told))


def _change_source(act: Act, stage: Stage) -> None:
    """Change the source and read it back. What was held open during act 1 is committed already."""
    counts, commits = stage.dataset.counts, stage.dataset.commits()
    act.planned.update(
        inserts=counts.inserted,
        updates=counts.touched - counts.delete - counts.reinsert,
        deletes=counts.delete,
        reinserted=counts.reinsert,
        late=counts.update_late + counts.insert_late,
    )
    new = commits[:-1] if stage.case.strategy is Strategy.XMIN else commits
    stage.source.change(stage.source_space, stage.table, stage.dataset.schema, new)
    source = stage.compare_source(expect_source(stage.dataset, changed=True))
    act.check("source", expected=0, actual=source.missing + source.extra + source.changed + source.duplicated)


def _keep_empty_partition(act: Act, stage: Stage, engine: Engine) -> None:
    """A partition that the source has lost stays as it is where the job says so."""
    job = stage.job(ActName.CHANGE, partitions=(partitions.VANISHING,), empty_partition="keep")
    act.run(engine, job)
    diff = stage.compare_sink(stage.expect(ActName.LOAD))
    wrong = diff.missing + diff.extra + diff.changed + diff.duplicated
    act.check("empty_partition_kept", expected=0, actual=wrong)


def judge_counts(act: Act, stage: Stage, facts: RunFacts) -> None:
    """What the engine says that it did must be what the oracle knows of it; what it does not say is missing only where
    the strategy promises it (snapshot_diff, DESIGN §4).
    """
    strategy = stage.case.strategy
    for name, count in certain_counts(stage.dataset, strategy, act.name, folded=stage.sink_folds).items():
        told = getattr(facts, name)
        if told is not None or strategy is Strategy.SNAPSHOT_DIFF:
            expected = count.least if count.least == count.most else str(count)
            right = told is not None and count.allows(told)
            act.checks.append(Check(name=f"facts.{name}", passed=right, expected=expected, actual=told))


def _run_polled(act: Act, stage: Stage, engine: Engine, expectation: Expectation) -> RunFacts:
    """Run the engine; where a reader can see old or new, whole, one polls the sink meanwhile."""
    job = stage.job(ActName.CHANGE)
    if isinstance(stage.sink, Events):
        return events.watched(act, stage, lambda: act.run(engine, job))
    if stage.case.strategy is not Strategy.FULL_REFRESH or not stage.sink_swaps:
        return act.run(engine, job)
    # The numbers of the rows would not tell of a row that is updated in place.
    column = "revision"
    whole = tuple(stage.fingerprint_of(rows, column) for rows in (stage.expect(ActName.LOAD), expectation))
    with Poll(stage, stage.table, column=column) as poll:
        facts = act.run(engine, job)
    act.checks.append(events.seen_whole("swap", act, stage, poll, whole))
    return facts
