"""The unmodified confluent-kafka against a broker: consumer groups, producers' identities and transactions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from .kafka_client import WAIT, Kafka, drain, unique, wait_for
from .kafka_raw import RawProducer

confluent_kafka = pytest.importorskip("confluent_kafka")

from confluent_kafka import KafkaException, TopicPartition  # noqa: E402

pytestmark = pytest.mark.real


@pytest.fixture
def kafka(kafka_url: str) -> Iterator[Kafka]:
    found = Kafka(kafka_url)
    yield found
    found.remove_topics()


def numbered(count: int) -> list[dict[str, bytes]]:
    return [{"key": b"%d" % i, "value": b"%d" % i} for i in range(count)]


# Groups


def test_a_group_goes_on_where_it_stopped(kafka: Kafka) -> None:
    topic, group = kafka.topic(3), unique("group")
    kafka.send(topic, numbered(3000))
    consumer = kafka.consumer(group)
    consumer.subscribe([topic])
    first = drain(consumer, 1200)
    ends: dict[int, int] = {}
    for message in first:
        ends[message.partition()] = max(ends.get(message.partition(), 0), message.offset() + 1)
    offsets = [TopicPartition(topic, index, offset, metadata="note") for index, offset in ends.items()]
    assert all(done.error is None for done in consumer.commit(offsets=offsets, asynchronous=False))
    consumer.close()
    consumer = kafka.consumer(group)
    committed = consumer.committed([TopicPartition(topic, index) for index in ends], timeout=WAIT)
    assert {place.partition: (place.offset, place.metadata) for place in committed} == {
        index: (offset, "note") for index, offset in ends.items()
    }
    consumer.subscribe([topic])
    second = drain(consumer, 1800)
    assert drain(consumer, 1, 1.0) == []
    consumer.close()
    assert sorted(int(message.value()) for message in first + second) == list(range(3000))


def test_automatic_commits(kafka: Kafka) -> None:
    topic, group = kafka.topic(), unique("group")
    kafka.send(topic, numbered(100))
    consumer = kafka.consumer(group, enable_auto_commit=True)
    consumer.subscribe([topic])
    drain(consumer, 100)
    consumer.close()
    consumer = kafka.consumer(group)
    assert consumer.committed([TopicPartition(topic, 0)], timeout=WAIT)[0].offset == 100
    consumer.close()


@pytest.mark.parametrize("strategy", ["range,roundrobin", "cooperative-sticky"])
def test_members_share_and_take_over(kafka: Kafka, strategy: str) -> None:
    topic, group = kafka.topic(4), unique("group")
    kafka.send(topic, [{"value": b"%d" % i, "partition": i % 4} for i in range(400)])
    config = {"session_timeout_ms": 6000, "partition_assignment_strategy": strategy}
    one, other = kafka.consumer(group, **config), kafka.consumer(group, **config)
    one.subscribe([topic])
    assert len(drain(one, 400)) == 400
    other.subscribe([topic])
    shares = [[], []]
    end = time.monotonic() + 25
    while time.monotonic() < end and [len(share) for share in shares] != [2, 2]:
        one.consume(10, 0.1)
        other.consume(10, 0.1)
        shares = [[place.partition for place in member.assignment()] for member in (one, other)]
    assert sorted(shares[0] + shares[1]) == [0, 1, 2, 3]
    other.close()
    end = time.monotonic() + 25
    while time.monotonic() < end and len(one.assignment()) != 4:
        one.consume(10, 0.1)
    assert len(one.assignment()) == 4
    one.close()


def test_a_silent_member_loses_its_partitions(kafka: Kafka) -> None:
    topic, group = kafka.topic(2), unique("group")
    kafka.send(topic, [{"value": b"x", "partition": i % 2} for i in range(10)])
    silent = RawProducer(kafka.url)
    silent.join_and_vanish(group, topic)
    consumer = kafka.consumer(group, session_timeout_ms=6000)
    consumer.subscribe([topic])
    assert len(drain(consumer, 10, 25)) == 10
    consumer.close()


def test_a_static_member_comes_back_without_a_rebalance_for_others(kafka: Kafka) -> None:
    topic, group = kafka.topic(2), unique("group")
    kafka.send(topic, [{"value": b"x", "partition": i % 2} for i in range(10)])
    for _ in range(2):
        member = kafka.consumer(group, group_instance_id="static-1", session_timeout_ms=10000)
        member.subscribe([topic])
        assert len(drain(member, 10)) == 10
        member.close()


def test_groups_of_the_new_protocol(kafka: Kafka, request: pytest.FixtureRequest) -> None:
    if kafka.emulated:
        reason = "declared: our broker knows consumer groups of the classic protocol only"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    topic = kafka.topic(2)
    kafka.send(topic, numbered(20))
    consumer = kafka.consumer(group_protocol="consumer")
    consumer.subscribe([topic])
    found: list[Any] = []
    end = time.monotonic() + WAIT
    while len(found) < 20 and time.monotonic() < end:
        found += consumer.consume(20, 0.2)
        assert not [message.error() for message in found if message.error()]
    consumer.close()
    assert len(found) == 20


def test_administration_of_groups(kafka: Kafka) -> None:
    from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions

    topic, group, admin = kafka.topic(2), unique("group"), kafka.admin

    def listed() -> list[str]:
        return [item.group_id for item in admin.list_consumer_groups().result(WAIT).valid]

    def offsets() -> dict[int, int]:
        wanted = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(WAIT)
        return {place.partition: place.offset for place in wanted.topic_partitions}

    kafka.send(topic, [{"value": b"x", "partition": i % 2} for i in range(10)])
    consumer = kafka.consumer(group)
    consumer.subscribe([topic])
    drain(consumer, 10)
    consumer.commit(asynchronous=False)
    assert group in listed()
    described = admin.describe_consumer_groups([group])[group].result(WAIT)
    assert (described.state, len(described.members)) == (ConsumerGroupState.STABLE, 1)
    assert {place.partition for place in described.members[0].assignment.topic_partitions} == {0, 1}
    assert offsets() == {0: 5, 1: 5}
    with pytest.raises(KafkaException) as caught:
        admin.delete_consumer_groups([group])[group].result(WAIT)
    assert caught.value.args[0].name() == "NON_EMPTY_GROUP"
    consumer.close()
    change = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 1)])
    admin.alter_consumer_group_offsets([change])[group].result(WAIT)
    assert offsets() == {0: 1, 1: 5}
    admin.delete_consumer_groups([group])[group].result(WAIT)
    assert group not in listed()
    with pytest.raises(KafkaException) as caught:
        admin.delete_consumer_groups([group])[group].result(WAIT)
    assert caught.value.args[0].name() == "GROUP_ID_NOT_FOUND"


# Producers


def test_a_batch_that_comes_twice_is_stored_once(kafka: Kafka) -> None:
    topic = kafka.topic()
    with RawProducer(kafka.url) as raw:
        raw.init()
        sent = [raw.send(topic, sequence, count) for sequence, count in ((0, 3), (3, 2), (3, 2), (0, 3))]
        assert sent == [(0, 0), (0, 3), (0, 3), (0, 0)]
        assert raw.send(topic, 9)[0] == 45  # a gap
        assert raw.send(topic, 5, damaged=True)[0] == 2
        assert raw.send(topic, 5) == (0, 5)
        assert [raw.send(topic, sequence)[0] for sequence in range(6, 12)] == [0] * 6
        assert raw.send(topic, 3, 2)[0] == 45  # too old to be remembered, but never stored again
    consumer = kafka.consumer()
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=WAIT) == (0, 12)
    consumer.close()


def test_a_producer_is_never_asked_for_what_it_can_not_have(kafka: Kafka) -> None:
    with RawProducer(kafka.url) as raw:
        raw.init()
        assert raw.send(unique("nowhere"), 0)[0] == 3


# Transactions


def values(messages: list[Any]) -> list[str]:
    return sorted(message.value().decode() for message in messages)


def test_transactions(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    producer = kafka.transactions()

    def write(letter: str) -> list[str]:
        producer.begin_transaction()
        for i in range(10):
            producer.produce(topic, f"{letter}{i}".encode(), partition=i % 2)
        assert producer.flush(WAIT) == 0
        return [f"{letter}{i}" for i in range(10)]

    committed = write("c")
    producer.commit_transaction(WAIT)
    write("a")
    producer.abort_transaction(WAIT)
    running = write("d")
    consumer = kafka.consumer(isolation_level="read_committed")
    consumer.subscribe([topic])
    assert values(drain(consumer, 30, 2)) == committed
    producer.commit_transaction(WAIT)
    assert values(drain(consumer, 10)) == running
    consumer.close()
    assert len(kafka.read(topic, 30, isolation_level="read_uncommitted")) == 30


def test_the_last_stable_offset(kafka: Kafka) -> None:
    topic = kafka.topic()
    producer = kafka.transactions()
    producer.begin_transaction()
    producer.produce(topic, b"open")
    assert producer.flush(WAIT) == 0
    kafka.send(topic, [{"value": b"outside"}])
    place, spec = TopicPartition(topic, 0), confluent_kafka.admin.OffsetSpec.latest()

    def latest(level: Any) -> int:
        return int(kafka.admin.list_offsets({place: spec}, isolation_level=level)[place].result(WAIT).offset)

    levels = confluent_kafka.IsolationLevel
    assert (latest(levels.READ_COMMITTED), latest(levels.READ_UNCOMMITTED)) == (0, 2)
    producer.abort_transaction(WAIT)
    wait_for(lambda: latest(levels.READ_COMMITTED) == 3)
    assert values(kafka.read(topic, 1, isolation_level="read_committed")) == ["outside"]


def test_an_older_producer_is_fenced(kafka: Kafka) -> None:
    topic, name = kafka.topic(), unique("tx")
    old = kafka.transactions(name)
    old.begin_transaction()
    old.produce(topic, b"zombie")
    old.flush(5)
    new = kafka.transactions(name)
    new.begin_transaction()
    new.produce(topic, b"live")
    new.commit_transaction(WAIT)
    with pytest.raises(KafkaException) as caught:
        old.produce(topic, b"late")
        old.commit_transaction(10)
    assert caught.value.args[0].name() in ("_FENCED", "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED")
    assert values(kafka.read(topic, 1, isolation_level="read_committed")) == ["live"]


def test_a_transaction_that_takes_too_long_is_aborted(kafka: Kafka) -> None:
    topic = kafka.topic()
    producer = kafka.transactions(transaction_timeout_ms=1000)
    producer.begin_transaction()
    producer.produce(topic, b"late")
    assert producer.flush(WAIT) == 0
    kafka.send(topic, [{"value": b"outside"}])
    # A real broker looks for such transactions every ten seconds.
    consumer = kafka.consumer(isolation_level="read_committed")
    consumer.subscribe([topic])
    assert values(drain(consumer, 1, 30)) == ["outside"]
    consumer.close()
    with pytest.raises(KafkaException):
        producer.commit_transaction(WAIT)


def test_offsets_in_a_transaction(kafka: Kafka) -> None:
    source, target, group = kafka.topic(), kafka.topic(), unique("group")
    kafka.send(source, numbered(10))
    consumer = kafka.consumer(group, isolation_level="read_committed")
    consumer.subscribe([source])
    drain(consumer, 10)
    producer = kafka.transactions()

    def committed() -> int:
        return int(consumer.committed([TopicPartition(source, 0)], timeout=WAIT)[0].offset)

    for offset, end, expected in ((5, producer.abort_transaction, -1001), (7, producer.commit_transaction, 7)):
        producer.begin_transaction()
        producer.produce(target, b"row")
        place = TopicPartition(source, 0, offset)
        producer.send_offsets_to_transaction([place], consumer.consumer_group_metadata(), WAIT)
        end(WAIT)
        assert committed() == expected
    consumer.close()
    assert len(kafka.read(target, 1, isolation_level="read_committed")) == 1


def test_many_aborted_transactions(kafka: Kafka) -> None:
    topic = kafka.topic()
    producer = kafka.transactions()
    for turn in range(20):
        producer.begin_transaction()
        producer.produce(topic, b"%d" % turn)
        end = producer.commit_transaction if turn % 3 == 0 else producer.abort_transaction
        assert producer.flush(WAIT) == 0
        end(WAIT)
    found = kafka.read(topic, 7, isolation_level="read_committed")
    assert [int(message.value()) for message in found] == list(range(0, 20, 3))
    consumer = kafka.consumer(isolation_level="read_committed")
    consumer.assign([TopicPartition(topic, 0, found[3].offset() + 1)])
    assert [int(message.value()) for message in drain(consumer, 3)] == [12, 15, 18]
    consumer.close()


def test_the_login_is_checked(kafka: Kafka) -> None:
    from pytest_dpone.errors import ServiceFailed
    from pytest_dpone.services.ask import ask

    wrong = kafka.url.replace("@", "x@")
    if wrong == kafka.url:
        pytest.skip("this broker has no login")
    start = time.monotonic()
    with pytest.raises(ServiceFailed, match=r"(?i)authentication") as caught:
        ask("kafka", wrong, timeout=10)
    assert time.monotonic() - start < 5
    assert "user name and the password" in caught.value.hint
