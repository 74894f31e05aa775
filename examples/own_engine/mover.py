"""A mover of one's own: Postgres to Postgres, full refresh, by COPY."""

from __future__ import annotations

import psycopg
from psycopg.sql import SQL, Identifier

from pytest_dpone import Case, Endpoint, Job, RunFacts, Support

COLUMNS = """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
             WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""


class CopyMover:
    """Replaces the sink's rows in one transaction: a reader sees the old rows or the new ones."""

    name = "copy"

    def supports(self, case: Case) -> Support:
        if case.case_id == "postgres_to_postgres__full_refresh":
            return Support(status="supported")
        return Support(status="unsupported", reason="copy knows full_refresh from Postgres to Postgres only")

    def run(self, job: Job) -> RunFacts:
        old, new = table(job.source), table(job.sink)
        with connect(job.source) as source, connect(job.sink) as sink, sink.cursor() as into:
            columns = source.execute(COLUMNS, [old.as_string(source)]).fetchall()
            typed = SQL(", ").join(SQL("{} " + kind).format(Identifier(name)) for name, kind in columns)
            into.execute(SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(new, typed))
            into.execute(SQL("DELETE FROM {}").format(new))
            with (
                source.cursor().copy(SQL("COPY {} TO STDOUT").format(old)) as reader,
                into.copy(SQL("COPY {} FROM STDIN").format(new)) as writer,
            ):
                for row in reader:
                    writer.write(row)
            return RunFacts(read=into.rowcount, written=into.rowcount)


def connect(end: Endpoint) -> psycopg.Connection:
    return psycopg.connect(end.url.get_secret_value())


def table(end: Endpoint) -> Identifier:
    return Identifier(end.namespace, end.table)
