"""The certifier certifies itself: every mutant must be found out, and the sound engine must pass where mutants fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..core.model import CaseRecord, Frozen, Verdict
from ..report.escape import visible
from ..report.terminal import Line
from .verdict import Decision

_MOST_LINES, _MOST_CHECKS = 200, 3
_KILLS = ("crash.", "state_survives_kill", "state_two_runs", "state_damaged")
"""Beginnings of the checks of the act `crash`."""


class Trial(Frozen):
    """What became of one engine: `good` is true for a mutant that was killed, and for a sound engine that passed."""

    kind: Literal["sound", "mutant"]
    name: str
    case_id: str
    good: bool
    detail: str = ""
    killed_by: tuple[str, ...] = ()
    """The red checks that are there for such a mutant."""


@dataclass(frozen=True, slots=True)
class SelfcheckOutcome:
    """How the selfcheck ended."""

    decision: Decision
    lines: tuple[Line, ...]


@dataclass(slots=True)
class Selfcheck:
    """Collects the trials of a run against what was planned; a planned trial that left nothing is a survivor."""

    planned: tuple[Trial, ...]
    _trials: dict[tuple[str, str], Trial] = field(init=False, default_factory=dict)

    def take(self, text: str) -> None:
        """Take a trial as JSON."""
        trial = Trial.model_validate_json(text)
        self._trials[trial.kind, trial.name] = trial

    def finish(self) -> SelfcheckOutcome:
        """Decide: red if a mutant survived, if a sound engine failed, if anything planned was not tried."""
        trials = [self._trials.get((plan.kind, plan.name), plan) for plan in self.planned]
        bad = [trial for trial in trials if not trial.good]
        mutants = [trial for trial in trials if trial.kind == "mutant"]
        killed = sum(trial.good for trial in mutants)
        blockers = [f"selfcheck.{trial.kind}.{trial.name}" for trial in bad]
        if not mutants:
            blockers.append("selfcheck.no_mutants")
        word = "FAILED" if blockers else "PASSED"
        unsound = [trial.name for trial in bad if trial.kind == "sound"]
        beside = f"; the sound engine did not pass {', '.join(unsound)}" if unsound else ""
        headline = f"SELFCHECK {word}: {killed} of {len(mutants)} mutants killed{beside}"
        lines = tuple(Line(visible(f"{_word(trial)} {trial.name}: {trial.detail}"), "red") for trial in bad)
        table = _kill_table([trial for trial in mutants if trial.good])
        return SelfcheckOutcome(Decision(not blockers, word, headline, tuple(blockers)), (*table, *lines))


def kills(killed_by: Sequence[str]) -> bool:
    """If a mutant shows only when the engine is killed, or beside a damaged state or another run: that takes long."""
    return any(check.startswith(_KILLS) for check in killed_by)


def planned_trials() -> tuple[Trial, ...]:
    """What a selfcheck must try: the sound engine on every case that a mutant uses, and every mutant."""
    from ..engines.mutants import MUTANTS

    cases = sorted({mutant.case_id for mutant in MUTANTS})
    sound = [Trial(kind="sound", name=case_id, case_id=case_id, good=False, detail="not tried") for case_id in cases]
    mutants = [
        Trial(kind="mutant", name=mutant.name, case_id=mutant.case_id, good=False, detail="not tried")
        for mutant in MUTANTS
    ]
    return (*sound, *mutants)


def try_mutant(name: str, *, case_id: str, killed_by: Sequence[str], play: Callable[[], CaseRecord]) -> Trial:
    """Play a mutant's case; it is killed if the case is red by one of the checks that are there to find it."""
    record = play()
    red = sorted({check.name for act in record.acts for check in act.checks if not check.passed})
    killers = [check for check in red if check in killed_by]
    if record.verdict is Verdict.FAILED and killers:
        return Trial(kind="mutant", name=name, case_id=case_id, good=True, killed_by=tuple(killers))
    expected = f"expected a red check among {', '.join(killed_by)}"
    if record.verdict is Verdict.PASSED:
        detail = f"survived {case_id}: {expected}"
    elif record.verdict is Verdict.FAILED:
        detail = f"{case_id} is red for another reason ({', '.join(red) or record.detail}): {expected}"
    else:
        detail = f"{case_id} was not run: {record.reason}: {record.detail}"
    return Trial(kind="mutant", name=name, case_id=case_id, good=False, detail=detail)


def try_sound(case_id: str, *, play: Callable[[], CaseRecord]) -> Trial:
    """Play a case with the sound engine; it must pass, else a mutant's red case there would mean nothing."""
    record = play()
    passed = record.verdict is Verdict.PASSED
    detail = "" if passed else f"{record.reason or record.verdict}: {record.detail}"
    return Trial(kind="sound", name=case_id, case_id=case_id, good=passed, detail=detail)


def _kill_table(killed: Sequence[Trial]) -> list[Line]:
    """Who was killed where, and by what; no more lines than a person reads."""
    shown = killed[:_MOST_LINES]
    names, cases = (max((len(text) for text in column), default=0) for column in _columns(shown))
    lines = []
    for trial in shown:
        checks = ", ".join(trial.killed_by[:_MOST_CHECKS])
        more = f" and {len(trial.killed_by) - _MOST_CHECKS} more" if len(trial.killed_by) > _MOST_CHECKS else ""
        lines.append(Line(visible(f"{trial.name:<{names}}  {trial.case_id:<{cases}}  {checks}{more}")))
    if len(killed) > len(shown):
        lines.append(Line(f"… and {len(killed) - len(shown)} more mutants"))
    return lines


def _columns(trials: Sequence[Trial]) -> tuple[list[str], list[str]]:
    return [trial.name for trial in trials], [trial.case_id for trial in trials]


def _word(trial: Trial) -> str:
    return "SURVIVED" if trial.kind == "mutant" else "UNSOUND"
