"""Run directories: who owns what was started, and how the remains of dead owners are removed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import ServiceFailed, UsageError
from .life import boot_id, is_root, reachable_by_all, start_ticks

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LONGEST_TEMP = 40
"""Bytes: a Unix socket's path has at most 107, and the run's id and our names come on top."""
_GRACE = 5.0
"""Seconds that a process of a dead owner gets between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class OwnedProcess:
    """A process of a run; a pid alone is no proof, so its start (clock ticks since boot) goes with it."""

    pid: int
    start: int


@dataclass(frozen=True)
class Owner:
    """What `owner.json` says: enough to remove everything of a run whose supervisor is gone."""

    run_id: str
    boot: str
    supervisor: OwnedProcess | None = None
    processes: tuple[OwnedProcess, ...] = ()
    containers: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    """Of Docker Compose."""
    kept: bool = False
    """If the run is over, and its services stay up for somebody to look into them."""


@dataclass(frozen=True)
class Lease:
    """A run directory whose owner's lock is held through `lock_fd`, for as long as that descriptor is open."""

    path: Path
    lock_fd: int


def base_directory(temp: Path | None = None) -> Path:
    """`<tmp>/pytest-dpone-<uid>`, made if need be; raises `ServiceFailed` if somebody else made it.

    Services that run as nobody live below, so others may pass through, not look. A temporary directory that is too
    deep for a socket's path, or closed to nobody, is passed over for /tmp.
    """
    candidates = [temp or Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    chosen = next((path for path in candidates if _usable(path)), candidates[0])
    base = chosen / f"pytest-dpone-{os.geteuid()}"
    try:
        for path in (base, base / "runs"):
            path.mkdir(exist_ok=True)
            _must_be_ours(path)
            path.chmod(0o711)
    except OSError as error:
        raise ServiceFailed(
            f"the directory for runs can't be made: {error}", hint="set TMPDIR to a directory that you can write"
        ) from None
    return base


def create(run_id: str, *, base: Path) -> Lease:
    """Make `<base>/runs/<run_id>` and take its owner's lock; raises `UsageError` for a bad or taken id."""
    if not RUN_ID.fullmatch(run_id):
        raise UsageError(
            f"{run_id!r} can't be a run id", hint="use letters, digits, `_`, `.` and `-`; at most 64 of them"
        )
    path = base / "runs" / run_id
    with _base_lock(base):
        try:
            path.mkdir(mode=0o711)
        except FileExistsError:
            raise UsageError(
                f"a run with the id {run_id!r} is there already", hint="two runs at once need two run ids"
            ) from None
        except OSError as error:
            raise ServiceFailed(
                f"the run directory can't be made: {error}", hint="free space, or set TMPDIR to another directory"
            ) from None
        path.chmod(0o711)
        descriptor = _try_lock(path)
    if descriptor is None:
        raise ServiceFailed(f"{path} can't be locked", hint="set TMPDIR to a local file system")
    return Lease(path, descriptor)


def write_owner(path: Path, owner: Owner) -> None:
    """Put `owner.json` into the run directory `path`, atomically."""
    temporary = path / "owner.json.new"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(owner), file)
    temporary.replace(path / "owner.json")


def read_owner(path: Path) -> Owner | None:
    """What `owner.json` in the run directory `path` says, or None if it is missing or broken."""
    try:
        data = json.loads((path / "owner.json").read_text())
        supervisor = data.pop("supervisor")
        return Owner(
            supervisor=OwnedProcess(**supervisor) if supervisor else None,
            processes=tuple(OwnedProcess(**item) for item in data.pop("processes")),
            containers=tuple(data.pop("containers")),
            projects=tuple(data.pop("projects", ())),
            **data,
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def is_alive(run_id: str, *, base: Path) -> bool:
    """If somebody holds the lock of the run."""
    path = base / "runs" / run_id
    if not path.is_dir():
        return False
    with _base_lock(base):
        descriptor = _try_lock(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


RemoveContainers = Callable[[Sequence[str], str], None]
RemoveProjects = Callable[[Sequence[str]], None]


def reap(
    base: Path, *, remove_containers: RemoveContainers, remove_projects: RemoveProjects | None = None
) -> list[str]:
    """Remove what dead owners left; gives the run ids that were removed. A run whose lock is held is not touched.

    `remove_containers(ids, run_id)` is called for runs that recorded containers, `remove_projects(names)` for those
    that recorded projects of Docker Compose; if one raises, that run's directory stays for the next time.
    """
    runs = base / "runs"
    with _base_lock(base):
        dead = [(path, fd) for path in sorted(runs.iterdir()) if (fd := _try_lock(path)) is not None]
    reaped = []
    for path, descriptor in dead:
        try:
            if _reap_one(path, remove_containers, remove_projects):
                reaped.append(path.name)
        finally:
            os.close(descriptor)
    return reaped


def remove_tree(path: Path) -> None:
    """Remove a directory as far as it goes; what resists stays for the next reaping."""
    shutil.rmtree(path, ignore_errors=True)


def end_process(process: OwnedProcess, *, grace: float = _GRACE) -> None:
    """SIGTERM, then SIGKILL to the process's group, only while pid and start time are still the recorded ones."""
    if start_ticks(process.pid) != process.start:
        return
    _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline:
        if start_ticks(process.pid) != process.start:
            return
        time.sleep(0.02)
    _signal(process.pid, signal.SIGKILL)


def _usable(temp: Path) -> bool:
    if len(os.fsencode(temp)) > _LONGEST_TEMP or not os.access(temp, os.W_OK | os.X_OK):
        return False
    # For root `reachable_by_all` decides if nobody gets through; reading the directory itself is not needed.
    return not is_root() or reachable_by_all(temp)


def _must_be_ours(path: Path) -> None:
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return
    raise ServiceFailed(
        f"{path} is not a directory that only you can write", hint="remove it, or set TMPDIR to another directory"
    )


@contextlib.contextmanager
def _base_lock(base: Path) -> Iterator[None]:
    """Held while a run is born and while the dead are looked for, so that a newborn is never taken for dead."""
    with open(os.open(base / "lock", os.O_RDWR | os.O_CREAT, 0o600)) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _try_lock(path: Path) -> int | None:
    """The descriptor of the run's lock, or None if somebody alive holds it, or if `path` is no run directory."""
    try:
        descriptor = os.open(path / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _reap_one(path: Path, remove_containers: RemoveContainers, remove_projects: RemoveProjects | None) -> bool:
    owner = read_owner(path)
    if owner is not None:
        if owner.boot == boot_id():
            for process in owner.processes:
                end_process(process)
        try:
            if owner.containers:
                remove_containers(owner.containers, owner.run_id)
            if owner.projects and remove_projects is None:
                return False
            if owner.projects and remove_projects is not None:
                remove_projects(owner.projects)
        except Exception:
            return False
    remove_tree(path)
    return not path.exists()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        if number is signal.SIGKILL and os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
