"""Hooks, engines and signals that mean no good: a clear end, an honest exit status, no traceback of ours."""

from __future__ import annotations

import json
import signal

import pytest

from .conftest import Project

pytestmark = pytest.mark.apart

FULL = "--dpone-profile=local_live"


def use_hook(project: Project, hook: str) -> None:
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text() + "\n\n" + hook)


def refused(result: pytest.RunResult) -> str:
    text = result.stderr.str()
    assert result.ret == 4
    assert "hint: " in text
    assert "Traceback" not in text + result.stdout.str()
    return text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise KeyError('boom')", "the hook pytest_dpone_engine failed: KeyError: 'boom'"),
        ("return 42", "the engine, a int, has no name"),
        ("return Mover", "the engine is the class Mover"),
    ],
)
def test_a_hook_that_gives_no_engine_is_wrong_use(project: Project, body: str, told: str) -> None:
    use_hook(project, f"def pytest_dpone_engine(name):\n    {body}\n")
    assert told in refused(project.run_apart(FULL))
    assert not project.artifacts.exists()


def test_a_hook_that_fails_names_its_line(project: Project) -> None:
    use_hook(project, "def pytest_dpone_register(registry):\n    registry.nothing_like_this()\n")
    text = refused(project.run_apart(FULL))
    assert "the hook pytest_dpone_register failed: AttributeError: " in text
    number = (project.path / "conftest.py").read_text().count("\n")
    assert f"hint: see line {number} of {project.path / 'conftest.py'}" in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_would_kill_ends_the_run_as_ctrl_c_does(project: Project, number: signal.Signals) -> None:
    project.behave({"*__replace": number.name})
    before = signal.signal(number, signal.SIG_DFL)  # a shell may have it ignored, and children inherit that
    try:
        result = project.run_apart(FULL)
    finally:
        signal.signal(number, before)
    assert result.ret == 2
    result.stdout.fnmatch_lines(["FAILED: 1 of 3 planned cases passed; 2 skipped"])
    assert project.verdicts() == {"full_refresh": "passed", "replace": "skipped", "scd2": "skipped"}


def test_a_signal_handler_of_somebody_else_stays(project: Project) -> None:
    project.behave({"*__replace": "SIGTERM"})
    project.pytester.makepyfile(early="import signal\nsignal.signal(signal.SIGTERM, lambda *_: print('mine'))\n")
    project.pytester.syspathinsert()
    result = project.run_apart("-s", "-p", "early", FULL)
    assert result.ret == 0
    assert "mine" in result.stdout.str()


def test_a_forked_child_can_be_terminated(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import multiprocessing, signal, time

        def test_it():
            fork = multiprocessing.get_context("fork")
            ready = fork.Event()
            child = fork.Process(target=lambda: (ready.set(), time.sleep(60)))
            child.start()
            assert ready.wait(10)
            child.terminate()
            child.join(10)
            assert child.exitcode == -signal.SIGTERM
        """
    )
    result = project.run_apart(FULL)
    assert "KeyboardInterrupt" not in result.stdout.str() + result.stderr.str()
    assert result.ret == 0


def test_half_a_character_does_not_end_the_session(project: Project) -> None:
    project.behave({"*__replace": "surrogate"})
    result = project.run_apart(FULL)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAILED: 2 of 3 planned cases passed; 1 failed"])
    (row,) = [row for row in project.report()["cases"] if row["verdict"] == "failed"]  # type: ignore[attr-defined]
    assert row["detail"] == "half a character: \\ud800"
    json.dumps(row).encode()
