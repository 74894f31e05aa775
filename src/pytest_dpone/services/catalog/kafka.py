"""Kafka by confluent-kafka, tables as compacted topics: the harness's hands, no code shared with any engine.

The form of topics and events is told in docs/architecture.md, "Tables in topics".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
from pydantic import SecretStr

from ...core.contracts import default_contracts
from ...core.kinds import Field, TableSchema
from ...core.wire import Endpoint
from ...errors import DponeError, UsageError
from .kafka_form import (
    Avro,
    Column,
    batch_of,
    columns_of_events,
    from_json,
    json_event,
    key_of,
    rows_of,
    schema_of_events,
)
from .kafka_topics import Message, Topics
from .protocol import Commit, Fingerprint
from .runs import SortedRuns
from .shape import canonical, require_columns

PARTITIONS = 3
COLUMNS = "dpone_columns"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_AT_ONCE = 1_000
_MISLEADING = 5
"""Rows that seem to be deleted to a reader who reads what is not committed."""

_FACTS = {
    "partition": pa.int32(),
    "offset": pa.int64(),
    "key": pa.string(),
    "op": pa.string(),
    "run_id": pa.string(),
    "told_op": pa.string(),
    "told_run_id": pa.string(),
}

Place = tuple[int, int]
"""Partition and offset of an event."""


@dataclass(slots=True)
class _Fold:
    """Key → something of its last event, of the keys that have a row, up to some offsets."""

    ends: dict[int, int] = field(default_factory=dict)
    rows: dict[bytes, Any] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)


class KafkaCatalog:
    """`Catalog` and `Events` on topics that begin with the name of the namespace.

    Events are Avro if the address names a registry, else JSON. A source table ends in events of an aborted and of an
    open transaction, which nobody must see.
    """

    family = "kafka"

    def __init__(self, url: SecretStr) -> None:
        self._url = url
        self._topics = Topics(url)
        self._avro = Avro(lambda number: str(self._topics.registry.get_schema(number).schema_str))
        self._seeded: dict[str, int] = {}
        self._folds: dict[tuple[str, str], _Fold] = {}

    def open(self, namespace: str) -> None:
        """Nothing to create: a namespace is the prefix of its topics."""
        _topic(namespace, "x")

    def endpoint(self, namespace: str, table: str) -> Endpoint:
        """What an engine gets to reach `table`."""
        return Endpoint(family=self.family, url=self._url, namespace=namespace, table=table)

    def create(self, namespace: str, table: str, schema: TableSchema) -> None:
        """Create a compacted topic and tell the columns: to the registry, or in the topic of columns."""
        for each in schema.fields:
            default_contracts().native_type(self.family, each.kind)
        topic = _topic(namespace, table)
        self._topics.create(topic, partitions=PARTITIONS)
        if self._topics.avro:
            self._seeded[topic] = self._register(topic, schema_of_events(schema))
        else:
            self._topics.create(_topic(namespace, COLUMNS), partitions=1)
            told: Message = (table, schema_of_events(schema).encode(), [])
            self._topics.send(namespace, _topic(namespace, COLUMNS), [told])

    def load(self, namespace: str, table: str, schema: TableSchema, batches: Iterable[pa.RecordBatch]) -> int:
        """Send canonical batches in one transaction; returns rows."""
        topic = _topic(namespace, table)
        last: list[str] = []

        def events() -> Iterator[Message]:
            for batch in batches:
                for message in self._rows(topic, canonical(batch, schema), schema, "insert"):
                    last[:] = [*last, message[0]][-_MISLEADING:]
                    yield message

        count = self._topics.send(namespace, topic, events())
        self._topics.mislead(namespace, topic, [_tombstone(key) for key in last])
        return count

    def change(self, namespace: str, table: str, schema: TableSchema, commits: Sequence[Commit]) -> None:
        """One transaction a commit: tombstones, then whole rows. With a registry, by a schema that has gained a field.

        Raises `DponeError` if a delete or an update finds no row.
        """
        topic = _topic(namespace, table)
        self._topics.give_up()
        if self._topics.avro:
            self._seeded[topic] = self._register(topic, schema_of_events(schema, changed=True))
        for commit in commits:
            gone = [key_of(row, schema) for row in commit.deletes.select(list(schema.key)).to_pylist()]
            fresh = [*self._rows(topic, commit.updates, schema, "update")]
            known = self._fold(topic, self._topics.settled(topic))
            if missing := [key for key in [*gone, *(message[0] for message in fresh)] if key.encode() not in known]:
                raise DponeError(
                    f"a commit names {len(missing)} rows by their keys that are not in the source",
                    hint="the dataset's change does not fit the rows that were seeded",
                )
            fresh += self._rows(topic, commit.inserts, schema, "insert")
            self._topics.send(namespace, topic, [*map(_tombstone, gone), *fresh])
        known = self._fold(topic, self._topics.settled(topic))
        self._topics.mislead(namespace, topic, [_tombstone(key.decode()) for key in islice(known, _MISLEADING)])

    def columns(self, namespace: str, table: str) -> Mapping[str, str]:
        """Column name → native type, as the schema of the events tells them; empty if there is no such table."""
        return {column.name: column.native for column in self._columns(namespace, table)}

    def read(
        self, namespace: str, table: str, fields: Sequence[Field], *, order_by: Sequence[str], batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """The rows that the committed events leave, sorted on disk (see `runs`), in canonical types."""
        columns = self._columns(namespace, table)
        topic = _topic(namespace, table)
        more = [name for name in dict.fromkeys(order_by) if name not in {f.name for f in fields}]
        if more:
            raise UsageError(f"{topic} is sorted by {more}, which are not read", hint="read these columns, too")
        require_columns(topic, {column.name: column.native for column in columns}, [f.name for f in fields])
        ends = self._ends(topic)
        wanted = set(self._fold(topic, ends).values())
        schema = TableSchema(tuple(fields)).arrow()
        with SortedRuns(order_by) as runs:
            messages = (m for m in self._topics.read(topic, ends) if (m.partition(), m.offset()) in wanted)
            while some := list(islice(messages, _AT_ONCE)):
                rows = [self._event(message.value(), columns)["data"] for message in some]
                runs.add(pa.RecordBatch.from_arrays(batch_of(rows, columns, fields), schema=schema))
            yield from runs.batches(batch_rows)

    def fingerprint(self, namespace: str, table: str, column: str) -> Fingerprint | None:
        """Rows and the sum of `column`, as of a moment when no transaction was half visible."""
        topic = _topic(namespace, table)
        if not self._topics.exists(topic):
            return None
        fold = self._folds.setdefault((topic, column), _Fold())
        stable, ends = self._topics.ends(topic)
        if not any(ends.values()):
            return Fingerprint(0, 0)  # by the next look the first load may have begun, and that look would wait for it
        if not any(stable.values()):
            return None  # the first load is under way

        def number(message: Any) -> int:
            fold.columns = fold.columns or self._columns(namespace, table)
            (value,) = _numbers(self._event(message.value(), fold.columns), fold.columns, [column])
            return value or 0

        rows = self._brought(fold, topic, self._ends(topic, fold.ends), number)
        return Fingerprint(len(rows), sum(rows.values()))

    def contents(self, namespace: str) -> Mapping[str, int]:
        """The topics of the namespace with their ends: what nobody may read yet counts, too."""
        start = _topic(namespace, "")
        names = self._topics.names(start)
        return {name.removeprefix(start): sum(self._topics.ends(name)[1].values()) for name in names}

    def damage(self, namespace: str, table: str) -> bool:
        """Each key gets an event with the first half of its last value; False if there is no such topic."""
        topic = _topic(namespace, table)
        if not self._topics.exists(topic):
            return False
        last = {message.key(): message.value() for message in self._topics.read(topic, self._topics.settled(topic))}
        halves: list[Message] = [(key.decode(), value[: len(value) // 2], []) for key, value in last.items() if value]
        self._topics.send(namespace, topic, halves)
        return bool(halves)

    def row_versions(self, namespace: str, table: str, key: str) -> pa.Table | None:
        """Columns `key` and `version`, sorted by key: the offset of the row's event."""
        topic = _topic(namespace, table)
        columns = self._columns(namespace, table)
        wanted = set(self._fold(topic, ends := self._ends(topic)).values())
        found: list[tuple[int | None, int]] = []
        for message in self._topics.read(topic, ends) if columns else ():
            if (message.partition(), message.offset()) in wanted:
                (value,) = _numbers(self._event(message.value(), columns), columns, [key])
                found.append((value, message.offset()))
        keys, offsets = zip(*found, strict=True) if found else ((), ())
        return pa.table({"key": pa.array(keys, pa.int64()), "version": pa.array(offsets, pa.int64())}).sort_by("key")

    def events(self, namespace: str, table: str, columns: Sequence[str]) -> pa.Table:
        """See `Events.events`."""
        topic = _topic(namespace, table)
        known = self._columns(namespace, table)
        schema = pa.schema([*_FACTS.items(), *((name, pa.int64()) for name in columns)])
        messages = self._topics.read(topic, self._ends(topic)) if known else iter(())
        tables = [schema.empty_table()]
        while some := list(islice(messages, _AT_ONCE)):
            found = []
            for message in some:
                event = None if message.value() is None else self._event(message.value(), known)
                found.append((*_facts(message, event), *_numbers(event, known, columns)))
            arrays = [pa.array(c, f.type) for c, f in zip(zip(*found, strict=True), schema, strict=True)]
            tables.append(pa.Table.from_arrays(arrays, schema=schema))
        return pa.concat_tables(tables)

    def close(self, namespace: str) -> None:
        """Delete the topics of the namespace, each by its name, and their subjects."""
        self._topics.give_up()
        self._topics.delete(self._topics.names(_topic(namespace, "")))

    def disconnect(self) -> None:
        """Let the clients go; a later call opens new ones."""
        self._topics.disconnect()

    def _register(self, topic: str, text: str) -> int:
        from confluent_kafka.schema_registry import Schema

        return int(self._topics.registry.register_schema(f"{topic}-value", Schema(text, "AVRO")))

    def _columns(self, namespace: str, table: str) -> list[Column]:
        topic = _topic(namespace, table)
        text = self._registered(topic) if self._topics.avro else self._noted(_topic(namespace, COLUMNS), table)
        return columns_of_events(text) if text and self._topics.exists(topic) else []

    def _registered(self, topic: str) -> str:
        subject = f"{topic}-value"
        if subject not in self._topics.registry.get_subjects():
            return ""
        return str(self._topics.registry.get_latest_version(subject).schema.schema_str)

    def _noted(self, topic: str, table: str) -> str:
        found = ""
        for message in self._topics.read(topic, self._topics.settled(topic)) if self._topics.exists(topic) else ():
            if message.key() == table.encode():
                found = message.value().decode()
        return found

    def _rows(self, topic: str, rows: pa.RecordBatch | pa.Table, schema: TableSchema, op: str) -> Iterator[Message]:
        metadata = {"run_id": "harness", "table": topic}
        for key, row in rows_of(rows, schema):
            if self._topics.avro:
                value = self._avro.event(self._seeded[topic], op, {**metadata, "changed_by": op}, row)
            else:
                value = json_event(op, metadata, row, schema)
            yield key, value, [("op", op.encode()), ("run_id", b"harness")]

    def _event(self, value: bytes, columns: Sequence[Column]) -> dict[str, Any]:
        return self._avro.read(value) if self._topics.avro else from_json(value, columns)

    def _ends(self, topic: str, known: Mapping[int, int] | None = None) -> dict[int, int]:
        """Offsets between two transactions.

        While one is open, these are where it began, if they are `known` or if it is our own that misleads; when its end
        is visible in some partitions only, this waits.
        """
        stable, ends = self._topics.ends(topic)
        if stable in (ends, known) or self._topics.open_in == topic:
            return stable
        return self._topics.settled(topic)

    def _fold(self, topic: str, ends: dict[int, int]) -> dict[bytes, Place]:
        """Key → place of its last event, of the keys that have a row."""
        fold = self._folds.setdefault((topic, ""), _Fold())
        return self._brought(fold, topic, ends, lambda message: (message.partition(), message.offset()))

    def _brought(self, fold: _Fold, topic: str, ends: dict[int, int], value: Callable[[Any], Any]) -> dict[bytes, Any]:
        """`fold` with the events up to `ends`; what it has seen is not read again."""
        for message in self._topics.read(topic, ends, fold.ends):
            if message.value() is None:
                fold.rows.pop(message.key(), None)
            else:
                fold.rows[message.key()] = value(message)
        fold.ends = ends
        return fold.rows


def _topic(namespace: str, table: str) -> str:
    name = f"{namespace}.{table}"
    if not namespace or not _NAME.fullmatch(name) or len(name) > 249:
        raise UsageError(f"{name!r} can't be a name in Kafka", hint="use letters, digits, dots, hyphens, underscores")
    return name


def _tombstone(key: str) -> Message:
    return key, None, [("op", b"delete"), ("run_id", b"harness")]


def _facts(message: Any, event: Mapping[str, Any] | None) -> tuple[object, ...]:
    """The columns of `_FACTS` of one event."""
    key = None if message.key() is None else message.key().decode("utf-8", "backslashreplace")
    headers = {name: value.decode("utf-8", "backslashreplace") for name, value in message.headers() or () if value}
    told = (event["op"], event["metadata"]["run_id"]) if event is not None else (None, None)
    return message.partition(), message.offset(), key, headers.get("op"), headers.get("run_id"), *told


def _numbers(event: Mapping[str, Any] | None, known: Sequence[Column], names: Sequence[str]) -> list[int | None]:
    """The row's values of the columns `names`, as they are; None of a tombstone."""
    encoded = {column.name: column.encoded for column in known}
    return [None if event is None else event["data"][encoded[name]] for name in names]
