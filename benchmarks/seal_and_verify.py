"""Seal and verify a tree with 1,000 artifacts of 100 kB beside those of a small run, against `sha256sum -c`.

python benchmarks/seal_and_verify.py FOLDER
"""

from __future__ import annotations

import importlib
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pytest_dpone.core.gates.policy import PACKAGED
from pytest_dpone.evidence.keys import generate, public_path, read_signer, read_verifier
from pytest_dpone.evidence.leaks import needles
from pytest_dpone.evidence.sums import SUMS
from pytest_dpone.run.sealing import seal
from pytest_dpone.run.verification import verify

ARTIFACTS, SIZE, ROUNDS = 1_000, 100_000, 5
ENVIRON = {f"SERVICE_{number}_PASSWORD": f"canary-{number}-{'x' * 12}" for number in range(6)}
"""As many secrets as a run with addresses of six services has."""


def main(folder: Path) -> None:
    """Print seconds of a seal, of a verification, and the median ratio of a verification to `sha256sum -c`."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    tree = importlib.import_module("tests.evidence.trees").write_tree(folder / "tree")
    rng = random.Random(1)
    (tree / "artifacts").mkdir()
    for number in range(ARTIFACTS):
        (tree / "artifacts" / f"{number:04}.bin").write_bytes(rng.randbytes(SIZE))
    generate(folder / "key")
    signer, verifier = read_signer(folder / "key"), read_verifier(public_path(folder / "key"))
    known = needles({**os.environ, **ENVIRON})

    def sealing() -> None:
        seal(tree, signer=signer, policy=PACKAGED, needles=known, time="2026-01-01T00:00:00Z", version="0")

    def verifying() -> None:
        found = verify(tree, verifier)
        assert found.rulings == (), found.rulings
        assert len(found.actual) > ARTIFACTS

    def summing() -> None:
        subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=tree, check=True)

    sealed = [seconds(sealing) for _ in range(ROUNDS)]
    pairs = [(seconds(verifying), seconds(summing)) for _ in range(ROUNDS)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    print(statistics.median(sealed), statistics.median(ours for ours, _ in pairs), ratio)


def seconds(action: Callable[[], None]) -> float:
    """How long `action` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(Path(sys.argv[1]))
