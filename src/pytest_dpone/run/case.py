"""One case through its acts, to a record (DESIGN §3)."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from time import monotonic

from ..core.model import ActName, ActRecord, Case, CaseRecord, NotRun, ServiceRecord, Strategy, Verdict
from ..core.registry import Registry
from ..core.wire import Engine, ServiceInfo
from ..errors import EngineFailed, described
from ..services.turn import turn
from . import acts, conduct, crash, evolve, logged, rejects
from .act import Act
from .foreign import support_of
from .limit import Limit, TimedOut
from .memory import give_back
from .settings import RunSettings, several_batches
from .stage import Stage, stage_for, tear_down
from .step import CLEAN_UP, OnStep, Step, silent

MAX_ERROR = 2000
"""Characters of an error that a record keeps; cut off when the secrets are out, for half of one is not found."""

_NOTHING = "no row was ever there to compare: raise --dpone-change-ratio or --dpone-rows, or take another dataset"


def certify(
    case: Case,
    *,
    engine: Engine,
    registry: Registry,
    services: Mapping[str, ServiceInfo],
    settings: RunSettings,
    on_step: OnStep = silent,
) -> CaseRecord:
    """Play all acts of `case` and judge each; the first red act ends the case.

    Never raises for what the engine or a service does: that is in the record. `on_step` hears of each act as it
    begins.
    """
    try:
        support = support_of(engine, case)
    except EngineFailed as error:
        return failed(case, detail=error.fact, settings=settings, engine=engine)
    if support.status != "supported":
        return not_run(case, NotRun.NOT_IMPLEMENTED, detail=support.reason, settings=settings, engine=engine.name)
    started = monotonic()
    played: list[ActRecord] = []
    problem = ""
    try:
        with stage_for(case, registry=registry, services=services, settings=settings) as stage:
            stage.support = support
            problem = _play(stage, engine, played, on_step, Limit(settings.case_timeout))
    except Exception as error:
        problem = f"the harness failed: {described(error)}"
    give_back()
    problem = _scrubbed(problem, services)[:MAX_ERROR]
    causes = [text for text in (_first_red(played), problem) if text]
    if not causes and not any(act.diff is not None and act.diff.expected_rows for act in played):
        causes.append(_NOTHING if played else "no act was played")
    passed = not causes
    return CaseRecord.of(
        case,
        Verdict.PASSED if passed else Verdict.FAILED,
        detail="; ".join(causes),
        engine=engine.name,
        seed=settings.seed,
        rows=settings.rows,
        acts=tuple(played),
        services=_records(services),
        rerun=rerun_command(case, settings),
        seconds=round(monotonic() - started, 3),
        finished_at=_now(),
    )


def not_run(case: Case, reason: NotRun, *, detail: str, settings: RunSettings, engine: str = "") -> CaseRecord:
    """A record that says why `case` has no result."""
    return CaseRecord.of(
        case,
        Verdict.NOT_RUN,
        reason=reason,
        detail=detail,
        engine=engine,
        seed=settings.seed,
        rows=settings.rows,
        rerun=rerun_command(case, settings),
    )


def failed(case: Case, *, detail: str, settings: RunSettings, engine: object) -> CaseRecord:
    """A record of a case that could not be played because of what its engine is or says."""
    named = getattr(engine, "name", "")
    name = named if isinstance(named, str) else ""
    return CaseRecord.of(
        case,
        Verdict.FAILED,
        detail=detail,
        engine=name,
        seed=settings.seed,
        rows=settings.rows,
        rerun=rerun_command(case, settings),
    )


def rerun_command(case: Case, settings: RunSettings) -> str:
    """The shell command that plays exactly this case again, in the same folder."""
    words = ["pytest", f"--dpone-case={case.case_id}", f"--dpone-rows={settings.rows}", f"--dpone-seed={settings.seed}"]
    for name in ("change_ratio", "delete_ratio", "dataset", "crash"):
        if (value := getattr(settings, name)) != RunSettings.model_fields[name].default:
            words.append(f"--dpone-{name.replace('_', '-')}={value}")
    if settings.batch_rows != several_batches(settings.rows, settings.dataset):
        words.append(f"--dpone-batch-rows={settings.batch_rows}")
    if case.via:
        words.append(f"--dpone-staging={case.via}")
    if settings.engine != RunSettings.model_fields["engine"].default:
        words.append(f"--dpone-engine={settings.engine}")
    words += settings.rerun_options
    return shlex.join(words)


def _play(stage: Stage, engine: Engine, played: list[ActRecord], on_step: OnStep, limit: Limit) -> str:
    """Play act after act until one is red; returns what went wrong beside the checks, or an empty text."""
    problem = ""
    try:
        programme = _programme(stage, engine)
        for number, (name, player) in enumerate(programme, start=1):
            on_step(Step(name, number, len(programme)))
            with _turn(stage, name):
                act = Act(name)
                try:
                    with limit.held(), conduct.watched(act, stage):
                        player(act)
                except TimedOut as error:
                    act.error = str(error)
                except Exception as error:
                    act.error = act.error or stage.scrub(described(error))[:MAX_ERROR]
                record = act.record()
            played.append(record)
            if not record.passed:
                break
    finally:
        on_step(Step(CLEAN_UP))
        red = not (played and all(act.passed for act in played))
        if stage.settings.keep == "always" or (stage.settings.keep == "failed" and red):
            problem = ""
        elif left := tear_down(stage):
            problem = f"the clean-up left something behind: {'; '.join(left)}"
    return problem


def _turn(stage: Stage, act: ActName) -> AbstractContextManager[None]:
    """A transaction that xmin holds open would keep cdc from creating its slot: these acts are not played at once."""
    strategy, service = stage.case.strategy, stage.case.source
    if strategy is Strategy.XMIN and act is ActName.LOAD:
        return turn(stage.settings.run_id, service, alone=True)
    if strategy is Strategy.CDC and act in (ActName.LOAD, ActName.CRASH, ActName.REJECT):
        return turn(stage.settings.run_id, service, alone=False)
    return nullcontext()


def _programme(stage: Stage, engine: Engine) -> list[tuple[ActName, Callable[[Act], None]]]:
    programme: list[tuple[ActName, Callable[[Act], None]]] = [
        (ActName.PROVISION, partial(acts.provision, stage=stage)),
        (ActName.LOAD, partial(_load, stage=stage, engine=engine)),
        (ActName.CHANGE, partial(acts.change, stage=stage, engine=engine)),
        (ActName.REPEAT, partial(acts.repeat, stage=stage, engine=engine)),
    ]
    if stage.case.strategy is Strategy.SCD2:
        programme.append((ActName.RETURN, partial(acts.return_keys, stage=stage, engine=engine)))
    if stage.case.strategy is Strategy.CDC:
        programme.append((ActName.LOG, partial(logged.log, stage=stage, engine=engine)))
    if acts.needs_reconcile(stage):
        programme.append((ActName.RECONCILE, partial(acts.reconcile, stage=stage, engine=engine)))
    if evolve.evolves(stage.case, stage.support):
        programme.append((ActName.EVOLVE, partial(evolve.evolve, stage=stage, engine=engine)))
    if crash.why_not(stage.case, engine, stage.settings) is None:
        programme.append((ActName.CRASH, partial(crash.crash, stage=stage, engine=engine)))
    if rejects.rejects_anything(stage):
        programme.append((ActName.REJECT, partial(rejects.reject, stage=stage, engine=engine)))
    return programme


def _load(act: Act, stage: Stage, engine: Engine) -> None:
    """Act 1, which also says why the engine will not be killed where others are: the act `crash` is not there to."""
    if why := crash.why_not(stage.case, engine, stage.settings):
        act.planned["kills"] = f"not tried: {why}"
    acts.load(act, stage, engine)


def _first_red(played: list[ActRecord]) -> str:
    """The first red act and check in one line; empty if all are green."""
    for act in played:
        if act.error:
            return f"act {act.name}: {act.error}".splitlines()[0]
        for check in act.checks:
            if not check.passed:
                told = check.detail or f"expected {check.expected}, got {check.actual}"
                return f"act {act.name}, check {check.name}: {told}"
        if not act.passed:
            return f"act {act.name}: nothing was checked"
    return ""


def _records(services: Mapping[str, ServiceInfo]) -> tuple[ServiceRecord, ...]:
    return tuple(services[name].record for name in sorted(services))


def _scrubbed(text: str, services: Mapping[str, ServiceInfo]) -> str:
    from ..core.wire import scrub

    return scrub(text, [info.url for info in services.values()])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
