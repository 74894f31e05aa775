"""One case from the engine's word to the record: may it run, is everything there, run it, did a service die."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ..core.model import ActName, ActRecord, Case, CaseRecord, NotRun, Strategy, Verdict
from ..core.registry import Registry
from ..core.wire import Engine, ServiceInfo
from ..errors import DponeError, EngineFailed, ServiceUnavailable
from .staging import out_of_reach
from .step import SERVICES, OnStep, Step, silent

if TYPE_CHECKING:
    from .settings import RunSettings


_OTHER_PROVIDER = "see to what is missing, or ask for another provider with --dpone-services"


class Availability(Protocol):
    """If a service can be had, by which provider; `provider` is None if not, and `reason` says why."""

    @property
    def provider(self) -> str | None:
        """The provider's name."""
        ...

    @property
    def reason(self) -> str:
        """Why this provider, or why none."""
        ...

    @property
    def asked(self) -> bool:
        """If the user named the provider."""
        ...


class Services(Protocol):
    """What an attempt asks of the run's services; `services.stack.Stack` is one."""

    def choose(self, names: Sequence[str]) -> Mapping[str, Availability]:
        """Say how each service would be had; starts nothing."""
        ...

    def ensure(self, names: Sequence[str]) -> Mapping[str, ServiceInfo]:
        """Start what is not up yet; raises `ServiceUnavailable` or `ServiceFailed`."""
        ...

    def died(self, name: str) -> str | None:
        """How a service that was up has ended, or None while it lives."""
        ...


def attempt(
    case: Case,
    *,
    engine: Engine,
    registry: Registry,
    services: Callable[[], Services],
    settings: RunSettings,
    on_step: OnStep = silent,
) -> CaseRecord:
    """Certify `case`, or record why it was not run. Raises nothing but KeyboardInterrupt and errors of the harness.

    `services` is called only if the engine supports the case and the case needs a service. `on_step` hears what the
    case is about to do.
    """
    from .case import certify, not_run

    if (record := refusal(case, engine=engine, settings=settings)) is not None:
        return record
    names = registry.needs(case)

    def refuse(reason: NotRun, detail: str) -> CaseRecord:
        return not_run(case, reason, detail=detail, settings=settings, engine=engine.name)

    try:
        choices = services().choose(names) if names else {}
        if missing := _missing(choices, asked=True):
            # What was asked for by name and can't be had is never tolerated.
            return _failed(case, settings, engine.name, fact=missing, text=f"{missing}\nhint: {_OTHER_PROVIDER}")
        if missing := _missing(choices, asked=False):
            return refuse(NotRun.UNAVAILABLE, missing)
        if not settings.allow_slots and (foreign := _foreign_slot(case, registry, choices)):
            return refuse(NotRun.UNAVAILABLE, foreign)
        on_step(Step(SERVICES))
        running = services().ensure(names) if names else {}
        if apart := _apart(case, registry, running):
            return refuse(NotRun.UNAVAILABLE, apart)
    except ServiceUnavailable as error:
        return refuse(NotRun.UNAVAILABLE, error.fact)
    except DponeError as error:
        record = _failed(case, settings, engine.name, fact=error.fact, text=str(error))
        return _after_deaths(record, names, services)
    record = certify(case, engine=engine, registry=registry, services=running, settings=settings, on_step=on_step)
    return _after_deaths(record, names, services) if record.verdict is Verdict.FAILED else record


def refusal(case: Case, *, engine: Engine, settings: RunSettings) -> CaseRecord | None:
    """The record of a case that the engine can't move, or None if it can."""
    from .case import failed, not_run
    from .foreign import support_of

    try:
        support = support_of(engine, case)
    except EngineFailed as error:
        return failed(case, detail=error.fact, settings=settings, engine=engine)
    if support.status == "supported":
        return None
    detail = support.reason or f"the engine {engine.name} says: {support.status}"
    return not_run(case, NotRun.NOT_IMPLEMENTED, detail=detail, settings=settings, engine=engine.name)


def _foreign_slot(case: Case, registry: Registry, choices: Mapping[str, Availability]) -> str:
    """Why the case would make a replication slot on somebody's server; empty if it would not.

    A slot that is left behind makes such a server keep its log until its disk is full.
    """
    source = registry.families[case.source].services[:1]
    if case.strategy is not Strategy.CDC or source != ("postgres",) or choices["postgres"].provider != "external":
        return ""
    return "postgres is external, and cdc makes a replication slot there: --dpone-allow-slots says that it may"


def _apart(case: Case, registry: Registry, running: Mapping[str, ServiceInfo]) -> str:
    """Why the sink's server can't read what is staged; empty if it can, or nothing is."""
    if not case.via:
        return ""
    sink, staging = (registry.families[family].services[0] for family in (case.sink, case.via))
    return out_of_reach(case.via, running[sink], running[staging])


def _missing(choices: Mapping[str, Availability], *, asked: bool) -> str:
    return "; ".join(c.reason for c in choices.values() if c.provider is None and c.asked is asked)


def _failed(case: Case, settings: RunSettings, engine: str, *, fact: str, text: str) -> CaseRecord:
    from .case import rerun_command

    return CaseRecord.of(
        case,
        Verdict.FAILED,
        detail=fact.partition("\n")[0],
        engine=engine,
        seed=settings.seed,
        rows=settings.rows,
        acts=(ActRecord(name=ActName.PROVISION, passed=False, error=text),),
        rerun=rerun_command(case, settings),
    )


def _after_deaths(record: CaseRecord, names: Sequence[str], services: Callable[[], Services]) -> CaseRecord:
    """A case is not to blame for a service that died; it is not run then, which is red all the same."""
    if not (deaths := _deaths(names, services)):
        return record
    detail = "; ".join(death.partition("\n")[0] for death in deaths)
    died = {"verdict": Verdict.NOT_RUN, "reason": NotRun.SERVICE_DIED, "detail": detail}
    return record.model_copy(update={**died, "acts": _with_deaths(record.acts, deaths)})


def _with_deaths(acts: tuple[ActRecord, ...], deaths: Sequence[str]) -> tuple[ActRecord, ...]:
    """What the services said last stands before the error that it explains."""
    last = acts[-1] if acts else ActRecord(name=ActName.PROVISION, passed=False)
    if all(death in last.error for death in deaths):
        return acts
    return (*acts[:-1], last.model_copy(update={"error": "\n".join((*deaths, last.error)).rstrip()}))


def _deaths(names: Sequence[str], services: Callable[[], Services]) -> list[str]:
    """How each of the services that died has ended, with its last log lines."""
    try:
        ends = [services().died(name) for name in names]
    except DponeError as error:
        return [error.fact]
    return [end for end in ends if end]
