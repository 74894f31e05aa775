"""ClickHouse as a sink: Arrow inserts into a staging table, then one atomic step, then the state."""

# ruff: noqa: S608 - names are quoted by `ident`, values by `literal`

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace as changed
from types import MappingProxyType

import pyarrow as pa

from ...core.model import Strategy
from ...core.wire import HistoryColumns, Job, Window
from ...errors import EngineFailed
from .address import place, told
from .arrow import Batches, additions, convert, grouped
from .clickhouse import LONG, column_type, columns_query, connect, days_condition, for_server, ident, literal
from .clickhouse_deletes import wait_for_deletes
from .clickhouse_state import Pending, StateTable
from .ports import Counts
from .staging import Staging
from .state import State
from .stream import Guarded

_INSERT_ROWS = 1 << 18
_INSERT_BYTES = 32 << 20
_INSERT: Mapping[str, object] = MappingProxyType(
    {"input_format_null_as_default": 0, "async_insert": 0, "max_partitions_per_insert_block": 0}
)
# sorted by key on both sides, so that a join of whole tables needs no memory for a hash table
_JOIN: Mapping[str, object] = MappingProxyType({"join_algorithm": "full_sorting_merge", "join_use_nulls": 0})
_DELETE: Mapping[str, object] = MappingProxyType({"lightweight_deletes_sync": 2, "mutations_sync": 2})

_KEYED = frozenset((Strategy.INCREMENTAL_MERGE, Strategy.SNAPSHOT_DIFF, Strategy.SCD2, Strategy.XMIN, Strategy.CDC))
_CUT = frozenset((Strategy.REPLACE, Strategy.PARTITION_REPLACE, Strategy.BACKFILL))
"""Strategies whose tables have a partition per day, which can be replaced as a whole."""
_NAMES = HistoryColumns()
_HISTORY = {
    _NAMES.valid_from: "DateTime64(6, 'UTC')",
    _NAMES.valid_to: "Nullable(DateTime64(6, 'UTC'))",
    _NAMES.is_current or "": "Bool",
    _NAMES.row_hash or "": "String",
}
_FROM, _TO, _CURRENT, _HASH = map(ident, _HISTORY)
_FIRST = "toDateTime64('1970-01-01 00:00:00', 6, 'UTC')"


class ClickHouseSink:
    """A ClickHouse table; implements `Sink`.

    Appends and merges write their intent into the state table, move the staged part over atomically, and then commit
    the state: whoever comes after a kill sees from the staging table whether the move happened.
    """

    def __init__(self, job: Job, moment: Callable[[str], None]) -> None:
        self._job = job
        self._moment = moment
        self._endpoint = job.sink
        digest = hashlib.sha256(job.sink.table.encode()).hexdigest()[:24]
        self._stage_name, self._delta_name = f"dpone_stage_{digest}", f"dpone_delta_{digest}"
        self._gone_name = f"dpone_gone_{digest}"
        self._digest = digest
        self._beside = {self._stage_name, self._delta_name, self._gone_name}
        """Tables of ours beside the target: until `prepare` has looked, those that there may be."""
        self._schema = pa.schema([])
        self._exists = False
        self._staged = 0
        self._deleting = True
        """If a delete may be under way: one of this run, or of a run before it until `prepare` has looked."""
        self._closed = False
        with told(self._endpoint, "opening the sink", beside=job.staging):
            self._area = Staging(job, job.staging) if job.staging else None
            self._client = connect(self._endpoint)
        self._states = StateTable(self._client, self._table(job.state_table), job.sink.table)

    def prepare(self, schema: pa.Schema) -> bool:
        """See `Sink.prepare`."""
        self._schema = pa.schema([f.with_nullable(f.nullable and f.name not in self._job.key) for f in schema])
        with told(self._endpoint, "preparing the sink", beside=self._job.staging):
            engines = self._engines()
            self._beside &= engines.keys()
            if self._beside:
                wait_for_deletes(self._client, self._endpoint, self._digest)
            self._deleting = False
            self._recover()
            self._drop_staging()
            engine = engines.get(self._job.sink.table)
            found = self._columns(self._job.sink.table) if engine else []
        wanted = [(f.name, column_type(f.type, nullable=f.nullable)) for f in self._schema]
        if self._job.strategy is Strategy.SCD2:
            wanted += _HISTORY.items()
        self._exists = engine is not None
        if engine == self._engine and (added := additions(found, self._schema, wanted)):
            with told(self._endpoint, "adding columns"):
                for name, native in added:
                    target = self._table(self._job.sink.table)
                    self._client.command(f"ALTER TABLE {target} ADD COLUMN {ident(name)} {native}")
        elif engine is not None and (found, engine) != (wanted, self._engine):
            raise EngineFailed(
                f"{place(self._endpoint)} is {engine} of {found}, the source now needs {self._engine} of {wanted}",
                hint="the native engine follows new columns that may be NULL only: load into a new table",
            )
        return self._exists

    def has_rows(self) -> bool:
        """See `Sink.has_rows`."""
        with told(self._endpoint, "looking into the sink"):
            return self._count(self._job.sink.table) > 0

    def state(self) -> State | None:
        """See `Sink.state`."""
        with told(self._endpoint, "reading the state"):
            row = self._states.read()
        if row is None or not row.state:
            return None
        return State.from_text(row.state, where=f"{place(self._endpoint)} ({self._job.state_table})")

    def stage(self, batches: Batches) -> int:
        """See `Sink.stage`."""
        guarded = Guarded(convert(batch, for_server) for batch in batches)
        with guarded.kept(), told(self._endpoint, "staging", beside=self._job.staging):
            self._create(self._stage_name, "MergeTree")  # one that folds nothing, so that double keys are seen
            tables = grouped(iter(guarded), rows=_INSERT_ROWS, size=_INSERT_BYTES)
            if self._area is not None:
                self._load(self._area, tables)
            else:
                for table in tables:
                    self._insert(table, self._stage_name)
            self._staged = self._count(self._stage_name)
        if self._staged != guarded.rows:
            raise EngineFailed(
                f"{guarded.rows} rows were sent to {place(self._endpoint)}, and {self._staged} are staged",
                hint="an insert was repeated or cut on its way, or somebody changed what is staged: run again",
            )
        return guarded.rows

    def replace(self) -> None:
        """See `Sink.replace`."""
        target, stage = self._table(self._job.sink.table), self._table(self._stage_name)
        with told(self._endpoint, "swapping", beside=self._job.staging):
            self._moment("committing")
            self._client.command(
                f"EXCHANGE TABLES {stage} AND {target}" if self._exists else f"RENAME TABLE {stage} TO {target}"
            )
            self._drop_staging()

    def append(self, state: State) -> None:
        """See `Sink.append`."""
        with told(self._endpoint, "appending", beside=self._job.staging):
            self._create_target()
            self._publish(self._stage_name, self._staged, state)
            self._drop_staging()

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """See `Sink.merge`."""
        with told(self._endpoint, "merging", beside=self._job.staging):
            self._refuse_double_keys()
            if self._exists and self.has_rows():
                counts = self._merged(state, delete=delete, gone=gone)
            else:
                self._create_target()
                self._publish(self._stage_name, self._staged, state)
                counts = Counts(inserted=self._staged, updated=0, deleted=0, unchanged=0)
            self._drop_staging()
        return counts

    def rewrite(self, days: tuple[Window, ...] | None, state: State | None) -> None:
        """See `Sink.rewrite`. Each day is replaced in one step; a kill between two is mended by the next run.

        A state that says that nothing is done comes before the first row of a table with a state: so a kill right after
        the row leaves none whose state is gone.
        """
        if days is None or (not self._exists and state is None):
            self.replace()
        else:
            with told(self._endpoint, "rewriting", beside=self._job.staging):
                self._create_target()
                if state is not None and self.state() is None:
                    self._states.write(changed(state, load="", watermark=None).to_text())
                self._replace_partitions(days)
                self._moment("committing")
                self._drop_staging()
        self._exists = True
        if state is not None:
            with told(self._endpoint, "committing the state"):
                self._states.write(state.to_text())

    def history(self) -> Counts:
        """See `Sink.history`. Closed and opened versions become visible in one step."""
        with told(self._endpoint, "writing the history", beside=self._job.staging):
            self._refuse_double_keys()
            if not self._exists:
                self._create(self._job.sink.table, self._engine, history=True)
            counts = self._versions()
            self._drop_staging()
        return counts

    def close(self) -> None:
        """See `Sink.close`. What is pending stays for the next run, and so does what a delete may still read."""
        if self._closed:
            return
        self._closed = True
        with suppress(EngineFailed), told(self._endpoint, "cleaning up", beside=self._job.staging):
            self._clear_area()
            if self._beside and not self._deleting and not self._states.pending():
                self._drop_staging()

    @property
    def _engine(self) -> str:
        return "ReplacingMergeTree" if self._job.strategy in _KEYED else "MergeTree"

    @property
    def _keys(self) -> str:
        return "(" + ", ".join(ident(name) for name in self._job.key) + ")"

    def _recover(self) -> None:
        """Bring what a killed run left pending to its end: committed if its rows were moved, else forgotten."""
        row = self._states.read()
        if row is None or row.pending is None:
            return
        pending = row.pending
        left = self._count(pending.stage) if pending.stage in self._beside else None
        if left == 0:
            self._remove()
            self._states.write(pending.after)
        elif left == pending.rows:
            self._states.write(row.state)
        else:
            raise EngineFailed(
                f"a load into {place(self._endpoint)} was interrupted, and its staging table {pending.stage!r} holds "
                f"{left} of {pending.rows} rows",
                hint="somebody changed the staging table: compare the table with its source before the next load",
            )

    def _publish(self, name: str, rows: int, state: State | None, *, gone: bool = False) -> int:
        """Move all rows of a staging table into the table at once, remove the keys that are gone, commit the state."""
        text = state.to_text() if state else ""
        before = self._states.read()
        committed = before.state if before else ""
        if state is not None and (rows or gone):
            self._states.write(committed, Pending(stage=name, rows=rows, after=text))
            self._moment("pending")
        if rows:
            target = self._table(self._job.sink.table)
            self._client.command(f"ALTER TABLE {self._table(name)} MOVE PARTITION tuple() TO TABLE {target}")
        if rows or gone:
            self._moment("committing")
        deleted = self._remove() if gone else 0
        if state is not None and (rows or gone or text != committed):
            self._states.write(text)
        return deleted

    def _replace_partitions(self, days: tuple[Window, ...]) -> None:
        """Put the staged partitions in the place of the table's; those of `days` that are not staged go."""
        target, stage = self._table(self._job.sink.table), self._table(self._stage_name)
        staged = self._partitions(self._stage_name, days)
        for partition in sorted(staged):
            self._client.command(f"ALTER TABLE {target} REPLACE PARTITION ID {literal(partition)} FROM {stage}")
        for partition in sorted(self._partitions(self._job.sink.table, days) - staged):
            self._client.command(f"ALTER TABLE {target} DROP PARTITION ID {literal(partition)}")

    def _partitions(self, name: str, days: tuple[Window, ...]) -> set[str]:
        condition = days_condition(self._job.partition, days)
        query = f"SELECT DISTINCT _partition_id FROM {self._table(name)} WHERE {condition}"
        found = self._client.query(query, settings=dict(LONG))
        return {str(row[0]) for row in found.result_rows}

    def _versions(self) -> Counts:
        """Close and open versions at one instant, later than any in the table even if the clock went back."""
        target, stage, delta = map(self._table, (self._job.sink.table, self._stage_name, self._delta_name))
        self._create(self._delta_name, "MergeTree", history=True)
        later = f"addMicroseconds(greatest(max({_FROM}), ifNull(max({_TO}), {_FIRST})), 1)"
        query = f"SELECT toString(greatest(now64(6, 'UTC'), {later})) FROM {target} FINAL"
        moment = self._client.query(query).result_rows[0][0]
        now = f"toDateTime64({literal(moment)}, 6, 'UTC')"
        names = ", ".join(ident(f.name) for f in self._schema)
        known = f"{target} FINAL WHERE {_CURRENT}"
        before = self._number(f"SELECT count() FROM {known}")
        image = f"lower(hex(SHA256(formatRowNoNewline('TSV', {names}))))"
        self._client.command(
            f"INSERT INTO {delta} ({names}, {_FROM}, {_TO}, {_CURRENT}, {_HASH})"
            f" SELECT {names}, {now}, NULL, true, {image} FROM ({self._differing(f'FINAL WHERE {_CURRENT} AND')})",
            settings=_JOIN,
        )
        opened = self._count(self._delta_name)
        lost = f"{self._keys} NOT IN (SELECT {self._keys} FROM {stage})"
        gone = self._number(f"SELECT count() FROM {known} AND {lost}")
        changed = self._number(f"SELECT count() FROM {known} AND {self._keys} IN (SELECT {self._keys} FROM {delta})")
        self._client.command(
            f"INSERT INTO {delta} ({names}, {_FROM}, {_TO}, {_CURRENT}, {_HASH})"
            f" SELECT {names}, {_FROM}, {now}, false, {_HASH} FROM {known}"
            f" AND ({lost} OR {self._keys} IN (SELECT {self._keys} FROM {delta}))"
        )
        self._publish(self._delta_name, opened + changed + gone, None)
        return Counts(opened - changed, changed, gone, unchanged=before - changed - gone)

    def _merged(self, state: State | None, *, delete: bool, gone: pa.Table | None) -> Counts:
        target, stage = self._table(self._job.sink.table), self._table(self._stage_name)
        self._create(self._delta_name, "MergeTree")
        names = ", ".join(ident(f.name) for f in self._schema)
        delta = self._table(self._delta_name)
        self._client.command(f"INSERT INTO {delta} ({names}) {self._differing()}", settings=_JOIN)
        changed = self._count(self._delta_name)
        known = f"{self._keys} IN (SELECT {self._keys} FROM {delta})"
        updated = self._number(f"SELECT count() FROM {target} FINAL WHERE {known}") if changed else 0
        deleted = self._delete(f"{self._keys} NOT IN (SELECT {self._keys} FROM {stage})") if delete else 0
        some = gone is not None and self._send(gone)
        deleted += self._publish(self._delta_name, changed, state, gone=some)
        return Counts(changed - updated, updated, deleted, unchanged=self._staged - changed)

    def _delete(self, condition: str) -> int:
        """Delete the rows that meet `condition`; returns their number."""
        target = self._table(self._job.sink.table)
        deleted = self._number(f"SELECT count() FROM {target} FINAL WHERE {condition}")
        if deleted:
            self._deleting = True
            self._client.command(f"DELETE FROM {target} WHERE {condition}", settings=_DELETE)
            self._deleting = False
        return deleted

    def _send(self, gone: pa.Table) -> bool:
        """Keep the keys that go in a table of their own: they may be many, and a kill must not lose them."""
        if not gone.num_rows:
            return False
        kinds = {f.name: column_type(f.type, nullable=False) for f in self._schema}
        columns = ", ".join(f"{ident(name)} {kinds[name]}" for name in self._job.key)
        table = self._table(self._gone_name)
        self._beside.add(self._gone_name)
        self._client.command(f"CREATE TABLE {table} ({columns}) ENGINE = MergeTree ORDER BY {self._keys}")
        self._insert(
            pa.table({name: for_server(gone.column(name).combine_chunks(), name) for name in self._job.key}),
            self._gone_name,
        )
        return True

    def _remove(self) -> int:
        """Delete the rows with the keys that are kept for it, if there are any."""
        if self._gone_name not in self._beside:
            return 0
        return self._delete(f"{self._keys} IN (SELECT {self._keys} FROM {self._table(self._gone_name)})")

    def _differing(self, rows: str = "FINAL WHERE") -> str:
        """A query for the staged rows that the table's `rows` do not hold exactly so.

        Columns are renamed by position, so no name of a column can meet a name of ours.
        """
        target, stage = self._table(self._job.sink.table), self._table(self._stage_name)
        ours = ", ".join(f"{ident(f.name)} AS s{i}" for i, f in enumerate(self._schema))
        theirs = ", ".join(f"{ident(f.name)} AS t{i}" for i, f in enumerate(self._schema))
        places = {f.name: i for i, f in enumerate(self._schema)}
        on = " AND ".join(f"s{places[name]} = t{places[name]}" for name in self._job.key)
        differs = [_differs(f, i) for i, f in enumerate(self._schema) if f.name not in self._job.key]
        return (
            f"SELECT {', '.join(f's{i} AS {ident(f.name)}' for i, f in enumerate(self._schema))}"
            f" FROM (SELECT {ours} FROM {stage}) AS s"
            f" LEFT JOIN (SELECT {theirs}, 1 AS found FROM {target} {rows}"
            f" {self._keys} IN (SELECT {self._keys} FROM {stage})) AS t ON {on}"
            f" WHERE {' OR '.join(['found = 0', *differs])}"
        )

    def _refuse_double_keys(self) -> None:
        stage = self._table(self._stage_name)
        query = f"SELECT count() FROM (SELECT 1 FROM {stage} GROUP BY {self._keys[1:-1]} HAVING count() > 1)"
        if double := self._number(query, {"optimize_aggregation_in_order": 1}):
            raise EngineFailed(
                f"{double} keys come more than once from {place(self._job.source)}",
                hint=f"{', '.join(self._job.key)} must be unique in the source for {self._job.strategy}",
            )

    def _insert(self, table: pa.Table, name: str) -> None:
        body = pa.BufferOutputStream()
        with pa.ipc.new_stream(body, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        names = [ident(name) for name in table.column_names]
        block = body.getvalue().to_pybytes()
        self._client.raw_insert(self._table(name), names, block, dict(_INSERT), "ArrowStream")

    def _load(self, area: Staging, tables: Iterator[pa.Table]) -> None:
        """Put the rows into the staging area, and let the server read each object: one that is missing is an error."""
        objects = area.put(tables)
        self._moment("uploaded")
        names = ", ".join(ident(f.name) for f in self._schema)
        kinds = ", ".join(f"c{i} {column_type(f.type, nullable=f.nullable)}" for i, f in enumerate(self._schema))
        values = ", ".join(f"c{i}" for i in range(len(self._schema)))
        for name in objects:
            source = ", ".join(map(literal, (*area.arguments(name), "Parquet", kinds)))
            query = f"INSERT INTO {self._table(self._stage_name)} ({names}) SELECT {values} FROM s3({source})"
            self._client.command(query, settings=dict(_INSERT))

    def _clear_area(self) -> None:
        if self._area is not None:
            self._area.clear()

    def _create(self, name: str, engine: str, *, history: bool = False) -> None:
        columns = ", ".join(f"{ident(f.name)} {column_type(f.type, nullable=f.nullable)}" for f in self._schema)
        order = self._keys if self._job.key else "tuple()"
        if history:
            columns = f"{columns}, {', '.join(f'{ident(n)} {native}' for n, native in _HISTORY.items())}"
            order = f"({self._keys[1:-1]}, {_FROM})"
        cut = f" PARTITION BY {ident(self._job.partition)}" if self._job.strategy in _CUT else ""
        if name != self._job.sink.table:
            self._beside.add(name)
        self._client.command(f"CREATE TABLE {self._table(name)} ({columns}) ENGINE = {engine}{cut} ORDER BY {order}")

    def _create_target(self) -> None:
        if not self._exists:
            self._create(self._job.sink.table, self._engine)

    def _drop_staging(self) -> None:
        self._clear_area()
        for name in sorted(self._beside):
            self._client.command(f"DROP TABLE IF EXISTS {self._table(name)} SYNC")
            self._beside.remove(name)

    def _engines(self) -> dict[str, str]:
        """Name → engine of the target and the tables beside it, of those that there are."""
        names = ", ".join(map(literal, (self._job.sink.table, *sorted(self._beside))))
        found = self._client.query(
            "SELECT name, engine FROM system.tables WHERE database = "
            f"{literal(self._endpoint.namespace)} AND name IN ({names})"
        ).result_rows
        return {str(name): str(engine) for name, engine in found}

    def _columns(self, table: str) -> list[tuple[str, str]]:
        found = self._client.query(columns_query(self._endpoint.namespace, table)).result_rows
        return [(name, native) for name, native in found]

    def _table(self, name: str) -> str:
        return f"{ident(self._endpoint.namespace)}.{ident(name)}"

    def _count(self, name: str) -> int:
        return self._number(f"SELECT count() FROM {self._table(name)}")

    def _number(self, query: str, settings: Mapping[str, object] | None = None) -> int:
        return int(self._client.query(query, settings=dict(settings or {})).result_rows[0][0])


def _differs(field: pa.Field, place: int) -> str:
    """An SQL condition: the column differs in any bit, or is NULL on one side only."""
    ours, theirs = f"s{place}", f"t{place}"
    if pa.types.is_list(field.type):
        # the text of an array is unambiguous, and tells NULL items and -0.0 apart
        return f"toString({ours}) != toString({theirs})"
    if pa.types.is_floating(field.type):
        bits = f"reinterpretAsUInt{field.type.bit_width}"
        ours, theirs = f"{bits}({ours})", f"{bits}({theirs})"
    if not field.nullable:
        return f"{ours} != {theirs}"
    return f"isNull({ours}) != isNull({theirs}) OR ifNull({ours} != {theirs}, 0)"
