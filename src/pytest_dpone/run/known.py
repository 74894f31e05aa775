"""The file of known failures, read for a run."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from ..core.known import KNOWN_FILE, KnownFailures, read_known
from ..core.model import Case
from ..errors import UsageError
from ..evidence.files import Unreadable, read_bytes


def load_known(root: Path, planned: Sequence[Case], *, file: Path | None = None) -> KnownFailures:
    """What the file says, by default `dpone-known-failures.toml` of `root`, which need not be there.

    Raises `UsageError` for a file that can't be read, or that says nothing clear.
    """
    path = file or root / KNOWN_FILE
    try:
        data = tomllib.loads(read_bytes(path, limit=2**20).decode())
    except Unreadable as error:
        if file is None and str(error) == "is missing":
            return KnownFailures()
        raise UsageError(f"the known failures {path} {error}", hint="see --dpone-known-failures") from None
    except ValueError as error:  # of TOML, or of UTF-8
        told = str(error).partition("\n")[0]
        raise UsageError(f"the known failures {path} are not TOML: {told}", hint="see --dpone-known-failures") from None
    return read_known(data, planned, name=str(path))
