"""A service and a mover in memory, for tests of the acts: right by default, and easy to break in one place."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import SecretStr

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.kinds import Field, TableSchema
from pytest_dpone.core.model import Case, ServiceRecord, Strategy
from pytest_dpone.core.wire import SUPPORTED, Endpoint, Job, RunFacts, ServiceInfo, Support
from pytest_dpone.services.catalog import Commit, Fingerprint

SECRET = "canary-s3cret"
Tables = dict[tuple[str, str], pa.Table]


def service(name: str = "postgres") -> ServiceInfo:
    record = ServiceRecord(name=name, provider="test", product="Memory", version="1", fidelity="emulated")
    return ServiceInfo(record=record, url=SecretStr(f"postgresql://u:{SECRET}@127.0.0.1:1/x"))


@dataclass
class MemoryCatalog:
    """All catalogs of a test share `tables`. Native types are those of Postgres."""

    tables: Tables
    spaces: set[str] = field(default_factory=set)
    versions: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)
    family: str = "postgres"
    columns_override: dict[str, str] = field(default_factory=dict)

    def open(self, namespace: str) -> None:
        self.spaces.add(namespace)

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        return Endpoint(family=self.family, url=service().url, namespace=namespace, table=table)

    def create(self, namespace: str, table: str, schema: TableSchema) -> None:
        self.tables[namespace, table] = schema.arrow().empty_table()

    def load(self, namespace: str, table: str, schema: TableSchema, batches: Iterable[pa.RecordBatch]) -> int:
        rows = pa.Table.from_batches(list(batches), schema=schema.arrow())
        self.tables[namespace, table] = pa.concat_tables([self.tables[namespace, table], rows])
        return rows.num_rows

    def change(self, namespace: str, table: str, schema: TableSchema, commits: Sequence[Commit]) -> None:
        rows = self.tables[namespace, table]
        for commit in commits:
            key = list(schema.key)
            gone = {
                *map(repr, commit.deletes.select(key).to_pylist()),
                *map(repr, commit.updates.select(key).to_pylist()),
            }
            stays = [repr(row) not in gone for row in rows.select(key).to_pylist()]
            rows = pa.concat_tables([rows.filter(pa.array(stays, pa.bool_())), commit.updates, commit.inserts])
        self.tables[namespace, table] = rows

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        schema = self.tables[namespace, table].schema
        natives = {f.name: _native(f.type) for f in schema}
        return {**natives, **{k: v for k, v in self.columns_override.items() if namespace.endswith("_dst")}}

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        rows = self.tables[namespace, table].select([f.name for f in fields])
        rows = rows.take(pc.sort_indices(rows, [(name, "ascending") for name in order_by]))
        yield from rows.to_batches(max_chunksize=batch_rows)

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        rows = self.tables.get((namespace, table))
        return None if rows is None else Fingerprint(rows.num_rows, pc.sum(rows[column]).as_py() or 0)

    def row_versions(self, namespace: str, table: str, key: str) -> pa.Table | None:
        rows = self.tables[namespace, table]
        known = self.versions.get((namespace, table), {})
        keys = rows[key].to_pylist()
        return pa.table({"key": pa.array(keys, pa.int64()), "v": pa.array([known.get(k, 0) for k in keys], pa.int64())})

    def contents(self, namespace: str) -> Mapping[str, int]:
        return {table: rows.num_rows for (space, table), rows in self.tables.items() if space == namespace}

    def damage(self, namespace: str, table: str) -> bool:
        return False

    def close(self, namespace: str) -> None:
        for key in [key for key in self.tables if key[0] == namespace]:
            del self.tables[key]
        self.spaces.discard(namespace)

    def disconnect(self) -> None:
        pass


def _native(kind: pa.DataType) -> str:
    contracts = default_contracts()
    from pytest_dpone.core.kinds import _ARROW

    for name, arrow in _ARROW.items():
        if arrow == kind and contracts.is_source_kind("postgres", name):
            return contracts.native_type("postgres", name)
    return f"numeric({kind.precision},{kind.scale})"


@dataclass
class MemoryEngine:
    """Moves rows between the tables of one dictionary, as DESIGN §4 says. Tests override one method to break it."""

    tables: Tables
    versions: dict[tuple[str, str], dict[int, int]]
    name: str = "memory"
    state: dict[str, str] = field(default_factory=dict)

    def supports(self, case: Case) -> Support:
        return SUPPORTED

    def run(self, job: Job) -> RunFacts:
        rows = self.extract(job)
        self.refuse(rows)
        before = self.state.get(job.state_table, "")
        if job.strategy is Strategy.FULL_REFRESH:
            time.sleep(0.02)  # a mover takes some time, and the polling reader needs it
        facts = self.apply(job, rows)
        self.commit_state(job, rows)
        return facts.model_copy(update={"state_before": before, "state_after": self.state.get(job.state_table, "")})

    def extract(self, job: Job) -> pa.Table:
        return self.tables[job.source.namespace, job.source.table]

    def refuse(self, rows: pa.Table) -> None:
        pass

    def commit_state(self, job: Job, rows: pa.Table) -> None:
        if job.strategy in (Strategy.INCREMENTAL_APPEND, Strategy.INCREMENTAL_MERGE) and job.mode == "load":
            self.state[job.state_table] = str(pc.max(rows[job.cursor]).as_py())

    def target(self, job: Job) -> pa.Table | None:
        return self.tables.get((job.sink.namespace, job.sink.table))

    def put(self, job: Job, rows: pa.Table) -> None:
        self.tables[job.sink.namespace, job.sink.table] = rows

    def apply(self, job: Job, rows: pa.Table) -> RunFacts:
        old = self.target(job)
        if job.mode == "reconcile" or job.strategy is Strategy.SNAPSHOT_DIFF:
            return self.snapshot(job, old, rows)
        if job.strategy is Strategy.FULL_REFRESH or old is None:
            self.put(job, rows)
            return RunFacts(read=rows.num_rows, written=rows.num_rows)
        return self.increment(job, old, rows)

    def increment(self, job: Job, old: pa.Table, rows: pa.Table) -> RunFacts:
        seen = rows.filter(self.reached(job, old, rows))
        if job.strategy is Strategy.INCREMENTAL_APPEND:
            known = {(r["id"], r["revision"]) for r in old.select(["id", "revision"]).to_pylist()}
            fresh = [(r["id"], r["revision"]) not in known for r in seen.select(["id", "revision"]).to_pylist()]
            seen = seen.filter(pa.array(fresh, pa.bool_()))
            self.put(job, pa.concat_tables([old, seen]))
        else:
            self.put(job, pa.concat_tables([old.filter(pc.invert(pc.is_in(old["id"], seen["id"]))), seen]))
        return RunFacts(read=seen.num_rows, written=seen.num_rows)

    def reached(self, job: Job, old: pa.Table, rows: pa.Table) -> pa.ChunkedArray:
        return (
            pc.is_valid(rows[job.cursor])
            if not old.num_rows
            else pc.greater_equal(rows[job.cursor], pc.max(old[job.cursor]))
        )

    def snapshot(self, job: Job, old: pa.Table | None, rows: pa.Table) -> RunFacts:
        before = {r["id"]: repr(r) for r in old.to_pylist()} if old is not None else {}
        after = {r["id"]: repr(r) for r in rows.to_pylist()}
        changed = [k for k in after if k in before and before[k] != after[k]]
        for key in self.rewritten(changed, after):
            table = self.versions.setdefault((job.sink.namespace, job.sink.table), {})
            table[key] = table.get(key, 0) + 1
        self.put(job, rows)
        inserted, deleted = len(after.keys() - before.keys()), len(before.keys() - after.keys())
        return RunFacts(
            read=len(after),
            written=inserted + len(changed),
            inserted=inserted,
            updated=len(changed),
            deleted=deleted,
            unchanged=len(after) - inserted - len(changed),
        )

    def rewritten(self, changed: list[int], after: Mapping[int, str]) -> Iterable[int]:
        return changed
