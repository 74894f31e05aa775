"""The scope lock on disk: read strictly, written in one form, and held against what there is now."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ..core.gates.documents import first_error
from ..core.gates.scope import LOCK_FILE, ScopeLock
from ..core.strict import NotStrict, parse_object
from ..errors import UsageError
from .artifacts import write_json
from .files import Unreadable, read_bytes, sha256

_HINT = "run `pytest-dpone lock`, look at what changed, and commit it"


def read_lock(root: Path) -> tuple[ScopeLock, str] | None:
    """The lock in the folder `root`, with the SHA-256 of its bytes; None if there is none.

    Raises `UsageError` for one that can't be read or that says nothing clear: it is never taken for none.
    """
    path = root / LOCK_FILE
    try:
        raw = read_bytes(path)
        data = parse_object(raw)
        lock = ScopeLock.model_validate_json(raw, strict=True)
    except Unreadable as error:
        if str(error) == "is missing":
            return None
        raise UsageError(f"the scope lock {path} {error}", hint=_HINT) from None
    except NotStrict as error:
        raise UsageError(f"the scope lock {path} is not strict JSON: {error}", hint=_HINT) from None
    except ValidationError as error:
        raise UsageError(f"the scope lock {path} is malformed: {first_error(error)}", hint=_HINT) from None
    if data != lock.model_dump(mode="json", by_alias=True):
        raise UsageError(f"the scope lock {path} lacks a field", hint=_HINT)
    return lock, sha256(raw)


def write_lock(root: Path, lock: ScopeLock) -> Path:
    """Write the lock into the folder `root`. Raises `ArtifactError`."""
    path = root / LOCK_FILE
    write_json(path, lock.model_dump(mode="json", by_alias=True))
    return path
