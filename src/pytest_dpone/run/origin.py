"""Where the code under test comes from: the commit, and if the tree differs from it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ..core.model import Frozen


class Origin(Frozen):
    """The source tree of a run; None where it can't be known. `tree` is kept for the digest of the tree."""

    commit: str | None = None
    tree: str | None = None
    dirty: bool | None = None


def find_origin(root: Path, *, ignore: Path | None = None, timeout: float = 10.0) -> Origin:
    """Ask git about `root`; changes below `ignore` (our own artifacts) do not make the tree dirty.

    No git, no repository, no commit or no answer within `timeout` seconds: everything is None.
    """
    try:
        commit = _git(root, "rev-parse", "--verify", "HEAD", timeout=timeout).strip()
        pathspec = ["--", "."]
        if ignore is not None and ignore.is_relative_to(root) and ignore != root:
            pathspec.append(f":(exclude,literal){ignore.relative_to(root)}")
        dirty = bool(_git(root, "status", "--porcelain", *pathspec, timeout=timeout).strip())
    except (OSError, subprocess.SubprocessError):
        return Origin()
    return Origin(commit=commit, dirty=dirty)


def _git(root: Path, *arguments: str, timeout: float) -> str:
    # Without optional locks: a look at the tree must not rewrite the user's index.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=timeout,
        env=environment,
    )
    return done.stdout
