"""What the controller, or the only process, has beside: records in, artifacts and the verdict out."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Generator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from . import records
from .activity import find_activity
from .alone import asks_for_matrix
from .chosen import header
from .ending import Ending
from .live import Live
from .markers import MarkerTally, is_marked
from .options import Raw
from .session import DponeSession, usage_errors

if TYPE_CHECKING:
    from ..core.model import CaseRecord
    from ..report.terminal import Line
    from ..run.certification import Certification, Outcome
    from ..run.selfcheck import Selfcheck, SelfcheckOutcome


class Control:
    """Collects what the tests' reports bring, and has the last word on the exit status."""

    def __init__(self, session: DponeSession, live: Live) -> None:
        self.session = session
        self._live = live
        self.config = session.config
        self._markers = MarkerTally()
        self._failed: list[str] = []
        self._ending: Ending | None = None
        self._selfcheck: Selfcheck | None = None
        self._outcome: Outcome | SelfcheckOutcome | None = None

    @property
    def _certification(self) -> Certification | None:
        return self._ending.certification if self._ending is not None else None

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
            self._ending = Ending.open(self.session)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> bool | None:
        """Print the plan instead of a collection, if that was asked for."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if not self.session.activity.options.plan:
            return None
        from ..report.plan import plan_lines
        from ..run.matrix_files import last_run
        from .ending import plan_of
        from .folders import artifact_folders

        _, matrix = artifact_folders(self.config, self.session.activity)
        for line in plan_lines(plan_of(self.session, last_run(matrix))):
            if reporter is not None:
                reporter.write_line(line)
        return True

    def pytest_report_header(self) -> list[str]:
        """The run and every setting that applies, with its origin."""
        plan = self.session.plan
        scope = f"{len(plan.scope)} of {len(plan.matrix.planned)} planned cases"
        settings = " · ".join(header(self.session.activity.options))
        run = f"run {self.session.run_id}, {self.session.activity.profile}, {scope}"
        notes = self._ending.notes if self._ending is not None else []
        return [f"dpone: {text}" for text in (run, settings, *notes)]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Invite an xdist worker."""
        with usage_errors():
            node.workerinput["dpone"] = self.session.invitation()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the records and markers that a report brings, and show the records with -v."""
        self._markers.take(report)
        if report.failed and not is_marked(report):
            self._failed.append(report.nodeid)
        for text in getattr(report, records.MUTANTS, ()):
            if self._selfcheck is not None:
                self._selfcheck.take(text)
                self._live.took(report.nodeid, red=report.failed)
        if self._ending is not None and self._ending.binding is not None:
            self._ending.binding.saw(getattr(report, records.ENGINES, ()))
        for text in records.detach(report):
            if self._certification is not None:
                self._take(self._certification, text, nodeid=report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A worker died: the case that it was playing is not run."""
        self._markers.crashed(crashitem)
        if self._certification is None:
            return
        for name in crashitem.rpartition("[")[2].rstrip("]").split("-"):
            if self._certification.crashed(name, detail=str(report.longrepr)) is not None:
                self._live.took(name, red=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Decide, write what is not written yet, and set the exit status; after pytest's own files are written."""
        if session.exitstatus == pytest.ExitCode.USAGE_ERROR:
            return
        if self.session.activity.options.plan and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK
        if self._selfcheck is not None:
            self._outcome = self._selfcheck.finish()
        elif self._ending is not None:
            self._outcome = self._ending.finish(self._markers, failed=self._failed, **_missing(session))
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
            for text in self._ending.told if self._ending is not None else ():
                terminalreporter.write_line(f"dpone: {text}")
            return
        decision = self._outcome.decision
        for text in self._annotations(self._outcome):
            terminalreporter.write_line(text)
        colour = {
            ("yellow" if decision.word in ("SIMULATED", "SHARD") else "green") if decision.passed else "red": True
        }
        terminalreporter.write_sep("=", "dpone", **colour)
        for line in self._summary(self._outcome, terminalreporter):
            _write(terminalreporter, line)
        terminalreporter.write_line(decision.headline, bold=True, **colour)

    def pytest_unconfigure(self) -> None:
        """Let the next run have the folder."""
        if self._ending is not None:
            self._ending.close()

    def _take(self, certification: Certification, text: str, *, nodeid: str) -> None:
        try:
            record = certification.take(text)
        except ValueError as error:
            certification.block("records.refused", problem=f"the record that {nodeid} left is refused: {error}")
            return
        from ..report.terminal import cell_word

        self._live.took(record.case_id, red=cell_word(record) in ("FAIL", "LOST"))
        self._show(record)

    def _summary(self, outcome: Outcome | SelfcheckOutcome, reporter: pytest.TerminalReporter) -> list[Line]:
        from ..run.selfcheck import SelfcheckOutcome

        if isinstance(outcome, SelfcheckOutcome) or self._ending is None:
            return list(outcome.lines) if isinstance(outcome, SelfcheckOutcome) else []
        short = self.config.get_verbosity() < 0
        return self._ending.lines(outcome, width=min(100, reporter._tw.fullwidth), short=short)

    def _annotations(self, outcome: Outcome | SelfcheckOutcome) -> list[str]:
        from ..report.github import error_commands
        from ..run.certification import Outcome

        if os.environ.get("GITHUB_ACTIONS") != "true" or not isinstance(outcome, Outcome):
            return []
        return error_commands(outcome.records, outcome.decision.blockers, outcome.gates)

    def _show(self, record: CaseRecord) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or (verbosity := self.config.get_verbosity()) <= 0 or not record.acts:
            return
        from ..report.terminal import act_lines, case_line

        reporter.ensure_newline()
        first = case_line(record, simulated=self.session.activity.options.simulated)
        for line in (first, *(act_lines(record) if verbosity > 1 else ())):
            _write(reporter, line)


def start(config: pytest.Config, raw: Raw) -> None:
    """Start a run in this process, if what was set asks for one; raises `pytest.UsageError`."""
    activity = find_activity(raw, os.environ)
    if activity is None:
        return
    if activity.profile == "local_live" and not asks_for_matrix(config):
        activity = activity.without_matrix()
    now = datetime.now(UTC)
    session = DponeSession(config, activity, run_id=f"{now:%y%m%d%H%M%S}{secrets.token_hex(3)}")
    if activity.options.lock:
        from .locking import Locking

        # Whoever is registered first is asked last: it sees the packaged suite.
        with usage_errors():
            config.pluginmanager.register(Locking(session), "dpone-locking")
    config.pluginmanager.register(session, "dpone-session")
    live = Live(session)
    config.pluginmanager.register(live, "dpone-live")
    config.pluginmanager.register(Control(session, live), "dpone-control")
    if activity.options.simulated:
        from .simulation import Simulation

        config.pluginmanager.register(Simulation(), "dpone-simulation")
    for number in (signal.SIGTERM, signal.SIGHUP):
        _end_by(number, config)


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


def _missing(session: pytest.Session) -> dict[str, Any]:
    from ..core.model import NotRun

    stopped = session.shouldfail or session.shouldstop
    if stopped or session.exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
        why = f": {stopped}" if isinstance(stopped, str) else ""
        return {"missing": NotRun.SKIPPED, "detail": f"the run ended before this case{why}"}
    return {"missing": NotRun.DESELECTED, "detail": "no test certified this case in this run"}


def _write(reporter: pytest.TerminalReporter, line: Line) -> None:
    reporter.write_line(line.text, **({} if line.tone == "plain" else {line.tone: True}))
