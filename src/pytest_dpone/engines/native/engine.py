"""The reference engine: Arrow batches from a source to a sink on the services' native bulk paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from types import MappingProxyType

from ...core.model import Case, Evolution, Strategy
from ...core.wire import Job, RunFacts, Support
from ...errors import UsageError
from .api import ApiSource
from .arrow import check_names
from .clickhouse import ClickHouseSource
from .clickhouse_sink import ClickHouseSink
from .kafka import KafkaSource
from .kafka_sink import KafkaSink
from .minio import MinioSource
from .minio_sink import MinioSink
from .mssql import MssqlSource
from .mssql_log import MssqlLog
from .mssql_sink import MssqlSink
from .ports import Seams, Sink, Source
from .postgres import PostgresSource
from .postgres_log import PostgresLog
from .postgres_sink import PostgresSink
from .strategy import STRATEGIES, play


@dataclass(frozen=True, slots=True)
class _Family:
    """How one family is opened, and what its sink can do."""

    source: Callable[[Job], Source]
    sink: Callable[[Job, Callable[[str], None]], Sink]
    strategies: frozenset[Strategy]


def _logged(table: Callable[[Job], Source], log: Callable[[Job], Source]) -> Callable[[Job], Source]:
    """How a source is opened that has a log of its changes, too."""
    return lambda job: (log if job.strategy is Strategy.CDC else table)(job)


def _no_sink(job: Job, _: Callable[[str], None]) -> Sink:
    raise UsageError(f"{job.sink.family} can't be written to", hint="it is a source only")


_ALL = frozenset(STRATEGIES)
_ONLY_FROM: Mapping[Strategy, frozenset[str]] = MappingProxyType(
    {Strategy.XMIN: frozenset({"postgres"}), Strategy.CDC: frozenset({"postgres", "mssql"})}
)
"""Strategies that not every source can serve."""
_WHOLE_OBJECTS = frozenset(
    (
        Strategy.FULL_REFRESH,
        Strategy.INCREMENTAL_APPEND,
        Strategy.REPLACE,
        Strategy.PARTITION_REPLACE,
        Strategy.BACKFILL,
    )
)
_STAGED: Mapping[str, tuple[str, ...]] = MappingProxyType({"clickhouse": ("minio",)})
"""Sink → where rows can be staged on their way."""
_LOCKING = frozenset(("postgres", "mssql"))
"""Sinks on which a run takes a lock, so that a second one of the same table waits."""
_FOLLOWING = frozenset(("postgres", "mssql", "clickhouse"))
"""Sinks that get a column more when the source has one more that may be NULL; all other changes are refused."""
_FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "postgres": _Family(_logged(PostgresSource, PostgresLog), PostgresSink, _ALL),
        "mssql": _Family(_logged(MssqlSource, MssqlLog), MssqlSink, _ALL),
        "clickhouse": _Family(ClickHouseSource, ClickHouseSink, _ALL),
        "kafka": _Family(KafkaSource, KafkaSink, _ALL - {Strategy.SCD2}),
        "minio": _Family(MinioSource, MinioSink, _WHOLE_OBJECTS),
        "api": _Family(ApiSource, _no_sink, frozenset()),
    }
)


class NativeEngine:
    """Moves rows between postgres, mssql, clickhouse, kafka and minio, and from the API; implements `core.wire.Engine`.

    It is safe to repeat after a failure or a kill at any moment, and refuses what it can't carry exactly.
    """

    name = "native"

    def __init__(self, seams: Seams | None = None) -> None:
        self._seams = seams or Seams()

    def watched(self, moment: Callable[[str], None]) -> NativeEngine:
        """The same engine, which calls `moment` as a run gets on; see `Seams`."""
        return NativeEngine(replace(self._seams, moment=moment))

    def supports(self, case: Case) -> Support:
        """Supported where both families and the sink's strategy are here; else `not implemented yet`."""
        for side, family in (("source", case.source), ("sink", case.sink)):
            if family not in _FAMILIES:
                return Support(status="not implemented yet", reason=f"the native engine has no {side} {family}")
        if case.strategy not in _FAMILIES[case.sink].strategies:
            reason = f"the native engine has no {case.strategy} into {case.sink}"
            return Support(status="not implemented yet", reason=reason)
        if case.source not in _ONLY_FROM.get(case.strategy, _FAMILIES):
            reason = f"the native engine has no {case.strategy} from {case.source}"
            return Support(status="not implemented yet", reason=reason)
        return Support(
            status="supported",
            via=_STAGED.get(case.sink, ()),
            keeps_apart=case.sink in _LOCKING,
            evolution={
                change: "follows" if change is Evolution.ADD and case.sink in _FOLLOWING else "refuses"
                for change in Evolution
            },
        )

    def run(self, job: Job) -> RunFacts:
        """Move what the job says. Raises `EngineFailed`, `ValueRejected`, `UsageError` or `MissingExtra`."""
        support = self.supports(Case(job.source.family, job.sink.family, job.strategy))
        if support.status != "supported":
            raise UsageError(f"{support.status}: {support.reason}", hint="ask `supports` before a run")
        if job.staging is not None and job.staging.family not in support.via:
            raise UsageError(
                f"the native engine does not stage rows in {job.staging.family} on their way to {job.sink.family}",
                hint="leave `staging` out of the job",
            )
        # The sink first, which keeps two runs of a job apart: what the source shows is then later than the run before.
        with closing(self._open_sink(job)) as sink, closing(self._open_source(job)) as source:
            check_names(source.schema, where=f"the table {job.source.table!r}")
            return play(job, source, sink, self._seams, held=lambda: _held(job))

    def _open_source(self, job: Job) -> Source:
        source = _FAMILIES[job.source.family].source(job)
        return self._seams.source(job, source) if self._seams.source else source

    def _open_sink(self, job: Job) -> Sink:
        sink = _FAMILIES[job.sink.family].sink(job, self._seams.moment)
        return self._seams.sink(job, sink) if self._seams.sink else sink


def _held(job: Job) -> Source:
    """The sink's table as a source."""
    return _FAMILIES[job.sink.family].source(job.model_copy(update={"source": job.sink}))
