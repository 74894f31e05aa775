"""With a profile, chosen cases or a selfcheck this project certifies, and its own tests stay aside."""

from __future__ import annotations

from pathlib import Path

import pytest

OWN_TESTS = Path(__file__).parent / "tests"
CERTIFIES = ("profile", "case", "source", "sink", "strategy", "selfcheck")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make test` runs the project's own tests; `make certify` and `make selfcheck` don't mix them in."""
    certifies = any(config.getoption(f"--dpone-{name}", None) for name in CERTIFIES)
    # The folder itself is an initial path, which pytest collects without asking.
    return True if certifies and OWN_TESTS in collection_path.parents else None
