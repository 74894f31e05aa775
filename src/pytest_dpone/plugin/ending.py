"""The end of a certifying run: its folder, its certification, its gates, and what people are told of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from .active import SERVICE_MARKERS
from .alone import conclude_alone
from .binding import Binding
from .folders import Workspace, artifact_folders, base_of, open_workspace
from .session import usage_errors
from .sharding import publish_shard, required_markers

if TYPE_CHECKING:
    from ..core.gates.documents import Stamp
    from ..core.gates.plan import PlanFacts
    from ..core.gates.ruling import GateResult
    from ..core.model import NotRun
    from ..report.terminal import Line
    from ..run.certification import Cases, Certification, Outcome
    from ..run.conclusion import Measured
    from ..run.inputs import GateInputs
    from ..run.matrix_files import LastRun
    from ..run.scope import Scope
    from ..services.stack import Stack
    from .markers import MarkerTally
    from .session import DponeSession


@dataclass(slots=True)
class Ending:
    """Made at the start of a run, so that whatever is wrong is told before the first case."""

    session: DponeSession
    workspace: Workspace
    inputs: GateInputs
    certification: Certification
    binding: Binding | None = None
    scope: Scope | None = None
    """What must pass, of a run that decides about a release, and of a part of a run."""
    notes: list[str] = field(default_factory=list)
    """For the header."""
    told: list[str] = field(default_factory=list)
    """For the end: what a new baseline says, and what could not be done beside."""

    @classmethod
    def open(cls, session: DponeSession) -> Ending:
        """Read the inputs, hold and clear the folder, write the plan. Raises `pytest.UsageError`."""
        from ..run.certification import Certification
        from ..run.origin import find_origin
        from ..run.publication import Identity, Publication

        inputs = read_gate_inputs(session)
        activity = session.activity
        scope = read_scope(session) if activity.decides or session.plan.shards else None
        expired = session.expired()
        workspace = open_workspace(session)
        tree = workspace.tree
        source = find_origin(session.config.rootpath, ignore=tree.root)
        binding = None
        if activity.whole:
            binding = Binding.begin(session, leave_out=(tree.root, artifact_folders(session.config, activity)[0]))
            source = binding.origin(source)
        identity = Identity(
            run_id=session.run_id,
            profile=activity.profile,
            run_mode=activity.options.run_mode,
            release=inputs.release,
            release_type=inputs.release_type,
            source=source,
        )
        certification = Certification(
            session.plan,
            Publication(tree.matrix, identity),
            "planned" if activity.certifies else "asked",
            accepted_fidelity=inputs.accepted_fidelity,
            shard=activity.options.shard if session.plan.shards else None,
        )
        for problem in expired:
            certification.block("known_failures.expired", problem=problem)
        notes = [workspace.note] if workspace.note else []
        ending = cls(session, workspace, inputs, certification, binding, scope, notes)
        if activity.certifies:
            with usage_errors():
                ending._prepare()
        return ending

    def finish(
        self, markers: MarkerTally, *, missing: NotRun, detail: str, failed: Sequence[str] = ()
    ) -> Outcome | None:
        """Close the books: report, gates, decision; then the summary for GitHub. `failed`: tests without a marker."""

        def conclude(cases: Cases) -> tuple[GateResult, ...]:
            return self._part(markers, cases, failed) if self.session.plan.shards else self._conclude(markers, cases)

        judges = self.session.activity.whole or bool(self.session.plan.shards)
        outcome = self.certification.finish(missing=missing, detail=detail, conclude=conclude if judges else None)
        activity = self.session.activity
        if not activity.certifies and markers.any and activity.unlocked.intersection(SERVICE_MARKERS):
            profile = activity.profile if "services" in activity.suites else None
            alone, line = conclude_alone(self.session, markers, self._stamp(), profile=profile)
            outcome = outcome or alone
            self.told.append(line)
        self.told += self._keep()
        if outcome is not None:
            self._tell_github(outcome)
        return outcome

    def _keep(self) -> list[str]:
        from ..errors import DponeError
        from ..run.keeping import keep_services

        options = self.session.activity.options
        if options.keep == "never" or options.simulated:
            return []
        try:
            return keep_services(self.session.run_id, lambda: cast("Stack", self.session.services()))
        except DponeError as error:  # the supervisor was killed, say
            return [f"nothing is kept: {error.fact.partition(chr(10))[0]}"]

    def lines(self, outcome: Outcome, *, width: int, short: bool) -> list[Line]:
        """The section that ends a run, but for its last line."""
        from ..report.escape import visible_lines
        from ..report.gates import blocker_lines, gate_lines
        from ..report.terminal import Line, count_line, summary_lines

        lines = summary_lines(outcome.records, width=width, short=short)
        if outcome.gates and not short:
            lines += gate_lines(outcome.gates, width=width)
        if (line := outcome.kills.line()) and not short:
            lines.append(Line(line))
        if outcome.records and not short:
            matrix = self.session.plan.matrix
            lines.append(Line(count_line(outcome.records, planned=len(matrix.planned), excluded=len(matrix.excluded))))
        lines += blocker_lines(outcome.decision.blockers, outcome.gates)
        lines += [Line(text, "red") for problem in outcome.problems for text in visible_lines(problem)]
        lines += [Line(text) for told in self.told for text in visible_lines(told)]
        lines += [Line(text, "yellow") for text in self._left()]
        if not short:
            folder = self.workspace.tree.root if outcome.gates else self.workspace.tree.matrix
            lines.append(Line(f"artifacts: {folder}"))
        return lines

    def _left(self) -> list[str]:
        """What the run leaves on servers that it did not start, because it was asked to, or could not do otherwise."""
        from ..services.journal import left

        run_id = self.session.run_id
        names = [f"{made.service} {made.namespace}" for made in left(run_id) if not made.ours]
        if not names:
            return []
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        return [f"left on your servers: {shown}; remove it with `pytest-dpone clean --run-id {run_id}`"]

    def close(self) -> None:
        """Let the next run have the folder."""
        for handle in self.workspace.handles:
            os.close(handle)

    def _prepare(self) -> None:
        from ..core.gates.documents import PLAN, compose
        from ..run.gate_files import publish
        from ..run.matrix_files import last_run

        tree, activity = self.workspace.tree, self.session.activity
        last = last_run(tree.matrix)
        tree.clear(whole=activity.whole)
        if not activity.whole:
            return
        if self.session.plan.shards:
            self._write_junit()
            return
        publish(tree.file(PLAN).parent, PLAN, compose(PLAN, plan_of(self.session, last), self._stamp()))
        if self.scope is not None:
            self.notes += _certain(self.inputs, self.scope, activity.profile)
        self._write_junit()

    def _write_junit(self) -> None:
        from ..run.tree import JUNIT, JUNIT_PROPERTY
        from .junit import write_junit

        path = self.workspace.tree.root / JUNIT
        write_junit(self.session.config, path, prop=(JUNIT_PROPERTY, self.session.run_id))

    def _stamp(self) -> Stamp:
        from ..run.gate_files import new_stamp

        identity = self.certification.publication.identity
        return new_stamp(
            run_id=identity.run_id,
            profile=identity.profile,
            run_mode=identity.run_mode,
            release=identity.release,
            source=identity.source,
            origin="run",
        )

    def _part(self, markers: MarkerTally, cases: Cases, failed: Sequence[str]) -> tuple[GateResult, ...]:
        """Leave what a merge needs; there is nothing to judge before all parts are there."""
        if self.scope is None:
            raise AssertionError("a part of a run knows its scope")
        publish_shard(
            self.session,
            self.workspace.tree,
            self._stamp(),
            cases,
            inputs=self.inputs,
            scope=self.scope,
            markers=markers,
            source=self.binding.end() if self.binding is not None else None,
            failed=failed,
        )
        return ()

    def _conclude(self, markers: MarkerTally, cases: Cases) -> tuple[GateResult, ...]:
        from ..run.conclusion import Conclusion, Measured
        from ..run.page import write_reports

        activity = self.session.activity
        if self.binding is None:
            raise AssertionError("only a run that judges itself has gates")
        measured = Measured(
            tallies=cases.tallies,
            markers=markers.facts(activity.profile, required=required_markers(self.session)),
            rows=activity.options.rows,
            green=cases.decision.passed,
            report=self.certification.publication.report_path,
            source=self.binding.end(),
            scope=self.scope.facts(activity.profile, records=cases.records, tests=markers.tests)
            if self.scope
            else None,
            told=frozenset(cases.decision.blockers),
        )
        stamp = self._stamp()

        def page(gates: Sequence[GateResult]) -> None:
            self.told += write_reports(self.workspace.tree, self.session.plan, cases, gates=gates, stamp=stamp)

        results = Conclusion(self.workspace.tree, self.inputs, stamp, page).conclude(measured)
        self._write_baseline(measured, cases)
        return results

    def _write_baseline(self, measured: Measured, cases: Cases) -> None:
        inputs = self.inputs
        if not inputs.update_baseline or inputs.baseline_file is None:
            return
        from ..core.gates.tallies import runtime_of
        from ..run.baseline import changes, updated, write_baseline

        excused = any(record.excused for record in cases.records)
        if not measured.green or excused:
            what = "some cases fail, as known" if measured.green else "the cases are not green"
            self.told.append(f"{inputs.baseline_file} was not written: {what}")
            return
        metrics = runtime_of([tally.metrics for tally in measured.tallies]).totals
        rows = updated(inputs.baseline, metrics)
        write_baseline(inputs.baseline_file, rows)
        self.told.append(f"baseline {inputs.baseline_file}; the next run is held to it:")
        self.told += [f"  {line}" for line in changes(inputs.baseline, rows, metrics)]

    def _tell_github(self, outcome: Outcome) -> None:
        from ..run.step_summary import GITHUB_SUMMARY, tell_github

        path = os.environ.get(GITHUB_SUMMARY)
        if path and not self.session.activity.options.plan:
            self.told += tell_github(outcome, Path(path))


def read_gate_inputs(session: DponeSession) -> GateInputs:
    """What the options and the ini file give to the gates. Raises `pytest.UsageError`."""
    from ..run.inputs import GateInputs, read_inputs

    activity, options = session.activity, session.activity.options
    if not activity.whole:
        return GateInputs()

    def file(field: str) -> Path | None:
        name: str = getattr(options, field)
        return (base_of(session.config, activity, field) / name).absolute() if name else None

    with usage_errors():
        inputs = read_inputs(
            release=options.release,
            release_type=options.release_type,
            checks=options.check,
            objectives=file("objectives"),
            baseline=file("baseline"),
            update_baseline=options.update_baseline,
            minimum=file("minimum"),
            maximum=file("maximum"),
            accepted_fidelity=options.accept_fidelity,
        )
    if inputs.update_baseline and session.plan.narrowed:
        raise pytest.UsageError(
            "--dpone-update-baseline contradicts the selection of cases: a baseline is of a whole run\n"
            "hint: leave the selection out"
        )
    return inputs


def plan_of(session: DponeSession, last: LastRun) -> PlanFacts:
    """What the run would do, as facts; `last` is for the estimate."""
    from ..core.gates.plan import plan_facts

    plan = session.plan
    return plan_facts(
        plan.registry,
        plan.matrix,
        profile=session.activity.profile,
        row_count=session.activity.options.rows,
        include_vendor_live=session.activity.profile == "vendor_live",
        scope=plan.asked,
        **last,
    )


def read_scope(session: DponeSession) -> Scope:
    """What a release of this project must pass. Raises `pytest.UsageError` for a lock that can't be read."""
    from ..evidence.scope import read_lock
    from ..run.scope import scope_of

    with usage_errors():
        lock, digest = read_lock(session.config.rootpath) or (None, None)
    return scope_of(session.plan, lock=lock, digest=digest)


def _certain(inputs: GateInputs, scope: Scope, profile: str) -> list[str]:
    """What makes a release profile end NO-GO whatever the run finds; better told before it than after."""
    missing = []
    if lost := scope.unplanned(profile):
        missing.append(f"the scope lock names {len(lost)} cases that are not planned any more, such as {lost[0]}")
    if inputs.release is None:
        missing.append("no release is named (dpone_release)")
    if not inputs.baseline:
        missing.append("no baseline is given (dpone_baseline; --dpone-update-baseline writes a first one)")
    if not inputs.minimum and not inputs.maximum:
        missing.append("no bound is given (dpone_objectives, dpone_minimum or dpone_maximum)")
    return [f"this run will end NO-GO: {text}" for text in missing]
