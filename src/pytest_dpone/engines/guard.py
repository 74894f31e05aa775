"""Runs one program and leaves nothing of it behind: `python guard.py CONTROL STATUS SCRATCH PROGRAM [ARGUMENT…]`.

CONTROL and STATUS are file descriptors. The guard takes in whatever the program starts, also what detaches itself.
When the program ends, or CONTROL closes because nobody waits any more, it kills all that is left, and writes to STATUS
a JSON object: `status` of the program (negative: the signal), `left`: the names of what it left running; or `error` if
it could not be started. With SCRATCH, the beginning of a name, the program gets a new folder to work in, which is
removed at the end, whatever ended it. Standard library only, and no import of ours: it starts in some 20 ms.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER
_GRACE = 0.5
"""Seconds in which a program that has ended may see its own children end."""
_PATIENCE = 10.0


def main(control: int, status: int, scratch: str, command: list[str]) -> int:
    """Run `command` to its end, or to that of whoever asked for it."""
    if not scratch:
        return _run(control, status, command)
    import tempfile

    with tempfile.TemporaryDirectory(prefix=scratch, ignore_cleanup_errors=True) as folder:
        return _run(control, status, command, folder)


def _run(control: int, status: int, command: list[str], folder: str | None = None) -> int:
    os.set_inheritable(control, False)
    os.set_inheritable(status, False)
    ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        child = subprocess.Popen(command, cwd=folder)
    except OSError as error:
        _tell(status, error=error.strerror or type(error).__name__)
        return 1
    for stream in (0, 1, 2):
        os.close(stream)  # the program's own, so that their end is the program's
    while child.poll() is None:
        ready, _, _ = select.select([control, woken], [], [])
        if control in ready:
            break
        os.read(woken, 4096)
    ended = child.poll()
    left = _still_there() if ended is not None else []
    _kill_all()
    _tell(status, status=ended, left=left)
    return 0


def _still_there() -> list[str]:
    """Names of what runs on after the program, once it had the time to end."""
    deadline = time.monotonic() + _GRACE
    while (left := _descendants()) and time.monotonic() < deadline:
        _reap()
        time.sleep(0.01)
    return sorted(left.values())


def _kill_all() -> None:
    deadline = time.monotonic() + _PATIENCE
    while (left := _descendants()) and time.monotonic() < deadline:
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        _reap()
        time.sleep(0.005)
    _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _descendants() -> dict[int, str]:
    """Process → its name, of all below this one that are no zombies."""
    parents: dict[int, tuple[int, str, str]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            text = (entry / "stat").read_text(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        name, _, rest = text.partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        parents[int(entry.name)] = (int(parent), state, name)
    below, known = {os.getpid()}, -1
    while len(below) != known:
        known = len(below)
        below |= {process for process, (parent, _, _) in parents.items() if parent in below}
    return {p: parents[p][2] for p in below - {os.getpid()} if p in parents and parents[p][1] != "Z"}


def _tell(to: int, /, **what: object) -> None:
    os.write(to, json.dumps(what).encode())


if __name__ == "__main__":
    # The streams are closed, so none is flushed.
    os._exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
