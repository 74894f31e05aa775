"""What a verifier asks of a tree beyond its own gates: which profiles, cases and artifacts, and whose word counts."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import Field, ValidationError

from ...errors import UsageError
from ..strict import NotStrict, parse_object
from .chain import Sha256
from .metrics import Objective
from .ruling import PROFILES, Value

PACKAGED_URI = "tag:pytest-dpone,2026:policy/packaged/v1"
"""Names the policy that holds if nobody gives one."""


class VerificationPolicy(Value):
    """Rules that are added to the gates'; none of them can take a rule of a gate away."""

    schema_: Literal["pytest-dpone/verification-policy/v1"] = Field(
        default="pytest-dpone/verification-policy/v1", alias="schema"
    )
    profiles: tuple[Literal["local_live", "real_local", "vendor_live"], ...] = PROFILES  # type: ignore[assignment]
    """Profiles that are accepted."""
    required_cases: tuple[str, ...] = ()
    """Cases that must have passed, whatever the run had planned."""
    scope_lock: Sha256 | None = None
    """SHA-256 of the scope lock that the run must have been held to: the verifier's own copy of that file."""
    required_artifacts: tuple[str, ...] = ()
    """Files that must be there, relative to the tree."""
    objectives: dict[str, Objective] = Field(default_factory=dict)
    """Bounds that the run's metrics must keep, beside those that the run itself was held to."""
    accept_fidelity: tuple[Literal["engine", "emulated"], ...] = ("engine", "emulated")
    """What a patch release may have accepted beside real services."""
    measured_elsewhere: tuple[str, ...] = ()
    """Kinds of documents that need not be of the run itself, e.g. `service_markers`."""

    @property
    def sha256(self) -> str:
        """Digest of the rules: of their JSON with sorted keys and without spaces."""
        body = self.model_dump(mode="json", by_alias=True)
        text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def uri(self) -> str:
        """Names the packaged policy, and any other one by its digest."""
        return PACKAGED_URI if self == PACKAGED else f"urn:sha256:{self.sha256}"


PACKAGED = VerificationPolicy()


def read_policy(raw: bytes, *, what: str) -> VerificationPolicy:
    """The policy in the bytes of a file, which `what` names. Raises `UsageError`."""
    hint = "the fields of a policy are those of docs/schemas/verification_policy.schema.json"
    try:
        parse_object(raw)
        return VerificationPolicy.model_validate_json(raw, strict=True)
    except NotStrict as error:
        raise UsageError(f"{what} is not strict JSON: {error}", hint=hint) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the policy"
        raise UsageError(f"{what} is no policy: {place}: {first['msg'].splitlines()[0]}", hint=hint) from None


def policy_schema() -> dict[str, object]:
    """JSON Schema of a policy's file."""
    schema = VerificationPolicy.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "verification policy"}
