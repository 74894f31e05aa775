"""What the Kafka tests share: an unmodified confluent-kafka, and a place of their own on the broker."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_dpone.services.kafka_address import client_settings
from pytest_dpone.services.kafka_ask import STAND_IN_CLUSTER

ASSEMBLED = Path(__file__).parents[2] / "docker" / "test-images" / "kafka" / "home"
"""Where `assemble.sh` puts Apache Kafka, if somebody has run it."""
WAIT = 20.0
"""Seconds for any one answer."""


def home_or_skip() -> str:
    """A folder with Apache Kafka; skips the test if there is none."""
    home = os.environ.get("KAFKA_HOME") or str(ASSEMBLED)
    if not list(Path(home).glob("libs/kafka_*.jar")):
        pytest.skip("no Apache Kafka: set KAFKA_HOME, or run docker/test-images/kafka/assemble.sh")
    return home


@dataclass
class Kafka:
    """A broker, and the topics that a test has made there."""

    url: str
    topics: list[str] = field(default_factory=list)
    _admin: Any = None

    @property
    def settings(self) -> dict[str, Any]:
        return dict(client_settings(self.url))

    @property
    def emulated(self) -> bool:
        """If it is our stand-in."""
        return str(self.admin.list_topics(timeout=WAIT).cluster_id).startswith(STAND_IN_CLUSTER)

    @property
    def admin(self) -> Any:
        if self._admin is None:
            from confluent_kafka.admin import AdminClient

            self._admin = AdminClient(self.settings)
        return self._admin

    def topic(self, partitions: int = 1, **config: str) -> str:
        from confluent_kafka.admin import NewTopic

        name = unique("battery")
        settings = {"retention.ms": "-1", **{key.replace("_", "."): value for key, value in config.items()}}
        self.admin.create_topics([NewTopic(name, partitions, 1, config=settings)])[name].result(WAIT)
        self.topics.append(name)
        # A real broker says "done" a moment before everybody knows of the topic.
        wait_for(lambda: len(self.admin.list_topics(name, timeout=WAIT).topics[name].partitions) == partitions)
        return name

    def producer(self, **config: Any) -> Any:
        from confluent_kafka import Producer

        return Producer({**self.settings, "enable.idempotence": True, "linger.ms": 5, **_dotted(config)})

    def consumer(self, group: str = "", **config: Any) -> Any:
        from confluent_kafka import Consumer

        own: dict[str, Any] = {
            "group.id": group or unique("group"),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        # An end of a partition is told by an empty answer, and a rebalance by a heartbeat: so both are to come soon.
        if "group_protocol" not in config:
            own["heartbeat.interval.ms"] = 300
        own["fetch.wait.max.ms"] = 100
        return Consumer({**self.settings, **own, **_dotted(config)})

    def transactions(self, name: str = "", **config: Any) -> Any:
        producer = self.producer(transactional_id=name or unique("tx"), **config)
        producer.init_transactions(WAIT)
        return producer

    def send(self, topic: str, messages: Iterable[Mapping[str, Any]], producer: Any = None) -> None:
        producer = producer or self.producer()
        errors: list[Any] = []
        for message in messages:
            producer.produce(topic, on_delivery=lambda error, _: errors.append(error) if error else None, **message)
            producer.poll(0)
        assert producer.flush(WAIT) == 0
        assert not errors

    def read(self, topic: str, count: int, **config: Any) -> list[Any]:
        """At most `count` messages of `topic`, read by a new group."""
        consumer = self.consumer(**config)
        consumer.subscribe([topic])
        try:
            return drain(consumer, count)
        finally:
            consumer.close()

    def remove_topics(self) -> None:
        if self.topics:
            for done in self.admin.delete_topics(self.topics).values():
                done.exception(WAIT)


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it is true; what the client raises meanwhile counts as not yet."""
    from confluent_kafka import KafkaException

    end = time.monotonic() + WAIT
    while True:
        last: Exception | None = None
        try:
            if condition():
                return
        except KafkaException as error:
            last = error
        assert time.monotonic() < end, f"it did not come true; the last error was: {last}"
        time.sleep(0.05)


def drain(consumer: Any, count: int, timeout: float = WAIT) -> list[Any]:
    """Up to `count` messages; fewer if no more come in time."""
    found: list[Any] = []
    end = time.monotonic() + timeout
    while len(found) < count and time.monotonic() < end:
        for message in consumer.consume(min(5000, count - len(found)), 0.2):
            assert message.error() is None, message.error()
            found.append(message)
    return found


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def _dotted(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in config.items()}
