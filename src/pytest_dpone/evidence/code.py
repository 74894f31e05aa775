"""Code that was imported, bound by its files, and held against what was installed."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from ..core.gates.source import TOLD, CodeState
from .hashing import Hashing, shown


class Place(NamedTuple):
    """Where code lies: the folder of a package, or one file; None if it comes from no file."""

    name: str
    path: str | None
    package: str
    """The name under which a distribution may have it."""


def place_of(kind: type) -> Place:
    """The place of a class: its top package, or its module if that is in none."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None:
        return Place(name, None, "")
    path = Path(file)
    while (path.parent / "__init__.py").exists():
        path = path.parent
    return Place(name, str(path.absolute()), path.stem)


def code_state(name: str, path: Path | None, *, package: str = "", limit: float = float("inf")) -> CodeState:
    """Bind the folder of a package, or one file, and compare it with what was installed. `limit` is a moment."""
    if path is None:
        return CodeState(name=name, problems=(f"{name} comes from no file",))
    top = os.fsencode(path if path.is_dir() else path.parent)
    names = [os.path.relpath(p, top) for p in _package_files(top)] if path.is_dir() else [os.fsencode(path.name)]
    hashing = Hashing(limit)
    files = hashing.file_set(top, names)
    installed = _distribution(package or name)
    edited = sorted(_edited(installed, path, hashing.digests)) if installed is not None else []
    return CodeState(
        name=name,
        distribution=installed.name if installed is not None else None,
        version=installed.version if installed is not None else None,
        files=files,
        edited=tuple(edited[:TOLD]),
        problems=tuple(hashing.problems[:TOLD]),
    )


def _package_files(folder: bytes) -> Iterator[bytes]:
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != b"__pycache__")
        for name in files:
            yield os.path.join(path, name)


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError, OSError):
        return None


def _edited(installed: metadata.Distribution, path: Path, digests: Mapping[bytes, str]) -> Iterator[str]:
    """Files of the package at `path` that differ from what the distribution's RECORD says, or that it does not name."""
    if not path.is_dir():
        return
    recorded: dict[bytes, str] = {}
    for file in installed.files or ():
        if file.parts and file.parts[0] == path.name and file.hash is not None and file.hash.mode == "sha256":
            recorded[os.fsencode(str(Path(*file.parts[1:])))] = _hex_of(file.hash.value)
    if not recorded:
        return  # an editable installation
    for name in sorted(recorded.keys() | digests.keys()):
        if recorded.get(name) != digests.get(name):
            yield shown(name)


def _hex_of(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()
