"""The gates of a run at its end: what was measured becomes documents, packs, index and chain (DESIGN §9).

Each gate reads what is on disk as the commands do, so that a run and `pytest-dpone ops` can't judge differently.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.gates import documents
from ..core.gates.bundle import REQUIRED_FOR_RELEASE, BundleKind
from ..core.gates.checklist import ChecklistFacts, ChecklistItem
from ..core.gates.documents import Kind, Stamp, compose
from ..core.gates.metrics import NO_BOUNDS, BaselineFacts, BenchmarkSloFacts, PerformanceFacts
from ..core.gates.ruling import RELEASE_PROFILES, GateResult, Value
from ..core.gates.scope import ScopeFacts
from ..core.gates.source import SourceFacts, told
from ..core.gates.tallies import CheckedFacts, CheckedRow, MarkerFacts, Tally, runtime_of
from ..evidence import chain
from ..evidence.artifacts import write_text
from ..evidence.exhibits import remembering
from ..evidence.index import index_tree
from ..report.exports import otlp_lines, prometheus_text
from ..report.gates import document_markdown
from .gate_files import publish
from .inputs import GateInputs
from .packs import pack_facts
from .tree import Tree

UNRELEASED = "unreleased"
"""Stands for the release in the index and the chain of a run that is of none."""

_NO_CRASH = "no case of this run has tried it: see --dpone-crash, and what the act `crash` of its cases has planned"
_STATE_CHECKS = {
    "survives_a_kill": "state_survives_kill",
    "committed_after_data": "crash.committing.rows",
    "two_runs_at_once": "state_two_runs",
    "damaged_state_is_an_error": "state_damaged",
    "survives_a_cut_connection": "crash.cut.rows",
    "survives_a_refused_batch": "crash.refused.rows",
}
_RECONCILIATION_CHECKS = {
    "after_a_crash": "crash.committing.rows",
    "after_a_cut_connection": "crash.cut.rows",
    "after_a_refused_batch": "crash.refused.rows",
}
PACK_FILES = {
    "service_markers": documents.MARKERS,
    "runtime_metrics": documents.RUNTIME,
    "benchmark_slo_gate": documents.BENCHMARK_SLO,
    "performance_certification": documents.PERFORMANCE,
    "live_state_reconciliation": documents.LIVE_STATE,
    "certification_pack": documents.CERTIFICATION_PACK,
    "evidence_chain": documents.CHAIN,
    "pre_release_checklist": documents.CHECKLIST,
    "state": documents.STATE,
    "reconciliation": documents.RECONCILIATION,
    "scope_lock": documents.SCOPE,
    "source_binding": documents.SOURCE,
    "shards": documents.SHARDS,
}
"""Name in a pack → the document that a run puts there."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run knows at its end. `green` says if its cases are."""

    tallies: Sequence[Tally]
    markers: MarkerFacts
    rows: int
    green: bool
    report: Path
    """The certification report, which is on disk by then."""
    source: SourceFacts
    scope: ScopeFacts | None = None
    """Of a release profile: what became of all that the lock, or the ini file, requires."""
    merged: bool = False
    """If the run was cut into shards, and `shards.json` is on disk."""
    told: frozenset[str] = frozenset()
    """Blockers that the cases have told already."""


@dataclass(slots=True)
class Conclusion:
    """Judges gate after gate and keeps the results; the methods may raise `ArtifactError`."""

    tree: Tree
    inputs: GateInputs
    stamp: Stamp
    write_page: Callable[[Sequence[GateResult]], object] | None = None
    """Writes the page with the gates so far: before the index, which no file may be added to or changed after."""
    results: list[GateResult] = field(default_factory=list)

    @property
    def _release_profile(self) -> bool:
        return self.stamp.profile in RELEASE_PROFILES

    def conclude(self, measured: Measured) -> tuple[GateResult, ...]:
        """Run every gate, in the order in which they stand on each other."""
        # Its blockers are those of the cases, which the run tells by itself.
        self.results.append(GateResult("certification_report", "passed" if measured.green else "failed"))
        with remembering():
            self._conclude(measured)
        return tuple(self.results)

    def _conclude(self, measured: Measured) -> None:
        self._judge(documents.MARKERS, measured.markers)
        self._judge(documents.SOURCE, measured.source, note=told(measured.source))
        if measured.scope is not None:
            self._judge(documents.SCOPE, measured.scope, known=measured.told)
        self._metrics(measured)
        self._state(measured)
        self._certification_pack(measured)
        if self._release_profile:
            self._checklist(measured)
        if self.write_page is not None:
            self.write_page(tuple(self.results))
        if self._index() and self._chain() and self._release_profile:
            self._pack("release_evidence_pack", documents.RELEASE_PACK, REQUIRED_FOR_RELEASE)

    def _judge(self, kind: Kind, facts: Value, *, note: str = "", known: Collection[str] = ()) -> bool:
        document = compose(kind, facts, self.stamp)
        publish(self.tree.file(kind).parent, kind, document)
        return self._keep(kind.name, document, note=note, known=known)

    def _keep(self, name: str, document: Mapping[str, object], *, note: str = "", known: Collection[str] = ()) -> bool:
        passed = document["passed"] is True
        rows = document["results"]
        red = [row for row in rows if not row["passed"]] if isinstance(rows, list) else []
        told = {gate.name for gate in self.results if gate.state == "failed"}
        # What a pack says of a gate that is red has been said by the gate itself.
        blockers = tuple(
            (f"{row['subject']}.{row['code']}", str(row["text"])) for row in red if row["subject"] not in told
        )
        blockers = tuple((code, text) for code, text in blockers if code not in known)
        self.results.append(GateResult(name, "passed" if passed else "failed", blockers, note if passed else ""))
        return passed

    def _skip(self, kind: Kind, why: str) -> None:
        self.results.append(GateResult(kind.name, "not run", note=why))

    def _metrics(self, measured: Measured) -> None:
        facts = runtime_of([tally.metrics for tally in measured.tallies])
        folder = self.tree.file(documents.RUNTIME).parent
        self._judge(documents.RUNTIME, facts)
        labels = {"profile": str(self.stamp.profile), "run_id": self.stamp.run_id}
        write_text(folder / "runtime_metrics.prom", prometheus_text(facts, labels))
        lines = otlp_lines(facts, labels, generated_at=self.stamp.generated_at)
        write_text(folder / "runtime_metrics.otlp.jsonl", lines)
        self._benchmark(facts.totals)
        self._performance(facts.totals, measured.rows)

    def _benchmark(self, metrics: Mapping[str, int | float]) -> None:
        inputs = self.inputs
        if inputs.baseline:
            below = BaselineFacts(metrics=dict(metrics), baseline=dict(inputs.baseline))
            document = compose(documents.BASELINE, below, self.stamp)
            publish(self.tree.file(documents.BASELINE).parent, documents.BASELINE, document)
        facts = BenchmarkSloFacts(
            metrics=dict(metrics),
            baseline=dict(inputs.baseline),
            objectives=dict(inputs.objectives),
            profile=self.stamp.profile,
        )
        self._judge(documents.BENCHMARK_SLO, facts)

    def _performance(self, metrics: Mapping[str, int | float], rows: int) -> None:
        inputs = self.inputs
        if not (inputs.minimum or inputs.maximum or self._release_profile):
            self._skip(documents.PERFORMANCE, NO_BOUNDS)
            return
        facts = PerformanceFacts(
            profile=str(self.stamp.profile),
            row_count=rows,
            metrics=dict(metrics),
            minimum=dict(inputs.minimum),
            maximum=dict(inputs.maximum),
        )
        self._judge(documents.PERFORMANCE, facts)

    def _state(self, measured: Measured) -> None:
        state = any(tally.state is not None for tally in measured.tallies)
        reconciliation = any(tally.reconciliation is not None for tally in measured.tallies)
        if not (self._release_profile or (state and reconciliation)):
            for kind in (documents.STATE, documents.RECONCILIATION, documents.LIVE_STATE):
                self._skip(kind, "no case of this run keeps a state and reconciles deletes")
            return
        self._judge(documents.STATE, state_facts(measured.tallies))
        self._judge(documents.RECONCILIATION, reconciliation_facts(measured.tallies))
        self._pack("live_state_reconciliation", documents.LIVE_STATE, ("state", "reconciliation"))

    def _certification_pack(self, measured: Measured) -> None:
        names = ["service_markers", "runtime_metrics", "benchmark_slo_gate", "source_binding"]
        names += ["scope_lock"] if measured.scope is not None else []
        names += ["shards"] if measured.merged else []
        self._pack(
            "certification_pack",
            documents.CERTIFICATION_PACK,
            names,
            more={"certification_report": measured.report},
            pack_id=f"run-{self.stamp.run_id}",
        )

    def _pack(
        self,
        bundle: BundleKind,
        kind: Kind,
        names: Sequence[str],
        *,
        more: Mapping[str, Path] | None = None,
        pack_id: str | None = None,
    ) -> bool:
        artifacts = {name: self.tree.file(PACK_FILES[name]) for name in names} | dict(more or {})
        facts = pack_facts(
            bundle,
            artifacts,
            profile=str(self.stamp.profile),
            base=self.tree.file(kind).parent,
            release=self.stamp.release,
            required=tuple(names),
            pack_id=pack_id,
        )
        return self._judge(kind, facts)

    def _checklist(self, measured: Measured) -> None:
        inputs = self.inputs
        if inputs.release is None or inputs.release_type is None:
            text = "no release is named: set dpone_release, or give --dpone-release"
            self.results.append(GateResult(documents.CHECKLIST.name, "failed", (("release.missing", text),)))
            return
        facts = ChecklistFacts(
            release=inputs.release, release_type=inputs.release_type, items=tuple(self._items(measured))
        )
        self._judge(documents.CHECKLIST, facts)

    def _items(self, measured: Measured) -> list[ChecklistItem]:
        """What the run knows, then what a person says. A person may take back what the run knows, never give it."""
        known = known_checks(measured.tallies, green=measured.green)
        said = self.inputs.checks
        taken_back = {name for name in known if said.get(name) is False}
        items = [
            ChecklistItem(name=name, done=done, by="run") for name, done in known.items() if name not in taken_back
        ]
        return items + [
            ChecklistItem(name=name, done=done, by="self_asserted")
            for name, done in said.items()
            if name not in known or name in taken_back
        ]

    def _index(self) -> bool:
        path = self.tree.file(documents.INDEX)
        facts = index_tree(self.tree.root, release=self.stamp.release or UNRELEASED, index_file=path)
        stamp = self.stamp.model_copy(update={"release": facts.release})
        document = compose(documents.INDEX, facts, stamp)
        publish(path.parent, documents.INDEX, document)
        return self._keep(documents.INDEX.name, document)

    def _chain(self) -> bool:
        release = self.stamp.release or UNRELEASED
        folder = self.tree.file(documents.CHAIN).parent
        report = chain.append(
            folder,
            self.tree.file(documents.INDEX),
            release=release,
            stamp=self.stamp.model_copy(update={"release": release}),
            render=document_markdown,
        )
        blockers = tuple((ruling.blocker, ruling.text) for ruling in report.red)
        note = f"pin {report.facts.pin}" if report.facts is not None and self._release_profile else ""
        self.results.append(GateResult(documents.CHAIN.name, "failed" if blockers else "passed", blockers, note))
        return not blockers


def state_facts(tallies: Sequence[Tally]) -> CheckedFacts:
    """What the cases show of the engine's state."""
    rows = tuple(tally.state for tally in tallies if tally.state is not None)
    return CheckedFacts(rows=rows, not_run=_not_shown(tallies, _STATE_CHECKS))


def reconciliation_facts(tallies: Sequence[Tally]) -> CheckedFacts:
    """What the cases show of deletes that only a reconciliation can see."""
    rows = tuple(tally.reconciliation for tally in tallies if tally.reconciliation is not None)
    return CheckedFacts(rows=rows, not_run=_not_shown(tallies, _RECONCILIATION_CHECKS))


def known_checks(tallies: Sequence[Tally], *, green: bool) -> dict[str, bool]:
    """The checks of a release that the cases decide, and no person; `green` says if all of them are."""
    contracts = [tally.contracts for tally in tallies if tally.contracts is not None]
    return {"source_sink_matrix": green, "contracts_guardrails": green and _held(contracts)}


def _held(rows: Sequence[CheckedRow]) -> bool:
    """If something was checked, and nothing failed."""
    return bool(rows) and not any(row.failed for row in rows)


def _not_shown(tallies: Sequence[Tally], checks: Mapping[str, str]) -> dict[str, str]:
    """Of `checks`, name → check, those that no case of the run has made."""
    shown = frozenset[str]().union(*(tally.shown for tally in tallies))
    return {name: _NO_CRASH for name, check in checks.items() if check not in shown}
