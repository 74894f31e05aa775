"""What a run plans: the registry, its matrix, and the scope that was selected from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..core.matrix import Matrix, build_matrix
from ..core.model import Case
from ..core.registry import Registry
from ..core.split import split


@dataclass(frozen=True)
class Plan:
    """The scope is in the matrix's order, and the same in every process of a run.

    `declared` are the cases that the project's ini file plans: what a release of this project needs. Without such keys
    it is the whole matrix. `scope` is what this run plays; of a shard that is a part of `asked`, what all shards play.
    """

    registry: Registry
    matrix: Matrix
    scope: tuple[Case, ...]
    declared: tuple[Case, ...]
    shards: tuple[tuple[Case, ...], ...] = ()

    @property
    def asked(self) -> tuple[Case, ...]:
        """What was selected, by whomever it is played."""
        parts = {case for part in self.shards for case in part}
        return tuple(case for case in self.matrix.planned if case in parts) if parts else self.scope

    @property
    def narrowed(self) -> bool:
        """If some of the declared cases are left out, so that the run can't stand for all of them."""
        return bool(set(self.declared).difference(self.asked))

    @property
    def size(self) -> int:
        """How many cases a run must have that leaves nothing out."""
        return len({*self.declared, *self.asked})

    @property
    def note(self) -> str:
        """What the ini file makes of the matrix, in words; empty if it plans all of it."""
        total = len(self.matrix.planned)
        return f"the ini file plans {len(self.declared)} of {total}" if len(self.declared) < total else ""

    @cached_property
    def services(self) -> tuple[str, ...]:
        """The services that the scope needs, in the registry's order."""
        return self.needed(self.scope)

    def needed(self, cases: Sequence[Case]) -> tuple[str, ...]:
        """The services that `cases` need, in the registry's order."""
        needed = {name for case in cases for name in self.registry.needs(case)}
        known = [name for name in self.registry.services if name in needed]
        return (*known, *sorted(needed.difference(known)))

    def shard(self, index: int, count: int, *, seconds: Mapping[str, float] | None = None) -> Plan:
        """This plan's part `index` of `count`, from 1, balanced by `seconds` by case. Raises `UsageError`."""
        cases = {case.case_id: case for case in self.scope}
        parts = split(cases, count, seconds=seconds)
        shards = tuple(tuple(case for name, case in cases.items() if name in part) for part in map(frozenset, parts))
        return replace(self, scope=shards[index - 1], shards=shards)

    @cached_property
    def owners(self) -> dict[str, int]:
        """Service → the first shard whose cases need it, from 1: it runs the tests of the service."""
        found: dict[str, int] = {}
        for number, cases in enumerate(self.shards, 1):
            for name in self.needed(cases):
                found.setdefault(name, number)
        return found


def make_plan(
    registry: Registry,
    *,
    cases: Sequence[str] = (),
    sources: Sequence[str] = (),
    sinks: Sequence[str] = (),
    strategies: Sequence[str] = (),
    declared: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    """Plan the cases of `registry` that match the globs. Raises `UsageError` if a glob or all of them match nothing.

    `declared` are the globs of the project's ini file, by the same names.
    """
    matrix = build_matrix(registry)
    scope = matrix.select(cases=cases, sources=sources, sinks=sinks, strategies=strategies)
    return Plan(registry, matrix, scope, matrix.select(**(declared or {})))
