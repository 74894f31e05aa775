"""What an inactive run needs too: the markers, and the question if the run is active. One module, for a quick start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .session import DponeSession

SESSION: pytest.StashKey[DponeSession] = pytest.StashKey()
"""Where an active run keeps its session in the config."""

SERVICE_MARKERS = {
    "integration_postgres": "needs Postgres",
    "integration_mssql": "needs SQL Server",
    "integration_clickhouse": "needs ClickHouse",
    "integration_kafka": "needs Kafka",
    "integration_schema_registry": "needs a Schema Registry",
    "integration_minio": "needs MinIO or another S3",
    "integration_api": "needs the API, a REST source of ours",
}
MARKERS = {
    **SERVICE_MARKERS,
    "integration_matrix": "certifies cases of the matrix",
    "integration_live": "needs systems of a vendor, with credentials",
}


SIMULATED = "the run is simulated: no service is started"


def skip_locked(items: Iterable[pytest.Item], *, unlocked: frozenset[str], simulated: bool = False) -> None:
    """Skip what carries an integration marker that nobody switched on; the reason names the way in.

    In a simulated run there is no way in for tests that need services.
    """
    for item in items:
        for mark in item.iter_markers():
            if mark.name in MARKERS and mark.name not in unlocked:
                why = SIMULATED if simulated and mark.name != "integration_matrix" else way_in(mark.name)
                item.add_marker(pytest.mark.skip(reason=why))
                break


def way_in(marker: str) -> str:
    """Why a test with `marker` is skipped, and how it is not."""
    variable = {"integration_matrix": "DPONE_RUN_INTEGRATION_MATRIX", "integration_live": "DPONE_RUN_INTEGRATION_LIVE"}
    switched = f"set {variable.get(marker, 'DPONE_RUN_INTEGRATION')}=1"
    profile = "" if marker == "integration_live" else " or give --dpone-profile=local_live"
    return f"{marker} tests are off: {switched}{profile}"


def active_session(config: pytest.Config) -> DponeSession | None:
    """The session of an active run, else None."""
    return config.stash.get(SESSION, None)


def session_or_skip(config: pytest.Config) -> DponeSession:
    """The session of an active run; skips the test in an inactive one."""
    session = active_session(config)
    if session is None:
        pytest.skip("dpone is not active: give --dpone-profile=local_live or set DPONE_RUN_INTEGRATION=1")
    return session


def worker_invitation(config: pytest.Config) -> str | None:
    """What the controller told this worker: None if this is no worker, empty if the run is inactive."""
    workerinput: dict[str, Any] | None = getattr(config, "workerinput", None)
    return None if workerinput is None else str(workerinput.get("dpone", ""))


def case_param(item: pytest.Item) -> object:
    """The case that `item` is about, or None."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("dpone_case") if callspec is not None else None
