"""A small project with two families and a mover of its own, in which the plugin is at work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

# Loaded here, so that pytester does not load them anew for every test.
import pytest_dpone.plugin.control
import pytest_dpone.run.attempt
import pytest_dpone.run.case
import pytest_dpone.run.certification
import pytest_dpone.run.conclusion
import pytest_dpone.run.origin
import pytest_dpone.run.page
import pytest_dpone.run.selfcheck
import pytest_dpone.services.stack  # noqa: F401

CONFTEST = """
import importlib, json, os, signal, time
from fnmatch import fnmatchcase
from pathlib import Path

from pytest_dpone.core.model import ActRecord, CaseRecord, Check, DiffReport, RowDifference, Verdict
from pytest_dpone.core.registry import Family
from pytest_dpone.core.wire import Support
from pytest_dpone.run.step import Step

run_case = importlib.import_module("pytest_dpone.run.case")
FAKE = json.loads((Path(__file__).parent / "fake.json").read_text())


def pytest_configure(config):
    real = run_case.certify
    run_case.certify = certify
    config.add_cleanup(lambda: setattr(run_case, "certify", real))


def pytest_dpone_register(registry):
    registry.families.clear()
    registry.add(Family("alpha", sink=False))
    registry.add(Family("beta", source=False))
    registry.exclude(lambda case: None if case.strategy in FAKE["strategies"] else "not in this project")


def pytest_dpone_engine(name):
    return Mover(name) if name in ("native", "mine") else None


class Mover:
    def __init__(self, name):
        self.name = name

    def supports(self, case):
        if behaviour(case) == "todo":
            return Support(status="not implemented yet", reason="the mover can't do it")
        return Support(status="supported")

    def run(self, job):
        raise AssertionError("the fake certify never runs it")


def behaviour(case):
    found = [what for glob, what in FAKE["behaviours"].items() if fnmatchcase(case.case_id, glob)]
    return found[0] if found else "pass"


def certify(case, *, engine, registry, services, settings, on_step):
    what = behaviour(case)
    if what.startswith("slow"):
        for number, act in enumerate(("load", "change"), start=1):
            on_step(Step(act, number, 2))
            time.sleep(0.9)
        what = what.removeprefix("slow") or "pass"
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "interrupt":
        raise KeyboardInterrupt
    if what.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[what])
    if what == "surrogate":
        return CaseRecord.of(case, Verdict.FAILED, detail="half a character: " + chr(0xd800))
    if what == "release":
        return release_record(case, engine, settings)
    green = what != "fail" or engine.name == "mine"
    sample = RowDifference(kind="changed", key={"id": "7"}, columns={"am\\x1bount": ("1.50", "1.5")})
    load = ActRecord(name="load", passed=True, rows=settings.rows, engine_seconds=0.25,
                     checks=(Check(name="rows", passed=True, expected=3, actual=3),),
                     diff=DiffReport(expected_rows=3, actual_rows=3))
    change = ActRecord(
        name="change", passed=green, rows=settings.rows, checks=(Check(name="rows", passed=green, detail="differ"),),
        diff=None if green else DiffReport(expected_rows=10, actual_rows=9, missing=1, changed=1, samples=(sample,)),
    )
    return CaseRecord.of(
        case, Verdict.PASSED if green else Verdict.FAILED, engine=engine.name, rows=settings.rows, seed=settings.seed,
        detail="" if green else "act change, check rows: differ", acts=(load, change),
        rerun=run_case.rerun_command(case, settings),
    )
"""


CONFTEST += """

def release_record(case, engine, settings):
    from pytest_dpone.core.model import ServiceRecord

    checks = tuple(Check(name=name, passed=True) for name in ("rows", "schema", "state_kept"))
    acts = tuple(
        ActRecord(name=name, passed=True, rows=settings.rows, engine_seconds=0.5, checks=checks,
                  observed={"deletes_checked": 3, "bytes": 1000, "memory_peak_mb": 12.5, "seconds.stage": 0.25},
                  diff=DiffReport(expected_rows=3, actual_rows=3))
        for name in ("load", "change", "reconcile")
    )
    real = ServiceRecord(name="postgres", provider="docker", product="PostgreSQL", version="17", fidelity="real")
    return CaseRecord.of(case, Verdict.PASSED, engine=engine.name, rows=settings.rows, seed=settings.seed, acts=acts,
                         services=(real,), rerun=run_case.rerun_command(case, settings), seconds=1.5)
"""

# Other plugins would be loaded anew by every run, which takes longer than everything else.
LIGHT = ("-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:rerunfailures")


class Project:
    """A pytester directory with the small project: cases `alpha_to_beta__{full_refresh, replace, scd2}`."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.makeconftest(CONFTEST)
        self.behave({})

    def behave(
        self, behaviours: Mapping[str, str], strategies: tuple[str, ...] = ("full_refresh", "replace", "scd2")
    ) -> None:
        """What becomes of the cases: glob → pass, fail, todo, kill, interrupt, surrogate, or the name of a
        signal; after `slow`, two acts of 0.9 s go before it."""
        text = json.dumps({"behaviours": dict(behaviours), "strategies": strategies})
        (self.path / "fake.json").write_text(text)

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest in this process."""
        return self.pytester.runpytest_inprocess(*LIGHT, *arguments)

    def run_apart(self, *arguments: str) -> pytest.RunResult:
        """Run pytest in a process of its own."""
        return self.pytester.runpytest_subprocess(*LIGHT, *arguments, timeout=60)

    def run_with(self, workers: Sequence[str], *arguments: str) -> pytest.RunResult:
        """Run pytest with these options of xdist, in a process of its own; without any, in this process."""
        return self.run_apart(*arguments, *workers) if workers else self.run(*arguments)

    @property
    def artifacts(self) -> Path:
        """The default artifact folder."""
        return self.path / "test_artifacts" / "live_certification"

    def report(self, folder: Path | None = None) -> dict[str, object]:
        """The certification report of the last run."""
        path = (folder or self.artifacts / "matrix") / "certification_report.json"
        data: dict[str, object] = json.loads(path.read_text())
        return data

    def verdicts(self, folder: Path | None = None) -> dict[str, str]:
        """Strategy → verdict, or the reason of a case that did not run."""
        rows = self.report(folder)["cases"]
        assert isinstance(rows, list)
        return {row["case_id"].partition("__")[2]: row["reason"] or row["verdict"] for row in rows}


WORKERS = (pytest.param([], id="alone"), pytest.param(["-n2"], id="n2", marks=pytest.mark.apart))
"""Without xdist and with it: what a test says of a run must be so for both."""


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


INI = """
[pytest]
dpone_strategy =
    full_refresh
    scd2
dpone_release = v0.7.1
dpone_release_type = minor
dpone_check =
    cli_commands=true
    run_cli=true
    run_python_api=true
    hierarchical_lineage=true
    documentation=true
    package=true
dpone_objectives = objectives.json
dpone_baseline = baseline.json
"""
OBJECTIVES = {"throughput_rows_per_second": {"min": 1}, "duration_seconds": {"max": 60}, "failure_rate": {"max": 0}}
BASELINE = {"throughput_rows_per_second": {"value": 100, "direction": "higher"}}


@pytest.fixture
def release(project: Project) -> Project:
    """A project whose release run is GO: real services, state, reconciliation, and a tested service."""
    project.behave({"*": "release"})
    project.pytester.makeini(INI)
    project.pytester.makepyfile(
        test_services="import pytest\n\n@pytest.mark.integration_postgres\ndef test_postgres(): pass\n"
    )
    (project.path / "objectives.json").write_text(json.dumps(OBJECTIVES))
    (project.path / "baseline.json").write_text(json.dumps(BASELINE))
    return project
