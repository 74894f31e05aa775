"""A part of a run: what it leaves for `pytest-dpone merge`, beside the documents of its cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.gates.documents import Stamp
    from ..core.gates.shards import RunFrame
    from ..core.gates.source import SourceFacts
    from ..run.certification import Cases
    from ..run.inputs import GateInputs
    from ..run.scope import Scope
    from ..run.tree import Tree
    from .markers import MarkerTally
    from .session import DponeSession

_SETTINGS = (
    *("seed", "rows", "change_ratio", "delete_ratio", "dataset", "batch_rows", "crash", "engine", "allow_slots"),
    *("rerun_options",),
)
"""Settings of a run that decide what its cases prove."""


def publish_shard(
    session: DponeSession,
    tree: Tree,
    stamp: Stamp,
    cases: Cases,
    *,
    inputs: GateInputs,
    scope: Scope,
    markers: MarkerTally,
    source: SourceFacts | None,
    failed: Sequence[str],
) -> None:
    """Write `shard.json`. Raises `ArtifactError`."""
    from ..core.gates.documents import SHARD, compose
    from ..core.gates.shards import ShardFacts
    from ..core.gates.source import TOLD
    from ..evidence.files import digest
    from ..run.gate_files import publish
    from ..run.publication import has_behavior

    pairs = zip(cases.records, cases.tallies, strict=True)
    facts = ShardFacts(
        index=(session.activity.options.shard or (1, 1))[0],
        frame=_frame(session, inputs, scope),
        cases={record.case_id: str(record.reason or record.verdict) for record in cases.records},
        unplayed=tuple(
            record.model_dump_json() for record, told in pairs if not told.metrics.acts and not has_behavior(record)
        ),
        report=digest(tree.matrix / "certification_report.json")[0],
        markers=markers.facts(session.activity.profile),
        tests=dict(sorted(markers.tests.items())),
        failed=tuple(failed[:TOLD]),
        blockers=dict(cases.problems),
        source=source,
    )
    publish(tree.file(SHARD).parent, SHARD, compose(SHARD, facts, stamp))


def required_markers(session: DponeSession) -> tuple[str, ...]:
    """Markers of which a release needs tests, for all that was asked for."""
    activity, plan = session.activity, session.plan
    if not activity.decides:
        return ()
    services = [f"integration_{name}" for name in plan.needed(plan.asked)]
    live = ("integration_live",) if "vendor" in activity.suites else ()
    return (*services, "integration_matrix", *live)


def _frame(session: DponeSession, inputs: GateInputs, scope: Scope) -> RunFrame:
    from ..core.gates.shards import RunFrame, ShardInputs
    from .ending import plan_of

    activity, plan, settings = session.activity, session.plan, session.settings
    named = {name: getattr(settings, name) for name in _SETTINGS}
    asked = [case.case_id for case in plan.asked]
    return RunFrame(
        count=len(plan.shards),
        profile=activity.profile,
        run_mode=activity.options.run_mode,
        whole=activity.whole,
        settings={name: " ".join(value) if isinstance(value, tuple) else value for name, value in named.items()},
        planned=tuple(case.case_id for case in plan.matrix.planned),
        excluded={row.case.case_id: row.reason for row in plan.matrix.excluded},
        declared=tuple(case.case_id for case in plan.declared),
        scope=tuple(asked),
        parts=tuple(tuple(case.case_id for case in part) for part in plan.shards),
        durations=session.durations[1],
        required=required_markers(session),
        plan=plan_of(session, {"seconds": {}, "rows": 0}) if activity.whole else None,
        inputs=ShardInputs(
            release=inputs.release,
            release_type=inputs.release_type,
            checks=dict(inputs.checks),
            objectives=dict(inputs.objectives),
            baseline=dict(inputs.baseline),
            minimum=dict(inputs.minimum),
            maximum=dict(inputs.maximum),
            accepted_fidelity=inputs.accepted_fidelity,
        ),
        lock=scope.lock,
        lock_sha256=scope.digest,
        dataset=scope.dataset,
        contracts=scope.contracts,
    )
