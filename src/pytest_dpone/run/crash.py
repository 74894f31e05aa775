"""The act `crash`: the engine is killed at chosen points and at random, and must lose, double and revive nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..core.model import ActName, Case, Check, Strategy
from ..core.wire import Engine
from ..services.catalog.protocol import LOCKED, Fingerprint
from . import states
from .act import Act
from .acts import judge
from .killing import Doomed, doomed
from .settings import RunSettings
from .stage import Stage
from .states import KEPT

Mode = Literal["off", "quick", "full"]

POINTS = {
    "begun": "before staging",
    "staged": "after staging",
    "committing": "before the state's commit",
    "applied": "after the sink's commit",
}
"""Moment that an engine tells → the point of DESIGN §3."""
RANDOM = "random"

ROUTES = (
    ("postgres", "postgres"),
    ("postgres", "mssql"),
    ("mssql", "postgres"),
    ("postgres", "clickhouse"),
    ("clickhouse", "postgres"),
    ("kafka", "postgres"),
    ("postgres", "kafka"),
    ("postgres", "minio"),
)
"""The pairs in which engines are killed: a sink of each kind, and a source of each kind."""

ROWS, BATCH = 240, 60


@dataclass(frozen=True, slots=True)
class Trial:
    """One kill: at which point, in which act."""

    point: str
    act: ActName


def trials(mode: Mode) -> tuple[Trial, ...]:
    """The kills of one case."""
    if mode == "quick":
        return Trial("staged", ActName.LOAD), Trial("committing", ActName.CHANGE)
    if mode == "full":
        points = tuple(Trial(point, ActName.CHANGE) for point in POINTS)
        return (*points, Trial(RANDOM, ActName.LOAD), Trial(RANDOM, ActName.CHANGE))
    return ()


def why_not(case: Case, engine: Engine, settings: RunSettings) -> str | None:
    """Why the act is not played, in words; None if it is, and an empty text if nobody asked for it."""
    if settings.crash == "off" or (case.source, case.sink) not in ROUTES:
        return ""
    if not hasattr(engine, "watched"):
        return f"the engine {engine.name} tells no moments at which it could be killed"
    return None


def crash(act: Act, stage: Stage, engine: Engine) -> None:
    """Each trial has a table of its own; after the kill the same job is run again, and once more."""
    planned = trials(stage.settings.crash)
    act.planned["kills"] = len(planned)
    for number, trial in enumerate(planned):
        attempt = _Attempt(act, small(stage, f"crash_{number}", number=number), engine, trial)
        attempt.play()
        if not all(check.passed for check in act.checks):
            return
    if stage.case.strategy in KEPT:
        _states(act, small(stage, "crash_state", number=len(planned)), engine, together=stage.support.keeps_apart)


def _states(act: Act, stage: Stage, engine: Engine, *, together: bool) -> None:
    """Two runs at once, if the engine keeps them apart; then a damaged state."""
    _seed(stage)
    act.run(engine, stage.job(ActName.LOAD))
    _change(stage)
    if together:
        states.two_runs(act, stage)
    else:
        act.run(engine, stage.job(ActName.CHANGE))
    states.damaged(act, stage, engine)


def _seed(stage: Stage) -> None:
    stage.source.create(stage.source_space, stage.table, stage.dataset.schema)
    stage.source.load(stage.source_space, stage.table, stage.dataset.schema, stage.dataset.before())


def _change(stage: Stage) -> None:
    stage.source.change(stage.source_space, stage.table, stage.dataset.schema, stage.dataset.commits())


def small(stage: Stage, table: str, *, number: int = 0) -> Stage:
    """The stage of a small table beside the case's own; each `number` has other rows."""
    fields = {"rows": ROWS, "batch_rows": BATCH, "dataset": "narrow", "seed": stage.settings.seed + number}
    return stage.beside(table, stage.settings.model_copy(update=fields))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look into the sink has shown."""

    contents: Mapping[str, int]
    table: Fingerprint | None


@dataclass(slots=True)
class _Attempt:
    """One trial on a table of its own."""

    act: Act
    stage: Stage
    engine: Engine
    trial: Trial

    def play(self) -> None:
        """Bring the table to where the killed run begins, kill it, and judge what the next runs make of that."""
        seconds = self._prepare()
        before = self._look()
        stop = None if self.trial.point == RANDOM else (self.trial.point, self._count)
        with doomed(self.stage.job(self.trial.act), engine=self.stage.settings.engine, stop=stop) as run:
            self._kill(run, before, seconds)
        if all(check.passed for check in self.act.checks):
            self._rerun()

    @property
    def _count(self) -> int:
        """A backfill is killed in its second chunk."""
        return 2 if self.stage.case.strategy is Strategy.BACKFILL and self.trial.point != "begun" else 1

    def _prepare(self) -> float:
        """Seed the source, and for a change load and change it; returns the seconds of a load."""
        stage = self.stage
        _seed(stage)
        if self.trial.act is ActName.LOAD:
            return 0.5
        started = time.monotonic()
        self.act.run(self.engine, stage.job(ActName.LOAD))
        seconds = time.monotonic() - started
        _change(stage)
        return seconds

    def _look(self) -> _Seen:
        stage = self.stage
        contents = stage.inner_sink().contents(stage.sink_space)
        if contents.get(stage.table) == LOCKED:
            return _Seen(contents, None)
        table = stage.sink.fingerprint(stage.sink_space, stage.table, stage.dataset.schema.key[0])
        return _Seen(contents, table)

    def _kill(self, run: Doomed, before: _Seen, seconds: float) -> None:
        point = self.trial.point
        if point == RANDOM:
            run.until("begun")
            time.sleep(random.Random(self.stage.settings.seed).random() * seconds)
            self._counted(run.kill())
            return
        reached = run.until(point, self._count)
        if not reached:
            self._check("hit", expected="killed", actual="it ended", detail=f"it never came to {POINTS[point]}")
            return
        self._prove(before)
        self._check("hit", expected="killed", actual="killed" if run.kill() else "it ended", detail="")
        self._counted(True)

    def _counted(self, hit: bool) -> None:
        """A random kill may come too late: then there was none, and nothing is counted."""
        name = f"kills.{self.trial.point}"
        counted = self.act.observed.get(name)
        self.act.observed[name] = (counted if isinstance(counted, int) else 0) + hit

    def _prove(self, before: _Seen) -> None:
        """The services show that the run stands where it is said to stand."""
        now, point = self._look(), self.trial.point
        fresh = {name for name, rows in now.contents.items() if rows and before.contents.get(name) != rows}
        untouched = now.table == before.table or self._count > 1
        if point == "begun":
            proof, told = not fresh and untouched, f"something was written already: {sorted(fresh)}"
        elif point == "staged":
            proof, told = bool(fresh) and untouched, "nothing is staged, or the table has changed already"
        elif point == "committing":
            proof, told = bool(fresh), "nothing was written yet"
        else:
            proof, told = now.table != before.table or bool(fresh), "the table has not changed"
        self._check("proof", expected=True, actual=proof, detail="" if proof else told)

    def _rerun(self) -> None:
        """The same job again, and once more: the sink must be right after each, and the state must go on."""
        stage, act = self.stage, self.trial.act
        first = self.act.run(self.engine, stage.job(act))
        self._judge("rows")
        again = self.act.run(self.engine, stage.job(act))
        self._judge("again")
        if stage.case.strategy in KEPT:
            kept = bool(first.state_after) and again.state_before == first.state_after
            told = "the run after the kill left no state that the next one goes on from"
            self.act.checks.append(
                Check(name="state_survives_kill", passed=kept, expected=True, actual=kept, detail="" if kept else told)
            )

    def _judge(self, name: str) -> None:
        inner = Act(ActName.CRASH)
        judge(inner, self.stage, self.stage.expect(self.trial.act))
        self.act.rows, self.act.diff, self.act.error = inner.rows, inner.diff, inner.error
        for check in inner.checks:
            short = name if check.name == "rows" else f"{name}.{check.name}"
            self.act.checks.append(check.model_copy(update={"name": self._named(short)}))
        if inner.diff is not None:
            found = (("lost", inner.diff.missing), ("doubled", inner.diff.duplicated), ("extra", inner.diff.extra))
            for word, count in found:
                known = self.act.observed.get(word)
                self.act.observed[word] = (known if isinstance(known, int) else 0) + count

    def _named(self, name: str) -> str:
        return f"crash.{self.trial.point}.{name}"

    def _check(self, name: str, *, expected: bool | str, actual: bool | str, detail: str) -> None:
        self.act.check(self._named(name), expected=expected, actual=actual, detail=detail)
