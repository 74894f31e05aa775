"""The plan of a certification: cases, services, environment, artifacts and commands of a profile. It starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from ...errors import UsageError
from ..matrix import Matrix
from ..model import Case
from ..registry import Registry
from .bundle import required_names
from .ruling import RELEASE_PROFILES, Ruling, Value, green, known_profile, red

FOLDERS = {
    "local_live": "test_artifacts/live_certification",
    "real_local": "test_artifacts/live_certification",
    "vendor_live": "test_artifacts/live_certification_vendor",
}
"""Where a profile writes."""

_ALWAYS = (
    "plan/live_certification_plan.json",
    "matrix/certification_report.json",
    "service_markers.json",
    "source_binding.json",
    "observability/runtime_metrics.json",
    "benchmark-slo/benchmark_slo_gate.json",
    "certification-pack/connector_certification_pack.json",
    "artifact-index/artifact_index.json",
    "evidence-chain/evidence_chain_index.json",
    "junit.xml",
)
_FOR_RELEASE = (
    "scope_lock.json",
    "performance-certification/performance_certification.json",
    "state_evidence.json",
    "reconciliation_evidence.json",
    "live-state-reconciliation/live_state_reconciliation.json",
    "pre-release/pre_release_checklist.json",
    "release-evidence/release_evidence_pack.json",
)


class PlannedService(Value):
    """A service that the cases need, and the variable that holds its address where the user brings it."""

    name: str
    variable: str
    needed: bool
    """If the profile can't run without that variable."""
    cases: Annotated[int, Field(ge=1)]


class PlanFacts(Value):
    """All that a plan says. `estimated_seconds` is from the last run, or None."""

    profile: str
    row_count: Annotated[int, Field(ge=1)]
    include_vendor_live: bool = False
    cases: tuple[str, ...]
    excluded: dict[str, str] = Field(default_factory=dict)
    services: tuple[PlannedService, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    """Variable → why it is needed."""
    artifacts: tuple[str, ...] = ()
    required_for_pack: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    estimated_seconds: Annotated[float, Field(ge=0)] | None = None
    estimated_cases: Annotated[int, Field(ge=0)] = 0
    """Planned cases that the estimate knows a duration of."""
    estimated_rows: Annotated[int, Field(ge=0)] = 0
    """Rows of each case in the run that the estimate is from."""


def plan_facts(
    registry: Registry,
    matrix: Matrix,
    *,
    profile: str,
    row_count: int,
    include_vendor_live: bool = False,
    scope: Sequence[Case] | None = None,
    seconds: Mapping[str, float] | None = None,
    rows: int = 0,
) -> PlanFacts:
    """Plan `scope` (default: the whole matrix). `seconds` are durations of cases in the last run, which had `rows`.

    Raises `UsageError` for an unknown profile, and if `vendor_live` and its flag do not go together.
    """
    known_profile(profile)
    if (profile == "vendor_live") != include_vendor_live:
        raise _vendor(profile)
    cases = matrix.planned if scope is None else tuple(scope)
    services = _services(cases, registry, needed=profile == "vendor_live")
    known = {case.case_id: (seconds or {})[case.case_id] for case in cases if case.case_id in (seconds or {})}
    return PlanFacts(
        profile=profile,
        row_count=row_count,
        include_vendor_live=include_vendor_live,
        cases=tuple(case.case_id for case in cases),
        excluded={row.case.case_id: row.reason for row in matrix.excluded},
        services=services,
        environment={s.variable: f"address of {s.name}" for s in services if s.needed},
        artifacts=tuple(f"{FOLDERS[profile]}/{name}" for name in _artifacts(profile)),
        required_for_pack=required_names("release_evidence_pack", profile) if profile in RELEASE_PROFILES else (),
        commands=_commands(profile, row_count),
        estimated_seconds=round(sum(known.values()), 1) if known else None,
        estimated_cases=len(known),
        estimated_rows=rows if known else 0,
    )


def judge_plan(facts: PlanFacts) -> tuple[Ruling, ...]:
    """A plan of nothing is red."""
    if not facts.cases:
        return (red("scope", "empty", "no case is planned"),)
    return (green("scope", "planned", actual=len(facts.cases)),)


def _vendor(profile: str) -> UsageError:
    if profile == "vendor_live":
        return UsageError(
            "the profile vendor_live runs on systems that cost money", hint="say --include-vendor-live if you mean it"
        )
    return UsageError(
        f"--include-vendor-live contradicts the profile {profile}", hint="use --profile vendor_live, or leave it out"
    )


def _services(cases: Sequence[Case], registry: Registry, *, needed: bool) -> tuple[PlannedService, ...]:
    counts = dict.fromkeys(registry.services, 0)
    for case in cases:
        for name in registry.needs(case):
            counts[name] = counts.get(name, 0) + 1
    return tuple(
        PlannedService(name=name, variable=f"DPONE_{name.upper()}_URL", needed=needed, cases=count)
        for name, count in counts.items()
        if count
    )


def _artifacts(profile: str) -> tuple[str, ...]:
    return (*_ALWAYS, *_FOR_RELEASE) if profile in RELEASE_PROFILES else _ALWAYS


def _commands(profile: str, rows: int) -> tuple[str, ...]:
    vendor = " --dpone-include-vendor-live" if profile == "vendor_live" else ""
    folder = FOLDERS[profile]
    found = [
        f"pytest --dpone-profile={profile}{vendor} --dpone-rows={rows}",
        f"pytest-dpone ops integration-matrix-report --artifact-dir {folder}/matrix",
        f"pytest-dpone ops evidence-chain-verify --chain-dir {folder}/evidence-chain",
    ]
    return tuple(found)
