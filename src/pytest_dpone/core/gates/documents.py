"""The JSON documents of the gates: made from facts, and judged again from their facts by whoever reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, Literal, TypeVar, cast

from pydantic import Field, ValidationError

from ..model import SCHEMA_BEHAVIOR
from ..strict import is_as_written, kind_of
from . import bundle, chain, checklist, matrix, metrics, plan, scope, shards, source, tallies
from .external import Problem, judge_external
from .ruling import Ruling, Value, blockers_of, passes

PREFIX = "pytest-dpone/"

F = TypeVar("F", bound=Value)


class SourceTree(Value):
    """The source tree as git knows it; None where it can't be known."""

    commit: str | None = None
    tree: str | None = None
    dirty: bool | None = None


class Stamp(Value):
    """What a document says about its making."""

    generated_at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
    """UTC, RFC 3339, milliseconds, so that the order of the texts is the order in time."""
    run_id: str
    profile: str | None = None
    run_mode: str | None = None
    release: str | None = None
    source: SourceTree = SourceTree()
    origin: Literal["run", "command"] = "command"
    """`run`: from what a run measured; `command`: from files and values that were given to a command."""


class Document(Stamp, Generic[F]):
    """A gate's document. `passed`, `blockers` and `results` follow from `facts`."""

    schema_: str = Field(alias="schema")
    passed: bool
    blockers: tuple[str, ...]
    facts: F
    results: tuple[Ruling, ...]
    content_sha256: str
    """Of all other fields, as JSON with sorted keys and without spaces."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document: its name, its facts and their judge, its file's name and where a run puts it."""

    name: str
    folder: str
    """Below the folder of a run's artifacts; empty for that folder itself."""
    file: str
    judge: Callable[[Value], tuple[Ruling, ...]]
    read: Callable[[bytes], Document[Value]]
    json_schema: Callable[[], dict[str, object]]

    @property
    def schema(self) -> str:
        """Name and version of the document's form."""
        return f"{PREFIX}{self.name.replace('_', '-')}/v1"

    @property
    def path(self) -> str:
        """Where a run puts it, below the folder of its artifacts (DESIGN §9)."""
        return f"{self.folder}/{self.file}" if self.folder else self.file


@dataclass(frozen=True, slots=True)
class Judged:
    """A document as a gate may use it."""

    evidence: Literal["own", "external"]
    kind: str | None
    problems: tuple[Problem, ...]
    release: str | None = None
    profile: str | None = None
    run_mode: str | None = None
    generated_at: str | None = None
    facts: Value | None = None
    as_written: bool = False
    """If its bytes are those that this project writes; only of own evidence."""


def compose(kind: Kind, facts: Value, stamp: Stamp) -> dict[str, object]:
    """The document of `facts`, ready to be written. Pure: time and names come with `stamp`."""
    rulings = kind.judge(facts)
    body: dict[str, object] = {
        "schema": kind.schema,
        "passed": passes(rulings),
        "blockers": list(blockers_of(rulings)),
        **stamp.model_dump(mode="json"),
        "facts": facts.model_dump(mode="json"),
        "results": [ruling.row() for ruling in rulings],
    }
    return {**body, "content_sha256": content_sha256(body)}


def content_sha256(document: Mapping[str, object]) -> str:
    """Hex digest of all fields of `document` but `content_sha256`."""
    body = {name: value for name, value in document.items() if name != "content_sha256"}
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


EDITED = Problem("edited", "was edited: its content is not what its digest says")


def is_edited(document: Mapping[str, object]) -> bool:
    """If a document of ours is not as it was written; one without its digest was edited too."""
    return document.get("content_sha256") != content_sha256(document)


def judge_document(data: Mapping[str, object], raw: bytes, *, expected: str) -> Judged:
    """Judge a parsed document; `raw` are its bytes, `expected` the kind that it is given as.

    With a `schema` of ours it is judged again from its facts, else as external evidence of `expected`.
    """
    schema = data.get("schema")
    if not (isinstance(schema, str) and schema.startswith(PREFIX)):
        return _external(data, expected)
    if schema == matrix.SCHEMA_REPORT:
        return _report(data, raw)
    kind = BY_SCHEMA.get(schema)
    if kind is None:
        word = "is a case's document" if schema == SCHEMA_BEHAVIOR else f"has the unknown schema {schema!r}"
        return Judged("own", None, (Problem("unknown_schema", f"{word}, which is no evidence by itself"),))
    try:
        document = kind.read(raw)
    except ValidationError as error:
        return Judged("own", kind.name, (Problem("malformed", f"is malformed: {first_error(error)}"),))
    return Judged(
        "own",
        kind.name,
        tuple(_own_problems(kind, document, data)),
        release=document.release,
        profile=document.profile,
        run_mode=document.run_mode,
        generated_at=document.generated_at,
        facts=document.facts,
        as_written=is_as_written(raw, data),
    )


def first_error(error: ValidationError) -> str:
    """The first thing that a model refused, in one line, without the value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the document"
    return f"{place[:120]}: {first['msg'].splitlines()[0]}"


def _own_problems(kind: Kind, document: Document[Value], data: Mapping[str, object]) -> list[Problem]:
    rulings = kind.judge(document.facts)
    found = []
    if is_edited(data):
        found.append(EDITED)
    for name in ("profile", "release"):
        inside = getattr(document.facts, name, None)
        if inside is not None and inside != getattr(document, name):
            found.append(Problem("contradicts_itself", f"names one {name} in its head and another in its facts"))
    if getattr(document.facts, "bundle", kind.name) != kind.name:
        # A pack that calls itself another one would be held to what that one needs.
        found.append(Problem("contradicts_itself", f"is a {kind.name} that holds the facts of another pack"))
    told = (document.passed, document.blockers, document.results)
    if told != (passes(rulings), blockers_of(rulings), rulings):
        found.append(Problem("contradicts_itself", "says something else than follows from its facts"))
    if not document.passed or not passes(rulings):
        blockers = ", ".join(blockers_of(rulings)[:3]) or "passed is false"
        found.append(Problem("red", f"is red: {blockers}"))
    return found


def _external(data: Mapping[str, object], expected: str) -> Judged:
    problems = list(judge_external(expected, data))
    for name in ("release", "profile", "run_mode"):
        value = data.get(name)
        if value is not None and not isinstance(value, str):
            problems.append(Problem("facts_wrong", f"says {name} as {kind_of(value)}, not as a text"))
    release, profile, run_mode = (_text(data.get(name)) for name in ("release", "profile", "run_mode"))
    return Judged("external", None, tuple(problems), release=release, profile=profile, run_mode=run_mode)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _report(data: Mapping[str, object], raw: bytes) -> Judged:
    try:
        report = matrix.Report.model_validate_json(raw, strict=True)
    except ValidationError as error:
        return Judged("own", "certification_report", (Problem("malformed", f"is malformed: {first_error(error)}"),))
    facts = matrix.report_facts(report)
    rulings = matrix.judge_matrix(facts)
    found = []
    if is_edited(data):
        found.append(EDITED)
    if not passes(rulings):
        found.append(Problem("red", f"is red: {', '.join(blockers_of(rulings)[:3])}"))
    return Judged(
        "own",
        "certification_report",
        tuple(found),
        release=report.release,
        profile=report.profile,
        run_mode=report.run_mode,
        generated_at=report.generated_at,
        facts=facts,
        as_written=is_as_written(raw, data),
    )


def _kind(
    name: str, folder: str, facts: type[F], judge: Callable[[F], tuple[Ruling, ...]], *, file: str | None = None
) -> Kind:
    def judged(value: Value) -> tuple[Ruling, ...]:
        if not isinstance(value, facts):
            raise TypeError(f"{name} is judged by {facts.__name__}, not by {type(value).__name__}")
        return judge(value)

    def read(data: bytes) -> Document[Value]:
        return Document[facts].model_validate_json(data, strict=True)  # type: ignore[valid-type]

    def json_schema() -> dict[str, object]:
        return Document[facts].model_json_schema(by_alias=True)  # type: ignore[valid-type]

    return Kind(name, folder, file or f"{name}.json", judged, read, json_schema)


PLAN = _kind("live_certification_plan", "plan", plan.PlanFacts, plan.judge_plan)
BASELINE = _kind("benchmark_baseline", "benchmark-slo/benchmark", metrics.BaselineFacts, metrics.judge_baseline)
BENCHMARK_SLO = _kind("benchmark_slo_gate", "benchmark-slo", metrics.BenchmarkSloFacts, metrics.judge_benchmark_slo)
PERFORMANCE = _kind(
    "performance_certification", "performance-certification", metrics.PerformanceFacts, metrics.judge_performance
)
LIVE_STATE = _kind("live_state_reconciliation", "live-state-reconciliation", bundle.BundleFacts, bundle.judge_bundle)
CERTIFICATION_PACK = _kind(
    "certification_pack",
    "certification-pack",
    bundle.BundleFacts,
    bundle.judge_bundle,
    file="connector_certification_pack.json",
)
RELEASE_PACK = _kind("release_evidence_pack", "release-evidence", bundle.BundleFacts, bundle.judge_bundle)
CHECKLIST = _kind("pre_release_checklist", "pre-release", checklist.ChecklistFacts, checklist.judge_checklist)
MARKERS = _kind("service_markers", "", tallies.MarkerFacts, tallies.judge_markers)
STATE = _kind("state", "", tallies.CheckedFacts, tallies.judge_checked, file="state_evidence.json")
RECONCILIATION = _kind(
    "reconciliation", "", tallies.CheckedFacts, tallies.judge_checked, file="reconciliation_evidence.json"
)
RUNTIME = _kind("runtime_metrics", "observability", tallies.RuntimeFacts, tallies.judge_runtime)
MATRIX = _kind("integration_matrix_report", "matrix", matrix.MatrixFacts, matrix.judge_matrix)
SCOPE = _kind("scope_lock", "", scope.ScopeFacts, scope.judge_scope)
SOURCE = _kind("source_binding", "", source.SourceFacts, source.judge_source)
SHARD = _kind("shard", "", shards.ShardFacts, shards.judge_shard)
SHARDS = _kind("shards", "", shards.MergeFacts, shards.judge_merge)
INDEX = _kind("artifact_index", "artifact-index", chain.IndexFacts, chain.judge_index)
CHAIN = _kind("evidence_chain", "evidence-chain", chain.ChainFacts, chain.judge_chain, file="evidence_chain_index.json")

KINDS = (
    *(PLAN, BASELINE, BENCHMARK_SLO, PERFORMANCE, LIVE_STATE, CERTIFICATION_PACK, RELEASE_PACK, CHECKLIST, MARKERS),
    *(STATE, RECONCILIATION, RUNTIME, MATRIX, SCOPE, SOURCE, SHARD, SHARDS, INDEX, CHAIN),
)
"""Every kind of document that the gates write."""
BY_SCHEMA = MappingProxyType({kind.schema: kind for kind in KINDS})


def json_schemas() -> dict[str, dict[str, object]]:
    """File name below `docs/schemas/` → JSON Schema of that kind of document."""
    found = {}
    for kind in KINDS:
        schema = kind.json_schema()
        named = {"schema": {"const": kind.schema, "type": "string"}}
        described = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **schema,
            "properties": {**dict(cast("Mapping[str, object]", schema["properties"])), **named},
            "title": kind.schema,
        }
        found[f"{kind.name}.schema.json"] = described
    return found
