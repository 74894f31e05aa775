"""The acts of a case: each plays one part, then judges what the services hold (DESIGN §3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc

from ..core.dataset import Rejection
from ..core.diff import show
from ..core.gates.tallies import PHASE
from ..core.model import ActName, ActRecord, Check, DiffReport, Scalar, Strategy
from ..core.oracle import Expectation, expect, expect_source, expected_counts, reconciles
from ..core.wire import Engine, Job, RunFacts
from ..errors import described
from .foreign import facts_of
from .memory import PeakMemory
from .poll import Poll
from .stage import STATE, TABLE, Stage

_LONGEST = 200
_MOST_PHASES = 32
WATERMARKED = (Strategy.INCREMENTAL_APPEND, Strategy.INCREMENTAL_MERGE)


@dataclass(slots=True)
class Act:
    """An act that is being played; `record` closes it."""

    name: ActName
    started: float = field(default_factory=monotonic)
    engine_seconds: float = 0.0
    rows: int = 0
    checks: list[Check] = field(default_factory=list)
    planned: dict[str, Scalar] = field(default_factory=dict)
    observed: dict[str, Scalar] = field(default_factory=dict)
    diff: DiffReport | None = None
    error: str = ""

    def check(self, name: str, *, expected: Scalar, actual: Scalar, detail: str = "") -> None:
        """Add a check that two values are equal, bool apart from int."""
        same = type(expected) is type(actual) and expected == actual
        self.checks.append(Check(name=name, passed=same, expected=_cut(expected), actual=_cut(actual), detail=detail))

    def check_rows(self, name: str, diff: DiffReport) -> None:
        """Add a check that two tables hold the same rows."""
        self.rows, self.diff = diff.expected_rows, diff
        detail = "" if diff.equal else _told(diff)
        self.checks.append(
            Check(name=name, passed=diff.equal, expected=diff.expected_rows, actual=diff.actual_rows, detail=detail)
        )

    def run(self, engine: Engine, job: Job) -> RunFacts:
        """Run the engine and time it apart from the harness's own work."""
        begin = monotonic()
        peak = PeakMemory()
        try:
            facts = facts_of(engine, job)
        finally:
            self.engine_seconds += monotonic() - begin
        self._observe(peak.megabytes(), facts)
        for name in ("read", "written", "inserted", "updated", "deleted", "unchanged"):
            if (value := getattr(facts, name)) is not None:
                self.observed[name] = value
        return facts

    def _observe(self, megabytes: float | None, facts: RunFacts) -> None:
        """What an act needed in all its runs: the highest peak, and the seconds of each phase."""
        if megabytes is not None:
            self.observed["memory_peak_mb"] = max(megabytes, self._number("memory_peak_mb"))
        for phase, seconds in list(facts.seconds.items())[:_MOST_PHASES]:
            name = f"{PHASE}{phase[:_LONGEST]}"
            self.observed[name] = round(self._number(name) + seconds, 4)

    def _number(self, name: str) -> float:
        value = self.observed.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def record(self) -> ActRecord:
        """What the act left. An act without a check has not passed."""
        passed = bool(self.checks) and all(check.passed for check in self.checks) and not self.error
        return ActRecord(
            name=self.name,
            passed=passed,
            rows=self.rows,
            engine_seconds=round(self.engine_seconds, 4),
            harness_seconds=round(max(0.0, monotonic() - self.started - self.engine_seconds), 4),
            planned=self.planned,
            observed=self.observed,
            checks=tuple(self.checks),
            diff=self.diff,
            error=self.error,
        )


class Counted:
    """Batches, and the bytes of those that were taken: as Arrow holds them, without compression."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self.bytes = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.bytes += batch.nbytes
            yield batch


def _cut(value: Scalar) -> Scalar:
    """A text that is too long for a record, such as an engine's state, with its length instead of its end."""
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]}… ({len(value)} characters)"
    return value


def _told(diff: DiffReport) -> str:
    counts = [
        f"{count} {name}"
        for name, count in (
            ("missing", diff.missing),
            ("extra", diff.extra),
            ("changed", diff.changed),
            ("duplicated", diff.duplicated),
        )
        if count
    ]
    return ", ".join(counts)


def provision(act: Act, stage: Stage) -> None:
    """Act 0: create and seed the source, read it back, so that a bad seed is never blamed on the engine."""
    stage.source.open(stage.source_space)
    if stage.sink_space != stage.source_space:
        stage.sink.open(stage.sink_space)
    schema = stage.dataset.schema
    stage.source.create(stage.source_space, TABLE, schema)
    batches = Counted(stage.dataset.before())
    loaded = stage.source.load(stage.source_space, TABLE, schema, batches)
    act.observed["bytes"] = batches.bytes
    act.planned["rows"] = stage.dataset.spec.rows_before
    act.check("seeded", expected=stage.dataset.spec.rows_before, actual=loaded)
    act.check_rows("source", stage.compare_source(expect_source(stage.dataset, changed=False)))


def load(act: Act, stage: Stage, engine: Engine) -> None:
    """Act 1: the sink must equal `expected(S0)`."""
    facts = act.run(engine, stage.job())
    _judge(act, stage, expect(stage.dataset, stage.case.strategy, ActName.LOAD))
    rows = stage.dataset.spec.rows_before
    act.check("facts.read", expected=rows, actual=facts.read)
    act.check("facts.written", expected=rows, actual=facts.written)
    _judge_counts(act, stage, facts)
    _keep_state(act, stage, facts)


def change(act: Act, stage: Stage, engine: Engine) -> None:
    """Act 2: real DML on the source, then the sink must equal `expected(S0, S1)`."""
    counts = stage.dataset.counts
    act.planned.update(
        inserts=counts.inserted,
        updates=counts.touched - counts.delete - counts.reinsert,
        deletes=counts.delete,
        reinserted=counts.reinsert,
        late=counts.update_late + counts.insert_late,
    )
    stage.source.change(stage.source_space, TABLE, stage.dataset.schema, stage.dataset.commits())
    source = stage.compare_source(expect_source(stage.dataset, changed=True))
    act.check("source", expected=0, actual=source.missing + source.extra + source.changed + source.duplicated)
    strategy = stage.case.strategy
    before = _versions(stage) if strategy is Strategy.SNAPSHOT_DIFF else None
    expectation = expect(stage.dataset, strategy, ActName.CHANGE)
    facts = _run_polled(act, stage, engine, expectation)
    _judge(act, stage, expectation)
    if strategy in WATERMARKED and stage.dataset.spec.rows_before:
        act.check("state_continues", expected=stage.claims[ActName.LOAD], actual=facts.state_before)
    if strategy is Strategy.INCREMENTAL_APPEND:
        act.check("facts.written", expected=act.rows - stage.dataset.spec.rows_before, actual=facts.written)
    _judge_counts(act, stage, facts)
    if before is not None:
        _judge_versions(act, stage, before)
    _keep_state(act, stage, facts)


def repeat(act: Act, stage: Stage, engine: Engine) -> None:
    """Act 3: nothing new, so the sink is unchanged, no row is new, and the state means the same."""
    strategy = stage.case.strategy
    before = _versions(stage) if strategy is Strategy.SNAPSHOT_DIFF else None
    facts = act.run(engine, stage.job())
    _judge(act, stage, expect(stage.dataset, strategy, ActName.REPEAT))
    if strategy in WATERMARKED:
        act.check("state_unchanged", expected=stage.claims[ActName.CHANGE], actual=facts.state_after)
    if strategy is Strategy.INCREMENTAL_APPEND:
        act.check("repeat_writes_nothing", expected=0, actual=facts.written)
    _judge_counts(act, stage, facts)
    if before is not None:
        after = _versions(stage)
        rewritten = _rewritten(before, after) if after is not None else None
        act.check("repeat_writes_nothing", expected=0, actual=rewritten)


def reconcile(act: Act, stage: Stage, engine: Engine) -> None:
    """Act 4: the engine's snapshot reconciliation removes what the source lost and brings what came late."""
    planned = stage.dataset.counts.delete
    act.planned["deletes"] = planned
    facts = act.run(engine, stage.job(mode="reconcile"))
    _judge(act, stage, expect(stage.dataset, stage.case.strategy, ActName.RECONCILE))
    act.check("deletes_reconciled", expected=planned, actual=facts.deleted)
    act.observed["deletes_checked"] = planned


def reject(act: Act, stage: Stage, engine: Engine) -> None:
    """Each value that the sink can't hold must raise the declared error, and must not be in the sink in any form."""
    every = stage.case.strategy is Strategy.FULL_REFRESH
    for number, rejection in enumerate(stage.dataset.rejections(all_values=every)):
        _reject_one(act, stage, engine, rejection, table=f"reject_{number}")
    act.planned["values"] = len(act.checks)


def rejects_anything(stage: Stage) -> bool:
    """If the source holds a value that the sink must refuse."""
    return next(stage.dataset.rejections(all_values=False), None) is not None


def needs_reconcile(stage: Stage) -> bool:
    """If act 4 is played."""
    return reconciles(stage.case.strategy)


def _reject_one(act: Act, stage: Stage, engine: Engine, rejection: Rejection, *, table: str) -> None:
    name = f"rejects.{rejection.kind}.{rejection.feature}"
    stage.source.create(stage.source_space, table, rejection.schema)
    stage.source.load(stage.source_space, table, rejection.schema, [rejection.rows])
    job = stage.job(table=table, state=f"{STATE}_{table}", schema=rejection.schema)
    value = _visible_value(rejection)
    try:
        act.run(engine, job)
    except Exception as error:
        text = stage.scrub(described(error))
        # The message alone: the name of an exception class says nothing about the value.
        declared = re.search(rejection.error, str(error)) is not None
        left = stage.sink.fingerprint(stage.sink_space, table, "id")
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


def _judge(act: Act, stage: Stage, expectation: Expectation) -> None:
    schema = stage.check_schema()
    act.checks.append(schema)
    if not schema.passed:
        act.error = f"rows not compared: the sink's columns are wrong: {schema.detail}"
        return
    act.check_rows("rows", stage.compare_sink(expectation))


def _judge_counts(act: Act, stage: Stage, facts: RunFacts) -> None:
    """snapshot_diff says what it did; its word must be right (DESIGN §4)."""
    if stage.case.strategy is not Strategy.SNAPSHOT_DIFF:
        return
    counts = expected_counts(stage.dataset, act.name)
    for name in ("inserted", "updated", "deleted", "unchanged"):
        act.check(f"facts.{name}", expected=getattr(counts, name), actual=getattr(facts, name))


def _keep_state(act: Act, stage: Stage, facts: RunFacts) -> None:
    stage.claims[act.name] = facts.state_after
    if stage.case.strategy in WATERMARKED:
        act.checks.append(
            Check(name="state_kept", passed=bool(facts.state_after), expected="a state", actual=_cut(facts.state_after))
        )


def _run_polled(act: Act, stage: Stage, engine: Engine, expectation: Expectation) -> RunFacts:
    """Run the engine; for a full refresh a reader polls the sink meanwhile and must see old or new, whole."""
    if stage.case.strategy is not Strategy.FULL_REFRESH or not stage.sink_swaps:
        return act.run(engine, stage.job())
    old = stage.fingerprint_of(expect(stage.dataset, stage.case.strategy, ActName.LOAD))
    new = stage.fingerprint_of(expectation)
    with Poll(stage, TABLE) as poll:
        facts = act.run(engine, stage.job())
    strange = [seen for seen in poll.seen if seen not in (old, new)]
    act.observed["polls"] = poll.count
    if poll.error:
        told = stage.scrub(poll.error)
    elif strange:
        told = "a reader saw " + ", ".join(map(str, strange[:3]))
    else:
        told = "" if poll.meanwhile else "the reader did not get a look in while the engine ran: take more rows"
    act.checks.append(Check(name="swap", passed=not told, expected=0, actual=len(strange), detail=told))
    return facts


def _versions(stage: Stage) -> pa.Table | None:
    return stage.sink.row_versions(stage.sink_space, TABLE, stage.dataset.schema.key[0])


def _judge_versions(act: Act, stage: Stage, before: pa.Table) -> None:
    """Rows that did not change were not rewritten: their versions are the same as before."""
    after = _versions(stage)
    kept = stage.unchanged_versions(before)
    act.observed["unchanged_observed"] = kept.num_rows
    if kept.num_rows:
        rewritten = _rewritten(kept, after) if after is not None else None
        act.check("unchanged_not_rewritten", expected=0, actual=rewritten)


def _rewritten(before: pa.Table, after: pa.Table) -> int:
    """Rows of `before` that `after` does not hold with the same version."""
    joined = before.rename_columns(["key", "old"]).join(after.rename_columns(["key", "new"]), keys="key")
    same = pc.fill_null(pc.equal(joined.column("old"), joined.column("new")), False)
    return int(joined.num_rows - (pc.sum(same).as_py() or 0))
