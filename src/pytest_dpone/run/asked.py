"""What a verifier's policy asks of a tree beyond its gates."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.gates import documents
from ..core.gates.metrics import BenchmarkSloFacts, judge_benchmark_slo
from ..core.gates.policy import VerificationPolicy
from ..core.gates.ruling import Ruling, red
from ..core.gates.tallies import runtime_of
from ..core.model import Verdict
from .evidence import Evidence


def asked(evidence: Evidence, policy: VerificationPolicy) -> Iterator[Ruling]:
    """Profiles, cases, artifacts, services and metrics."""
    path, report = evidence.report_path, evidence.report
    if report.profile not in policy.profiles:
        yield red(path, "profile_refused", f"{path} is of {report.profile}, which the policy does not accept")
    passed = {record.case_id for record in evidence.records if record.verdict is Verdict.PASSED}
    for case in policy.required_cases:
        if case not in passed:
            yield red(path, "case_required", f"{path}: {case} has not passed, and the policy requires it")
    if policy.scope_lock is not None and evidence.lock != policy.scope_lock:
        held = f"the scope lock {evidence.lock}" if evidence.lock else "no scope lock"
        yield red(path, "another_scope", f"{path}: the run was held to {held}, not to {policy.scope_lock}")
    for fidelity in report.accepted_fidelity:
        if fidelity not in policy.accept_fidelity:
            yield red(path, "fidelity_refused", f"{path} accepts {fidelity} services, which the policy does not")
    for name in policy.required_artifacts:
        if not (evidence.root / name).is_file():
            yield red(name, "artifact_required", f"{name} is missing, and the policy requires it")
    yield from _objectives(evidence, policy)


def _objectives(evidence: Evidence, policy: VerificationPolicy) -> Iterator[Ruling]:
    """The gate over objectives, with the policy's in place of the run's."""
    if not policy.objectives or not evidence.tallies:
        return
    path = documents.RUNTIME.path
    totals = runtime_of([each.metrics for each in evidence.tallies]).totals
    facts = BenchmarkSloFacts(metrics=dict(totals), objectives=policy.objectives, profile="local_live")
    for ruling in judge_benchmark_slo(facts):
        if not ruling.passed:
            yield red(path, "objective", f"{path}: {ruling.text}, by the policy's objectives")
