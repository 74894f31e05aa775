"""A plan as text: cases by pair, services, environment, artifacts, commands, and how long it may take. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap

from ..core.gates.plan import PlanFacts
from .escape import visible

_WIDTH = 100


def plan_lines(facts: PlanFacts) -> Iterator[str]:
    """The lines of a plan, for a terminal."""
    yield f"profile {facts.profile}, {facts.row_count} rows"
    yield f"cases ({len(facts.cases)}):"
    for pair, strategies in _pairs(facts.cases).items():
        text = visible(f"{pair}: {', '.join(strategies)}")
        yield from wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")
    if facts.excluded:
        yield f"excluded: {len(facts.excluded)} combinations that make no sense; `pytest-dpone matrix` lists them"
    yield "services:"
    for service in facts.services:
        where = f"needs {service.variable}" if service.needed else f"your own with {service.variable}"
        yield f"  {service.name}: {service.cases} cases; {where}"
    if facts.environment:
        yield from ("environment:", *(f"  {name}: {why}" for name, why in facts.environment.items()))
    yield from ("artifacts:", *(f"  {name}" for name in facts.artifacts))
    yield from ("commands:", *(f"  {command}" for command in facts.commands))
    yield _estimate(facts)


def _pairs(case_ids: tuple[str, ...]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for case_id in case_ids:
        pair, _, strategy = case_id.rpartition("__")
        found.setdefault(pair.replace("_to_", " → ").replace("_via_", " via "), []).append(strategy)
    return found


def _estimate(facts: PlanFacts) -> str:
    if facts.estimated_seconds is None:
        return "estimate: none, there is no earlier run here"
    known = (
        f"{facts.estimated_cases} of {len(facts.cases)} cases in the last run here, with {facts.estimated_rows} rows"
    )
    return f"estimate: {facts.estimated_seconds:.0f} s in one process, from {known}"
