"""Kafka: confluent-kafka, rows as events in one transaction; a compacted topic says which topic holds which table.

A log can't be renamed. So a table is a key in the namespace's own topic, whose value is the name of the topic with the
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
from ....services.clients.kafka import TIMEOUT, KafkaClient
from . import SAMPLE, namespace

_GATHER = 0.02
"""Seconds for which messages are gathered before they are handled together."""
_PARTITIONS = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KafkaScratch:
    """Tables as topics below a prefix of their own."""

    transactional = True

    def __init__(self, client: KafkaClient, url: str, place: str) -> None:
        self._client = client
        self._url = url
        self._place = place
        self._producer = client.producer(transactional_id=f"{place}.{secrets.token_hex(4)}", linger_ms=5)
        self._producer.list_topics(timeout=TIMEOUT)  # else it looks for its coordinator half a second too early
        self._producer.init_transactions(TIMEOUT)

    def version(self) -> str:
        from ....services.kafka_ask import ask_kafka

        return ask_kafka(self._url, TIMEOUT)[1]

    def put(self, table: str, rows: pa.Table) -> None:
        self._write(table, rows)
        self._producer.commit_transaction(TIMEOUT)

    def get(self, table: str) -> pa.Table:
        tables = self._fold(self._place)
        # The client itself tells that there is no such topic, and names it.
        topic = tables.get(table, f"{self._place}.{table}".encode()).decode()
        events = [json.loads(value) for _, value in self._read(topic)]
        rows = [_row(event["data"]) for event in events]
        return pa.Table.from_pylist(rows, schema=SAMPLE.schema).sort_by("id")

    def publish(self, staged: str, live: str) -> None:
        topic = self._fold(self._place)[staged]
        self._producer.begin_transaction()
        self._send(self._place, [(live, topic), (staged, None)])
        self._producer.commit_transaction(TIMEOUT)

    def save_state(self, text: str) -> None:
        topic = f"{self._place}.state"
        self._client.create_topic(topic, cleanup_policy="compact")
        self._producer.begin_transaction()
        self._send(topic, [("state", text.encode())])
        self._producer.commit_transaction(TIMEOUT)

    def load_state(self) -> str:
        return self._fold(f"{self._place}.state")["state"].decode()

    def abandon(self, table: str, rows: pa.Table) -> None:
        topic = self._write(table, rows)
        self._producer.flush(TIMEOUT)
        self._producer.abort_transaction(TIMEOUT)
        if left := sum(1 for _ in self._read(topic)):
            raise AssertionError(f"{left} events of a transaction that was given up can be read")

    def _write(self, table: str, rows: pa.Table) -> str:
        """Begin a transaction and write a table in it; gives its topic."""
        topic = f"{self._place}.{table}.{secrets.token_hex(4)}"
        self._client.create_topic(topic, partitions=_PARTITIONS)
        self._producer.begin_transaction()
        self._send(topic, ((str(row["id"]), _event(row)) for row in rows.to_pylist()))
        self._send(self._place, [(table, topic.encode())])
        return topic

    def _send(self, topic: str, messages: Iterable[tuple[str, bytes | None]]) -> None:
        for key, value in messages:
            while True:
                try:
                    self._producer.produce(topic, value, key)
                    break
                except BufferError:  # its queue is full: let some of it go
                    self._producer.poll(0.1)

    def _fold(self, topic: str) -> dict[str, bytes]:
        """Key → latest value in a compacted topic; what was deleted is not there."""
        latest: dict[str, bytes | None] = {}
        for key, value in self._read(topic):
            latest[key.decode()] = value
        return {key: value for key, value in latest.items() if value is not None}

    def _read(self, topic: str) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of all committed events of `topic`, in order within each partition."""
        kafka = self._client.kafka
        # The end is told by an empty answer, for which a broker waits as long as it is asked to.
        consumer = self._client.consumer(
            f"{self._place}.reader", enable_partition_eof=True, isolation_level="read_committed", fetch_wait_max_ms=10
        )
        try:
            found = consumer.list_topics(topic, timeout=TIMEOUT).topics[topic]
            if found.error is not None:
                raise kafka.KafkaException(f"{topic}: {found.error}")
            places = [kafka.TopicPartition(topic, index, 0) for index in found.partitions]
            self._await_markers(places)
            consumer.assign(places)
            ended: set[int] = set()
            deadline = time.monotonic() + TIMEOUT
            while len(ended) < len(places):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the end of {topic} was not reached within {TIMEOUT:g} s")
                for message in consumer.consume(10_000, _GATHER):
                    if message.error() is None:
                        yield message.key(), message.value()
                    elif message.error().code() == kafka.KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
                    else:
                        raise kafka.KafkaException(message.error())
        finally:
            consumer.close()

    def _await_markers(self, places: list[Any]) -> None:
        """Until no transaction is open: a broker tells that one is committed before all readers can see it."""
        levels, wanted = self._client.kafka.IsolationLevel, self._client.admin_api.OffsetSpec.latest()
        deadline = time.monotonic() + TIMEOUT

        def ends(level: Any) -> list[int]:
            found = self._client.admin.list_offsets(dict.fromkeys(places, wanted), isolation_level=level)
            return [found[place].result(TIMEOUT).offset for place in places]

        while ends(levels.READ_COMMITTED) != ends(levels.READ_UNCOMMITTED):
            if time.monotonic() > deadline:
                raise TimeoutError(f"a transaction was not over within {TIMEOUT:g} s")
            time.sleep(_GATHER)


@contextmanager
def open_scratch(info: ServiceInfo, name: str) -> Iterator[KafkaScratch]:
    """Clients for the topics of the namespace `name`, which is created if it is not there; who creates it drops it."""
    with namespace(info, name) as client:
        yield KafkaScratch(client, info.url.get_secret_value(), name)


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
