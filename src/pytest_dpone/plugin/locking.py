"""The scope lock of a project, written or checked after a collection: nothing is run (`pytest-dpone lock`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .active import SERVICE_MARKERS
from .chosen import RELEASES
from .collection import SuiteModule, suite_items
from .markers import keep_ids, needs_services, test_id

if TYPE_CHECKING:
    from ..core.gates.scope import ScopeLock
    from .session import DponeSession


class Locking:
    """Collects as a release run would, and takes the tests away before any of them is run."""

    def __init__(self, session: DponeSession) -> None:
        self.session = session
        self.told: list[str] = []
        self._tests: dict[str, set[str]] = {}
        _check(session)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """See which tests a release needs; this comes after the packaged suite, and before -k and -m."""
        probes = suite_items(session, ["vendor"]) if self.session.plan.services else []
        keep_ids(probes)
        here = {test_id(item) for item in items if _is_needed(item)}
        there = {test_id(item) for item in (*items, *probes) if needs_services(item, ("integration_live",))}
        self._tests = {"real_local": here, "vendor_live": here | there}
        items.clear()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write or compare, unless something could not be collected."""
        if session.exitstatus != pytest.ExitCode.NO_TESTS_COLLECTED:
            return
        if session.testsfailed or not self._tests:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            return
        green = self._write() if self.session.activity.options.lock == "write" else self._matches()
        session.exitstatus = pytest.ExitCode.OK if green else pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what came of it."""
        from ..report.escape import visible

        for line in self.told:
            terminalreporter.write_line(visible(line))

    def _write(self) -> bool:
        from ..core.gates.scope import lock_changes
        from ..errors import DponeError
        from ..evidence.scope import read_lock, write_lock

        lock, root = self._lock(), self.session.config.rootpath
        try:
            known = read_lock(root)
        except DponeError:
            known = None  # what can't be read is replaced
        try:
            path = write_lock(root, lock)
        except DponeError as error:
            self.told = str(error).splitlines()
            return False
        changes = lock_changes(known[0], lock) if known is not None else []
        self.told = [f"  {line}" for line in changes] + [f"{path.name}: {_counts(lock)}"]
        return True

    def _matches(self) -> bool:
        from ..core.gates.scope import LOCK_FILE, lock_changes
        from ..errors import DponeError
        from ..evidence.scope import read_lock

        lock = self._lock()
        try:
            known = read_lock(self.session.config.rootpath)
        except DponeError as error:
            self.told = [f"FAILED: {error.fact}", f"hint: {error.hint}"]
            return False
        if known is None:
            self.told = [f"FAILED: there is no {LOCK_FILE}", "hint: run `pytest-dpone lock`, and commit what it writes"]
            return False
        if changes := lock_changes(known[0], lock):
            self.told = [*(f"  {line}" for line in changes), f"FAILED: {LOCK_FILE} is not up to date"]
            self.told.append("hint: run `pytest-dpone lock`, look at what changed, and commit it")
            return False
        self.told = [f"{LOCK_FILE} is up to date: {_counts(lock)}"]
        return True

    def _lock(self) -> ScopeLock:
        from ..run.scope import lock_of

        return lock_of(self.session.plan, self._tests)


def _check(session: DponeSession) -> None:
    options, plan = session.activity.options, session.plan
    if options.origins["lock"] == "ini":
        raise pytest.UsageError(
            "ini key dpone_lock: with it no run would certify anything\nhint: run `pytest-dpone lock` instead"
        )
    if session.activity.profile not in RELEASES or not session.activity.certifies:
        raise pytest.UsageError("--dpone-lock is of a release's scope\nhint: run `pytest-dpone lock`")
    if set(plan.scope) != set(plan.declared):
        raise pytest.UsageError(
            "--dpone-lock contradicts the selection of cases: a lock is of all that the ini file plans\n"
            "hint: leave the selection out; unset DPONE_MATRIX_CASE_ID and its like"
        )


def _is_needed(item: pytest.Item) -> bool:
    """If a release needs the test beside the cases, which have ids of their own."""
    if isinstance(item.parent, SuiteModule) and item.parent.path.name == "test_matrix.py":
        return False
    return needs_services(item, (*SERVICE_MARKERS, "integration_matrix"))


def _counts(lock: ScopeLock) -> str:
    parts = [
        f"{profile} {len(scope.cases)} cases, {len(scope.tests)} tests" for profile, scope in lock.profiles.items()
    ]
    return "; ".join(parts)
