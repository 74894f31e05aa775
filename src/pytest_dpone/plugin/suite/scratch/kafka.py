"""Kafka: confluent-kafka, rows as events in one transaction; a compacted topic says which topic holds which table.

A log can't be renamed. So a table is a name in the compacted topic `{place}.tables`, whose value is the topic with the
table's events; to publish is to write two of these names in one transaction. Readers read what is committed.
"""
# ruff: noqa: D102 - the Protocol `Scratch` documents the methods

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from ....core.wire import ServiceInfo
from ....services.kafka_address import client_settings
from . import SAMPLE

_TIMEOUT = 30.0
_GATHER = 0.02
"""Seconds for which messages are gathered before they are handled together."""
_PARTITIONS = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMPACTED = {"cleanup.policy": "compact"}


class KafkaScratch:
    """Tables as topics below a prefix of their own."""

    transactional = True

    def __init__(self, url: str, place: str) -> None:
        import confluent_kafka
        import confluent_kafka.admin

        self._kafka: Any = confluent_kafka
        self._admin_api: Any = confluent_kafka.admin
        self._url = url
        self._place = place
        self._settings = client_settings(url)
        self._admin = self._admin_api.AdminClient(self._settings)
        name = f"{place}.{secrets.token_hex(4)}"
        self._producer = self._kafka.Producer({**self._settings, "transactional.id": name, "linger.ms": 5})
        self._producer.list_topics(timeout=_TIMEOUT)  # else it looks for its coordinator half a second too early
        self._producer.init_transactions(_TIMEOUT)

    def version(self) -> str:
        from ....services.kafka_ask import ask_kafka

        return ask_kafka(self._url, _TIMEOUT)[1]

    def put(self, table: str, rows: pa.Table) -> None:
        self._write(table, rows)
        self._producer.commit_transaction(_TIMEOUT)

    def get(self, table: str) -> pa.Table:
        tables = self._fold("tables")
        # The client itself tells that there is no such topic, and names it.
        topic = tables.get(table, f"{self._place}.{table}".encode()).decode()
        events = [json.loads(value) for _, value in self._read(topic)]
        rows = [_row(event["data"]) for event in events]
        return pa.Table.from_pylist(rows, schema=SAMPLE.schema).sort_by("id")

    def publish(self, staged: str, live: str) -> None:
        topic = self._fold("tables")[staged]
        self._producer.begin_transaction()
        self._send("tables", [(live, topic), (staged, None)])
        self._producer.commit_transaction(_TIMEOUT)

    def save_state(self, text: str) -> None:
        self._producer.begin_transaction()
        self._send("state", [("state", text.encode())])
        self._producer.commit_transaction(_TIMEOUT)

    def load_state(self) -> str:
        return self._fold("state")["state"].decode()

    def abandon(self, table: str, rows: pa.Table) -> None:
        topic = self._write(table, rows)
        self._producer.flush(_TIMEOUT)
        self._producer.abort_transaction(_TIMEOUT)
        if left := sum(1 for _ in self._read(topic)):
            raise AssertionError(f"{left} events of a transaction that was given up can be read")

    def create(self, name: str, *, partitions: int = 1, settings: Mapping[str, str] | None = None) -> bool:
        """Create the topic `name` of the place; false if it is there already."""
        topic = f"{self._place}.{name}"
        wanted = self._admin_api.NewTopic(topic, partitions, -1, config=dict(settings or {}))
        try:
            self._admin.create_topics([wanted])[topic].result(_TIMEOUT)
        except self._kafka.KafkaException as error:
            if error.args[0].code() != self._kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            return False
        return True

    def drop(self) -> None:
        """Delete all topics of the place."""
        names = [
            name for name in self._admin.list_topics(timeout=_TIMEOUT).topics if name.startswith(f"{self._place}.")
        ]
        for done in self._admin.delete_topics(names).values() if names else ():
            done.result(_TIMEOUT)

    def _write(self, table: str, rows: pa.Table) -> str:
        """Begin a transaction and write a table in it; gives its topic."""
        name = f"{table}.{secrets.token_hex(4)}"
        self.create(name, partitions=_PARTITIONS)
        self._producer.begin_transaction()
        self._send(name, ((str(row["id"]), _event(row)) for row in rows.to_pylist()))
        topic = f"{self._place}.{name}"
        self._send("tables", [(table, topic.encode())])
        return topic

    def _send(self, name: str, messages: Iterable[tuple[str, bytes | None]]) -> None:
        for key, value in messages:
            while True:
                try:
                    self._producer.produce(f"{self._place}.{name}", value, key)
                    break
                except BufferError:  # its queue is full: let some of it go
                    self._producer.poll(0.1)

    def _fold(self, name: str) -> dict[str, bytes]:
        """Key → latest value in a compacted topic; what was deleted is not there."""
        latest: dict[str, bytes | None] = {}
        for key, value in self._read(f"{self._place}.{name}"):
            latest[key.decode()] = value
        return {key: value for key, value in latest.items() if value is not None}

    def _read(self, topic: str) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of all committed events of `topic`, in order within each partition."""
        own = {"group.id": f"{self._place}.reader", "enable.partition.eof": "true", "isolation.level": "read_committed"}
        # The end is told by an empty answer, for which a broker waits as long as it is asked to.
        own |= {"enable.auto.commit": "false", "fetch.wait.max.ms": "10"}
        consumer = self._kafka.Consumer({**self._settings, **own})
        try:
            found = consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic]
            if found.error is not None:
                raise self._kafka.KafkaException(f"{topic}: {found.error}")
            places = [self._kafka.TopicPartition(topic, index, 0) for index in found.partitions]
            consumer.assign(places)
            ended: set[int] = set()
            deadline = time.monotonic() + _TIMEOUT
            while len(ended) < len(places):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the end of {topic} was not reached within {_TIMEOUT:g} s")
                for message in consumer.consume(10_000, _GATHER):
                    if message.error() is None:
                        yield message.key(), message.value()
                    elif message.error().code() == self._kafka.KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
                    else:
                        raise self._kafka.KafkaException(message.error())
        finally:
            consumer.close()


@contextmanager
def open_scratch(info: ServiceInfo, name: str) -> Iterator[KafkaScratch]:
    """A client for the topics below `name`; who creates the first of them deletes them all."""
    opened = KafkaScratch(info.url.get_secret_value(), name)
    ours = opened.create("tables", settings=_COMPACTED)
    try:
        if ours:
            opened.create("state", settings=_COMPACTED)
        yield opened
    finally:
        if ours:
            opened.drop()


def _event(row: Mapping[str, Any]) -> bytes:
    data = {name: _packed(value) for name, value in row.items()}
    return json.dumps({"op": "insert", "data": data}, ensure_ascii=False).encode()


def _packed(value: Any) -> Any:
    """A value as JSON keeps it whole."""
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(microseconds=1)
    return value


def _row(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _unpacked(name, value) for name, value in data.items()}


def _unpacked(name: str, value: Any) -> Any:
    if value is None:
        return None
    match name:
        case "ratio":
            return float.fromhex(value)
        case "amount":
            return Decimal(value)
        case "data":
            return base64.b64decode(value)
        case "at":
            return _EPOCH + timedelta(microseconds=value)
    return value
