"""Sources and destinations of dlt for the endpoints of a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ...core.model import Strategy
from ...core.wire import Endpoint, Job
from ...errors import UsageError


def extracted(job: Job, *, incremental: str | None) -> Any:
    """The source's table as a resource of Arrow tables, from the last run's cursor on if `incremental` names one."""
    return _named(_SOURCES, job.source)(job, incremental)


def destination(sink: Endpoint) -> Any:
    """Where dlt loads to."""
    return _named(_DESTINATIONS, sink)(sink)


def drop_staging(pipeline: Any) -> None:
    """Remove the schema beside the sink's own in which dlt stages; dlt makes it anew when it needs it."""
    with pipeline.destination_client() as client:
        sql = client.sql_client
        with sql.with_staging_dataset():
            if sql.has_dataset():
                sql.drop_dataset()


def _named(ends: Mapping[str, Callable[..., Any]], end: Endpoint) -> Callable[..., Any]:
    if end.family not in ends:
        raise UsageError(f"the engine dlt knows no {end.family} here", hint="ask `supports` before a run")
    return ends[end.family]


def _from_cursor(job: Job, column: str) -> Any:
    """Rows from the last cursor on, that one included.

    Of the rows at the last cursor dlt leaves out those whose key it has seen there, so it would lose a row that has
    changed within its tick. A merge takes them all again; an append leaves out those that are the same in all columns.
    """
    import dlt

    same = () if job.strategy is Strategy.INCREMENTAL_MERGE else _columns(job.source)
    cursor: Any = dlt.sources.incremental
    return cursor(column, primary_key=same)


def _columns(source: Endpoint) -> tuple[str, ...]:
    from sqlalchemy import create_engine, inspect

    engine: Any = create_engine(source.url.get_secret_value())
    try:
        return tuple(column["name"] for column in inspect(engine).get_columns(source.table, schema=source.namespace))
    finally:
        engine.dispose()


def _sql(job: Job, incremental: str | None) -> Any:
    from dlt.sources.sql_database import sql_table

    return sql_table(
        credentials=job.source.url.get_secret_value(),
        schema=job.source.namespace,
        table=job.source.table,
        incremental=_from_cursor(job, incremental) if incremental else None,
        chunk_size=job.batch_rows,
        backend="pyarrow",
        reflection_level="full_with_precision",
        table_adapter_callback=_foreign_as_text,
        query_adapter_callback=_cast,
    )


def _foreign_as_text(table: Any) -> None:
    """Columns of types that dlt has no type of its own for come as text, as the source writes them."""
    from sqlalchemy import Text

    for column in table.columns:
        if not _is_known(column.type):
            column.type = Text()
            column.info["cast"] = True


def _cast(query: Any, table: Any) -> Any:
    from sqlalchemy import Text, cast

    return query.with_only_columns(
        *(cast(c, Text).label(c.name) if c.info.get("cast") else c for c in table.columns), maintain_column_froms=True
    )


def _is_known(kind: Any) -> bool:
    """If a value of the type has one of dlt's data types."""
    from sqlalchemy import types

    if isinstance(kind, types.Enum | types.Interval | types.NullType):
        return False
    if isinstance(kind, types.Time) and kind.timezone:
        return False
    if isinstance(kind, types.DateTime | types.Time):
        return getattr(kind, "precision", None) in (None, 6)
    if isinstance(kind, types.ARRAY):
        return isinstance(kind.item_type, types.BigInteger | types.Text)
    if isinstance(kind, types.Numeric) and not isinstance(kind, types.Float):
        return kind.precision is not None
    known = (types.Boolean, types.Integer, types.Float, types.Date, types.String, types.LargeBinary, types.JSON)
    return isinstance(kind, (*known, types.Uuid))


def _postgres(sink: Endpoint) -> Any:
    import dlt

    return dlt.destinations.postgres(credentials=sink.url.get_secret_value())


def _clickhouse(sink: Endpoint) -> Any:
    from .clickhouse_http import destination as over_http

    return over_http(sink)


def _minio(sink: Endpoint) -> Any:
    from .s3 import destination as on_s3

    return on_s3(sink)


def _objects(job: Job, incremental: str | None) -> Any:
    from .s3 import rows

    return rows(job, incremental)


_SOURCES: Mapping[str, Callable[[Job, str | None], Any]] = MappingProxyType({"postgres": _sql, "minio": _objects})
_DESTINATIONS: Mapping[str, Callable[[Endpoint], Any]] = MappingProxyType(
    {"postgres": _postgres, "clickhouse": _clickhouse, "minio": _minio}
)
