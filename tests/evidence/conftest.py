"""Sealed trees that all tests of the evidence share."""

from __future__ import annotations

from pathlib import Path

import pytest

from .sabotage import Broken, copy_of, make


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tree of a release and of the one before; not to be changed."""
    return make(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def broken(golden: tuple[Path, Path], tmp_path: Path) -> Broken:
    """A copy that may be changed."""
    return copy_of(golden, tmp_path / "copy")
