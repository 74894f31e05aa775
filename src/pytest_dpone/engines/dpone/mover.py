"""The program that runs dpone for one job: a job on standard input, facts on standard output.

It is run by the Python of dpone's own environment, which knows nothing of ours: standard library and dpone only. What
one run leaves to the next, dpone keeps in a table beside the rows.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

STATELESS = ("full_refresh", "replace", "backfill")
ALL_ROWS = 10**9
OWN = {
    "snapshot_diff": ", __dpone__row_hash varchar(64)",
    "scd2": """, __dpone__row_hash varchar(64), __dpone__valid_from_at timestamptz, __dpone__valid_to_at timestamptz,
        __dpone__is_current boolean""",
}
TARGET = """CREATE TABLE IF NOT EXISTS {{sink}} (LIKE {{source}},
    __dpone__loaded_at timestamptz DEFAULT CURRENT_TIMESTAMP, __dpone__deleted_at timestamptz{own})"""
"""A table that dpone makes has no time zones, and for `replace` it makes none."""
CHUNKS = """SELECT string_agg(concat_ws(' ', run_key, start_value, status), '; ' ORDER BY run_key, chunk_index)
    FROM (SELECT DISTINCT ON (run_key, chunk_index) * FROM {chunks} ORDER BY run_key, chunk_index, journal_id DESC) s"""
"""What dpone's journal says last of each chunk of a backfill."""
KEYED = ("incremental_merge", "snapshot_diff", "scd2", "xmin", "cdc")


def main() -> int:
    """Do the job, in a folder that belongs to this run and is removed by who has started it."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what dpone prints is no part of the facts
        job = json.loads(sys.stdin.readline())
        for end in ("source", "sink"):
            os.environ.update(connection(end, job[end]["url"]))
        try:
            told = play(job, Path.cwd())
        except Exception as error:
            sys.stderr.write("\n".join(causes(error)) + "\n")
            return 1
        out.write(json.dumps(told) + "\n")
    return 0


def play(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run dpone for the job, and say what it says."""
    if job["mode"] == "reconcile":  # what dpone has to make a table equal to its source, deletes included
        job = {**job, "strategy": "snapshot_diff"}
        execute(job, "ALTER TABLE {sink} ADD COLUMN IF NOT EXISTS __dpone__row_hash varchar(64)")
    execute(job, TARGET.format(own=OWN.get(job["strategy"], "")))
    path = folder / "manifest.yaml"
    path.write_text(json.dumps(manifest(job)))  # JSON is YAML
    before = kept(job)
    told = facts(run(path))
    return {**told, "state_before": before, "state_after": kept(job)}


def kept(job: dict[str, Any]) -> str:
    """From where dpone goes on: the greatest cursor in the sink, or what its table of states holds."""
    if job["strategy"] in ("incremental_append", "incremental_merge"):
        found = execute(job, "SELECT max({cursor})::text FROM {sink}")
    elif job["strategy"] == "xmin":
        found = execute(job, "SELECT string_agg(s::text, ' ' ORDER BY s::text) FROM {state} s")
    elif job["strategy"] == "backfill":
        found = execute(job, CHUNKS)
    else:
        return ""
    return str(found or "")


def execute(job: dict[str, Any], text: str) -> Any:
    """The first value that a statement gives in the sink, where a table may not be there yet."""
    import psycopg
    from psycopg.sql import SQL, Identifier

    sink = job["sink"]
    names = {
        "sink": Identifier(sink["namespace"], sink["table"]),
        "state": Identifier(sink["namespace"], job["state_table"]),
        "chunks": Identifier(sink["namespace"], "__dpone__backfill_chunks"),
        "source": Identifier(job["source"]["namespace"], job["source"]["table"]),
        "cursor": Identifier(job["cursor"]),
    }
    with psycopg.connect(sink["url"]) as connection:
        try:
            done = connection.execute(SQL(text).format(**names))
        except psycopg.errors.UndefinedTable:
            return None
        row = done.fetchone() if done.description else None
        return row[0] if row else None


def run(path: Path) -> Any:
    """What dpone says of its run. Raises if it says that it failed."""
    from importlib import import_module

    run_manifest = import_module("dpone.api").run

    done = run_manifest(path)
    if not done.passed:
        raise RuntimeError("; ".join(map(str, done.result.errors)) or f"dpone ended as {done.result.status}")
    return done.result


def connection(name: str, url: str) -> dict[str, str]:
    """The variables from which dpone takes an address; they exist in this process only."""
    parts = urlsplit(url)
    told = {
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or 5432),
        "DATABASE": parts.path.strip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
    }
    return {f"DPONE_CONN_{name.upper()}_{part}": value for part, value in told.items()}


def manifest(job: dict[str, Any]) -> dict[str, Any]:
    """The job in dpone's words."""
    return {
        "name": "certified",
        "runtime": {"compatibility": {"legacy_runtime_connections": "explicit_only"}},
        "source": {
            **end("source", job["source"]),
            "options": {"batch_size": ALL_ROWS, **extraction(job)},  # it counts the rows of several batches wrongly
        },
        "sink": {
            **end("sink", job["sink"]),
            "staging": {"schema": job["sink"]["namespace"]},
            "strategy": strategy(job),
            "options": {"lineage": False, "schema_evolution": {"enabled": False}},
        },
        "state": state(job),
    }


def end(name: str, place: dict[str, Any]) -> dict[str, Any]:
    """One side of a manifest."""
    table = {"schema": place["namespace"], "name": place["table"]}
    return {"type": "postgres", "connection_id": name, "connection_type": "env", "table": table}


def extraction(job: dict[str, Any]) -> dict[str, Any]:
    """Which rows the source gives."""
    if job["strategy"] in ("incremental_append", "incremental_merge") and job["mode"] == "load":
        return {"incremental_column": job["cursor"]}
    if job["strategy"] == "xmin":
        return {"incremental_strategy": "xmin", "xmin_state_key": job["state_table"]}
    if job["strategy"] == "cdc":
        return {"cdc": {"enabled": True, "slot": job["slot"], "publication": job["slot"]}}
    condition = predicate(job) if job["strategy"] in ("replace", "partition_replace") else ""
    return {"source_custom_predicate": condition} if condition else {}


def predicate(job: dict[str, Any]) -> str:
    """The days that are written anew, as a condition; empty for all."""
    column = '"' + job["partition"].replace('"', '""') + '"'
    if window := job["window"]:
        return f"{column} >= DATE '{window['start']}' AND {column} < DATE '{window['stop']}'"
    if job["partitions"]:
        days = ", ".join(f"DATE '{day}'" for day in job["partitions"])
        return f"{column} IN ({days})"
    return ""


def strategy(job: dict[str, Any]) -> dict[str, Any]:
    """How the sink takes the rows."""
    name = job["strategy"]
    told: dict[str, Any] = {"mode": {"xmin": "incremental_merge", "cdc": "cdc_apply"}.get(name, name)}
    if name in KEYED:
        told["unique_key"] = job["key"][0] if len(job["key"]) == 1 else list(job["key"])
    if name == "snapshot_diff":
        told["diff"] = {"compare": "row_hash", "delete_policy": "hard_delete"}
    if name == "scd2":
        told["scd2"] = {"delete_policy": "expire"}
    if name == "replace":
        told["custom_predicate"] = predicate(job) or "TRUE"
    if name in ("partition_replace", "backfill"):
        told["partition"] = {"column": job["partition"], "values_from_staging": True}
    if name == "backfill" and (window := job["window"]):
        last = date.fromisoformat(window["stop"]) - timedelta(days=1)  # dpone's `to` is the last day
        chunk = {"column": job["partition"], "from": window["start"], "to": last.isoformat()}
        chunk["step"] = f"{job['chunk_days']}d"
        told["backfill"] = {
            "inner_mode": "partition_replace",
            "chunk": chunk,
            "backfill_id": f"{job['sink']['table']}-{job['backfill_id']}",
            "state": {"backend": "audit_schema", "schema": job["sink"]["namespace"]},
        }
    return told


def state(job: dict[str, Any]) -> dict[str, Any]:
    """Where dpone keeps its state: a table in the sink's schema."""
    if job["strategy"] in STATELESS:
        return {"type": "disabled"}
    return {
        "type": "postgres",
        "connection_id": "sink",
        "connection_type": "env",
        "credentials_source": "env",
        "vault_mount_point": "unused",
        "vault_path": "unused",
        "table": {"schema": job["sink"]["namespace"], "name": job["state_table"]},
    }


def facts(result: Any) -> dict[str, Any]:
    """What dpone says that it did."""
    return {
        "read": result.extracted_rows,
        "written": result.inserted_rows + result.updated_rows,
        "inserted": result.inserted_rows,
        "updated": result.updated_rows,
        "seconds": {"run": result.duration_seconds},
    }


def causes(error: BaseException | None) -> list[str]:
    """An error and what it came from, the first cause last."""
    told = []
    while error is not None:
        told.append(f"{type(error).__name__}: {' '.join(str(error).split())[:400]}")
        error = error.__cause__ or error.__context__
    return told


if __name__ == "__main__":
    sys.exit(main())
