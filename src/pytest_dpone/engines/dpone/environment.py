"""The environment that dpone is installed in: a folder of the user's cache, made by one command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import EngineFailed, UsageError

REQUIREMENTS = ("dpone==0.88.0", "psycopg[binary]==3.3.4")
_PYTHONS = ("python3.12", "python3.11")
_TOO_NEW = (3, 13)
_DONE = "installed.txt"
"""Written last: an installation that was interrupted is none."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where dpone is, or may be installed."""

    folder: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Environment:
        """The one of this user, for the version that is driven."""
        cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".cache")
        return cls(Path(cache) / "pytest-dpone" / "engines" / REQUIREMENTS[0].replace("==", "-"))

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def ready(self) -> bool:
        """If dpone is installed there."""
        return self.python.exists() and (self.folder / _DONE).exists()

    def install(self) -> str:
        """Make it anew and install dpone; returns the version. Raises `UsageError` or `EngineFailed`."""
        interpreter = _interpreter()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        _run([interpreter, "-m", "venv", str(self.folder)])
        _run([str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS])
        version = _run([str(self.python), "-c", "from importlib.metadata import version; print(version('dpone'))"])
        (self.folder / _DONE).write_text("\n".join(REQUIREMENTS) + "\n")
        return version.strip()


def _interpreter() -> str:
    """A Python that dpone runs on: this one, or an older one that is on the PATH."""
    if sys.version_info < _TOO_NEW:
        return sys.executable
    for name in _PYTHONS:
        if found := shutil.which(name):
            return found
    raise UsageError(
        f"dpone runs on Python older than {'.'.join(map(str, _TOO_NEW))}, and none of {', '.join(_PYTHONS)} is here",
        hint="install one of them, so that it is on the PATH",
    )


def _run(command: list[str]) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        told = "\n".join((done.stderr or done.stdout).splitlines()[-8:])
        raise EngineFailed(
            f"dpone could not be installed: {' '.join(command[1:4])} ended with status {done.returncode}\n{told}",
            hint="see the lines above; a package index must be reachable",
        )
    return done.stdout
