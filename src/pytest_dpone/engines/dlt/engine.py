"""The engine `dlt`: what it can move, and a process per run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType

from ...core.model import Case, Strategy
from ...core.wire import HistoryColumns, Job, RunFacts, Support
from ...errors import MissingExtra
from ..command import CommandEngine
from .names import DELETED, FROM, ROW_HASH, TO

_MOVER = (sys.executable, "-m", f"{__package__}.mover")
_NO_STRATEGY: Mapping[Strategy, str] = MappingProxyType(
    {
        Strategy.REPLACE: "dlt rewrites a table, or the rows of keys, and no window of days",
        Strategy.PARTITION_REPLACE: "dlt rewrites a table, or the rows of keys, and no named partitions",
        Strategy.SNAPSHOT_DIFF: "dlt does not compare a snapshot with the table, and counts no differences",
        Strategy.BACKFILL: "dlt keeps no state of chunks of a backfill",
        Strategy.XMIN: "dlt has no cursor of transactions: its cursor is a column",
        Strategy.CDC: "dlt reads no change log by itself",
    }
)
_SOURCES, _SINKS = ("postgres", "minio"), ("postgres", "clickhouse", "minio")
_NO_END: Mapping[str, str] = MappingProxyType(
    {
        "kafka": "dlt has no source and no destination of its own for Kafka",
        "api": "this engine has no source for the API",
        "mssql": "dlt reaches SQL Server by ODBC, and this engine was never run against one",
        "clickhouse": "this engine has no source for ClickHouse",
    }
)


_HINT = "that is what dlt says itself; docs/findings.md tells what it is known to stop at"


class DltEngine:
    """Implements `core.wire.Engine`. Needs the extra `dlt`."""

    name = "dlt"

    def __init__(self) -> None:
        if find_spec("dlt") is None:
            raise MissingExtra("dlt", extra="dlt")
        self._program = CommandEngine(_MOVER, scratch="pytest-dpone-dlt-", called="dlt", hint=_HINT)

    def supports(self, case: Case) -> Support:
        """Supported where dlt has a source, a destination and a write disposition that mean what the case does."""
        if reason := _reason_against(case):
            return Support(status="unsupported", reason=f"excluded: {reason}")
        return Support(
            status="supported",
            own_columns=("_dlt_*", DELETED),
            history=HistoryColumns(valid_from=FROM, valid_to=TO, is_current=None, row_hash=ROW_HASH),
        )

    def run(self, job: Job) -> RunFacts:
        """Run a pipeline of dlt. Raises `EngineFailed` with the end of what dlt told."""
        return self._program.run(job)


def _reason_against(case: Case) -> str:
    if reason := _NO_STRATEGY.get(case.strategy):
        return reason
    if case.source not in _SOURCES:
        return _NO_END.get(case.source, f"the engine has no source {case.source}")
    if case.sink not in _SINKS:
        return _NO_END.get(case.sink, f"the engine has no sink {case.sink}")
    return ""
