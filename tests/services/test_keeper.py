"""What a wait says when it ends badly, and the words between supervisor and keeper."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_dpone.core.secrets import Scrubber
from pytest_dpone.errors import ServiceFailed
from pytest_dpone.services.keeper import Ready, Spec, Wire, exit_text, last_lines, undisturbed, wait_until
from pytest_dpone.services.kept import Kept
from pytest_dpone.services.lease import OwnedProcess
from pytest_dpone.services.life import boot_id, reachable_by_all, service_owner, start_ticks

SPEC = Spec(service="s", run_id="r", data="/d", log="/l", user="u", password="p", timeout=1.0)


def silent(script: str, log: Path, *, deadline: float = 60.0) -> Kept:
    scrub = Scrubber()
    scrub.add("canary-password")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    return Kept("s", "embedded", process, log, time.monotonic() + deadline, scrub, lambda: None)


def hear_all(kept: Kept) -> None:
    while kept.hear():
        pass
    kept.ended()
    assert kept.process.stdout is not None
    kept.process.stdout.close()


def test_a_wait_names_the_last_error_and_the_time() -> None:
    def ask() -> str:
        raise OSError("connection refused")

    with pytest.raises(ServiceFailed) as caught:
        wait_until(ask, timeout=0.05, what="postgres")
    assert caught.value.fact == (
        "postgres did not answer a query within 0.05 s; the last error was: OSError: connection refused"
    )


def test_a_wait_ends_when_the_service_has_ended() -> None:
    def ask() -> str:
        raise AssertionError("nobody is there to ask")

    with pytest.raises(ServiceFailed, match=r"^postgres ended while starting \(exit status 1\) after 0\.0 s"):
        wait_until(ask, timeout=60, what="postgres", ended=lambda: "exit status 1")


def test_a_wait_asks_again_until_it_is_answered() -> None:
    answers = iter([OSError("not yet"), ServiceFailed("starting up", hint="wait"), "18.1"])

    def ask() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait_until(ask, timeout=5, what="x") == "18.1"


def test_a_mistake_in_the_question_is_not_waited_for() -> None:
    def ask() -> str:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        wait_until(ask, timeout=60, what="x")


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, "exit status 0"), (7, "exit status 7"), (-9, "killed by SIGKILL"), (-77, "killed by signal 77")],
)
def test_how_a_process_ended(status: int, text: str) -> None:
    assert exit_text(status) == text


def test_last_lines_are_few(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"line %d \xff\n" % n for n in range(5000)))
    lines = last_lines(log, lines=3).splitlines()
    assert [line.split()[1] for line in lines] == ["4997", "4998", "4999"]
    assert last_lines(tmp_path / "none") == ""


def test_spec_survives_the_way() -> None:
    assert Spec.from_json(SPEC.to_json()) == SPEC
    assert "\n" not in SPEC.to_json()


def test_the_wire_says_one_json_line_each() -> None:
    stream = io.StringIO()
    wire = Wire(stream)
    wire.owns_container("c")
    wire.owns_process(os.getpid())
    wire.ready(Ready("u", "P", "1", "real"))
    wire.failed("f", "h")
    wire.died("d")
    messages = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [message["event"] for message in messages] == ["owns", "owns", "ready", "failed", "died"]
    assert messages[1] == {"event": "owns", "pid": os.getpid(), "start": start_ticks(os.getpid())}
    assert messages[2]["info"]["version"] == "1"


def test_a_ready_service_that_ends_has_died(tmp_path: Path) -> None:
    log = tmp_path / "s.log"
    log.write_text("first\nFATAL: canary-password was wrong\n")
    ready = json.dumps({"event": "ready", "info": {"url": "u"}})
    kept = silent(f"print('''{ready}''', flush=True); import sys; sys.exit(3)", log)
    hear_all(kept)
    assert kept.info == {"provider": "embedded", "url": "u", "log": str(log)}
    assert kept.error is not None
    assert kept.error.fact == ("s (embedded) died: exit status 3\nlast lines of its log:\nfirst\nFATAL: *** was wrong")


def test_a_keeper_that_ends_without_a_word_has_failed(tmp_path: Path) -> None:
    kept = silent("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", tmp_path / "none")
    hear_all(kept)
    assert kept.info is None
    assert kept.error is not None
    assert kept.error.fact == "s (embedded) ended while it was starting: killed by SIGKILL"


def test_the_first_error_stays(tmp_path: Path) -> None:
    failed = json.dumps({"event": "failed", "fact": "no binaries", "hint": "get some"})
    kept = silent(f"print('''{failed}'''); import sys; sys.exit(1)", tmp_path / "none")
    hear_all(kept)
    assert kept.error is not None
    assert kept.error.fact.startswith("s (embedded) could not be started (after 0.")
    assert kept.error.fact.endswith(" s): no binaries")
    assert kept.error.hint == "get some"


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    log = tmp_path / "s.log"
    log.write_text("PANIC: could not write to file: No space left on device\n")
    kept = silent("raise SystemExit(1)", log)
    hear_all(kept)
    assert kept.error is not None
    assert kept.error.hint.startswith("the disk is full: ")
    assert "MiB are free at" in kept.error.hint


def test_the_log_of_sql_server_says_what_it_wants(tmp_path: Path) -> None:
    log = tmp_path / "mssql.log"
    log.write_text("sqlservr: This program requires a machine with at least 2000 megabytes of memory.\n")
    kept = silent("raise SystemExit(1)", log)
    kept.name = "mssql"
    hear_all(kept)
    assert kept.error is not None
    assert kept.error.hint == "SQL Server needs 2 GB of memory: give Docker more"


def test_a_keeper_that_hangs_is_ended_at_its_deadline(tmp_path: Path) -> None:
    kept = silent("import time; time.sleep(60)", tmp_path / "none", deadline=0.1)
    kept.look_at_deadline(time.monotonic())
    assert kept.error is None
    kept.look_at_deadline(time.monotonic() + 1)
    hear_all(kept)
    assert kept.error is not None
    assert kept.error.fact == "s (embedded) was not ready after 1 s"
    assert kept.process.returncode == -signal.SIGTERM


def test_a_service_whose_process_is_gone_is_dying_until_the_keeper_tells(tmp_path: Path) -> None:
    ready = json.dumps({"event": "ready", "info": {"url": "u"}})
    kept = silent(f"print('''{ready}''', flush=True); import time; time.sleep(60)", tmp_path / "none")
    while kept.info is None:
        assert kept.hear()  # a line may come in pieces
    assert not kept.dying
    server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    kept.processes.append(OwnedProcess(server.pid, start_ticks(server.pid) or 0))
    assert not kept.dying
    server.kill()
    server.wait()
    assert kept.dying
    kept.process.kill()
    hear_all(kept)
    assert kept.error is not None
    assert not kept.dying


def test_an_external_check_that_is_done_is_not_a_death(tmp_path: Path) -> None:
    ready = json.dumps({"event": "ready", "info": {"url": "u"}})
    kept = silent(f"print('''{ready}''')", tmp_path / "none")
    kept.provider = "external"
    hear_all(kept)
    assert kept.error is None


def test_a_child_dies_with_its_parent() -> None:
    child = (
        "import os, sys, time; from pytest_dpone.services.life import die_with_parent;"
        "die_with_parent(os.getppid()); print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', sys.argv[1]]); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", parent, child], stdout=subprocess.PIPE)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert start_ticks(pid) is not None
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 5
    while start_ticks(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert start_ticks(pid) is None


def test_facts_about_processes() -> None:
    assert start_ticks(2**22 + 1) is None
    assert len(boot_id()) == 36
    assert service_owner() == ((65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid()))


def test_reachable_by_all(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    inner.chmod(0o700)
    assert not reachable_by_all(inner)
    assert reachable_by_all(Path("/usr"))
    assert not reachable_by_all(tmp_path / "none")


def test_an_end_waits_for_what_is_being_made() -> None:
    happened: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: happened.append("told"))
    try:
        with undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
            happened.append("made")
        assert happened == ["made", "told"]
        with undisturbed():
            happened.append("made again")
        assert happened == ["made", "told", "made again"]
        os.kill(os.getpid(), signal.SIGTERM)
        assert happened[-1] == "told"
    finally:
        signal.signal(signal.SIGTERM, before)
