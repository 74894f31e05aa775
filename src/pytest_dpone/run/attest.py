"""The statements about a tree: what its judgement says, in the words of the three predicates."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..core.gates.policy import VerificationPolicy
from ..core.gates.ruling import RELEASE_PROFILES, Ruling
from ..core.model import Verdict
from ..evidence.statements import (
    CERTIFICATION_FILE,
    TEST_RESULT_FILE,
    Certification,
    Descriptor,
    Gate,
    Place,
    Policy,
    Profile,
    Run,
    Scope,
    Service,
    Source,
    Summary,
    TestResult,
    Tool,
    Word,
)
from .conclusion import UNRELEASED
from .evidence import Evidence

VERIFIER = "tag:pytest-dpone,2026:verifier/v1"
BOUND = ("source_binding.json", "scope_lock.json", "shards.json")
"""Names of files that bind a run to its source and its scope; where they lie in the tree, the predicate names them."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A tree, what stands against it under a policy, and the digests of its files."""

    evidence: Evidence
    policy: VerificationPolicy
    rulings: tuple[Ruling, ...]
    sums: Mapping[str, str]

    @property
    def word(self) -> Word:
        """The verdict."""
        return "FAILED" if self.rulings else "PASSED"

    @property
    def release(self) -> str:
        """The release, or what stands for none."""
        return self.evidence.report.release or UNRELEASED


def place_of(origin: str, index: int, previous_root: str) -> Place:
    """The place of an entry; `previous_root` is in hex."""
    return Place(
        origin=origin, index=index, previous_root=base64.b64encode(bytes.fromhex(previous_root)).decode("ascii")
    )


def certification(judgement: Judgement, place: Place) -> Certification:
    """Our predicate."""
    evidence, report = judgement.evidence, judgement.evidence.report
    release = report.profile in RELEASE_PROFILES
    good, bad = ("GO", "NO-GO") if release else ("PASSED", "FAILED")
    return Certification(
        verdict=judgement.word,
        decision=bad if judgement.rulings else good,  # type: ignore[arg-type]
        release=judgement.release,
        profile=Profile(
            name=report.profile,  # type: ignore[arg-type]
            policy=Policy(uri=judgement.policy.uri, digest={"sha256": judgement.policy.sha256}),
        ),
        source=Source(**evidence.source.model_dump()),
        scope=Scope(
            planned=report.matrix_size, reported=len(evidence.records), lock=evidence.lock, outcomes=outcomes(evidence)
        ),
        gates=_gates(judgement),
        findings=tuple(dict.fromkeys(f"{ruling.subject}: {ruling.code}" for ruling in judgement.rulings)),
        services=tuple(
            Service(
                name=service.name,
                product=service.product,
                version=service.version,
                fidelity=service.fidelity,
                image_digest=service.digest or None,
            )
            for service in report.services
        ),
        run=Run(id=report.run_id, mode=report.run_mode, finished_on=report.generated_at),
        bound={path: digest for path, digest in judgement.sums.items() if PurePosixPath(path).name in BOUND},
        chain=place,
    )


def outcomes(evidence: Evidence) -> dict[str, str]:
    """How each case ended: `passed`, `failed`, or why it was not run."""
    return {record.case_id: str(record.reason or record.verdict) for record in evidence.records}


def test_result(judgement: Judgement) -> TestResult:
    """in-toto's predicate. Cases that were not run and are tolerated are in none of its lists."""
    records = judgement.evidence.records
    tolerated = judgement.evidence.report.profile not in RELEASE_PROFILES
    return TestResult(
        result=judgement.word,
        configuration=(
            _policy(judgement.policy),
            Descriptor(
                name=judgement.evidence.report_path,
                digest={"sha256": judgement.sums.get(judgement.evidence.report_path, "")},
            ),
        ),
        passed_tests=tuple(record.case_id for record in records if record.verdict is Verdict.PASSED),
        failed_tests=tuple(
            record.case_id
            for record in records
            if record.verdict is not Verdict.PASSED and not (tolerated and record.reason and record.reason.tolerated)
        ),
    )


test_result.__test__ = False  # type: ignore[attr-defined]


def summary(judgement: Judgement, inputs: Mapping[str, str], *, time: str, version: str) -> Summary:
    """SLSA's predicate; `inputs` are the digests of the two envelopes by file."""
    profile = judgement.evidence.report.profile
    return Summary(
        verifier=Tool(id=VERIFIER, version={"pytest-dpone": version}),
        time_verified=time,
        resource_uri=f"tag:pytest-dpone,2026:release/{judgement.release}",
        policy=_policy(judgement.policy),
        input_attestations=tuple(
            Descriptor(uri=name, digest={"sha256": inputs[name]}) for name in (TEST_RESULT_FILE, CERTIFICATION_FILE)
        ),
        verification_result=judgement.word,
        verified_levels=("FAILED",) if judgement.rulings else (f"DPONE_{profile.upper()}",),
        slsa_version="1.0",
    )


def _policy(policy: VerificationPolicy) -> Descriptor:
    return Descriptor(uri=policy.uri, digest={"sha256": policy.sha256})


def _gates(judgement: Judgement) -> tuple[Gate, ...]:
    red = {ruling.subject for ruling in judgement.rulings}
    report = Gate(
        id="certification_report",
        verdict=_word(any(subject.startswith("matrix/") for subject in red)),
        evidence=judgement.evidence.report_path,
        measured="run",
    )
    return (
        report,
        *(
            Gate(
                id=name,
                verdict=_word(found.kind.path in red),
                evidence=found.kind.path,
                measured=found.measured,  # type: ignore[arg-type]
            )
            for name, found in judgement.evidence.documents.items()
        ),
    )


def _word(red: Sequence[str] | bool) -> Word:
    return "FAILED" if red else "PASSED"
