"""What is signed: in-toto statements with three predicates (test-result v0.1, our own, SLSA's verification summary)."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ..core.gates.chain import Sha256
from .sums import STATEMENTS, SUMS

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
CERTIFICATION = "tag:pytest-dpone,2026:connector-certification/v1"
SUMMARY = "https://slsa.dev/verification_summary/v1"

FILES = STATEMENTS
"""In the order in which they are made: the summary names the digests of the other two."""
TEST_RESULT_FILE, CERTIFICATION_FILE, SUMMARY_FILE = FILES

Word = Literal["PASSED", "FAILED"]

_CAMEL = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True, alias_generator=to_camel)
"""Fields are spelled in the specifications' way: `passedTests`."""


class Foreign(BaseModel):
    """Base of what a specification of others defines: unknown fields may be there, and are no concern of ours."""

    model_config = _CAMEL | {"extra": "ignore"}


class Own(BaseModel):
    """Base of our own predicate: nothing in it is unknown."""

    model_config = _CAMEL | {"extra": "forbid"}


class Descriptor(Foreign):
    """in-toto's ResourceDescriptor, as far as we need it."""

    name: str | None = None
    uri: str | None = None
    digest: dict[str, str] = Field(default_factory=dict)


class TestResult(Foreign):
    """in-toto's predicate of that name."""

    __test__ = False  # pytest would take the class for tests

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: tuple[Descriptor, ...]
    url: str | None = None
    passed_tests: tuple[str, ...] = ()
    warned_tests: tuple[str, ...] = ()
    failed_tests: tuple[str, ...] = ()


class Policy(Own):
    """Which rules the verdict was found under."""

    uri: str
    digest: dict[Literal["sha256"], Sha256]


class Profile(Own):
    """The profile of the run, and the policy that it was judged by."""

    name: Literal["local_live", "real_local", "vendor_live"]
    policy: Policy


class Source(Own):
    """The source tree under test; null where it was not known."""

    commit: str | None
    tree: str | None
    dirty: bool | None


class Scope(Own):
    """Which cases were required, and how each one ended: `passed`, `failed`, or why it was not run."""

    planned: Annotated[int, Field(ge=0)]
    """Cases of the whole matrix."""
    reported: Annotated[int, Field(ge=0)]
    lock: Sha256 | None
    """SHA-256 of the scope lock that the run was held to; null if there was none."""
    outcomes: dict[str, str]


class Gate(Own):
    """One gate, judged again from its facts."""

    id: str
    verdict: Word
    evidence: str
    """The file, relative to the tree."""
    measured: Literal["run", "command", "external"]
    """By the run itself, given to a command by hand, or evidence from elsewhere."""


class Service(Own):
    """What served the run."""

    name: str
    product: str
    version: str
    fidelity: Literal["real", "engine", "emulated"]
    image_digest: str | None = None


class Run(Own):
    """The run that left the tree."""

    id: str
    mode: str
    finished_on: str
    """When its report was written, UTC."""


class Place(Own):
    """The entry of the log that this statement belongs to."""

    origin: str
    index: Annotated[int, Field(ge=0)]
    previous_root: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
    """RFC 6962 root of all entries before it, in Base64."""


class Certification(Own):
    """Our predicate: what was certified, how it ended, and where it stands in the log."""

    verdict: Word
    decision: Literal["GO", "NO-GO", "PASSED", "FAILED"]
    release: str
    profile: Profile
    source: Source
    scope: Scope
    gates: Annotated[tuple[Gate, ...], Field(min_length=1)]
    findings: tuple[str, ...]
    """Stable codes of what stands against it; empty if and only if the verdict is PASSED."""
    services: tuple[Service, ...]
    run: Run
    bound: dict[str, Sha256]
    """Digests of files that bind the run to its source or scope, by name, where there are any."""
    chain: Place


class Tool(Foreign):
    """Who has verified, and with which version."""

    id: str
    version: dict[str, str] = Field(default_factory=dict)


class Summary(Foreign):
    """SLSA's verification summary (VSA) v1."""

    verifier: Tool
    time_verified: str
    resource_uri: str
    policy: Descriptor
    input_attestations: tuple[Descriptor, ...]
    verification_result: Word
    verified_levels: tuple[str, ...]
    slsa_version: str | None = None


class Statement(Foreign):
    """in-toto Statement v1; the predicate is read by its own model."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[tuple[Descriptor, ...], Field(min_length=1)]
    predicate_type: str
    predicate: dict[str, object]


def statement(predicate_type: str, predicate: BaseModel, *, sums: str) -> bytes:
    """The payload: a statement about `SHA256SUMS` with the digest `sums`, and so about every file that it lists."""
    document = {
        "_type": STATEMENT,
        "subject": [{"name": SUMS, "digest": {"sha256": sums}}],
        "predicateType": predicate_type,
        "predicate": as_predicate(predicate),
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def as_predicate(predicate: BaseModel) -> dict[str, object]:
    """A predicate as JSON; what a specification of others leaves open is absent, and never null."""
    return predicate.model_dump(mode="json", exclude_none=isinstance(predicate, Foreign))


def certification_schema() -> dict[str, object]:
    """JSON Schema of our predicate."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Certification.model_json_schema(by_alias=True),
        "$id": CERTIFICATION,
        "title": CERTIFICATION,
    }
