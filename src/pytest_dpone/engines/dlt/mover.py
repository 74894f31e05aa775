"""The program that runs dlt for one job: `python -m pytest_dpone.engines.dlt.mover`, a job in, facts out.

dlt keeps what it is doing in globals of its process and in folders of its user, so every run has a process of its own,
and a folder, in which it is started and which who starts it removes: nothing is left if the process is killed. What one
run leaves to the next, dlt restores from the tables that it keeps beside the rows.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...core.model import Strategy
from ...core.wire import Job, RunFacts
from .names import DELETED, PIPELINE, ROW_HASH, SOURCE

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
        "SCHEMA__NAMING": "pytest_dpone.engines.dlt.naming",
        "DESTINATION__POSTGRES__REPLACE_STRATEGY": "staging-optimized",
        "DESTINATION__CLICKHOUSE__REPLACE_STRATEGY": "staging-optimized",
        # one row is worth no thread, and the machine has others to serve
        "EXTRACT__WORKERS": "1",
        "NORMALIZE__WORKERS": "1",
        "LOAD__WORKERS": "2",
    }
)
_DISPOSITION: Mapping[Strategy, Any] = MappingProxyType(
    {
        Strategy.FULL_REFRESH: "replace",
        Strategy.INCREMENTAL_APPEND: "append",
        Strategy.INCREMENTAL_MERGE: "merge",
        Strategy.SCD2: {"disposition": "merge", "strategy": "scd2", "row_version_column_name": ROW_HASH},
    }
)
_INCREMENTAL = (Strategy.INCREMENTAL_APPEND, Strategy.INCREMENTAL_MERGE)


def main() -> int:
    """Do the job on standard input."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what dlt prints is no part of the facts
        job = Job.model_validate_json(sys.stdin.readline())
        folder = Path.cwd()
        os.environ.update(SETTINGS, DLT_DATA_DIR=str(folder), DLT_PROJECT_DIR=str(folder))
        try:
            facts = run(job, folder)
        except Exception as error:
            sys.stderr.write("\n".join(_causes(error)) + "\n")
            return 1
        out.write(facts.model_dump_json() + "\n")
    return 0


def run(job: Job, folder: Path) -> RunFacts:
    """Extract, normalize and load, as dlt does it."""
    warnings.simplefilter("ignore")  # of SQLAlchemy, a line per column of a type that it does not know
    import dlt

    from .ends import destination, drop_staging, extracted

    pipeline: Any = dlt.pipeline(
        PIPELINE,
        pipelines_dir=str(folder / "pipelines"),
        destination=destination(job.sink),
        dataset_name=None if job.sink.family == "clickhouse" else job.sink.namespace,  # there a prefix of tables
    )
    pipeline.sync_destination()
    before = _state(pipeline, job)
    read = _Counter()
    rows = extracted(job, incremental=_cursor(job)).add_map(read)
    removed = 0
    if job.strategy is Strategy.INCREMENTAL_MERGE:
        rows = rows.add_map(_unmarked)
        if job.mode == "reconcile":
            rows, removed = _with_deletes(rows, job, pipeline)
    hints: dict[str, Any] = {"write_disposition": _DISPOSITION[job.strategy], "table_name": job.sink.table}
    if job.strategy is Strategy.SCD2:
        from dlt.sources.helpers.transform import add_row_hash_to_table

        rows = rows.add_map(add_row_hash_to_table(ROW_HASH))  # what dlt has for tables of Arrow
    if job.strategy is Strategy.INCREMENTAL_MERGE:
        hints |= {"primary_key": job.key, "columns": {DELETED: {"hard_delete": True}}}
    rows.apply_hints(**hints)
    pipeline.run(_source(rows), loader_file_format="parquet")
    if job.sink.family != "minio":
        drop_staging(pipeline)
    trace: Any = pipeline.last_trace
    return RunFacts(
        read=read.rows,
        written=trace.last_normalize_info.row_counts.get(job.sink.table, 0),
        deleted=removed if job.mode == "reconcile" else None,
        state_before=before,
        state_after=_state(pipeline, job),
        seconds={step.step: (step.finished_at - step.started_at).total_seconds() for step in _steps(trace)},
    )


def _causes(error: BaseException) -> Iterator[str]:
    """An error and what it came from, the first cause last and longest; without the SQL, which may fill pages."""
    seen: BaseException | None = error
    while seen is not None:
        cause = seen.__cause__ or seen.__context__
        yield f"{type(seen).__name__}: {' '.join(str(seen).split())[: 160 if cause else 400]}"
        seen = cause


class _Counter:
    """Counts the rows that came from the source."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, batch: Any) -> Any:
        self.rows += batch.num_rows
        return batch


def _steps(trace: Any) -> Iterator[Any]:
    yield from (step for step in trace.steps if step.step in ("extract", "normalize", "load"))


def _cursor(job: Job) -> str | None:
    """The column by which dlt goes on where it was; none for a whole snapshot."""
    return job.cursor if job.strategy in _INCREMENTAL and job.mode == "load" else None


def _source(rows: Any) -> Any:
    import dlt

    make: Any = dlt.source
    return make(lambda: rows, name=SOURCE, max_table_nesting=0)()


def _state(pipeline: Any, job: Job) -> str:
    """dlt's state of the cursor, as canonical text; empty if there is none."""
    kept = pipeline.state.get("sources", {}).get(SOURCE, {}).get("resources", {}).get(job.source.table, {})
    told = kept.get("incremental", {}).get(job.cursor)
    if told is None:
        return ""
    plain = {name: told[name] for name in ("last_value", "unique_hashes") if name in told}
    plain["unique_hashes"] = sorted(plain.get("unique_hashes", ()))
    return json.dumps(plain, sort_keys=True, default=str)


def _unmarked(batch: Any) -> Any:
    """`batch` with the mark of a deleted row, which none of its rows has."""
    import pyarrow as pa

    return batch.append_column(DELETED, pa.nulls(batch.num_rows, pa.bool_()))


def _with_deletes(rows: Any, job: Job, pipeline: Any) -> tuple[Any, int]:
    """A whole snapshot of the source, and a mark of deletion for each key that the sink has and the source lacks.

    dlt itself never looks for them: its way to delete is a row with such a mark (`hard_delete`).
    """
    import dlt
    import pyarrow as pa
    import pyarrow.compute as pc

    batches = [batch.cast(pa.schema([f.with_nullable(True) for f in batch.schema])) for batch in rows]
    snapshot = pa.concat_tables(batches, promote_options="permissive")
    with pipeline.sql_client() as client:
        query = f"SELECT * FROM {client.make_qualified_table_name(job.sink.table)}"  # noqa: S608 - dlt quotes it
        with client.execute_query(query) as cursor:
            held = cursor.arrow()
    names = [pc.binary_join_element_wise(*_texts(table, job.key), "\x1f") for table in (snapshot, held)]
    gone = held.filter(pc.invert(pc.is_in(names[1], names[0])))
    gone = gone.select(snapshot.column_names).cast(snapshot.schema)
    marks = pa.array([True] * gone.num_rows, pa.bool_())
    gone = gone.set_column(gone.schema.get_field_index(DELETED), DELETED, marks)

    def both() -> Iterator[Any]:
        yield snapshot
        if gone.num_rows:
            yield gone

    return dlt.resource(both, name=job.source.table), gone.num_rows


def _texts(table: Any, key: tuple[str, ...]) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    return [pc.cast(table.column(name).combine_chunks(), pa.string()) for name in key]


if __name__ == "__main__":
    sys.exit(main())
