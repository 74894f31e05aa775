"""A pipeline of dlt as its owner has it: a table of one Postgres, whole, into another one."""

from __future__ import annotations

from typing import Any

import dlt
from dlt.sources.sql_database import sql_table


def load(source: str, schema: str, table: str, sink: str, dataset: str) -> int:
    """Load `schema.table` of the database `source` into the schema `dataset` of `sink`; returns the number of rows."""
    rows = sql_table(
        credentials=source,
        schema=schema,
        table=table,
        backend="pyarrow",
        reflection_level="full_with_precision",
    )
    postgres: Any = dlt.destinations.postgres(credentials=sink)
    pipeline = dlt.pipeline("orders", destination=postgres, dataset_name=dataset)
    pipeline.run(rows, write_disposition="replace", loader_file_format="parquet")
    return int(pipeline.last_trace.last_normalize_info.row_counts[table])
