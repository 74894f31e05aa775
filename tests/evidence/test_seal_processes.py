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
KILLS, SOME_KILLS = 40, 4

SEALER = """
import sys
from pathlib import Path
from pytest_dpone.core.gates.policy import PACKAGED
from pytest_dpone.evidence.keys import read_signer
from pytest_dpone.evidence.leaks import needles
from pytest_dpone.run.sealing import seal

key, log, *trees = sys.argv[1:]
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


def sealer(key: Path, log: Path | str, *trees: Path) -> subprocess.Popen[str]:
    """A process that seals the trees one after the other as soon as it gets a line."""
    words = [sys.executable, "-c", SEALER, str(key), str(log), *map(str, trees)]
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


@pytest.mark.nightly(f"{SOME_KILLS} of {KILLS} kills")
@pytest.mark.parametrize("outside", [False, True], ids=["its own log", "a shared log"])
def test_a_seal_that_is_killed_leaves_nothing_that_verifies_and_is_not_whole(
    outside: bool, unsealed: Path, key: Path, tmp_path: Path, nightly: bool
) -> None:
    """Killed at moments all over its work; then sealed again, which must always work."""
    log = tmp_path / "log" if outside else ""
    verifier = read_verifier(public_path(key))
    rng, tree, kills = random.Random(5), tmp_path / "tree", KILLS if nightly else SOME_KILLS
    shutil.copytree(unsealed, tree)
    process = sealer(key, log, tree)
    started = time.monotonic()
    go(process)
    process.communicate(timeout=60)
    took = time.monotonic() - started
    untouched = half = whole = 0
    for number in range(kills):
        shutil.rmtree(tree)
        shutil.copytree(unsealed, tree)
        process = sealer(key, log, tree)
        go(process)
        if number % 2:
            time.sleep(took * rng.random())
        else:
            # Most of the work is the judgement; the files are written in the last few milliseconds.
            wait_for(tree / "SHA256SUMS", seconds=60)
            time.sleep(0.03 * rng.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        try:
            rulings = verify(tree, verifier).rulings
        except Unverifiable:
            untouched += 1
            continue
        if rulings:
            half += 1
        else:
            whole += 1
            assert_whole(tree)
    assert untouched + half + whole == kills
    assert untouched + half, "no kill hit a seal under way"
    print(f"{kills} kills: {untouched} before the first file, {half} between files, {whole} after the last one")
    process = sealer(key, log, tree)
    go(process)
    assert process.communicate(timeout=60)[1] == ""
    assert verify(tree, verifier).rulings == ()
    assert_whole(tree)


def wait_for(path: Path, *, seconds: float) -> None:
    """Until the first file of a seal is there."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        pass


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
