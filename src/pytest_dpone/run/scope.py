"""What a run's scope is held against: the lock, or the ini file; and the versions that a lock names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..core.contracts import Contracts, default_contracts
from ..core.dataset import VERSION
from ..core.gates.scope import ScopeFacts, ScopeLock, make_lock, scope_facts
from ..core.model import CaseRecord
from ..core.registry import Registry
from .plan import Plan


@dataclass(frozen=True, slots=True)
class Scope:
    """What a release run must pass. Without a `lock` it is what the ini file plans; `digest` is that of its bytes."""

    declared: tuple[str, ...]
    dataset: str
    contracts: str
    lock: ScopeLock | None = None
    digest: str | None = None

    def unplanned(self, profile: str) -> list[str]:
        """Locked cases that the project does not plan any more."""
        locked = self.lock.profiles.get(profile) if self.lock is not None else None
        return sorted(set(locked.cases).difference(self.declared)) if locked is not None else []

    def facts(self, profile: str, *, records: Iterable[CaseRecord], tests: Mapping[str, str]) -> ScopeFacts:
        """For the gate: what became of all that is required. `tests` are words by id."""
        return scope_facts(
            profile,
            lock=self.lock,
            digest=self.digest,
            declared=self.declared,
            dataset=self.dataset,
            contracts=self.contracts,
            cases={record.case_id: str(record.reason or record.verdict) for record in records},
            tests=tests,
        )


def scope_of(plan: Plan, *, lock: ScopeLock | None = None, digest: str | None = None) -> Scope:
    """The scope of a project that plans `plan`, with its lock."""
    names = tuple(case.case_id for case in plan.declared)
    return Scope(names, VERSION, contracts_version(plan.registry), lock, digest)


def lock_of(plan: Plan, tests: Mapping[str, Iterable[str]]) -> ScopeLock:
    """The lock that a project needs that plans `plan`, and has `tests` by release profile."""
    cases = (case.case_id for case in plan.declared)
    return make_lock(dataset=VERSION, contracts=contracts_version(plan.registry), cases=cases, tests=tests)


def contracts_version(registry: Registry) -> str:
    """Of the shipped contracts and of those that came with families of the project."""
    return Contracts((*default_contracts().rows, *registry.contracts)).version
