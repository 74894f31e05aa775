"""The act `crash`: the engine is killed at chosen points and at random, and must lose, double and revive nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from ..core.gates.kills import KILLS, PROOFS
from ..core.kinds import ID
from ..core.model import ActName, Case, Check, Strategy
from ..core.wire import Engine
from ..engines.child import load, startable
from ..services.catalog.protocol import LOCKED, Fingerprint
from . import states
from .act import Act
from .acts import KEPT
from .killing import Doomed, Stop, doomed
from .mishaps import Cut, change, cut, judged, observe, refused, released, seed, why_not_cut
from .settings import RunSettings
from .stage import Stage
from .versions import rewritten, versions

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
_TRIES = 5
"""How often a random kill is played that came too late, each time with half of the time."""
_FIRST = ("applied", 1)
_ARRIVAL = 5.0
"""Seconds in which the services must show what an engine that stands at its point has sent."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One kill: at which point, in which act."""

    point: str
    act: ActName


def trials(mode: Mode) -> tuple[Trial, ...]:
    """The kills of one case."""
    quick = Trial("staged", ActName.LOAD), Trial("committing", ActName.CHANGE)
    if mode == "full":
        points = tuple(Trial(point, ActName.CHANGE) for point in POINTS)
        return (quick[0], *points, Trial(RANDOM, ActName.LOAD), Trial(RANDOM, ActName.CHANGE))
    return quick if mode == "quick" else ()


def cuts(mode: Mode) -> tuple[Cut, ...]:
    """When the connection to the sink is cut."""
    if mode == "full":
        return Cut(ActName.LOAD, 0.5), Cut(ActName.CHANGE, 0.5), Cut(ActName.CHANGE, 0.9)
    return (Cut(ActName.LOAD, 0.5),) if mode == "quick" else ()


def why_not(case: Case, engine: Engine, settings: RunSettings) -> str | None:
    """Why the act is not played, in words; None if it is, and an empty text if nobody asked for it."""
    if settings.crash == "off" or (case.source, case.sink) not in ROUTES:
        return ""
    if not hasattr(engine, "watched"):
        return f"the engine {engine.name} tells no moments at which it could be killed"
    if not startable(settings.engine):
        return f"the engine {settings.engine} comes from a hook, and a process of its own can start ours only"
    if type(engine) is not type(load(settings.engine)):
        return f"a fixture has put another engine in the place of {settings.engine}"
    return None


def crash(act: Act, stage: Stage, engine: Engine) -> None:
    """Each trial has a table of its own; after the kill the same job is run again, and once more."""
    mode = stage.settings.crash
    planned = trials(mode)
    act.planned["kills"] = len(planned)
    number = 0
    for number, trial in enumerate(planned):
        for again in range(_TRIES if trial.point == RANDOM else 1):
            table = small(stage, f"crash_{number}_{again}", number=number)
            with released(table):
                late = not _Attempt(act, table, engine, trial, haste=2**again).play()
            if not late or not _green(act):
                break
        if not _green(act):
            return
    _cut(act, stage, engine, mode, number=number + 1)
    if _green(act):
        wide = stage.settings.model_copy(update={"rows": ROWS, "batch_rows": BATCH, "dataset": "standard"})
        with released(table := stage.beside("crash_refused", wide)):
            refused(act, table, engine)
    if _green(act) and stage.case.strategy in KEPT:
        with released(table := small(stage, "crash_state", number=number + 1)):
            _states(act, table, engine, together=stage.support.keeps_apart)


def _green(act: Act) -> bool:
    return all(check.passed for check in act.checks)


def _cut(act: Act, stage: Stage, engine: Engine, mode: Mode, *, number: int) -> None:
    if why := why_not_cut(stage):
        act.planned["cuts"] = f"not tried: {why}"
        return
    planned = cuts(mode)
    act.planned["cuts"] = len(planned)
    for place, when in enumerate(planned):
        measured, table = (small(stage, f"crash_{word}_{place}", number=number) for word in ("measured", "cut"))
        with released(measured, table):
            cut(act, measured, table, engine, when=when)
        if not _green(act):
            return


def _states(act: Act, stage: Stage, engine: Engine, *, together: bool) -> None:
    """Two runs at once, if the engine keeps them apart; then a damaged state."""
    seed(stage)
    act.run(engine, stage.job(ActName.LOAD))
    change(stage)
    if together:
        states.two_runs(act, stage)
    else:
        act.run(engine, stage.job(ActName.CHANGE))
    states.damaged(act, stage, engine)


def small(stage: Stage, table: str, *, number: int = 0) -> Stage:
    """The stage of a small table beside the case's own; each `number` has other rows."""
    fields = {"rows": ROWS, "batch_rows": BATCH, "dataset": "narrow", "seed": stage.settings.seed + number}
    return stage.beside(table, stage.settings.model_copy(update=fields))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look into the sink has shown: what lies there, and how the rows' numbers and revisions add up."""

    contents: Mapping[str, int]
    table: tuple[Fingerprint | None, ...]
    locked: bool = False


@dataclass(slots=True)
class _Attempt:
    """One trial on a table of its own."""

    act: Act
    stage: Stage
    engine: Engine
    trial: Trial
    haste: int = 1
    done: pa.Table | None = None
    """Of a backfill that is killed in its second chunk of a first load: the versions of the rows of the first one."""

    def play(self) -> bool:
        """Bring the table to where the killed run begins, kill it, and judge what the next runs make of that.

        False if a random kill came too late.
        """
        with doomed(engine=self.stage.settings.engine) as run:  # it starts while the table is prepared
            seconds = self._prepare()
            hit = self._at_random(run, seconds) if self.trial.point == RANDOM else self._reached(run)
        if hit and _green(self.act):
            observe(self.act, f"{KILLS}{self.trial.point}", 1)
            self._rerun()
        return hit

    @property
    def _count(self) -> int:
        """A backfill is killed in its second chunk."""
        return 2 if self.stage.case.strategy is Strategy.BACKFILL and self.trial.point != "begun" else 1

    def _prepare(self) -> float:
        """Seed the source, and for a change load and change it; returns the seconds of a load."""
        stage = self.stage
        seed(stage)
        if self.trial.act is ActName.LOAD:
            return 0.5
        started = time.monotonic()
        self.act.run(self.engine, stage.job(ActName.LOAD))
        seconds = time.monotonic() - started
        change(stage)
        return seconds

    def _look(self) -> _Seen:
        stage = self.stage
        contents = dict(stage.inner_sink().contents(stage.sink_space))
        if stage.staging is not None:
            contents |= stage.staging.contents()
        if contents.get(stage.table) == LOCKED:
            return _Seen(contents, (), locked=True)
        columns = (ID, "revision")
        table = tuple(stage.sink.fingerprint(stage.sink_space, stage.table, column) for column in columns)
        if stage.sink_folds:
            # A topic is there before its first event, which a client sends in the background: no change of the table.
            table = tuple(look if look is not None and look.rows else None for look in table)
        return _Seen(contents, table)

    def _at_random(self, run: Doomed, seconds: float) -> bool:
        """Kill it at a random moment after its begin; False if it was done before. The last try does not wait."""
        run.begin(self.stage.job(self.trial.act), ("begun", 1))
        if not run.until("begun"):
            return self._missed(run, POINTS["begun"])
        run.go_on()
        drawn = random.Random(f"{self.stage.settings.seed} {self.stage.table}").random()
        if self.haste < 2 ** (_TRIES - 1):
            time.sleep(drawn * seconds / self.haste)
        killed = run.kill()
        return self._missed(run, "a random moment") if "error" in (run.ended or {}) else killed

    def _missed(self, run: Doomed, point: str) -> bool:
        """A run that failed by itself can't be killed."""
        ended = self.stage.scrub(str((run.ended or {}).get("error", "")))[:200]
        told = f"it never came to {point} {ended}".strip()
        self._check("hit", expected="killed", actual="it ended", detail=told)
        return False

    def _reached(self, run: Doomed) -> bool:
        """Kill it at its point, and prove that it stands there; False if it never came there."""
        point, job = self.trial.point, self.stage.job(self.trial.act)
        stops: list[Stop] = [(point, self._count)]
        before = self._look()
        if self._count == 1:
            run.begin(job, *stops)
        else:
            run.begin(job, _FIRST, *stops)
            if run.until(*_FIRST):
                before = self._look()
                self.done = versions(self.stage) if self.trial.act is ActName.LOAD else None
                run.go_on()
        if not run.until(point, self._count):
            return self._missed(run, POINTS[point])
        self._prove(before)
        killed = run.kill()
        self._check("hit", expected="killed", actual="killed" if killed else "it ended", detail="")
        return killed

    def _prove(self, before: _Seen) -> None:
        """The services show that the run stands where it is said to stand.

        Its last step may be to show the rows, or to keep the state of rows that are to be seen already: which one it
        is, the engine and the sink decide, so it is observed.
        """
        point = self.trial.point
        fresh, changed = self._since(before)
        # What a client sends in the background may not have arrived yet.
        deadline = time.monotonic() + _ARRIVAL
        while point != "begun" and not fresh and not changed and time.monotonic() < deadline:
            time.sleep(0.1)
            fresh, changed = self._since(before)
        if point == "begun":
            proof, told = not fresh and not changed, f"something was written already: {sorted(fresh)}"
        elif point == "staged":
            proof, told = bool(fresh) and not changed, "nothing is staged, or the table has changed already"
        elif point == "committing":
            proof, told = bool(fresh) or changed, "nothing was written yet"
        else:
            proof, told = changed or bool(fresh), "the table has not changed"
        self._check("proof", expected=True, actual=proof, detail="" if proof else told)
        if proof:
            observe(self.act, f"{PROOFS}{self._shown(changed=changed)}", 1)

    def _since(self, before: _Seen) -> tuple[set[str], bool]:
        """What holds rows now that were not there, and if the table itself shows a change."""
        now = self._look()
        fresh = {name for name, rows in now.contents.items() if rows and before.contents.get(name) != rows}
        return fresh, not now.locked and now.table != before.table

    def _shown(self, *, changed: bool) -> str:
        """What was proven, in words of the report."""
        if self.trial.point == "committing":
            visible = "data_without_state" if self.stage.case.strategy in KEPT else "data_before_the_last_step"
            return visible if changed else "nothing_visible_yet"
        return {"begun": "nothing_written", "staged": "partial_staged_data"}.get(self.trial.point, "data_committed")

    def _rerun(self) -> None:
        """The same job again, and once more: the sink must be right after each, and the state must go on."""
        stage, act = self.stage, self.trial.act
        first = self.act.run(self.engine, stage.job(act))
        judged(self.act, stage, act, name=self._named("rows"))
        if self.done is not None and (now := versions(stage)) is not None:
            self.act.check(self._named("resumed"), expected=0, actual=rewritten(self.done, now))
        again = self.act.run(self.engine, stage.job(act))
        judged(self.act, stage, act, name=self._named("again"))
        if stage.case.strategy in KEPT:
            kept = bool(first.state_after) and again.state_before == first.state_after
            told = "the run after the kill left no state that the next one goes on from"
            self.act.checks.append(
                Check(name="state_survives_kill", passed=kept, expected=True, actual=kept, detail="" if kept else told)
            )

    def _named(self, name: str) -> str:
        return f"crash.{self.trial.point}.{name}"

    def _check(self, name: str, *, expected: bool | str, actual: bool | str, detail: str) -> None:
        self.act.check(self._named(name), expected=expected, actual=actual, detail=detail)
