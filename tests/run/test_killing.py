"""The protocol with an engine in a process of its own, and what becomes of a process that does not keep to it."""

from __future__ import annotations

import json
import sys
import time

import pytest

from pytest_dpone.core.model import Strategy
from pytest_dpone.core.wire import Endpoint, Job
from pytest_dpone.engines.child import startable
from pytest_dpone.errors import EngineFailed
from pytest_dpone.run.killing import Doomed, doomed

END = Endpoint(family="postgres", url="postgresql://u:canary-1@127.0.0.1:1/db", namespace="n", table="t")  # type: ignore[arg-type]
JOB = Job(
    case_id="postgres_to_postgres__full_refresh",
    run_id="unit",
    strategy=Strategy.FULL_REFRESH,
    source=END,
    sink=END,
    key=("id",),
    cursor="c",
    partition="p",
    state_table="s",
    batch_rows=10,
)
TELL = "import json, os, sys, time\norder = json.loads(sys.stdin.readline())\ntell = lambda **w: print(json.dumps(w), flush=True)\n"


def play(script: str, *, patience: float = 20.0) -> Doomed:
    return Doomed(engine="fake", command=(sys.executable, "-c", TELL + script), patience=patience)


def ended(run: Doomed) -> bool:
    return run._process.returncode is not None


def test_moments_come_until_the_last_word() -> None:
    run = play("tell(moment='begun'); tell(moment='staged'); tell(facts={'stops': order['stops']})")
    run.begin(JOB, ("staged", 2))
    assert run.until("begun")
    assert not run.until("never")
    assert run.wait() == {"facts": {"stops": [["staged", 2]]}}
    assert run.moments == ["begun", "staged"]
    run.close()
    assert ended(run)


def test_a_run_that_waits_is_killed_or_goes_on() -> None:
    waits = "tell(moment='staged'); line = sys.stdin.readline(); tell(moment='applied'); sys.stdin.readline()"
    run = play(waits)
    run.begin(JOB)
    assert run.until("staged")
    run.go_on()
    assert run.until("applied")
    assert run.kill()
    run.close()


def test_a_kill_that_came_too_late_is_none() -> None:
    run = play("tell(moment='begun'); tell(facts={}); time.sleep(60)")
    run.begin(JOB)
    assert run.until("begun")
    time.sleep(0.5)
    assert not run.kill(), "its work was done, and only the process was still there"
    assert run.ended == {"facts": {}}
    run.close()


def test_a_run_that_had_ended_was_not_killed() -> None:
    run = play("tell(facts={})")
    run.begin(JOB)
    run.wait()
    run._process.wait()
    assert not run.kill()
    run.close()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("sys.exit('no room on the disk')", "ended with status 1 and no facts: no room on the disk"),
        ("os.kill(os.getpid(), 9)", "ended with status -9 and no facts: "),
        ("print('hello', flush=True)", "told 'hello', which is no line of its protocol"),
        ("print('[1]', flush=True)", "told '[1]', which is no line of its protocol"),
    ],
)
def test_a_process_that_breaks_the_protocol_is_an_error(script: str, told: str) -> None:
    run = play(script)
    run.begin(JOB)
    with pytest.raises(EngineFailed) as caught:
        run.until("begun")
    assert told in str(caught.value)
    run.close()


@pytest.mark.parametrize("after", range(-15, 16, 3))
@pytest.mark.parametrize("to", ["stdout", "stderr"])
def test_no_cut_leaves_a_part_of_a_secret(to: str, after: int) -> None:
    width, place = (200, "x" * (190 + after)) if to == "stdout" else (2000, "")
    rest = "" if to == "stdout" else "y" * (width - 10 + after)
    run = play(f"url = order['job']['sink']['url']; print('{place}' + url + '{rest}', file=sys.{to}, flush=True)")
    run.begin(JOB)
    with pytest.raises(EngineFailed) as caught:
        run.until("begun")
    assert not any(part in str(caught.value) for part in ("canary", "anary-1"))
    run.close()


def test_a_process_that_is_gone_before_its_job_comes() -> None:
    run = Doomed(engine="fake", command=(sys.executable, "-c", "import sys; sys.exit('gone')"))
    run._process.wait()
    with pytest.raises(EngineFailed, match="ended with status 1 and no facts: gone"):
        run.begin(JOB)
    run.close()


def test_patience_has_an_end() -> None:
    run = play("tell(moment='begun'); time.sleep(60)", patience=1.0)
    run.begin(JOB)
    with pytest.raises(EngineFailed, match=r"told nothing more within 1 s after \['begun'\]"):
        run.wait()
    run.close()
    assert ended(run)


def test_the_real_child_tells_what_its_engine_raises_and_no_secret() -> None:
    with doomed(engine="native") as run:
        run.begin(JOB)
        word = run.wait()
    assert "error" in word
    assert "canary-1" not in json.dumps(word)


def test_an_engine_without_moments_runs_in_the_child_as_well() -> None:
    with doomed(engine="mock") as run:
        run.begin(JOB)
        assert list(run.wait()) == ["error"], "it moves tables in memory only"


@pytest.mark.parametrize(("name", "known"), [("native", True), ("mutant:state_before_data", True), ("mine", False)])
def test_what_a_process_of_its_own_can_start(name: str, known: bool) -> None:
    assert startable(name) is known


def test_what_an_engine_prints_is_no_part_of_the_protocol() -> None:
    script = (
        "import sys\n"
        "from pytest_dpone.engines import child\n"
        "class Chatty:\n"
        "    name = 'chatty'\n"
        "    def run(self, job):\n"
        "        print('I am at work', flush=True)\n"
        "        raise ValueError('enough')\n"
        "child.load = lambda name: Chatty()\n"
        "sys.exit(child.main(sys.argv[1]))\n"
    )
    run = Doomed(engine="chatty", command=(sys.executable, "-c", script))
    run.begin(JOB)
    assert run.wait() == {"error": "ValueError: enough"}
    run.close()
