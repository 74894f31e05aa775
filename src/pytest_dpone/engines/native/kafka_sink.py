"""Kafka as a sink: all events of a load and its state in one transaction."""

# ruff: noqa: S608 - the queries are put together from texts of this module

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ...core.model import Strategy
from ...core.wire import Job, Window
from ...errors import EngineFailed, UsageError, require
from .address import told
from .arrow import Batches, inside
from .kafka import COLUMNS, TIMEOUT, Broker, Fold, part_key, topic_of
from .kafka_form import AvroForm, JsonForm, columns_of, event_schema, keys
from .ports import Counts
from .state import State

PARTITIONS = 3
_PART = 500_000
"""Bytes of a part: brokers take events up to a megabyte."""
_HASH = "hash"
_COMPARING = (Strategy.INCREMENTAL_MERGE, Strategy.SNAPSHOT_DIFF, Strategy.XMIN, Strategy.CDC)
"""Strategies that send nothing for a row that is as it was."""
_MISSING = "NOT EXISTS (SELECT * FROM staged s WHERE s.key = f.key)"
_NAMED = f"f.key IN (SELECT key FROM gone) AND {_MISSING}"


@dataclass(frozen=True, slots=True)
class Event:
    """What is sent: `data` of the row, None for a tombstone."""

    op: str
    key: bytes
    data: bytes | None


class KafkaSink:
    """A compacted topic as a table; implements `Sink`.

    Rows are sent as they are staged, in a transaction that no reader looks into; tombstones, the state and the commit
    follow when they are applied. What the topic holds is compared by the hash of `data` that each of our events has in
    a header. The state is the last event of the table's name in the topic of states, and of its parts if it is long.
    """

    def __init__(self, job: Job, moment: Callable[[str], None]) -> None:
        self._job = job
        self._moment = moment
        self._endpoint = job.sink
        self._topic = topic_of(job.sink)
        self._states = f"{job.sink.namespace}.{job.state_table}"
        self._schema = pa.schema([])
        self._form: AvroForm | JsonForm | None = None
        self._known: Fold | None = None
        self._parts = 0
        """In how many events the state was found."""
        self._new = True
        self._open = False
        self._counts = Counts(0, 0, 0, 0)
        self.tap: Callable[[Iterator[Event]], Iterator[Event]] = iter
        """Sees, and may change, what is sent."""
        with told(self._endpoint, "opening the sink"):
            self._broker = Broker(self._endpoint)
            self.producer = self._broker.producer(self._topic)

    def prepare(self, schema: pa.Schema) -> bool:
        """See `Sink.prepare`. A transaction that a killed run has left open is aborted."""
        self._schema = pa.schema([f.with_nullable(f.nullable and f.name not in self._job.key) for f in schema])
        with told(self._endpoint, "preparing the sink"):
            self.producer.list_topics(timeout=TIMEOUT)  # else it looks for its coordinator half a second too early
            self.producer.init_transactions(TIMEOUT)
            wanted = event_schema(self._schema)
            found = self._broker.event_schema(self._endpoint.namespace, self._endpoint.table)
            self._new = found is None or not self._broker.partitions(self._topic)
            if found is not None and found["fields"] != wanted["fields"]:
                raise EngineFailed(
                    f"the columns of {self._broker.where} are {columns_of(found, where=self._broker.where)}, "
                    f"the source now needs {self._schema}",
                    hint="the native engine follows no schema change here: load into a new table",
                )
        return not self._new

    def has_rows(self) -> bool:
        """See `Sink.has_rows`."""
        with told(self._endpoint, "looking into the sink"):
            return bool(self._value("SELECT EXISTS (SELECT * FROM fold)"))

    def state(self) -> State | None:
        """See `Sink.state`."""
        with told(self._endpoint, "reading the state"):
            parts = self._broker.parts(self._states, self._endpoint.table)
        self._parts = len(parts)
        where = f"the topic {self._states}"
        return State.from_text(b"".join(parts).decode(errors="replace"), where=where) if parts else None

    def stage(self, batches: Batches) -> int:
        """See `Sink.stage`."""
        count = 0
        with told(self._endpoint, "staging"):
            form = self._ready()
            for batch in batches:
                self._send(self._changes(zip(keys(batch, self._job.key), form.rows(batch), strict=True)))
                count += batch.num_rows
        return count

    def replace(self) -> None:
        """See `Sink.replace`: each row was sent, and a tombstone goes to each key that is gone."""
        self._finish(None, leaves=_MISSING)

    def append(self, state: State) -> None:
        """See `Sink.append`."""
        self._finish(state)

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """See `Sink.merge`."""
        batches = gone.combine_chunks().to_batches() if gone is not None else ()
        self._note(key for batch in batches for key in keys(batch, self._job.key))
        deleted = self._finish(state, leaves=_MISSING if delete else _NAMED)
        return replace(self._counts, deleted=deleted)

    def rewrite(self, days: tuple[Window, ...] | None, state: State | None) -> None:
        """See `Sink.rewrite`: each row was sent, and a tombstone goes to each other key that was there on `days`."""
        if days is None:
            self._finish(state, leaves=_MISSING)
            return
        with told(self._endpoint, "rewriting"):
            self._note(self._keys_of(days))
        self._finish(state, leaves=_NAMED)

    def history(self) -> Counts:
        """Not possible: a topic keeps one row a key."""
        raise UsageError("a topic has no intervals to close", hint="choose another strategy for kafka")

    def close(self) -> None:
        """See `Sink.close`."""
        if self._open:
            self._open = False
            with suppress(Exception):
                self.producer.abort_transaction(TIMEOUT)
        self._forget()
        self._broker.close()

    def produce(self, event: Event) -> None:
        """Send one event, in the transaction that is open."""
        headers = [("op", event.op.encode()), ("run_id", self._job.run_id.encode())]
        value = None
        if event.data is not None:
            headers.append((_HASH, _digest(event.data)))
            metadata = {"run_id": self._job.run_id, "table": self._endpoint.table}
            value = self._ready().event(event.op, metadata, event.data)
        self._put(self._topic, event.key, value, headers)

    def _forget(self) -> None:
        if self._known is not None:
            self._known.close()
            self._known = None

    @property
    def _fold(self) -> Fold:
        """Key → hash of what the topic holds, beside the keys that are staged; read once."""
        if self._known is None:
            self._known = Fold()
            for table in ("staged", "gone"):
                self._known.db.execute(f"CREATE TABLE {table} (key BLOB PRIMARY KEY)")
            ends = self._broker.ends(self._topic)
            self._known.take(map(_Hashed, self._broker.events(self._topic, ends)))
        return self._known

    def _value(self, query: str) -> int:
        return int(self._fold.db.execute(query).fetchone()[0])

    def _ready(self) -> AvroForm | JsonForm:
        """Topics and schema are there; none of them makes a row."""
        if self._form is None:
            self._broker.create(self._topic, partitions=PARTITIONS)
            number = self._register() if self._broker.avro else 0
            columns = columns_of(event_schema(self._schema), where=self._broker.where)
            self._form = self._broker.form(columns, written=number)
        return self._form

    def _register(self) -> int:
        module: Any = require("confluent_kafka.schema_registry", extra="kafka")
        schema = module.Schema(json.dumps(event_schema(self._schema), ensure_ascii=False), "AVRO")
        return int(self._broker.registry.register_schema(f"{self._topic}-value", schema))

    def _note(self, found: Iterator[bytes]) -> None:
        """Remember the keys that leave unless they are staged."""
        self._fold.db.executemany("INSERT OR IGNORE INTO gone VALUES (?)", ((key,) for key in list(found)))

    def _keys_of(self, days: tuple[Window, ...]) -> Iterator[bytes]:
        """The keys of the topic's rows that are of `days`."""
        whole = Fold()
        try:
            whole.take(self._broker.events(self._topic, self._broker.ends(self._topic)))
            for rows in whole.pairs(rows=self._job.batch_rows):
                batch = self._ready().batch([value for _, value in rows])
                hits = inside(batch.column(self._job.partition), days).to_pylist()
                yield from (key for (key, _), hit in zip(rows, hits, strict=True) if hit)
        finally:
            whole.close()

    def _changes(self, rows: Iterable[tuple[bytes, bytes]]) -> Iterator[Event]:
        """An event for each row, or, where the strategy compares, for each that is new or differs."""
        db, strategy = self._fold.db, self._job.strategy
        inserted = updated = unchanged = 0
        for key, data in rows:
            known = db.execute("SELECT value FROM fold WHERE key = ?", (key,)).fetchone()
            again = not db.execute("INSERT OR IGNORE INTO staged VALUES (?)", (key,)).rowcount
            if again and strategy is not Strategy.INCREMENTAL_APPEND:
                raise EngineFailed("a key is staged twice", hint=f"{', '.join(self._job.key)} must tell rows apart")
            if strategy in _COMPARING and known is not None and known[0] == _digest(data):
                unchanged += 1
                continue
            fresh = known is None and not again
            inserted, updated = inserted + fresh, updated + (not fresh)
            yield Event("insert" if fresh else "update", key, data)
        counts = self._counts
        self._counts = Counts(counts.inserted + inserted, counts.updated + updated, 0, counts.unchanged + unchanged)

    def _finish(self, state: State | None, *, leaves: str = "FALSE") -> int:
        """Send tombstones to the keys that meet `leaves`, and the state; commit. Returns the number of tombstones."""
        with told(self._endpoint, "committing"):
            self._ready()
            gone = [key for (key,) in self._fold.db.execute(f"SELECT f.key FROM fold f WHERE {leaves}")]
            self._send(Event("delete", key, None) for key in gone)
            if state is not None and state != self.state():
                self._broker.create(self._states, partitions=1)
                self._tell(self._states, state.to_text(), before=self._parts)
            if self._new and not self._broker.avro:
                columns = f"{self._endpoint.namespace}.{COLUMNS}"
                self._broker.create(columns, partitions=1)
                before = len(self._broker.parts(columns, self._endpoint.table))
                self._tell(columns, json.dumps(event_schema(self._schema), ensure_ascii=False), before=before)
            self._moment("committing")
            if self._open:
                self.producer.commit_transaction(TIMEOUT)
            self._open = self._new = False
            self._forget()  # what the topic holds is another thing now
        return len(gone)

    def _send(self, events: Iterator[Event]) -> None:
        for event in self.tap(events):
            self._begin()
            self.produce(event)

    def _tell(self, topic: str, text: str, *, before: int) -> None:
        """Say something about the table, in as many parts as it takes; of the `before` that there were none is left."""
        said, table = text.encode(), self._endpoint.table
        parts: list[bytes | None] = [said[start : start + _PART] for start in range(0, len(said), _PART)]
        parts += [None] * (before - len(parts))
        self._begin()
        for number, part in enumerate(parts):
            self._put(topic, part_key(table, number), part, [])

    def _begin(self) -> None:
        if not self._open:
            self.producer.begin_transaction()
            self._open = True

    def _put(self, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        while True:
            try:
                self.producer.produce(topic, value, key, headers=headers)
                return
            except BufferError:  # its queue is full: let some of it go
                self.producer.poll(0.1)


class _Hashed:
    """A message whose value is the hash of its row; one that another writer has sent differs from all."""

    def __init__(self, message: Any) -> None:
        self.key = message.key
        self._message = message

    def value(self) -> bytes | None:
        if self._message.value() is None:
            return None
        hashes = [value for name, value in self._message.headers() or () if name == _HASH]
        return bytes(hashes[-1] or b"") if hashes else b""


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
