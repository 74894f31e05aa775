"""Seals by many processes at once, and seals that are killed: no entry is lost, no half tree verifies."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_dpone.evidence.chain import Unverifiable
from pytest_dpone.evidence.keys import generate, public_path, read_verifier
from pytest_dpone.evidence.tlog import read_log
from pytest_dpone.run.verification import verify

from .trees import write_tree

pytestmark = pytest.mark.apart

MANY, FEW = (8, 10), (4, 3)
"""Processes, and seals of each."""
KILLS = 40
FIRST_STEPS = range(1, 13, 4)
"""The steps of a seal with its own log are twelve: each of six files is made safe, then its folder."""

SEALER = """
import os
import signal
import sys
from pathlib import Path
from pytest_dpone.core.gates.policy import PACKAGED
from pytest_dpone.evidence.keys import read_signer
from pytest_dpone.evidence.leaks import needles
from pytest_dpone.run.sealing import seal

dies_at, key, log, *trees = sys.argv[1:]
steps, fsync = 0, os.fsync


def step(handle):
    global steps
    steps += 1
    if steps == int(dies_at):
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)


os.fsync = step
print("ready", flush=True)
sys.stdin.readline()
for number, tree in enumerate(trees):
    seal(Path(tree), signer=read_signer(Path(key)), policy=PACKAGED, needles=needles({}), log_folder=Path(log) if log else None,
         time=f"2026-01-01T00:00:{number:02}Z", version="0.1.0")
"""


@pytest.fixture(scope="module")
def unsealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("unsealed") / "tree")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    generate(tmp_path / "key")
    return tmp_path / "key"


def sealer(key: Path, log: Path | str, *trees: Path, dies_at: int = 0) -> subprocess.Popen[str]:
    """A process that seals the trees one after the other as soon as it gets a line; it may kill itself at a step."""
    words = [sys.executable, "-c", SEALER, str(dies_at), str(key), str(log), *map(str, trees)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.nightly("4 processes, 3 seals of each, not 8 and 10")
def test_seals_of_many_processes_into_one_log(unsealed: Path, key: Path, tmp_path: Path, nightly: bool) -> None:
    log, (writers, each) = tmp_path / "log", MANY if nightly else FEW
    trees = [[tmp_path / f"{w}-{n}" for n in range(each)] for w in range(writers)]
    for tree in (tree for row in trees for tree in row):
        shutil.copytree(unsealed, tree)
    processes = [sealer(key, log, *row) for row in trees]
    for process in processes:
        go(process)
    for process in processes:
        assert process.communicate(timeout=240)[1] == ""
        assert process.returncode == 0
    entries = read_log((log / "log.jsonl").read_bytes())
    assert entries.size == writers * each
    verifier = read_verifier(public_path(key))
    sizes = []
    for tree in (tree for row in trees for tree in row):
        found = verify(tree, verifier)
        assert found.rulings == ()
        assert found.log.lines == entries.lines[: found.log.size]
        sizes.append(found.log.size)
    assert sorted(sizes) == list(range(1, writers * each + 1))


@pytest.mark.nightly(f"dies at every fourth step, not at all and at {KILLS} moments")
@pytest.mark.parametrize("outside", [False, True], ids=["its own log", "a shared log"])
def test_a_seal_that_is_killed_leaves_nothing_that_verifies_and_is_not_whole(
    outside: bool, unsealed: Path, key: Path, tmp_path: Path, nightly: bool
) -> None:
    """Killed at steps and moments all over its work; then sealed again, which must always work."""
    log = tmp_path / "log" if outside else ""
    verifier = read_verifier(public_path(key))
    tree = tmp_path / "tree"
    shutil.copytree(unsealed, tree)
    process = sealer(key, log, tree)
    started = time.monotonic()
    go(process)
    process.communicate(timeout=60)
    took = time.monotonic() - started

    def state_after(*, dies_at: int = 0, seconds: float | None = None) -> str:
        shutil.rmtree(tree)
        shutil.copytree(unsealed, tree)
        process = sealer(key, log, tree, dies_at=dies_at)
        go(process)
        if seconds is not None:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL or not dies_at
        try:
            rulings = verify(tree, verifier).rulings
        except Unverifiable:
            return "untouched"
        if rulings:
            return "half"
        assert_whole(tree)
        return "whole"

    steps = range(1, 17 if outside else 13) if nightly else FIRST_STEPS
    states = {step: state_after(dies_at=step) for step in steps}
    assert {step for step, state in states.items() if state == "whole"} <= {max(steps)}, states
    rng = random.Random(5)
    for _ in range(KILLS if nightly else 1):
        state_after(seconds=took * rng.random())
    process = sealer(key, log, tree)
    go(process)
    assert process.communicate(timeout=60)[1] == ""
    assert verify(tree, verifier).rulings == ()
    assert_whole(tree)


def assert_whole(tree: Path) -> None:
    """As somebody finds it who has no code of ours: every file that a seal has, and sums that are true."""
    names = {path.name for path in (tree / "seal").iterdir()}
    assert names >= {
        "checkpoint",
        "log.jsonl",
        "test-result.dsse.json",
        "connector-certification.dsse.json",
        "verification-summary.dsse.json",
    }
    done = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tree, check=False)
    assert done.returncode == 0
