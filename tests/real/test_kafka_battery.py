"""The unmodified confluent-kafka against a broker: what a client may expect of Apache Kafka.

`DPONE_TEST_KAFKA_URL` names the broker; without it the embedded one is started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .kafka_client import WAIT, Kafka, drain, unique, wait_for

confluent_kafka = pytest.importorskip("confluent_kafka")
admin_api = pytest.importorskip("confluent_kafka.admin")

from confluent_kafka import KafkaError, KafkaException, TopicPartition  # noqa: E402

pytestmark = pytest.mark.real

TIME = 1_700_000_000_000


def name_of(action: Callable[[], object]) -> str:
    with pytest.raises(KafkaException) as caught:
        action()
    return str(caught.value.args[0].name())


def numbered(count: int) -> list[dict[str, bytes]]:
    return [{"key": b"%d" % i, "value": b"%d" % i} for i in range(count)]


# The cluster and its topics


def test_metadata(kafka: Kafka) -> None:
    found = kafka.admin.list_topics(timeout=WAIT)
    assert len(found.brokers) == 1
    assert found.cluster_id
    assert next(iter(found.brokers.values())).host == "127.0.0.1"


def test_describe_cluster(kafka: Kafka) -> None:
    found = kafka.admin.describe_cluster(request_timeout=WAIT).result(WAIT)
    assert found.cluster_id == kafka.admin.list_topics(timeout=WAIT).cluster_id
    assert len(found.nodes) == 1
    assert found.controller is not None


def test_create_topics(kafka: Kafka) -> None:
    topic = kafka.topic(6)
    assert len(kafka.admin.list_topics(topic, timeout=WAIT).topics[topic].partitions) == 6

    def create(name: str, partitions: int = 1, replicas: int = 1, **config: str) -> Callable[[], object]:
        wanted = admin_api.NewTopic(name, partitions, replicas, config=config)
        return lambda: kafka.admin.create_topics([wanted])[name].result(WAIT)

    assert name_of(create(topic)) == "TOPIC_ALREADY_EXISTS"
    assert name_of(create("no/such name")) == "TOPIC_EXCEPTION"
    assert name_of(create(unique("t"), replicas=3)) == "INVALID_REPLICATION_FACTOR"
    assert name_of(create(unique("t"), **{"no.such.setting": "1"})) == "INVALID_CONFIG"
    assert name_of(create(unique("t"), **{"retention.ms": "soon"})) == "INVALID_CONFIG"


def test_create_with_the_brokers_defaults(kafka: Kafka) -> None:
    topic = unique("battery")
    kafka.admin.create_topics([admin_api.NewTopic(topic, -1, -1)])[topic].result(WAIT)
    kafka.topics.append(topic)
    wait_for(lambda: len(kafka.admin.list_topics(topic, timeout=WAIT).topics[topic].partitions) == 1)


def test_validate_only_creates_nothing(kafka: Kafka) -> None:
    topic = unique("battery")
    kafka.admin.create_topics([admin_api.NewTopic(topic, 1, 1)], validate_only=True)[topic].result(WAIT)
    assert topic not in kafka.admin.list_topics(timeout=WAIT).topics


def test_delete_topics(kafka: Kafka) -> None:
    topic = kafka.topic(3)
    kafka.send(topic, numbered(10))
    kafka.admin.delete_topics([topic])[topic].result(WAIT)
    wait_for(lambda: topic not in kafka.admin.list_topics(timeout=WAIT).topics)
    kafka.admin.create_topics([admin_api.NewTopic(topic, 2, 1)])[topic].result(WAIT)
    consumer = kafka.consumer()
    wait_for(lambda: consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=WAIT) == (0, 0))
    consumer.close()
    gone = unique("t")
    assert name_of(lambda: kafka.admin.delete_topics([gone])[gone].result(WAIT)) == "UNKNOWN_TOPIC_OR_PART"


def test_describe_topics(kafka: Kafka) -> None:
    topic = kafka.topic(3)
    wanted = confluent_kafka.TopicCollection([topic])
    assert len(kafka.admin.describe_topics(wanted)[topic].result(WAIT).partitions) == 3


def test_create_partitions(kafka: Kafka) -> None:
    topic = kafka.topic(2)

    def grow(count: int) -> object:
        return kafka.admin.create_partitions([admin_api.NewPartitions(topic, count)])[topic].result(WAIT)

    grow(5)
    wait_for(lambda: len(kafka.admin.list_topics(topic, timeout=WAIT).topics[topic].partitions) == 5)
    assert name_of(lambda: grow(5)) == "INVALID_PARTITIONS"


def settings_of(kafka: Kafka, topic: str) -> dict[str, Any]:
    resource = admin_api.ConfigResource(admin_api.ResourceType.TOPIC, topic)
    return dict(kafka.admin.describe_configs([resource])[resource].result(WAIT))


def test_settings_of_a_topic(kafka: Kafka) -> None:
    found = settings_of(kafka, kafka.topic(cleanup_policy="compact"))
    values = {name: found[name].value for name in ("cleanup.policy", "retention.ms", "max.message.bytes")}
    assert values == {"cleanup.policy": "compact", "retention.ms": "-1", "max.message.bytes": "1048588"}
    assert (found["max.message.bytes"].is_default, found["cleanup.policy"].is_default) == (True, False)
    assert name_of(lambda: settings_of(kafka, unique("t"))) == "UNKNOWN_TOPIC_OR_PART"


def test_settings_can_be_changed(kafka: Kafka) -> None:
    topic = kafka.topic()

    def change(name: str, value: str, how: str) -> None:
        entry = admin_api.ConfigEntry(name, value, incremental_operation=admin_api.AlterConfigOpType[how])
        resource = admin_api.ConfigResource(admin_api.ResourceType.TOPIC, topic, incremental_configs=[entry])
        kafka.admin.incremental_alter_configs([resource])[resource].result(WAIT)

    def value() -> str:
        return str(settings_of(kafka, topic)["cleanup.policy"].value)

    change("cleanup.policy", "compact", "SET")
    wait_for(lambda: value() == "compact")
    change("cleanup.policy", "delete", "APPEND")
    wait_for(lambda: value() == "compact,delete")
    change("cleanup.policy", "compact", "SUBTRACT")
    wait_for(lambda: value() == "delete")
    change("cleanup.policy", "", "DELETE")
    assert name_of(lambda: change("cleanup.policy", "shred", "SET")) == "INVALID_CONFIG"


def test_topics_appear_when_a_producer_asks(kafka: Kafka) -> None:
    topic = unique("battery")
    kafka.topics.append(topic)
    kafka.send(topic, [{"value": b"x"}], kafka.producer(message_timeout_ms=8000))
    assert len(kafka.admin.list_topics(topic, timeout=WAIT).topics[topic].partitions) == 1


def test_a_consumer_makes_no_topic(kafka: Kafka) -> None:
    topic = unique("battery")
    consumer = kafka.consumer()
    consumer.subscribe([topic])
    errors = [message.error().name() for message in consumer.consume(1, 5) if message.error()]
    consumer.close()
    assert errors == ["UNKNOWN_TOPIC_OR_PART"]
    assert topic not in kafka.admin.list_topics(timeout=WAIT).topics


def test_many_topics(kafka: Kafka) -> None:
    names = [unique("battery") for _ in range(100)]
    for done in kafka.admin.create_topics([admin_api.NewTopic(name, 3, 1) for name in names]).values():
        done.result(WAIT)
    wait_for(lambda: set(names) <= set(kafka.admin.list_topics(timeout=WAIT).topics))  # a node hears of them later
    for done in kafka.admin.delete_topics(names).values():
        done.result(WAIT)
    wait_for(lambda: not set(names) & set(kafka.admin.list_topics(timeout=WAIT).topics))


# Records


def test_records_come_back_as_they_were(kafka: Kafka) -> None:
    topic = kafka.topic()
    headers = [("h", b"\x00\xff"), ("h", b"dup"), ("nul", None)]
    kafka.send(
        topic,
        [
            {"key": b"k1", "value": b"v1", "headers": headers, "timestamp": TIME},
            {"key": b"k1", "value": None, "timestamp": TIME + 1},
            {"key": None, "value": b"", "timestamp": TIME + 2},
            {"key": b"", "value": "é".encode(), "timestamp": TIME + 3},
        ],
    )
    found = [(m.key(), m.value(), m.headers(), m.timestamp(), m.offset()) for m in kafka.read(topic, 4)]
    assert found == [
        (b"k1", b"v1", headers, (1, TIME), 0),
        (b"k1", None, None, (1, TIME + 1), 1),
        (None, b"", None, (1, TIME + 2), 2),
        (b"", "é".encode(), None, (1, TIME + 3), 3),
    ]


def test_the_brokers_time(kafka: Kafka) -> None:
    topic = kafka.topic(message_timestamp_type="LogAppendTime")
    kafka.send(topic, [{"value": b"x", "timestamp": 1000}])
    kind, when = kafka.read(topic, 1)[0].timestamp()
    assert kind == 2
    assert abs(when / 1000 - time.time()) < 60


def test_times_in_the_future_are_refused(kafka: Kafka) -> None:
    topic = kafka.topic()
    errors: list[KafkaError] = []
    producer = kafka.producer(enable_idempotence=False)
    later = int((time.time() + 7200) * 1000)
    producer.produce(topic, b"x", timestamp=later, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(WAIT) == 0
    assert [error.name() for error in errors] == ["INVALID_TIMESTAMP"]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compression(kafka: Kafka, codec: str) -> None:
    topic = kafka.topic()
    messages = [{"key": b"%d" % i, "value": b"hello world " * 10 + b"%d" % i} for i in range(3000)]
    kafka.send(topic, messages, kafka.producer(compression_type=codec))
    assert [int(message.key()) for message in kafka.read(topic, 3000)] == list(range(3000))


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_times_are_found_in_compressed_batches(kafka: Kafka, codec: str) -> None:
    topic = kafka.topic()
    messages = [{"value": b"x" * 100, "timestamp": TIME + i} for i in range(500)]
    kafka.send(topic, messages, kafka.producer(compression_type=codec, linger_ms=100))
    consumer = kafka.consumer()
    assert consumer.offsets_for_times([TopicPartition(topic, 0, TIME + 321)], timeout=WAIT)[0].offset == 321
    consumer.close()


@pytest.mark.parametrize("size", [100_000, 900_000, 5_000_000])
def test_large_messages(kafka: Kafka, size: int) -> None:
    topic = kafka.topic(max_message_bytes="10000000")
    values = [os.urandom(size) for _ in range(3)]
    producer = kafka.producer(message_max_bytes=10_000_000)
    kafka.send(topic, [{"value": value} for value in values], producer)
    found = kafka.read(topic, 3, fetch_message_max_bytes=1_000_000)  # smaller than the largest: it comes all the same
    assert [message.value() for message in found] == values


def test_messages_that_are_too_large_are_refused(kafka: Kafka) -> None:
    topic = kafka.topic()
    errors: list[KafkaError] = []
    producer = kafka.producer(message_max_bytes=10_000_000, message_timeout_ms=15000)
    producer.produce(topic, os.urandom(3_000_000), on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(WAIT) == 0
    assert [error.name() for error in errors] == ["MSG_SIZE_TOO_LARGE"]


def test_a_message_without_a_key_has_no_place_in_a_compacted_topic(kafka: Kafka) -> None:
    topic = kafka.topic(cleanup_policy="compact")
    errors: list[KafkaError] = []
    producer = kafka.producer(enable_idempotence=False)
    producer.produce(topic, b"x", on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(WAIT) == 0
    assert [error.name() for error in errors] == ["INVALID_RECORD"]


def test_compaction_keeps_the_last_record_of_each_key(kafka: Kafka) -> None:
    topic = kafka.topic(
        cleanup_policy="compact",
        segment_ms="100",
        segment_bytes="1048576",
        min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="500",
    )
    for turn in range(10):
        kafka.send(topic, [{"key": b"%d" % i, "value": b"%d-%d" % (turn, i)} for i in range(200)])
        time.sleep(0.02)
    last: dict[bytes, bytes] = {}
    end = time.monotonic() + float(os.environ.get("DPONE_TEST_KAFKA_COMPACTION", "8"))
    while time.monotonic() < end:
        consumer = kafka.consumer(enable_partition_eof=True)
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = to_the_end(consumer)
        last = {message.key(): message.value() for message in found}
        if len(found) < 2000:
            break
        time.sleep(0.5)
    assert last == {b"%d" % i: b"9-%d" % i for i in range(200)}


# Reading


def to_the_end(consumer: Any) -> list[Any]:
    found = []
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        message = consumer.poll(0.5)
        if message is not None and message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            consumer.close()
            return found
        if message is not None:
            found.append(message)
    raise AssertionError("the end was not told")


def test_offsets_and_seeking(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    for low in range(0, 1000, 100):
        batch = range(low, low + 100)
        kafka.send(topic, [{"value": b"%d" % i, "partition": 0, "timestamp": TIME + i * 1000} for i in batch])
    consumer = kafka.consumer()
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=WAIT) == (0, 1000)
    assert consumer.get_watermark_offsets(TopicPartition(topic, 1), timeout=WAIT) == (0, 0)
    times = [(0, TIME + 550_000), (0, TIME + 550_001), (1, TIME), (0, TIME + 10**9)]
    found = [consumer.offsets_for_times([TopicPartition(topic, p, t)], timeout=WAIT)[0].offset for p, t in times]
    assert found == [550, 551, -1, -1]
    consumer.assign([TopicPartition(topic, 0, 700)])
    assert drain(consumer, 1)[0].offset() == 700
    consumer.seek(TopicPartition(topic, 0, 10))
    assert drain(consumer, 1)[0].offset() == 10
    consumer.seek(TopicPartition(topic, 0, confluent_kafka.OFFSET_END))
    assert drain(consumer, 1, 1.0) == []
    consumer.seek(TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING))
    assert drain(consumer, 1)[0].offset() == 0
    consumer.close()


def test_offsets_for_administrators(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, [{"value": b"x", "timestamp": TIME + i} for i in range(50)])
    spec = admin_api.OffsetSpec
    wanted = [spec.earliest(), spec.latest(), spec.max_timestamp(), spec.for_timestamp(TIME + 20)]
    place = TopicPartition(topic, 0)
    found = [kafka.admin.list_offsets({place: item})[place].result(WAIT).offset for item in wanted]
    assert found == [0, 50, 49, 20]


def test_the_end_of_a_partition_is_told(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbered(5))
    consumer = kafka.consumer(enable_partition_eof=True)
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert len(to_the_end(consumer)) == 5


def test_no_offset_can_be_an_error(kafka: Kafka) -> None:
    consumer = kafka.consumer(auto_offset_reset="error")
    consumer.subscribe([kafka.topic()])
    errors = [message.error().name() for message in consumer.consume(1, 10)]
    consumer.close()
    assert errors == ["_AUTO_OFFSET_RESET"]


def test_an_offset_out_of_range_is_reset(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbered(5))
    consumer = kafka.consumer()
    consumer.assign([TopicPartition(topic, 0, 999)])
    assert drain(consumer, 1)[0].offset() == 0
    consumer.close()


def test_delete_records(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbered(100))
    place = TopicPartition(topic, 0, 40)
    assert kafka.admin.delete_records([place])[place].result(WAIT).low_watermark == 40
    consumer = kafka.consumer()
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=WAIT) == (40, 100)
    consumer.close()
    assert [int(message.value()) for message in kafka.read(topic, 60)] == list(range(40, 100))
    beyond = TopicPartition(topic, 0, 101)
    assert name_of(lambda: kafka.admin.delete_records([beyond])[beyond].result(WAIT)) == "OFFSET_OUT_OF_RANGE"


def test_a_message_arrives_soon(kafka: Kafka) -> None:
    topic = kafka.topic()
    producer, consumer = kafka.producer(linger_ms=0), kafka.consumer(fetch_wait_max_ms=100)
    consumer.subscribe([topic])
    kafka.send(topic, [{"value": b"first"}], producer)
    drain(consumer, 1)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        producer.produce(topic, b"x")
        producer.flush(5)
        assert len(drain(consumer, 1)) == 1
        times.append(time.perf_counter() - start)
    consumer.close()
    assert sorted(times)[25] < 0.1


@pytest.fixture
def kafka(kafka_url: str) -> Iterator[Kafka]:
    found = Kafka(kafka_url)
    yield found
    found.remove_topics()
