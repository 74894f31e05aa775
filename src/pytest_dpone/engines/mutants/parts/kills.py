"""Engines that are right until one of their runs is killed, or two run at once. For Postgres."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from ....core.wire import Job, RunFacts
from ...native import NativeEngine, Seams, Sink, State
from ...native.postgres_sink import PostgresSink
from .passing import PassingSink, execute
from .sources import FromTheStart

Moment = Callable[[str], None]
Play = Callable[[int, NativeEngine, Job], RunFacts]
_UNDER_WAY, _ONE_RUN = "under way", "one run"


class Haunted:
    """Plays a run by the number of runs since one was killed: 0 if none was, or it was long ago.

    A comment on the table tells the next run what became of the last one.
    """

    name = "native"

    def __init__(self, play: Play, inner: NativeEngine | None = None) -> None:
        self._play = play
        self._inner = inner or NativeEngine()
        self.supports = self._inner.supports

    def watched(self, moment: Moment) -> Haunted:
        """See `NativeEngine.watched`."""
        return Haunted(self._play, self._inner.watched(moment))

    def run(self, job: Job) -> RunFacts:
        """The run, between two comments."""
        ((comment,),) = execute(job, "SELECT obj_description(to_regclass({name}))")
        since = {_UNDER_WAY: 1, _ONE_RUN: 2}.get(comment, 0)
        _comment(job, _UNDER_WAY)
        facts = self._play(since, self._inner, job)
        _comment(job, _ONE_RUN if since == 1 else "")
        return facts


def idle_once(since: int, engine: NativeEngine, job: Job) -> RunFacts:
    """The first run after a kill does nothing."""
    if since != 1:
        return engine.run(job)
    state = _state(job)
    return RunFacts(read=0, written=0, state_before=state, state_after=state)


def double_then(since: int, engine: NativeEngine, job: Job) -> RunFacts:
    """The second run after a kill begins at the start."""
    return NativeEngine(Seams(source=FromTheStart)).run(job) if since == 2 else engine.run(job)


def forget_once(since: int, engine: NativeEngine, job: Job) -> RunFacts:
    """The first run after a kill tells a state that is not."""
    facts = engine.run(job)
    return facts.model_copy(update={"state_after": f"{facts.state_after} "}) if since == 1 else facts


class Telling:
    """Tells its moments otherwise than they are."""

    name = "native"

    def __init__(self, tell: Callable[[Moment, str], None]) -> None:
        self._tell = tell
        self._inner = NativeEngine()
        self.supports = self._inner.supports
        self.run = self._inner.run

    def watched(self, moment: Moment) -> NativeEngine:
        """See `NativeEngine.watched`."""
        return self._inner.watched(lambda name: self._tell(moment, name))


def no_commit(moment: Moment, name: str) -> None:
    """All but one."""
    if name != "committing":
        moment(name)


def staged_at_once(moment: Moment, name: str) -> None:
    """As soon as it begins."""
    moment(name)
    if name == "begun":
        moment("staged")


class Hasty:
    """Looks up the state, and only then waits for its turn."""

    name = "native"
    _pause = 2.0
    """Seconds in which the other one of two runs must have looked up its state, too."""

    def __init__(self) -> None:
        self.supports = NativeEngine().supports
        self.run = NativeEngine().run

    def watched(self, moment: Moment) -> Hasty:
        """The same engine, which takes its time: in a process of its own others may run beside it."""
        hasty = Hasty()
        hasty.run = lambda job: self._run(job, moment)
        return hasty

    def _run(self, job: Job, moment: Moment) -> RunFacts:
        text = _state(job)
        time.sleep(self._pause)
        state = State.from_text(text, where="what was looked up") if text else None
        return NativeEngine(Seams(sink=lambda job, inner: _Knowing(job, inner, state), moment=moment)).run(job)


class _Knowing(PassingSink):
    def __init__(self, job: Job, inner: Sink, state: State | None) -> None:
        super().__init__(job, inner)
        self._state = state

    def state(self) -> State | None:
        """What was looked up before."""
        return self._state


def _state(job: Job) -> str:
    with closing(PostgresSink(job, lambda _moment: None)) as sink:
        state = sink.state()
        return state.to_text() if state else ""


def _comment(job: Job, text: str) -> None:
    ((exists,),) = execute(job, "SELECT to_regclass({name}) IS NOT NULL")
    if exists:
        execute(job, f"COMMENT ON TABLE {{table}} IS '{text}'")
