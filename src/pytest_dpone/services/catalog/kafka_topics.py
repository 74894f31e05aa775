"""Topics, offsets and transactions by confluent-kafka, as the harness needs them; and the subjects of a registry."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from ...errors import ServiceFailed
from ..clients import schema_registry
from ..clients.kafka import TIMEOUT, KafkaClient
from ..kafka_address import parse_address

_GATHER = 0.02
_AT_ONCE = 2_000
Message = tuple[str, bytes | None, list[tuple[str, bytes]]]
"""Key, value and headers of an event that is to be sent."""


class Topics:
    """The way to a broker and its registry. Connects at the first use."""

    def __init__(self, url: SecretStr) -> None:
        self._url = url.get_secret_value()
        self._client: KafkaClient | None = None
        self._registry: Any = None
        self._producers: dict[str, Any] = {}
        self._open: Any = None
        self.open_in = ""
        """The topic in which `mislead` has left a transaction open."""
        self.avro = bool(parse_address(self._url).registry)

    @property
    def client(self) -> KafkaClient:
        """The client of the broker."""
        if self._client is None:
            self._client = KafkaClient(self._url)
        return self._client

    @property
    def registry(self) -> Any:
        """The client of the Schema Registry."""
        if self._registry is None:
            self._registry = schema_registry.connect(parse_address(self._url).registry)
        return self._registry

    def exists(self, topic: str) -> bool:
        """If there is such a topic."""
        return topic in self.client.admin.list_topics(timeout=TIMEOUT).topics

    def create(self, topic: str, *, partitions: int) -> None:
        """Create a compacted topic, unless it is there."""
        self.client.create_topic(topic, partitions=partitions, cleanup_policy="compact")

    def send(self, owner: str, topic: str, events: Iterable[Message]) -> int:
        """Send events in one transaction of `owner` and wait until readers see them; returns how many."""
        producer = self._begin(owner)
        count = _produce(producer, topic, events)
        producer.commit_transaction(TIMEOUT)
        self._open = None
        self.settled(topic)
        return count

    def mislead(self, owner: str, topic: str, events: list[Message]) -> None:
        """Send `events` twice where no reader may see them: in a transaction that is aborted, and in one that is open.

        That one is aborted by whatever `owner` sends next, and by `disconnect`.
        """
        producer = self._begin(owner)
        _produce(producer, topic, events)
        producer.flush(TIMEOUT)
        producer = self._begin(owner)
        _produce(producer, topic, events)
        producer.flush(TIMEOUT)
        self.open_in = topic

    def ends(self, topic: str) -> tuple[dict[int, int], dict[int, int]]:
        """Of each partition the last stable offset, and the end."""
        levels = self.client.kafka.IsolationLevel
        found = self.client.admin.list_topics(topic, timeout=TIMEOUT).topics[topic]
        if found.error is not None:
            return {}, {}
        places = [self.client.kafka.TopicPartition(topic, number) for number in found.partitions]
        return self._offsets(places, levels.READ_COMMITTED), self._offsets(places, levels.READ_UNCOMMITTED)

    def settled(self, topic: str) -> dict[int, int]:
        """The ends of the partitions as soon as no transaction is open there; `ServiceFailed` if one stays open."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            stable, ends = self.ends(topic)
            if stable == ends:
                return stable
            if time.monotonic() > deadline:
                raise ServiceFailed(
                    f"a transaction in the topic {topic} was still open after {TIMEOUT:g} s",
                    hint="an engine must commit or abort before it says that it is done",
                )
            time.sleep(_GATHER)

    def read(self, topic: str, ends: Mapping[int, int], starts: Mapping[int, int] | None = None) -> Iterator[Any]:
        """The committed messages below `ends`, and from `starts` on, in order within each partition."""
        kafka = self.client.kafka
        starts = starts or {}
        left = {number: end for number, end in ends.items() if end > starts.get(number, 0)}
        if not left:
            return
        consumer = self.client.consumer(
            f"{topic}.harness", enable_partition_eof=True, isolation_level="read_committed", fetch_wait_max_ms=10
        )
        try:
            consumer.assign([kafka.TopicPartition(topic, number, starts.get(number, 0)) for number in left])
            deadline = time.monotonic() + TIMEOUT
            while left:
                if time.monotonic() > deadline:
                    raise ServiceFailed(
                        f"the events of {topic} did not come within {TIMEOUT:g} s", hint="see the log of the broker"
                    )
                for message in consumer.consume(_AT_ONCE, _GATHER):
                    deadline = time.monotonic() + TIMEOUT
                    yield from self._taken(message, left)
        finally:
            consumer.close()

    def names(self, prefix: str) -> list[str]:
        """The topics whose names begin with `prefix`."""
        return sorted(name for name in self.client.admin.list_topics(timeout=TIMEOUT).topics if name.startswith(prefix))

    def delete(self, topics: list[str]) -> None:
        """Delete exactly these topics, and the subjects that belong to them."""
        for done in self.client.admin.delete_topics(topics).values() if topics else ():
            done.result(TIMEOUT)
        if self.avro:
            known = set(self.registry.get_subjects(deleted=True))
            for subject in [f"{topic}-value" for topic in topics]:
                if subject in known:
                    schema_registry.remove(self.registry, subject)

    def give_up(self) -> None:
        """Abort the transaction that is open."""
        if self._open is not None:
            self._open.abort_transaction(TIMEOUT)
            self._open = None
            self.open_in = ""

    def disconnect(self) -> None:
        """Abort what is open and let the clients go; a later call opens new ones."""
        self.give_up()
        if self._registry is not None:
            schema_registry.close(self._registry)
        self._producers, self._client, self._registry = {}, None, None

    def _begin(self, owner: str) -> Any:
        self.give_up()
        if owner not in self._producers:
            producer = self.client.producer(
                transactional_id=f"{owner}.harness",
                transaction_timeout_ms=600_000,
                partitioner="murmur2_random",
                linger_ms=5,
            )
            producer.list_topics(timeout=TIMEOUT)  # else it looks for its coordinator half a second too early
            producer.init_transactions(TIMEOUT)
            self._producers[owner] = producer
        self._open = self._producers[owner]
        self._open.begin_transaction()
        return self._open

    def _offsets(self, places: list[Any], level: Any) -> dict[int, int]:
        """The latest offsets. A topic that was just made may have no leader yet: then it is asked again."""
        client, latest = self.client, self.client.admin_api.OffsetSpec.latest()
        codes = client.kafka.KafkaError
        retried = {codes.NOT_LEADER_FOR_PARTITION, codes.LEADER_NOT_AVAILABLE, codes.UNKNOWN_LEADER_EPOCH}
        for _ in range(int(TIMEOUT / _GATHER)):
            asked = client.admin.list_offsets(dict.fromkeys(places, latest), isolation_level=level)
            failures = [future.exception(TIMEOUT) for future in asked.values()]
            if not any(failure is not None and failure.args[0].code() in retried for failure in failures):
                break
            time.sleep(_GATHER)
        return {place.partition: future.result(TIMEOUT).offset for place, future in asked.items()}

    def _taken(self, message: Any, left: dict[int, int]) -> Iterator[Any]:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is not None and error.code() != self.client.kafka.KafkaError._PARTITION_EOF:
            raise self.client.kafka.KafkaException(error)
        if partition not in left:
            return
        if error is None and offset < left[partition]:
            yield message
        if error is not None or offset >= left[partition] - 1:
            del left[partition]


def _produce(producer: Any, topic: str, events: Iterable[Message]) -> int:
    count = 0
    for key, value, headers in events:
        while True:
            try:
                producer.produce(topic, value, key, headers=headers)
                break
            except BufferError:  # its queue is full: let some of it go
                producer.poll(0.1)
        count += 1
    return count
