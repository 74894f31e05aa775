"""How much memory this process needs while an engine runs in it, and giving it back afterwards."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pyarrow as pa

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def give_back() -> None:
    """Hand memory that is free to the system, where that can be asked for.

    Arrow's pool and the heap of glibc keep what they have had. A worker that plays case after case would come to hold
    what its largest ones have needed, all together.
    """
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


class PeakMemory:
    """The peak since it was made. Only Linux can tell; elsewhere nothing is observed, and no number is invented.

    The process holds the harness too. What an engine needs in processes of its own is not seen.
    """

    def __init__(self) -> None:
        try:
            # 5 sets the peak of the resident set to what it is now; see proc(5).
            _CLEAR.write_text("5")
            self._known = True
        except OSError:
            self._known = False

    def megabytes(self) -> float | None:
        """In MiB; None if it can't be known."""
        if not self._known:
            return None
        lines = _STATUS.read_text().splitlines()
        peak = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
        return round(int(peak) / 1024, 1) if peak is not None else None
