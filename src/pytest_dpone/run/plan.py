"""What a run plans: the registry, its matrix, and the scope that was selected from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..core.matrix import Matrix, build_matrix
from ..core.model import Case
from ..core.registry import Registry


@dataclass(frozen=True)
class Plan:
    """The scope is in the matrix's order, and the same in every process of a run."""

    registry: Registry
    matrix: Matrix
    scope: tuple[Case, ...]

    @property
    def narrowed(self) -> bool:
        """If cases were selected, so that the run can't stand for the whole matrix."""
        return len(self.scope) < len(self.matrix.planned)

    @cached_property
    def services(self) -> tuple[str, ...]:
        """The services that the scope needs, in the registry's order."""
        needed = {name for case in self.scope for name in services_of(case, self.registry)}
        known = [name for name in self.registry.services if name in needed]
        return (*known, *sorted(needed.difference(known)))


def make_plan(
    registry: Registry,
    *,
    cases: Sequence[str] = (),
    sources: Sequence[str] = (),
    sinks: Sequence[str] = (),
    strategies: Sequence[str] = (),
) -> Plan:
    """Plan the cases of `registry` that match the globs. Raises `UsageError` if a glob or all of them match nothing."""
    matrix = build_matrix(registry)
    scope = matrix.select(cases=cases, sources=sources, sinks=sinks, strategies=strategies)
    return Plan(registry, matrix, scope)


def services_of(case: Case, registry: Registry) -> tuple[str, ...]:
    """The services that `case` needs, the source's first, each once."""
    source, sink = registry.families[case.source], registry.families[case.sink]
    return tuple(dict.fromkeys((*source.services, *sink.services)))
