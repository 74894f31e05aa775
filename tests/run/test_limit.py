"""A case that is over its time is failed, and what it was doing has ended."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_dpone.core.model import Case, CaseRecord, Strategy, Verdict
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import SUPPORTED, Engine, Job, RunFacts, Support
from pytest_dpone.engines.command import CommandEngine
from pytest_dpone.errors import UsageError
from pytest_dpone.run import stage
from pytest_dpone.run.case import certify
from pytest_dpone.run.limit import Limit, TimedOut
from pytest_dpone.run.settings import RunSettings

spec = importlib.util.spec_from_file_location("dpone_memory_of_limits", Path(__file__).with_name("memory.py"))
assert spec is not None and spec.loader is not None
memory = importlib.util.module_from_spec(spec)
sys.modules["dpone_memory_of_limits"] = memory
spec.loader.exec_module(memory)


class Slow:
    name = "slow"

    def supports(self, case: Case) -> Support:
        return SUPPORTED

    def run(self, job: Job) -> RunFacts:
        try:
            time.sleep(60)
        except Exception:  # an engine may catch them all
            time.sleep(60)
        return RunFacts(read=0, written=0)


def played(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> CaseRecord:
    catalog = memory.MemoryCatalog(tables={})
    monkeypatch.setattr(stage, "open_catalog", lambda info, *, bucket: catalog)
    record = certify(
        Case("postgres", "postgres", Strategy.FULL_REFRESH),
        engine=engine,
        registry=default_registry(),
        services={"postgres": memory.service()},
        settings=RunSettings(run_id="unit", rows=20, dataset="narrow", case_timeout=1),
    )
    assert catalog.spaces == set(), "the clean-up has a time of its own"
    return record


def test_a_case_over_its_time_is_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    record = played(Slow(), monkeypatch)
    assert record.verdict is Verdict.FAILED
    assert record.detail == "act load: timed out after 1 s"
    assert [act.name for act in record.acts] == ["provision", "load"]
    assert record.seconds < 20
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_the_programs_of_a_case_over_its_time_are_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "pids"
    program = (
        "import os, subprocess, sys, time\n"
        "if 'ask' in sys.stdin.read(): sys.exit()\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(place)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\ntime.sleep(600)"
    )
    record = played(CommandEngine((sys.executable, "-c", program)), monkeypatch)
    assert record.detail == "act load: timed out after 1 s"
    for process in place.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)


def test_the_time_is_that_of_the_whole_case() -> None:
    limit = Limit(1)
    with limit.held():
        pass
    time.sleep(1)
    with pytest.raises(TimedOut, match="timed out after 1 s"), limit.held():
        time.sleep(60)


def test_a_case_within_its_time_hears_nothing_and_gives_back_the_alarm() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with Limit(60).held():
            time.sleep(0.3)
        assert rung == []
        time.sleep(0.2)
        assert rung == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_another_thread_can_not_have_a_limit() -> None:
    told: list[str] = []

    def play() -> None:
        with pytest.raises(UsageError) as caught, Limit(1).held():
            pass
        told.append(str(caught.value))

    thread = threading.Thread(target=play)
    thread.start()
    thread.join()
    (text,) = told
    assert text.splitlines() == [
        "a time limit needs the main thread, and the case runs in another one",
        "hint: leave --dpone-case-timeout out, or run pytest in the main thread",
    ]
