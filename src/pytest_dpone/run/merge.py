"""Shards into one run: one tree, one scope, one verdict, by the gates that judge every other run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..core.gates.documents import PLAN, SHARDS, Stamp, compose
from ..core.gates.ruling import RELEASE_PROFILES, GateResult
from ..core.gates.shards import MergeFacts, RunFrame, ShardInputs, judge_merge
from ..core.gates.source import SourceFacts, judge_source
from ..core.gates.tallies import MarkerCounts, MarkerFacts
from ..core.matrix import Matrix
from ..core.model import Case, NotRun
from ..core.registry import Excluded, Registry
from ..errors import ArtifactError, UsageError
from .certification import Cases, Certification, Outcome
from .conclusion import Conclusion, Measured
from .gate_files import new_stamp, publish
from .inputs import GateInputs
from .junit import merge_junit
from .origin import Origin
from .page import write_reports
from .plan import Plan
from .publication import Identity, Publication
from .scope import Scope
from .shard_files import Shard, find_shards, merge_facts, read_shard
from .tree import JUNIT, Tree


@dataclass(frozen=True, slots=True)
class Merged:
    """How the whole run ended, where it lies, and what a person should know beside."""

    outcome: Outcome
    tree: Tree
    told: tuple[str, ...]
    failed: tuple[str, ...]
    """Tests of the project that failed in a shard, and are no part of the certification."""


def merge(folders: Sequence[Path], output: Path) -> Merged:
    """Judge the shards in `folders` as one run, and write its tree to `output`.

    Raises `UsageError` and `ArtifactError` if nothing can be said at all: no shard, or one that can't be read. What is
    missing, there twice or of another run is red in the outcome.
    """
    shards = sorted((read_shard(folder) for folder in find_shards(folders)), key=lambda shard: shard.facts.index)
    _check_apart(shards, output)
    facts = merge_facts(shards)
    frame = shards[0].facts.frame
    tree = Tree(output, output / "matrix")
    handles = tree.hold(whole=True)
    if handles is None:
        raise ArtifactError(f"another run writes to {output}", hint="choose another --output-dir")
    try:
        return _merged(shards, facts, frame, tree)
    finally:
        for handle in handles:
            os.close(handle)


def _merged(shards: Sequence[Shard], facts: MergeFacts, frame: RunFrame, tree: Tree) -> Merged:
    tree.clear(whole=True)
    plan, inputs = plan_of(frame), inputs_of(frame.inputs)
    identity = Identity(
        run_id=f"{datetime.now(UTC):%y%m%d%H%M%S}{secrets.token_hex(3)}",
        profile=frame.profile,
        run_mode=frame.run_mode,
        release=inputs.release,
        release_type=inputs.release_type,
        source=Origin(**shards[0].source.model_dump()),
    )
    certification = Certification(plan, Publication(tree.matrix, identity), accepted_fidelity=inputs.accepted_fidelity)
    stamp = new_stamp(
        run_id=identity.run_id,
        profile=identity.profile,
        run_mode=identity.run_mode,
        release=identity.release,
        source=identity.source,
        origin="run",
    )
    publish(tree.root, SHARDS, compose(SHARDS, facts, stamp))
    _take(certification, shards, facts)
    merging = _Merging(shards, frame, inputs, plan, tree, stamp)
    outcome = certification.finish(
        missing=NotRun.SKIPPED,
        detail="no shard has left a record of this case",
        conclude=merging.conclude if frame.whole else None,
    )
    if outcome is None:
        raise AssertionError("a planned scope has an outcome")
    failed = tuple(name for shard in shards for name in shard.facts.failed)
    return Merged(outcome, tree, tuple(merging.told), failed)


def _take(certification: Certification, shards: Sequence[Shard], facts: MergeFacts) -> None:
    for ruling in judge_merge(facts):
        if not ruling.passed:
            certification.block(ruling.blocker, problem=ruling.text)
    for shard in shards:
        for code, text in shard.facts.blockers.items():
            certification.block(code, problem=text)
        for record in shard.records:
            try:
                certification.take(record.model_dump_json())
            except ValueError as error:
                text = f"the record of {record.case_id} is refused: {error}"
                certification.block("records.refused", problem=text)


class _Merging:
    """The gates over the merged run."""

    def __init__(
        self,
        shards: Sequence[Shard],
        frame: RunFrame,
        inputs: GateInputs,
        plan: Plan,
        tree: Tree,
        stamp: Stamp,
    ) -> None:
        self.shards, self.frame, self.inputs = shards, frame, inputs
        self.plan, self.tree, self.stamp = plan, tree, stamp
        self.told: list[str] = []

    def conclude(self, cases: Cases) -> tuple[GateResult, ...]:
        """As a run does it. May raise `ArtifactError`."""
        frame = self.frame
        if frame.plan is not None:
            publish(self.tree.file(PLAN).parent, PLAN, compose(PLAN, frame.plan, self.stamp))
        if problem := merge_junit([shard.folder for shard in self.shards], self.tree.root / JUNIT, self.stamp.run_id):
            self.told.append(problem)
        tests: dict[str, str] = {}
        for shard in self.shards:
            tests |= shard.facts.tests
        scope = Scope(frame.declared, frame.dataset, frame.contracts, frame.lock, frame.lock_sha256)
        release = frame.profile in RELEASE_PROFILES
        measured = Measured(
            tallies=cases.tallies,
            markers=markers_of(self.shards, frame),
            rows=_rows(frame),
            green=cases.decision.passed,
            report=self.tree.matrix / "certification_report.json",
            source=source_of(self.shards, frame.profile),
            scope=scope.facts(frame.profile, records=cases.records, tests=tests) if release else None,
            merged=True,
            told=frozenset(cases.decision.blockers),
        )

        def page(gates: Sequence[GateResult]) -> None:
            baseline = self.inputs.baseline
            self.told += write_reports(self.tree, self.plan, cases, gates=gates, stamp=self.stamp, baseline=baseline)

        return Conclusion(self.tree, self.inputs, self.stamp, page).conclude(measured)


def plan_of(frame: RunFrame) -> Plan:
    """The plan of the whole run; families that a project has registered are known by their cases."""
    matrix = Matrix(
        tuple(map(case_of, frame.planned)),
        tuple(Excluded(case_of(name), reason) for name, reason in frame.excluded.items()),
    )
    return Plan(Registry(), matrix, tuple(map(case_of, frame.scope)), tuple(map(case_of, frame.declared)))


def case_of(case_id: str) -> Case:
    """The case of an id. Raises `ArtifactError` for what is none."""
    case = Case.of_id(case_id)
    if case is None:
        raise ArtifactError(f"{case_id!r} is the id of no case", hint="run the shards again")
    return case


def inputs_of(inputs: ShardInputs) -> GateInputs:
    """What the shards were given for the gates."""
    return GateInputs(
        release=inputs.release,
        release_type=inputs.release_type,
        checks=inputs.checks,
        objectives=inputs.objectives,
        baseline=inputs.baseline,
        minimum=inputs.minimum,
        maximum=inputs.maximum,
        accepted_fidelity=inputs.accepted_fidelity,
    )


def markers_of(shards: Sequence[Shard], frame: RunFrame) -> MarkerFacts:
    """Tests per marker, of all shards together."""
    found: dict[str, MarkerCounts] = {}
    for shard in shards:
        for name, row in shard.facts.markers.markers.items():
            known = found.get(name, MarkerCounts())
            counts = {word: getattr(known, word) + getattr(row, word) for word in MarkerCounts.model_fields}
            found[name] = MarkerCounts(**counts)
    return MarkerFacts(profile=frame.profile, markers=found, required=frame.required)


def source_of(shards: Sequence[Shard], profile: str) -> SourceFacts:
    """The source of the run: that of the shard of which most is to be said; for a start that differs is red before.

    Raises `ArtifactError` if a shard has none.
    """
    found = [shard.facts.source for shard in shards if shard.facts.source is not None]
    if len(found) < len(shards):
        raise ArtifactError("a shard has not bound its source", hint="run the shards again")
    return max(found, key=_findings).model_copy(update={"profile": profile})


def _findings(facts: SourceFacts) -> int:
    return sum(bool(row.text) for row in judge_source(facts))


def _rows(frame: RunFrame) -> int:
    rows = frame.settings.get("rows")
    if not isinstance(rows, int) or rows < 1:
        raise ArtifactError("the shards do not say how many rows they had", hint="run the shards again")
    return rows


def _check_apart(shards: Sequence[Shard], output: Path) -> None:
    """Writing the run would remove, or write over, what a shard has left."""
    for shard in shards:
        if output.resolve().is_relative_to(shard.folder.resolve()):
            raise UsageError(f"--output-dir {output} lies in the folder of a shard", hint="choose another folder")
