from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_dpone.services.lease import base_directory
from pytest_dpone.services.turn import turn

WAITS = """
import sys, time
from pytest_dpone.services.turn import turn
with turn("t1", "postgres", alone=sys.argv[1] == "alone"):
    print("in", flush=True)
    time.sleep(float(sys.argv[2]))
"""
Start = Callable[[str, float], "subprocess.Popen[str]"]


@pytest.fixture
def run_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dpt", dir="/tmp") as short:
        Path(short).chmod(0o755)
        monkeypatch.setenv("TMPDIR", short)
        monkeypatch.setattr(tempfile, "tempdir", None)
        directory = base_directory() / "runs" / "t1"
        assert directory.is_relative_to(short)
        directory.mkdir()
        yield directory


@pytest.fixture
def start(run_directory: Path) -> Iterator[Start]:
    """Starts a process that takes a turn, and says so."""
    processes: list[subprocess.Popen[str]] = []

    def begin(how: str, seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WAITS, how, str(seconds)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_who_is_alone_waits_until_a_killed_process_is_gone(start: Start) -> None:
    first = start("together", 600)
    assert said(first) == "in\n"
    second = start("together", 600)
    assert said(second) == "in\n", "two that share do not wait for each other"
    lonely = start("alone", 0)
    with pytest.raises(subprocess.TimeoutExpired):
        lonely.wait(0.5)
    first.send_signal(signal.SIGKILL)
    second.send_signal(signal.SIGKILL)
    assert lonely.wait(30) == 0


def test_others_wait_for_who_is_alone(start: Start) -> None:
    assert said(start("alone", 600)) == "in\n"
    others = [start(how, 0) for how in ("alone", "together")]
    for process in others:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)


def test_without_a_run_directory_nobody_is_there_to_wait_for(run_directory: Path) -> None:
    with turn("t2", "postgres", alone=True), turn("t2", "postgres", alone=True):
        assert list(run_directory.parent.iterdir()) == [run_directory]
