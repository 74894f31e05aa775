"""Gates over artifacts: certification pack, live state reconciliation, release evidence pack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from .ruling import RELEASE_PROFILES, Ruling, Value, green, nearest, red

BundleKind = Literal["certification_pack", "live_state_reconciliation", "release_evidence_pack"]

REQUIRED_FOR_RELEASE = (
    "service_markers",
    "certification_pack",
    "performance_certification",
    "live_state_reconciliation",
    "evidence_chain",
    "pre_release_checklist",
)

KIND_OF_NAME = {
    "service_markers": "service_markers",
    "state": "state",
    "reconciliation": "reconciliation",
    "certification_report": "certification_report",
    "matrix": "certification_report",
    "integration_matrix_report": "integration_matrix_report",
    "runtime_metrics": "runtime_metrics",
    "benchmark_baseline": "benchmark_baseline",
    "benchmark_slo_gate": "benchmark_slo_gate",
    "benchmark_slo": "benchmark_slo_gate",
    "performance_certification": "performance_certification",
    "live_state_reconciliation": "live_state_reconciliation",
    "certification_pack": "certification_pack",
    "artifact_index": "artifact_index",
    "evidence_chain": "evidence_chain",
    "pre_release_checklist": "pre_release_checklist",
    "release_evidence_pack": "release_evidence_pack",
    "live_certification_plan": "live_certification_plan",
    "scope_lock": "scope_lock",
    "source_binding": "source_binding",
    "shard": "shard",
    "shards": "shards",
}
"""Name of an artifact → the kind that it must be of. Another name may be of any kind."""

_NEEDS_RELEASE = frozenset({"evidence_chain", "pre_release_checklist", "artifact_index", "release_evidence_pack"})
"""Kinds that are of one release: in a pack for a release they must name it."""


class ExhibitProblem(Value):
    """What is wrong with an exhibit: a stable code, and a text that follows its name."""

    code: str
    text: str


class Exhibit(Value):
    """A named artifact as it was found."""

    name: str
    path: str
    """Relative to the folder of the bundle's own file, where that is known."""
    sha256: str | None = None
    """Of the bytes; None if they can't be read."""
    evidence: Literal["own", "external", "none"] = "none"
    """`own`: written by this project and judged again from its facts; `external`: measured elsewhere."""
    kind: str | None = None
    """Of own evidence."""
    release: str | None = None
    profile: str | None = None
    run_mode: str | None = None
    generated_at: str | None = None
    problems: tuple[ExhibitProblem, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader must know of it, e.g. which checks nobody but a person vouches for."""


class BundleFacts(Value):
    """Input of the gate. `required` is added to what the profile requires anyway."""

    bundle: BundleKind
    pack_id: str | None = None
    profile: str
    release: str | None = None
    required: tuple[str, ...] = ()
    exhibits: Annotated[tuple[Exhibit, ...], Field()] = ()


def required_names(bundle: BundleKind, profile: str) -> tuple[str, ...]:
    """What a bundle of `profile` must hold, whatever the caller asks for."""
    if bundle == "live_state_reconciliation":
        return ("state", "reconciliation")
    if bundle == "release_evidence_pack":
        return REQUIRED_FOR_RELEASE
    if profile in RELEASE_PROFILES:
        return ("service_markers", "certification_report", "runtime_metrics", "benchmark_slo_gate")
    return ("service_markers", "certification_report")


def judge_bundle(facts: BundleFacts) -> tuple[Ruling, ...]:
    """One ruling per required name, then one per other exhibit; what is wrong between them at the end."""
    given = {exhibit.name: exhibit for exhibit in facts.exhibits}
    kinds_given = {KIND_OF_NAME.get(name, name) for name in given}
    rulings: list[Ruling] = []
    for name in dict.fromkeys((*required_names(facts.bundle, facts.profile), *facts.required)):
        if name not in given and KIND_OF_NAME.get(name, name) not in kinds_given:
            rulings.append(_missing(name, list(given)))
    for exhibit in facts.exhibits:
        rulings += _exhibit(exhibit, facts)
    return (*rulings, *_between(facts.exhibits), *_policy(facts))


def _missing(name: str, given: Sequence[str]) -> Ruling:
    near = nearest(name, given) if given else ""
    meant = f"; {near}" if near.startswith("did") else ""
    return red(name, "missing", f"the artifact {name} is required and was not given{meant}", rule="required")


def _exhibit(exhibit: Exhibit, facts: BundleFacts) -> list[Ruling]:
    problems = [red(exhibit.name, p.code, f"{exhibit.name} {p.text}") for p in exhibit.problems]
    if exhibit.evidence != "none":
        problems += _fit(exhibit, facts)
    if problems:
        return problems
    if exhibit.evidence == "none" or exhibit.sha256 is None:
        return [red(exhibit.name, "unreadable", f"{exhibit.name} was not read")]
    rule = "external" if exhibit.evidence == "external" else "judged again"
    return [green(exhibit.name, rule, actual=exhibit.sha256, text=exhibit.path)]


def _fit(exhibit: Exhibit, facts: BundleFacts) -> list[Ruling]:
    name, kind = exhibit.name, KIND_OF_NAME.get(exhibit.name)
    found = []
    if exhibit.evidence == "own" and kind is not None and exhibit.kind != kind:
        found.append(red(name, "another_kind", f"{name} is a document of the kind {exhibit.kind}, not {kind}"))
    if exhibit.kind == facts.bundle:
        found.append(red(name, "another_kind", f"{name} is itself a {facts.bundle}"))
    release = facts.release is not None and (kind in _NEEDS_RELEASE or exhibit.kind in _NEEDS_RELEASE)
    if facts.release is not None and exhibit.release != facts.release and (release or exhibit.release is not None):
        text = f"{name} is of the release {exhibit.release}, not {facts.release}"
        found.append(red(name, "another_release", text, expected=facts.release, actual=exhibit.release))
    if exhibit.profile is not None and exhibit.profile != facts.profile:
        text = f"{name} is of the profile {exhibit.profile}, not {facts.profile}"
        found.append(red(name, "another_profile", text, expected=facts.profile, actual=exhibit.profile))
    if exhibit.run_mode == "mock_local":
        found.append(red(name, "simulated", f"{name} is of a simulated run"))
    return found


def _between(exhibits: Sequence[Exhibit]) -> list[Ruling]:
    names = Counter(exhibit.name for exhibit in exhibits)
    found = [red(name, "given_twice", f"the artifact {name} is given twice") for name, n in names.items() if n > 1]
    first: dict[str, str] = {}
    for exhibit in exhibits:
        if exhibit.sha256 is None or names[exhibit.name] > 1:
            continue
        other = first.setdefault(exhibit.sha256, exhibit.name)
        if other != exhibit.name:
            text = f"{exhibit.name} holds the same bytes as {other}: one file can't stand for both"
            found.append(red(exhibit.name, "same_file", text))
    return found


def _policy(facts: BundleFacts) -> list[Ruling]:
    if facts.bundle == "release_evidence_pack" and facts.profile not in RELEASE_PROFILES:
        return [red("profile", "no_release_pack", f"the profile {facts.profile} has no release pack")]
    if facts.bundle == "release_evidence_pack" and facts.release is None:
        return [red("release", "missing", "a release pack is of a release")]
    return []
