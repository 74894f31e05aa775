"""Process life: who dies with whom, and as which user a service runs."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import stat
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

NOBODY = 65534
_PR_SET_PDEATHSIG = 1
_M_MMAP_THRESHOLD = -3
_SECRET_ENDINGS = ("_URL", "_PASSWORD", "_SECRET", "_KEY", "_TOKEN")


def is_root() -> bool:
    """If this process may act as another user."""
    return os.geteuid() == 0


def service_owner() -> tuple[int, int]:
    """(uid, gid) that a service runs as and that owns its data: nobody if we are root, else ourselves."""
    return (NOBODY, NOBODY) if is_root() else (os.geteuid(), os.getegid())


def drop_root() -> None:
    """Become nobody for good, if we are root. Modules can still be imported, from wherever they lie."""
    if is_root():
        sys.meta_path.append(_PreopenedFinder(sys.path))
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    os.umask(0o077)


def die_with_parent(parent: int, *, by: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to send `by` when the parent's starting thread ends; die at once if it has ended already.

    Changing the user clears this, so call it again after `drop_root`. Without prctl (not Linux) the parent's pipe
    remains as the only sign.
    """
    if not sys.platform.startswith("linux"):
        return
    _libc().prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), by)


def start_ticks(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot, or None if there is no such process (zombies don't count)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name in parentheses may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def boot_id() -> str:
    """A text that changes with every boot of this machine; empty if the machine has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def reachable_by_all(path: Path) -> bool:
    """If any user may read `path` and pass through all of its parents."""
    path = path.resolve()
    needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    try:
        if path.stat().st_mode & needed != needed:
            return False
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)
    except OSError:
        return False


def children_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for our own processes: without our addresses and secrets, and without PG* that would steer libpq."""
    return {
        name: value
        for name, value in environ.items()
        if not (name.startswith("DPONE_") and name.endswith(_SECRET_ENDINGS)) and not name.startswith("PG")
    }


def new_password() -> str:
    """A password that nobody can guess. It has all kinds of characters, as SQL Server wants, and none to quote."""
    return f"Aa1-{secrets.token_hex(16)}"


def give_back_memory(above: int) -> None:
    """Let blocks larger than `above` bytes go back to the system as soon as they are freed (glibc keeps them else)."""
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, above)


class _PreopenedFinder(MetaPathFinder):
    """Finds modules below directories that were opened earlier.

    Root's virtual environment often lies in a directory that nobody can't enter, but libraries import lazily. A path
    that starts at an open directory needs no right to enter what is above it.
    """

    def __init__(self, directories: Sequence[str]) -> None:
        self._opened = {
            path: f"/proc/self/fd/{os.open(path, os.O_PATH | os.O_DIRECTORY)}"
            for path in map(_absolute, directories)
            if Path(path).is_dir()
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec with paths that are open to us, or None."""
        mapped = [self._map(_absolute(entry)) for entry in (path if path is not None else self._opened)]
        return PathFinder.find_spec(fullname, mapped, target)

    def _map(self, path: str) -> str:
        inside = [root for root in self._opened if path == root or path.startswith(root + os.sep)]
        if not inside:
            return path
        root = max(inside, key=len)
        return self._opened[root] + path[len(root) :]


def _absolute(path: str) -> str:
    return str(Path.cwd() / path)  # without following links, since modules remember their paths as they were given


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
