"""Kafka: clients of confluent-kafka; a namespace is a topic and the prefix of its name, for topics and groups."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..kafka_address import client_settings

TIMEOUT = 30.0
"""Seconds for an answer of the server."""


class KafkaClient:
    """The way to all of confluent-kafka: an `admin`, and producers and consumers with the address in their settings."""

    def __init__(self, url: str) -> None:
        import confluent_kafka
        import confluent_kafka.admin

        self.kafka: Any = confluent_kafka
        self.admin_api: Any = confluent_kafka.admin
        # Warnings and worse: that a client's queue is emptied when it ends is no news on a user's terminal.
        self.settings = {**client_settings(url), "log_level": 4}
        self.admin: Any = self.admin_api.AdminClient(self.settings)

    def producer(self, **settings: Any) -> Any:
        """A producer; `transactional_id="x"` is the setting `transactional.id`."""
        return self.kafka.Producer({**self.settings, **_dotted(settings)})

    def consumer(self, group: str, **settings: Any) -> Any:
        """A consumer of `group` that begins with the first message and commits when it is told to."""
        own = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
        return self.kafka.Consumer({**self.settings, **own, **_dotted(settings)})

    def create_topic(self, name: str, *, partitions: int = 1, **settings: str) -> bool:
        """Create a topic, e.g. with `cleanup_policy="compact"`; False if there is one of that name."""
        wanted = self.admin_api.NewTopic(name, partitions, -1, config=_dotted(settings))
        try:
            self.admin.create_topics([wanted])[name].result(TIMEOUT)
        except self.kafka.KafkaException as error:
            if error.args[0].code() != self.kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            return False
        deadline = time.monotonic() + TIMEOUT
        while not self.admin.list_topics(name, timeout=TIMEOUT).topics[name].partitions:
            # A broker says that it is done a moment before it tells others of the topic.
            if time.monotonic() > deadline:
                raise TimeoutError(f"the topic {name} was not there within {TIMEOUT:g} s")
            time.sleep(0.02)
        return True


def connect(url: str) -> KafkaClient:
    """A client that has seen the server; raises `KafkaException` if it does not answer."""
    client = KafkaClient(url)
    client.admin.list_topics(timeout=TIMEOUT)
    return client


def create(client: KafkaClient, name: str) -> bool:
    """Create the compacted topic `name`, which stands for all that is called `name.…`."""
    return client.create_topic(name, cleanup_policy="compact")


def drop(client: KafkaClient, name: str) -> None:
    """Delete the namespace's groups that are empty and its topics, each by its name."""
    groups = [item.group_id for item in client.admin.list_consumer_groups().result(TIMEOUT).valid]
    ours = [group for group in groups if group.startswith(f"{name}.")]
    for done in client.admin.delete_consumer_groups(ours).values() if ours else ():
        done.exception(TIMEOUT)  # a group that somebody is still in goes by itself
    topics = client.admin.list_topics(timeout=TIMEOUT).topics
    found = [topic for topic in topics if topic == name or topic.startswith(f"{name}.")]
    for done in client.admin.delete_topics(found).values() if found else ():
        done.result(TIMEOUT)


def close(client: KafkaClient) -> None:
    """Nothing: the client's threads end with it."""


def _dotted(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in settings.items()}
