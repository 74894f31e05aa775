"""Tests per marker by outcome: what a test was marked with travels on its reports, and the controller counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from .active import MARKERS

if TYPE_CHECKING:
    from ..core.gates.tallies import MarkerFacts
    from ..core.model import NotRun

MARKED = "dpone_markers"
TEST = "dpone_test"
AGAIN = "dpone_again"
EXCUSE = "dpone_excuse"
COLLECTED = "dpone_collected"

_id: pytest.StashKey[str] = pytest.StashKey()
_failed: pytest.StashKey[bool] = pytest.StashKey()


def known_to_fail(detail: str) -> pytest.xfail.Exception:  # type: ignore[name-defined]
    """The end of a test whose case fails as the project knows it to; to be raised. `--runxfail` makes it a failure."""
    failed = pytest.xfail.Exception(detail)
    setattr(failed, EXCUSE, _KNOWN)
    return failed


def excuse(reason: NotRun, detail: str) -> pytest.skip.Exception:  # type: ignore[name-defined]
    """A skip that a feature branch may live with, told apart from the skips of anybody else; to be raised."""
    skipped = pytest.skip.Exception(f"{reason}: {detail}")
    setattr(skipped, EXCUSE, str(reason))
    return skipped


def count_marked(items: Iterable[pytest.Item], unlocked: frozenset[str]) -> dict[str, int]:
    """Tests by marker, of the markers whose tests may run."""
    return dict(Counter(name for item in items for name in _markers(item, unlocked)))


def keep_ids(items: Iterable[pytest.Item]) -> None:
    """Remember how the tests are called before xdist puts their group into the name."""
    for item in items:
        item.stash[_id] = item.nodeid


def test_id(item: pytest.Item) -> str:
    """The id of a test, the same in every process of a run and in every run."""
    return item.stash.get(_id, item.nodeid)


def needs_services(item: pytest.Item, names: Iterable[str]) -> bool:
    """If one of the markers `names` is on the test."""
    return any(mark.name in names for mark in item.iter_markers())


def mark_report(
    item: pytest.Item, call: pytest.CallInfo[Any], report: pytest.TestReport, unlocked: frozenset[str]
) -> None:
    """Put the markers of the test on its report, why it is excused if it is, and if it was run before."""
    names = _markers(item, unlocked)
    if not names:
        return
    setattr(report, MARKED, names)
    setattr(report, TEST, test_id(item))
    if item.stash.get(_failed, False):
        setattr(report, AGAIN, True)
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    reason = getattr(call.excinfo.value, EXCUSE, None) if call.excinfo is not None else None
    if reason is not None:
        setattr(report, EXCUSE, reason)


def _markers(item: pytest.Item, unlocked: frozenset[str]) -> list[str]:
    found = {mark.name for mark in item.iter_markers()}
    return [name for name in MARKERS if name in found and name in unlocked]


def is_marked(report: pytest.TestReport) -> bool:
    """If the report is of a test that is counted by its markers, or of a process that died."""
    return hasattr(report, MARKED) or report.when not in ("setup", "call", "teardown")


class MarkerTally:
    """Counts in the controller, or in the only process. A test counts once its last phase has been reported."""

    def __init__(self) -> None:
        self._collected: dict[str, int] = {}
        self._open: dict[str, str] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._dead: set[str] = set()
        self.tests: dict[str, str] = {}
        """What became of each marked test, by its id."""

    @property
    def any(self) -> bool:
        """If a marked test was seen."""
        return bool(self._collected or self._counts)

    def take(self, report: pytest.TestReport) -> None:
        """Take what a report brings."""
        for name, count in getattr(report, COLLECTED, {}).items():
            # Every worker collects the same tests.
            self._collected[name] = max(count, self._collected.get(name, 0))
        names = getattr(report, MARKED, None)
        if not names:
            return
        test = getattr(report, TEST, report.nodeid)
        word = _worse(self._open.get(test), _outcome(report))
        if report.when != "teardown":
            self._open[test] = word
            return
        self._open.pop(test, None)
        if any(name == test or name.startswith(f"{test}@") for name in self._dead):
            word = _worse("rerun", word)
        known = self.tests.get(test)
        self.tests[test] = _worse(known, word)
        for name in names:
            counts = self._counts.setdefault(name, Counter())
            if known is not None:  # run again: one test all the same
                counts[known] -= 1
            counts[self.tests[test]] += 1

    def crashed(self, test: str) -> None:
        """A worker died while it ran `test`: if another one runs it again, that is no first pass."""
        self._dead.add(test)

    def facts(self, profile: str | None, *, required: tuple[str, ...] = ()) -> MarkerFacts:
        """What was counted. A marker of which no test was run at all is left out, unless it is required."""
        from ..core.gates.tallies import MarkerCounts, MarkerFacts

        markers = {}
        for name in MARKERS:
            counts = self._counts.get(name, Counter())
            missing = max(0, self._collected.get(name, 0) - counts.total())
            if counts or (missing and name in required):
                markers[name] = MarkerCounts(**+counts, not_run=missing)
        return MarkerFacts(profile=profile, markers=markers, required=required)


_KNOWN = "known"
_WORST = ("passed", "unavailable", "not_implemented", _KNOWN, "skipped", "rerun", "failed")


def _worse(known: str | None, word: str) -> str:
    return word if known is None else max(known, word, key=_WORST.index)


def _outcome(report: pytest.TestReport) -> str:
    if report.failed:
        return "failed"
    reason: str | None = getattr(report, EXCUSE, None)
    if reason:
        return reason if reason in ("unavailable", _KNOWN) else "not_implemented"
    # A test that was expected to fail proves nothing, whatever it did.
    if report.skipped or hasattr(report, "wasxfail"):
        return "skipped"
    # Who runs a failed test again reports the failure under another name; the next attempt is a second one.
    return "rerun" if hasattr(report, AGAIN) or not report.passed else "passed"
