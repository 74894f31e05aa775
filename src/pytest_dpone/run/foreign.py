"""What an engine says, taken with care: it is foreign code, and whatever it does wrong is a red case, never a crash."""

from __future__ import annotations

from pydantic import ValidationError

from ..core.model import Case
from ..core.wire import Engine, Job, RunFacts, Support
from ..errors import EngineFailed, described
from .limit import TimedOut


def check_engine(engine: object) -> None:
    """Raise `EngineFailed` if `engine` is no engine: it lacks a name, `supports` or `run`, or is a class."""
    if isinstance(engine, type):
        raise EngineFailed(f"the engine is the class {engine.__name__}", hint="give an instance of it")
    name = getattr(engine, "name", None)
    if not isinstance(name, str) or not name:
        raise EngineFailed(f"the engine, a {type(engine).__name__}, has no name", hint='give it one: name = "mine"')
    for method in ("supports", "run"):
        if not callable(getattr(engine, method, None)):
            raise EngineFailed(f"the engine {name} has no method {method}", hint="an engine has supports and run")


def support_of(engine: Engine, case: Case) -> Support:
    """If the engine supports `case`. Raises `EngineFailed` if it can't say so; KeyboardInterrupt goes through."""
    check_engine(engine)
    try:
        support: object = engine.supports(case)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise EngineFailed(
            f"the engine {engine.name} can't say if it supports {case.case_id}: {described(error)}",
            hint="supports(case) must return a Support for every planned case",
        ) from error
    if not isinstance(support, Support):
        raise EngineFailed(
            f"the engine {engine.name} can't say if it supports {case.case_id}: "
            f"it returned {type(support).__name__} instead of a Support",
            hint="supports(case) must return a Support for every planned case",
        )
    if case.via and support.status == "supported" and case.via not in support.via:
        reason = f"the engine {engine.name} does not stage rows in {case.via} on their way to {case.sink}"
        return Support(status="not implemented yet", reason=reason)
    return support


def facts_of(engine: Engine, job: Job) -> RunFacts:
    """Run `job`. Raises what the engine raises, and `EngineFailed` if it would end the process or gives no facts."""
    try:
        facts: object = engine.run(job)
    except (Exception, KeyboardInterrupt, TimedOut):
        raise
    except BaseException as error:  # SystemExit and its like are no reason to end the run, or to lose the act
        raise EngineFailed(f"the engine raised {described(error)}", hint="an engine raises an Exception") from error
    if not isinstance(facts, RunFacts):
        raise EngineFailed(
            f"the engine returned {type(facts).__name__} instead of RunFacts", hint="run(job) must return a RunFacts"
        )
    try:
        return RunFacts.model_validate(dict(facts))  # a copy with an update, for example, has checked nothing
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise EngineFailed(f"the engine returned facts that can't be: {wrong}", hint="counts are 0 or more") from None
