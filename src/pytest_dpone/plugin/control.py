"""What the controller, or the only process, has beside: records in, artifacts and the verdict out."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import records
from .activity import Activity, find_activity
from .chosen import header
from .collection import PREFIX
from .options import Raw
from .session import DponeSession, usage_errors

if TYPE_CHECKING:
    from ..core.model import CaseRecord
    from ..report.terminal import Line
    from ..run.certification import Certification, Outcome
    from ..run.selfcheck import Selfcheck, SelfcheckOutcome


class Control:
    """Collects what the tests' reports bring, and has the last word on the exit status."""

    def __init__(self, session: DponeSession) -> None:
        self.session = session
        self.config = session.config
        self._certification: Certification | None = None
        self._selfcheck: Selfcheck | None = None
        self._outcome: Outcome | SelfcheckOutcome | None = None
        self._hold: int | None = None
        self._notes: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Check everything that can be wrong before the first worker starts; raises `pytest.UsageError`."""
        plan = self.session.plan
        if self.config.option.collectonly:
            return
        suites = self.session.activity.suites
        if suites:
            _ = self.session.engine, self.session.settings
        if (plan.services or not suites) and not self.session.activity.options.simulated:
            _ = self.session.stack_settings
        if "selfcheck" in suites:
            from ..run.selfcheck import Selfcheck, planned_trials

            self._selfcheck = Selfcheck(planned_trials())
        else:
            self._certification = self._start_certification()

    def pytest_report_header(self) -> list[str]:
        """The run and every setting that applies, with its origin."""
        plan = self.session.plan
        scope = f"{len(plan.scope)} of {len(plan.matrix.planned)} planned cases"
        settings = " · ".join(header(self.session.activity.options))
        run = f"run {self.session.run_id}, {self.session.activity.profile}, {scope}"
        return [f"dpone: {text}" for text in (run, settings, *self._notes)]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Invite an xdist worker."""
        with usage_errors():
            node.workerinput["dpone"] = self.session.invitation()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the records that a report brings, and show them with -v."""
        for text in getattr(report, records.MUTANTS, ()):
            if self._selfcheck is not None:
                self._selfcheck.take(text)
        if self._certification is None:
            return
        for text in getattr(report, records.ATTRIBUTE, ()):
            self._take(self._certification, text, nodeid=report.nodeid)
        if report.failed and report.nodeid.startswith(f"{PREFIX}/test_services.py"):
            name = report.nodeid.rpartition("::")[2]
            self._certification.block(f"service_tests.{name}", problem=f"the service test {name} failed")

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A worker died: the case that it was playing is not run."""
        if self._certification is None:
            return
        for name in crashitem.rpartition("[")[2].rstrip("]").split("-"):
            record = self._certification.crashed(name, detail=str(report.longrepr))
            if record is not None:
                self._certification.publish(record)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Decide, write the report, and set the exit status."""
        if exitstatus == pytest.ExitCode.USAGE_ERROR:
            return
        if self._selfcheck is not None:
            self._outcome = self._selfcheck.finish()
        elif self._certification is not None:
            self._outcome = self._certification.finish(**_missing(session, exitstatus))
        if self._outcome is None:
            return
        green = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if not self._outcome.decision.passed and session.exitstatus in green:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """The section `dpone`, after everybody else's; its last line is the verdict."""
        yield
        if self._outcome is None:
            return
        decision = self._outcome.decision
        colour = {("yellow" if decision.word == "SIMULATED" else "green") if decision.passed else "red": True}
        terminalreporter.write_sep("=", "dpone", **colour)
        for line in self._summary(self._outcome, terminalreporter):
            _write(terminalreporter, line)
        terminalreporter.write_line(decision.headline, bold=True, **colour)

    def pytest_unconfigure(self) -> None:
        """Let the next run have the folder."""
        if self._hold is not None:
            os.close(self._hold)

    def _take(self, certification: Certification, text: str, *, nodeid: str) -> None:
        try:
            record = certification.take(text)
        except ValueError as error:
            certification.block("records.refused", problem=f"the record that {nodeid} left is refused: {error}")
            return
        certification.publish(record)
        self._show(record)

    def _summary(self, outcome: Outcome | SelfcheckOutcome, reporter: pytest.TerminalReporter) -> list[Line]:
        from ..report.escape import visible_lines
        from ..report.terminal import Line, summary_lines
        from ..run.selfcheck import SelfcheckOutcome

        if isinstance(outcome, SelfcheckOutcome):
            return list(outcome.lines)
        short = self.config.get_verbosity() < 0
        lines = summary_lines(outcome.records, width=min(100, reporter._tw.fullwidth), short=short)
        lines += [Line(text, "red") for problem in outcome.problems for text in visible_lines(problem)]
        if not short and self._certification is not None:
            lines.append(Line(f"artifacts: {self._certification.publication.directory}"))
        return lines

    def _show(self, record: CaseRecord) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or self.config.get_verbosity() <= 0 or not record.acts:
            return
        from ..report.terminal import act_lines

        reporter.ensure_newline()
        for line in act_lines(record):
            _write(reporter, line)

    def _start_certification(self) -> Certification:
        from ..run.certification import Certification
        from ..run.origin import find_origin
        from ..run.publication import Identity, Publication

        activity = self.session.activity
        root, matrix = artifact_folders(self.config, activity)
        identity = Identity(
            run_id=self.session.run_id,
            profile=activity.profile,
            run_mode=activity.options.run_mode,
            source=find_origin(self.config.rootpath, ignore=root),
        )
        inside = matrix if activity.options.matrix_dir else root
        if self.session.plan.narrowed or not activity.certifies:
            # Never over the artifacts of a full run.
            matrix = inside / "cases" / self.session.run_id / "matrix"
        publication = Publication(matrix, identity)
        if activity.certifies:
            with usage_errors():
                self._hold = publication.prepare()
                if self._hold is None:
                    self._notes.append(f"another run writes to {matrix}, so this one has a folder of its own")
                    publication = Publication(inside / "runs" / self.session.run_id / "matrix", identity)
                    self._hold = publication.prepare()
        return Certification(self.session.plan, publication, "planned" if activity.certifies else "asked")


def start(config: pytest.Config, raw: Raw) -> None:
    """Start a run in this process, if what was set asks for one; raises `pytest.UsageError`."""
    activity = find_activity(raw, os.environ)
    if activity is None:
        return
    now = datetime.now(UTC)
    session = DponeSession(config, activity, run_id=f"{now:%y%m%d%H%M%S}{secrets.token_hex(3)}")
    config.pluginmanager.register(session, "dpone-session")
    config.pluginmanager.register(Control(session), "dpone-control")
    if activity.options.simulated:
        from .simulation import Simulation

        config.pluginmanager.register(Simulation(), "dpone-simulation")
    for number in (signal.SIGTERM, signal.SIGHUP):
        _end_by(number, config)


def artifact_folders(config: pytest.Config, activity: Activity) -> tuple[Path, Path]:
    """The folder of all artifacts, and the one of the matrix.

    What a person types is relative to where that person stands; what a file says is relative to rootdir.
    """
    options = activity.options
    typed = ("option", "environment")

    def base(field: str) -> Path:
        return config.invocation_params.dir if options.origins[field] in typed else config.rootpath

    root = base("artifact_dir") / options.artifact_dir
    if options.simulated:  # never over the artifacts of a run that has certified something
        root /= "simulated"
    matrix = base("matrix_dir") / options.matrix_dir if options.matrix_dir else root / "matrix"
    return root.absolute(), matrix.absolute()


def _end_by(number: signal.Signals, config: pytest.Config) -> None:
    """Let a signal that would kill this process end the run as Ctrl-C does, so that no table is left in a server.

    A second one kills. A handler that somebody else has set is left alone.
    """
    owner = os.getpid()
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) is not signal.SIG_DFL:
        return

    def interrupt(*_: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != owner:  # a child that some test has forked
            os.kill(os.getpid(), number)
        raise KeyboardInterrupt

    def restore() -> None:
        signal.signal(number, signal.SIG_DFL)

    signal.signal(number, interrupt)
    config.add_cleanup(restore)


def _missing(session: pytest.Session, exitstatus: int) -> dict[str, Any]:
    from ..core.model import NotRun

    stopped = session.shouldfail or session.shouldstop
    if stopped or exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
        why = f": {stopped}" if isinstance(stopped, str) else ""
        return {"missing": NotRun.SKIPPED, "detail": f"the run ended before this case{why}"}
    return {"missing": NotRun.DESELECTED, "detail": "no test certified this case in this run"}


def _write(reporter: pytest.TerminalReporter, line: Line) -> None:
    reporter.write_line(line.text, **({} if line.tone == "plain" else {line.tone: True}))
