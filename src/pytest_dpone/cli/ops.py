"""The commands of `pytest-dpone ops`: arguments to facts, facts to a document, document to files and output."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..core.gates import documents
from ..core.gates.bundle import BundleKind
from ..core.gates.checklist import ChecklistFacts, ChecklistItem, known_type
from ..core.gates.documents import Kind, Stamp, compose
from ..core.gates.metrics import (
    BaselineFacts,
    BenchmarkSloFacts,
    PerformanceFacts,
    read_baseline,
    read_bounds,
    read_metrics,
    read_objectives,
)
from ..core.gates.plan import plan_facts
from ..core.gates.ruling import PROFILES, RELEASE_PROFILES, Value, known_profile, row_count, valid_name, valid_release
from ..core.gates.tallies import RuntimeFacts, runtime_of, tally
from ..errors import ArtifactError, UsageError
from ..evidence import chain
from ..evidence.artifacts import write_text
from ..evidence.index import index_tree
from ..report.exports import otlp_lines, prometheus_text
from ..report.gates import NOT_SIGNED, document_markdown, document_text
from ..report.plan import plan_lines
from ..run.gate_files import make_room, new_stamp, publish
from ..run.matrix_files import LastRun, last_run, read_matrix
from ..run.origin import find_origin
from ..run.packs import pack_facts
from .ops_values import artifacts_of, checks_of, is_same, json_of, names_of, path_of, text_of
from .told import GREEN, RED, told


def run(arguments: argparse.Namespace) -> int:
    """Run the gate that was asked for; returns the exit status. What goes wrong is one line and a hint on stderr."""
    return told(_GATES[arguments.gate], arguments, folder="--output-dir")


def _plan(arguments: argparse.Namespace) -> int:
    from ..core.matrix import build_matrix
    from ..core.registry import default_registry

    output = _output(arguments, documents.PLAN)
    registry = default_registry()
    folder = path_of(arguments.last_run, "--last-run") if arguments.last_run is not None else None
    if folder is None and output is not None:
        folder = output.parent / "matrix"
    last = last_run(folder) if folder is not None else LastRun(seconds={}, rows=0)
    facts = plan_facts(
        registry,
        build_matrix(registry),
        profile=arguments.profile,
        row_count=row_count(arguments.row_count),
        include_vendor_live=arguments.include_vendor_live,
        **last,
    )
    status = _finish(arguments, output, documents.PLAN, facts, _stamp(output, profile=facts.profile))
    if arguments.format == "text":
        sys.stdout.writelines(f"  {_spoken(line)}\n" for line in plan_lines(facts))
    return status


def _benchmark_slo(arguments: argparse.Namespace) -> int:
    output = _output(arguments, documents.BENCHMARK_SLO)
    if output is not None:
        make_room(output / "benchmark", (documents.BASELINE.file,))
    metrics = _metrics(arguments.metrics_json)
    baseline = read_baseline(json_of(arguments.baseline_json, "--baseline-json"))
    objectives = read_objectives(json_of(arguments.objectives_json, "--objectives-json"))
    stamp = _stamp(output)
    if output is not None:
        below = BaselineFacts(metrics=metrics, baseline=baseline)
        publish(output / "benchmark", documents.BASELINE, compose(documents.BASELINE, below, stamp))
    facts = BenchmarkSloFacts(metrics=metrics, baseline=baseline, objectives=objectives)
    return _finish(arguments, output, documents.BENCHMARK_SLO, facts, stamp)


def _performance(arguments: argparse.Namespace) -> int:
    output = _output(arguments, documents.PERFORMANCE)
    bounds = {}
    for what in ("minimum", "maximum"):
        text = getattr(arguments, f"{what}_json")
        bounds[what] = read_bounds(json_of(text, f"--{what}-json"), what=what) if text is not None else {}
    if not any(bounds.values()):
        raise UsageError("there is neither a minimum nor a maximum", hint="give --minimum-json or --maximum-json")
    facts = PerformanceFacts(
        profile=known_profile(arguments.profile),
        row_count=row_count(arguments.row_count),
        metrics=_metrics(arguments.metrics_json),
        minimum=bounds["minimum"],
        maximum=bounds["maximum"],
    )
    return _finish(arguments, output, documents.PERFORMANCE, facts, _stamp(output, profile=facts.profile))


def _live_state(arguments: argparse.Namespace) -> int:
    return _pack(arguments, documents.LIVE_STATE, "live_state_reconciliation")


def _certification_pack(arguments: argparse.Namespace) -> int:
    return _pack(arguments, documents.CERTIFICATION_PACK, "certification_pack")


def _release_pack(arguments: argparse.Namespace) -> int:
    return _pack(arguments, documents.RELEASE_PACK, "release_evidence_pack", among=RELEASE_PROFILES)


def _pack(arguments: argparse.Namespace, kind: Kind, bundle: BundleKind, *, among: Sequence[str] = PROFILES) -> int:
    output = _output(arguments, kind, inputs=[word.partition("=")[2] for word in arguments.artifact])
    artifacts, profile = artifacts_of(arguments.artifact), known_profile(arguments.profile, among=among)
    text, pack_id = getattr(arguments, "release", None), getattr(arguments, "pack_id", None)
    release = valid_release(text) if text is not None else None
    facts = pack_facts(
        bundle,
        artifacts,
        profile=profile,
        base=output or Path(),
        release=release,
        required=names_of(arguments.require),
        pack_id=valid_name(pack_id, what="a pack") if pack_id is not None else None,
    )
    return _finish(arguments, output, kind, facts, _stamp(output, profile=profile, release=release))


def _matrix(arguments: argparse.Namespace) -> int:
    output = _output(arguments, documents.MATRIX)
    files = read_matrix(path_of(arguments.artifact_dir, "--artifact-dir"))
    stamp = _stamp(output, profile=files.report.profile, release=files.report.release, run_mode=files.report.run_mode)
    return _finish(arguments, output, documents.MATRIX, files.facts(), stamp)


def _metrics_export(arguments: argparse.Namespace) -> int:
    exports = [f"{documents.RUNTIME.name}{ending}" for ending in (".prom", ".otlp.jsonl")]
    output = _output(arguments, documents.RUNTIME, others=exports)
    files = read_matrix(path_of(arguments.artifact_dir, "--artifact-dir"))
    if not files.report.cases:
        raise ArtifactError("certification_report names no case", hint="run the certification again")
    facts = runtime_of([tally(record).metrics for record in files.records()])
    stamp = _stamp(output, profile=files.report.profile, release=files.report.release, run_mode=files.report.run_mode)
    labels = {"profile": files.report.profile, "run_id": files.report.run_id}
    if output is not None:
        write_text(output / exports[0], prometheus_text(facts, labels))
        write_text(output / exports[1], otlp_lines(facts, labels, generated_at=stamp.generated_at))
    return _finish(arguments, output, documents.RUNTIME, facts, stamp)


def _artifact_index(arguments: argparse.Namespace) -> int:
    output = _output(arguments, documents.INDEX)
    release, root = valid_release(arguments.release), path_of(arguments.root, "--root")
    if not root.is_dir():
        raise UsageError(f"the root {str(root)!r} is no folder", hint="name the folder of the artifacts with --root")
    facts = index_tree(root, release=release, index_file=(output or Path()) / documents.INDEX.file)
    return _finish(arguments, output, documents.INDEX, facts, _stamp(output, release=release))


def _evidence_chain(arguments: argparse.Namespace) -> int:
    release = valid_release(arguments.release)
    folder = path_of(arguments.chain_dir, "--chain-dir")
    stamp = _stamp(folder, release=release)
    report = chain.append(
        folder,
        path_of(arguments.artifact_index, "--artifact-index"),
        release=release,
        stamp=stamp,
        render=document_markdown,
        previous_entry=arguments.previous_entry,
    )
    return _chain_told(arguments, report, stamp)


def _chain_verify(arguments: argparse.Namespace) -> int:
    folder = path_of(arguments.chain_dir, "--chain-dir")
    pin = chain.read_pin(text_of(arguments.pin, "--pin")) if arguments.pin is not None else None
    report = chain.verify(folder, pin=pin, files=not arguments.chain_only, render=document_markdown)
    if report.root is not None and not arguments.chain_only and not report.root.is_dir():
        raise chain.Unverifiable(
            f"the tree that the last entry indexes is not there: {report.root}",
            hint="put it back, or verify the chain alone with --chain-only",
        )
    return _chain_told(arguments, report, _stamp(None))


def _checklist(arguments: argparse.Namespace) -> int:
    output = _output(arguments, documents.CHECKLIST)
    release = valid_release(arguments.release)
    release_type = known_type(release, arguments.release_type)
    checks = checks_of(arguments.check)
    if not checks:
        raise UsageError("no check is given", hint="give each check as --check name=true")
    items = tuple(ChecklistItem(name=name, done=done, by="self_asserted") for name, done in checks.items())
    facts = ChecklistFacts(release=release, release_type=release_type, items=items)
    return _finish(arguments, output, documents.CHECKLIST, facts, _stamp(output, release=release))


_GATES: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "live-certification-plan": _plan,
    "benchmark-slo-gate": _benchmark_slo,
    "performance-certification": _performance,
    "live-state-reconciliation": _live_state,
    "integration-matrix-report": _matrix,
    "metrics-export": _metrics_export,
    "certification-pack": _certification_pack,
    "artifact-index": _artifact_index,
    "evidence-chain": _evidence_chain,
    "evidence-chain-verify": _chain_verify,
    "pre-release-checklist": _checklist,
    "release-evidence-pack": _release_pack,
}


def _output(
    arguments: argparse.Namespace, kind: Kind, *, inputs: Sequence[str] = (), others: Sequence[str] = ()
) -> Path | None:
    """The output folder, without an earlier document of `kind` or `others`; None if nothing is to be written.

    This comes before all else that may go wrong, so that no green of an earlier call is left beside a failure.
    """
    if arguments.output_dir is None:
        return None
    output = path_of(arguments.output_dir, "--output-dir")
    if any(is_same(path, output / kind.file) for path in inputs):
        raise UsageError(f"{kind.file} is both an artifact and the file to be written", hint="choose --output-dir")
    make_room(output, (kind.file, *others))
    return output


def _metrics(text: str) -> dict[str, int | float]:
    """Metrics by name; a `runtime_metrics.json` of ours gives its totals."""
    data = json_of(text, "--metrics-json")
    if not (isinstance(data, dict) and data.get("schema") == documents.RUNTIME.schema):
        return read_metrics(data)
    raw = json.dumps(data).encode()
    judged = documents.judge_document(data, raw, expected=documents.RUNTIME.name)
    if judged.problems or not isinstance(judged.facts, RuntimeFacts):
        why = judged.problems[0].text if judged.problems else "has no facts"
        raise UsageError(f"--metrics-json {why}", hint="export the metrics of a green run again")
    return read_metrics(dict(judged.facts.totals))


def _stamp(
    folder: Path | None, *, profile: str | None = None, release: str | None = None, run_mode: str | None = None
) -> Stamp:
    ignore = folder.resolve() if folder is not None else None
    source = find_origin(Path.cwd(), ignore=ignore)
    run_id = f"ops{secrets.token_hex(4)}"
    return new_stamp(run_id=run_id, profile=profile, release=release, run_mode=run_mode, source=source)


def _finish(arguments: argparse.Namespace, output: Path | None, kind: Kind, facts: Value, stamp: Stamp) -> int:
    document = compose(kind, facts, stamp)
    if output is not None:
        publish(output, kind, document)
    return _show(document, arguments.format)


def _chain_told(arguments: argparse.Namespace, report: chain.ChainReport, stamp: Stamp) -> int:
    """Print a report on a chain in the form of a document; the chain's own index is on disk."""
    release = report.facts.release if report.facts is not None else None
    document = {
        "schema": documents.CHAIN.schema,
        "passed": not report.red,
        "blockers": [ruling.blocker for ruling in report.red],
        **stamp.model_dump(mode="json"),
        "release": release,
        "facts": report.facts.model_dump(mode="json") if report.facts is not None else None,
        "results": [ruling.row() for ruling in report.rulings],
        "not_proven": NOT_SIGNED,
    }
    return _show(document, arguments.format)


def _show(document: Mapping[str, object], form: str) -> int:
    if form == "json":
        text = json.dumps(document, ensure_ascii=not _speaks_utf8(), allow_nan=False, indent=2) + "\n"
    else:
        text = document_markdown(document) if form == "markdown" else document_text(document)
        text = _spoken(text)
    sys.stdout.write(text)
    return GREEN if document["passed"] is True else RED


def _spoken(text: str) -> str:
    """`text` as the output can take it."""
    return text if _speaks_utf8() else text.encode("ascii", "backslashreplace").decode()


def _speaks_utf8() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
