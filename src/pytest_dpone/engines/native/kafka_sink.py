"""Kafka as a sink: rows wait in a file, then all events and the state go in one transaction."""

# ruff: noqa: S608 - the queries are put together from texts of this module

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...core.wire import Job, Window
from ...errors import EngineFailed, UsageError, require
from .address import told
from .arrow import Batches, inside
from .kafka import COLUMNS, TIMEOUT, Broker, Fold, topic_of
from .kafka_form import AvroForm, JsonForm, columns_of, event_schema, keys
from .ports import Counts
from .state import State
from .stream import Guarded

PARTITIONS = 3
_HASH = "hash"


@dataclass(frozen=True, slots=True)
class Event:
    """What is sent: `data` of the row, None for a tombstone."""

    op: str
    key: bytes
    data: bytes | None


class KafkaSink:
    """A compacted topic as a table; implements `Sink`.

    Nothing is sent before it is applied. What the topic holds is compared by the hash of `data` that each of our
    events has in a header. The state is the last event of the table's name in the topic of states.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._endpoint = job.sink
        self._topic = topic_of(job.sink)
        self._states = f"{job.sink.namespace}.{job.state_table}"
        self._schema = pa.schema([])
        self._form: AvroForm | JsonForm | None = None
        self._known: Fold | None = None
        self._staged = 0
        self._new = True
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
                    hint="the native engine follows no schema change: load into a new table",
                )
        return not self._new

    def has_rows(self) -> bool:
        """See `Sink.has_rows`."""
        with told(self._endpoint, "looking into the sink"):
            return bool(self._value("SELECT EXISTS (SELECT * FROM fold)"))

    def state(self) -> State | None:
        """See `Sink.state`."""
        with told(self._endpoint, "reading the state"):
            found = self._broker.latest(self._states, self._endpoint.table)
        return None if found is None else State.from_text(found.decode(), where=f"the topic {self._states}")

    def stage(self, batches: Batches) -> int:
        """See `Sink.stage`."""
        guarded = Guarded(batches)
        with guarded.kept(), told(self._endpoint, "staging"):
            form = self._ready()
            db = self._fold.db
            db.execute("DELETE FROM staged")
            db.execute("BEGIN")
            for batch in guarded:
                rows = zip(keys(batch, self._job.key), form.rows(batch), strict=True)
                db.executemany("INSERT INTO staged VALUES (?, ?, ?)", ((k, _digest(data), data) for k, data in rows))
            db.execute("COMMIT")
        self._staged = guarded.rows
        return guarded.rows

    def replace(self) -> None:
        """See `Sink.replace`: an event for each row, and a tombstone for each key that is gone."""
        self._send(self._all_and_gone("NOT EXISTS (SELECT * FROM staged s WHERE s.key = f.key)"), None)

    def append(self, state: State) -> None:
        """See `Sink.append`."""
        if self._staged or self._new or state != self.state():
            self._send(self._all_and_gone("FALSE"), state, single=False)

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """See `Sink.merge`."""
        self._note_gone(gone)
        missing = "NOT EXISTS (SELECT * FROM staged s WHERE s.key = f.key)"
        leaves = missing if delete else f"{missing} AND f.key IN (SELECT key FROM gone)"
        with told(self._endpoint, "merging"):
            count = "SELECT count(*) FROM staged s LEFT JOIN fold f ON s.key = f.key WHERE"
            inserted = self._value(f"{count} f.key IS NULL")
            updated = self._value(f"{count} f.value <> s.hash")
            deleted = self._value(f"SELECT count(*) FROM fold f WHERE {leaves}")
        counts = Counts(inserted, updated, deleted, unchanged=self._staged - inserted - updated)
        if inserted or updated or deleted or self._new or (state is not None and state != self.state()):
            self._send(self._all_and_gone(leaves, changed=True), state)
        return counts

    def rewrite(self, days: tuple[Window, ...] | None, state: State | None) -> None:
        """See `Sink.rewrite`: an event for each row, and a tombstone for each other key that was there on `days`."""
        if days is None:
            self._send(self._all_and_gone("NOT EXISTS (SELECT * FROM staged s WHERE s.key = f.key)"), state)
            return
        with told(self._endpoint, "rewriting"):
            self._note(self._keys_of(days))
        leaves = "f.key IN (SELECT key FROM gone) AND NOT EXISTS (SELECT * FROM staged s WHERE s.key = f.key)"
        self._send(self._all_and_gone(leaves), state)

    def history(self) -> Counts:
        """Not possible: a topic keeps one row a key."""
        raise UsageError("a topic has no intervals to close", hint="choose another strategy for kafka")

    def close(self) -> None:
        """See `Sink.close`."""
        self._forget()
        self._broker.close()

    def _forget(self) -> None:
        if self._known is not None:
            self._known.close()
            self._known = None

    @property
    def _fold(self) -> Fold:
        """Key → hash of what the topic holds, beside what is staged; read once."""
        if self._known is None:
            self._known = Fold()
            for table in ("staged (key BLOB, hash BLOB, data BLOB)", "gone (key BLOB PRIMARY KEY)"):
                self._known.db.execute(f"CREATE TABLE {table}")
            self._known.db.execute("CREATE INDEX staged_key ON staged (key)")
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

    def _note_gone(self, gone: pa.Table | None) -> None:
        batches = gone.combine_chunks().to_batches() if gone is not None else ()
        self._note(key for batch in batches for key in keys(batch, self._job.key))

    def _note(self, found: Iterator[bytes]) -> None:
        db = self._fold.db
        db.execute("DELETE FROM gone")
        db.executemany("INSERT OR IGNORE INTO gone VALUES (?)", ((key,) for key in list(found)))

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

    def _all_and_gone(self, leaves: str, *, changed: bool = False) -> Iterator[Event]:
        """An event for each staged row, or each that is `changed`, and tombstones for keys that meet `leaves`."""
        rows = (
            "SELECT f.key IS NULL, s.key, s.data FROM staged s LEFT JOIN fold f ON s.key = f.key"
            f"{' WHERE f.key IS NULL OR f.value <> s.hash' if changed else ''} ORDER BY s.rowid"
        )
        for new, key, data in self._fold.db.execute(rows):
            yield Event("insert" if new else "update", key, data)
        for (key,) in self._fold.db.execute(f"SELECT f.key FROM fold f WHERE {leaves}"):
            yield Event("delete", key, None)

    def _send(self, events: Iterator[Event], state: State | None, *, single: bool = True) -> None:
        """All events and the state, in one transaction. `single`: each key is staged at most once."""
        with told(self._endpoint, "sending"):
            if single and self._value("SELECT count(*) - count(DISTINCT key) FROM staged"):
                raise EngineFailed("a key is staged twice", hint=f"{', '.join(self._job.key)} must tell rows apart")
            if state is not None:
                self._broker.create(self._states, partitions=1)
            if not self._broker.avro:
                self._broker.create(f"{self._endpoint.namespace}.{COLUMNS}", partitions=1)
            self._ready()
            self.producer.begin_transaction()
            try:
                self._produce(events, state)
                self.producer.commit_transaction(TIMEOUT)
            except BaseException:
                with suppress(Exception):
                    self.producer.abort_transaction(TIMEOUT)
                raise
            self._new = False
            self._forget()  # what the topic holds is another thing now

    def _produce(self, events: Iterator[Event], state: State | None) -> None:
        form = self._ready()
        metadata = {"run_id": self._job.run_id, "table": self._endpoint.table}
        for event in self.tap(events):
            headers = [("op", event.op.encode()), ("run_id", self._job.run_id.encode())]
            value = None
            if event.data is not None:
                headers.append((_HASH, _digest(event.data)))
                value = form.event(event.op, metadata, event.data)
            self._one(self._topic, event.key, value, headers)
        table = self._endpoint.table.encode()
        if self._new and not self._broker.avro:
            schema = json.dumps(event_schema(self._schema), ensure_ascii=False)
            self._one(f"{self._endpoint.namespace}.{COLUMNS}", table, schema.encode(), [])
        if state is not None:
            self._one(self._states, table, state.to_text().encode(), [])

    def _one(self, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
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
