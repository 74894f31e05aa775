"""The mover under test: Postgres → DuckDB by Arrow."""

from __future__ import annotations

import adbc_driver_postgresql.dbapi
import duckdb

from pytest_dpone import Case, Job, RunFacts, Strategy, Support

COLUMNS = " WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"


class DuckMover:
    """Loads a Postgres table whole."""

    name = "duck"

    def supports(self, case: Case) -> Support:
        if (case.source, case.sink, case.strategy) == ("postgres", "duckdb", Strategy.FULL_REFRESH):
            return Support(status="supported")
        return Support(status="not implemented yet", reason="duck knows full_refresh from Postgres to DuckDB only")

    def run(self, job: Job) -> RunFacts:
        source, sink = job.source, job.sink
        path = sink.url.get_secret_value().removeprefix("duckdb://")
        with (
            adbc_driver_postgresql.dbapi.connect(source.url.get_secret_value()) as postgres,
            postgres.cursor() as cursor,
        ):
            table = f'"{source.namespace}"."{source.table}"'
            cursor.execute(f"SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute{COLUMNS}", (table,))
            types = dict(cursor.fetchall())
            cursor.execute(f"SELECT * FROM {table}")
            rows = cursor.fetch_arrow_table()
        # The driver gives a numeric as text, so its type is put on again.
        wanted = ", ".join(
            f"{quoted(name)}::{native.replace('numeric', 'DECIMAL')} AS {quoted(name)}"
            if native.startswith("numeric")
            else quoted(name)
            for name, native in types.items()
        )
        with duckdb.connect(path) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            target = f'"{sink.namespace}"."{sink.table}"'
            connection.execute(f"CREATE OR REPLACE TABLE {target} AS SELECT {wanted} FROM rows")
        return RunFacts(read=rows.num_rows, written=rows.num_rows)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
