"""New environments for what a user does in one: our wheel, and what a page's own `pip install` lines name."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
OFFLINE = re.compile(r"error sending request|dns error|Failed to establish a new connection|Connection refused", re.I)
_OF_AN_ENVIRONMENT = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")


def wheel_of(shared: Path) -> Path:
    """The project's wheel, built once for all workers of a session; skips where none can be built."""
    if not UV.exists():
        pytest.skip("a fresh environment needs uv: pip install --group dev")
    folder = shared / "wheel"
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (found := sorted(folder.glob("*.whl"))):
            words = [str(UV), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
            skip_if_offline(done.returncode, done.stderr)
            assert done.returncode == 0, done.stderr
            found = sorted(folder.glob("*.whl"))
    (wheel,) = found
    return wheel


def skip_if_offline(status: int, told: str) -> None:
    """Skip the test if something could not be installed for want of a network; every other failure is one."""
    if status and OFFLINE.search(told):
        pytest.skip("a fresh environment needs a package index, and none can be reached")


def environ_of(environ: Mapping[str, str]) -> dict[str, str]:
    """What a user has who has not installed anything: his Python, and no environment of ours."""
    kept = {n: v for n, v in environ.items() if n not in _OF_AN_ENVIRONMENT}
    ours = {str(Path(sys.executable).parent), os.path.join(sys.prefix, "bin")}
    path = [part for part in kept["PATH"].split(os.pathsep) if part not in ours]
    return {**kept, "PATH": os.pathsep.join([os.path.join(sys.base_prefix, "bin"), *path])}


def prelude(wheel: Path, *, makes_one: bool, haste: bool) -> str:
    """What is typed before a page's first line: an environment, unless the page makes one; in haste, uv for pip.

    What a page installs comes from an index, but for our wheel, which is on none yet.
    """
    made = f"{UV} venv --quiet --python {sys.base_prefix}/bin/python3 .venv" if haste else "python3 -m venv .venv"
    install = f'{UV} pip install --quiet "${{words[@]:1}}"' if haste else 'command pip "${words[@]}"'
    environment = "" if makes_one else f"{made}\n. .venv/bin/activate\n"
    return environment + _PIP.replace("WHEEL", wheel.as_uri()).replace("INSTALL", install)


_PIP = """pip() {
  local words=() word
  for word in "$@"; do
    [[ $word == pytest-dpone* ]] && word="$word @ WHEEL"
    words+=("$word")
  done
  INSTALL
}
"""
