"""The engine `command`: whatever a program can do wrong is told as such, and nothing of it is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from pytest_dpone.core.model import Case, Strategy
from pytest_dpone.core.wire import Job, RunFacts, Support
from pytest_dpone.engines import load_engine
from pytest_dpone.engines.command import CommandEngine
from pytest_dpone.engines.process import play
from pytest_dpone.errors import EngineFailed, UsageError

SECRET = "canary-s3cret"
CASE = Case("postgres", "clickhouse", Strategy.FULL_REFRESH)
END = {"family": "postgres", "url": f"postgresql://u:{SECRET}@h/d", "namespace": "n", "table": "t"}
JOB = Job.model_validate(
    {
        "case_id": CASE.case_id,
        "run_id": "r",
        "strategy": CASE.strategy,
        "source": END,
        "sink": END,
        "key": ("id",),
        "cursor": "c",
        "partition": "p",
        "state_table": "s",
        "batch_rows": 1,
    }
)
START = "import json, os, subprocess, sys, time\njob = json.load(sys.stdin)\n"


def engine(text: str) -> CommandEngine:
    return CommandEngine((sys.executable, "-c", START + text))


def failure(text: str) -> str:
    with pytest.raises(EngineFailed) as caught:
        engine(text).run(JOB)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_a_job_goes_in_and_facts_come_out() -> None:
    text = "print(json.dumps({'read': len(job['source']['url']), 'written': 2, 'state_after': job['strategy']}))"
    facts = engine(text).run(JOB)
    assert facts == RunFacts(read=len(str(END["url"])), written=2, state_after="full_refresh")


def test_secrets_come_by_standard_input_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPONE_POSTGRES_URL", str(END["url"]))
    text = (
        "secret = job['source']['url'].split(':')[2].split('@')[0]\n"
        "seen = ''.join(open(f'/proc/{p}/{n}').read() for p in ('self', os.getppid()) for n in ('cmdline', 'environ'))\n"
        "print(json.dumps({'read': seen.count(secret), 'written': seen.count('DPONE' + '_POSTGRES')}))"
    )
    assert engine(text).run(JOB) == RunFacts(read=0, written=0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("print('{}x')", "the command wrote no JSON object to standard output: Extra data at line 1, column 3"),
        ("print('loaded!')", "the command wrote no JSON object to standard output"),
        ("print('[1]')", "it holds an array, not an object"),
        ("pass", "the command wrote nothing to standard output; it wrote nothing to standard error"),
        ('print(\'{"read": NaN, "written": 1}\')', "NaN is no JSON number"),
        ('print(\'{"read": 1, "read": 2, "written": 1}\')', "the key 'read' occurs twice"),
        ("print('{\"read\": 1}')", "facts that can't be: written: Field required"),
        ('print(\'{"read": -1, "written": 1}\')', "read: Input should be greater than or equal to 0"),
        ('print(\'{"read": "1", "written": 1}\')', "read: Input should be a valid integer"),
        ('print(\'{"read": true, "written": 1}\')', "read: Input should be a valid integer"),
        ('print(\'{"read": 1, "written": 1, "rows": 1}\')', "rows: Extra inputs are not permitted"),
        ("sys.exit(3)", "the command ended with status 3; it wrote nothing to standard error"),
        ("os.kill(os.getpid(), 9)", "the command was ended by signal 9"),
        ("print('x' * 2_000_000)", "the command wrote more than 1048576 bytes to standard output"),
    ],
)
def test_what_a_program_does_wrong_is_told(text: str, told: str) -> None:
    assert told in failure(text)


def test_facts_of_a_program_that_failed_do_not_count() -> None:
    told = failure("print('{\"read\": 1, \"written\": 1}'); sys.exit('no space left')")
    assert told.startswith("the command ended with status 1; its standard error ends with: no space left\n")


def test_standard_error_is_shown_without_secrets_and_within_bounds() -> None:
    told = failure(
        "for n in range(5000): print('line', n, file=sys.stderr)\n"
        "print('x' * 999, file=sys.stderr)\n"
        "print('\\x1b[31mcan not reach', job['source']['url'], file=sys.stderr); sys.exit(1)"
    )
    lines = told.splitlines()
    assert lines[0].endswith("ends with: \ufffd[31mcan not reach postgresql://u:***@h/d")
    assert lines[1] == "  before that:"
    assert lines[-3:-1] == ["  line 4999", "  " + "x" * 200]
    assert len(lines) == 2 + 11 + 1


def test_half_a_secret_at_the_place_of_the_cut_is_not_shown() -> None:
    # 8192 bytes are kept: of the secret's 13 characters the last 8 are, and nothing after them is a line's end.
    told = failure(f"sys.stderr.write({SECRET!r} + 'y' * (8192 - 8)); sys.exit(1)")
    assert SECRET[-8:] not in told
    assert "yyy" in told


def test_processes_that_are_left_are_told_and_ended(tmp_path: Path) -> None:
    place = tmp_path / "pid"
    told = failure(
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(place)!r}, 'w').write(str(child.pid))\n"
        'print(\'{"read": 1, "written": 1}\')'
    )
    assert told.startswith("the command left processes running, which were ended: sleep;")
    assert gone(int(place.read_text()))


def test_children_that_end_by_themselves_are_no_fault() -> None:
    text = "subprocess.Popen(['sleep', '0.1'])\nprint('{\"read\": 1, \"written\": 1}')"
    assert engine(text).run(JOB).read == 1


def test_nothing_is_left_when_the_one_who_waits_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    place = tmp_path / "pid"
    program = START + f"open({str(place)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    waiting = f"from pytest_dpone.engines.process import play\nplay([{sys.executable!r}, '-c', {program!r}], text='{{}}', scratch='mine-')"
    waiter = subprocess.Popen([sys.executable, "-c", waiting])
    deadline = time.monotonic() + 20
    while not (place.exists() and place.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(waiter.pid, signal.SIGKILL)
    waiter.wait()
    assert gone(int(place.read_text()))
    deadline = time.monotonic() + 10
    while (left := list(tmp_path.glob("mine-*"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def gone(process: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


ANSWER = {
    "supports": [
        {"case": "postgres_to_*__full_refresh", "status": "supported", "own_columns": ["_mine"]},
        {"case": "postgres_to_*", "status": "not implemented yet", "reason": "next year"},
    ]
}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("print(1)", None), ("sys.exit(3)", None), ("os.kill(os.getpid(), 9)", None), ("time.sleep(60)", 1.0)],
)
def test_a_folder_to_work_in_is_removed_however_the_program_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, seconds: float | None
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    told = tmp_path / "told"
    script = f"import os, sys, time; open('left', 'w'); open({str(told)!r}, 'w').write(os.getcwd()); {text}"
    with nullcontext() if seconds is None else pytest.raises(EngineFailed, match="gave no answer"):
        play((sys.executable, "-c", script), text="", scratch="mine-", seconds=seconds)
    assert Path(told.read_text()).parent == tmp_path
    assert Path(told.read_text()).name.startswith("mine-")
    assert list(tmp_path.iterdir()) == [told]


def test_a_program_is_asked_once_what_it_supports(tmp_path: Path) -> None:
    log = tmp_path / "asked"
    mover = engine(f"open({str(log)!r}, 'a').write(job['ask'] + ' ')\nprint({json.dumps(ANSWER)!r})")
    assert mover.supports(CASE) == Support(status="supported", own_columns=("_mine",))
    assert mover.supports(Case("postgres", "minio", Strategy.REPLACE)).reason == "next year"
    other = mover.supports(Case("kafka", "minio", Strategy.REPLACE))
    assert (other.status, other.reason) == ("unsupported", "the command's answer names no such case")
    assert log.read_text() == "supports "


@pytest.mark.parametrize("text", ["pass", "job['source']"])
def test_a_program_without_an_answer_is_held_to_everything(text: str) -> None:
    assert engine(text).supports(CASE) == Support(status="supported")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("print('yes')", "the command wrote no JSON object"),
        ('print(\'{"supports": [{"case": "*"}]}\')', "an answer to supports that can't be: supports.0.status: Field"),
        ("print('{\"supports\": []}'); sys.exit(1)", "the command ended with status 1"),
    ],
)
def test_a_wrong_answer_is_no_answer(text: str, told: str) -> None:
    with pytest.raises(EngineFailed, match=told.replace(".", r"\.").replace("*", r"\*")):
        engine(text).supports(CASE)


def test_an_answer_has_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_dpone.engines.command.ASK_SECONDS", 0.2)
    with pytest.raises(EngineFailed, match=r"the command gave no answer within 0\.2 s"):
        engine("time.sleep(600)").supports(CASE)


@pytest.mark.parametrize(
    ("line", "told", "hint"),
    [
        ("", "the engine command needs to know the command", 'give it: --dpone-engine-command="node mover.js"'),
        ("node 'x", "the engine's command can't be read: No closing quotation", "quote it as in a shell"),
        ("no-such-program x", "the engine's command 'no-such-program' is not there, or is no program", "install it"),
        ("./no-such-file", "the engine's command './no-such-file' is not there", "or give its path"),
    ],
)
def test_a_command_that_can_not_be_is_wrong_use(line: str, told: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        load_engine("command", command=line, folder=tmp_path)
    assert hint in caught.value.hint


def test_a_program_is_found_in_its_folder(tmp_path: Path) -> None:
    program = tmp_path / "mover"
    program.write_text('#!/bin/sh\ncat > /dev/null\necho "{\\"read\\": 7, \\"written\\": $(ls | wc -l)}"\n')
    program.chmod(0o755)
    assert load_engine("command", command="./mover", folder=tmp_path).run(JOB) == RunFacts(read=7, written=1)


def test_a_program_that_is_gone_meanwhile_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match=r"the command '/no/such' can't be started: No such file or directory"):
        CommandEngine(("/no/such",)).run(JOB)
