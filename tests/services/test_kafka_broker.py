"""The parts of our Kafka broker, without a socket."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Coroutine
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

cramjam = pytest.importorskip("cramjam")
pytest.importorskip("kio")

from pytest_dpone.services.embedded import kafka_batch as batches  # noqa: E402
from pytest_dpone.services.embedded.kafka_groups import Group, Member, State  # noqa: E402
from pytest_dpone.services.embedded.kafka_log import Partition  # noqa: E402
from pytest_dpone.services.embedded.kafka_server import Connection, Login  # noqa: E402
from pytest_dpone.services.embedded.kafka_state import Broker  # noqa: E402
from pytest_dpone.services.embedded.kafka_topics import Topic, against_name, against_setting  # noqa: E402
from pytest_dpone.services.embedded.kafka_wire import (  # noqa: E402
    Caller,
    Code,
    milliseconds,
    read_header,
    read_request,
    write_response,
)

T = TypeVar("T")
TIME = 1_700_000_000_000


def record(key: bytes | None, value: bytes | None, offset: int = 0, time: int = 0) -> bytes:
    body = b"\0" + zigzag(time) + zigzag(offset) + blob(key) + blob(value) + b"\0"
    return zigzag(len(body)) + body


def zigzag(number: int) -> bytes:
    number = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def blob(data: bytes | None) -> bytes:
    return zigzag(-1) if data is None else zigzag(len(data)) + data


def batch(
    *records: tuple[bytes | None, bytes | None],
    producer: int = -1,
    epoch: int = 0,
    sequence: int = 0,
    attributes: int = 0,
    body: bytes | None = None,
) -> batches.Batch:
    if body is None:
        body = b"".join(record(key, value, index, index) for index, (key, value) in enumerate(records))
    last = len(records) - 1
    fields = (0, last, attributes, TIME, TIME + last, producer, epoch, sequence, len(records))
    empty = batches.Batch(*fields, b"")
    return batches.parse(batches._pack(empty, body))


# Batches


def test_a_batch_is_placed_without_a_new_checksum() -> None:
    sent = batch((b"k", b"v"), (b"k2", None))
    placed = batches.place(sent, 41)
    assert (placed.base, placed.last) == (41, 42)
    assert placed.data[:8] == (41).to_bytes(8, "big")
    assert placed.data[12:16] == b"\0\0\0\0"
    assert placed.data[16:] == sent.data[16:]
    assert batches.parse(placed.data).count == 2
    assert [(r.key, r.tombstone, r.offset_delta) for r in placed.records()] == [(b"k", False, 0), (b"k2", True, 1)]


def test_what_is_not_a_batch_is_refused() -> None:
    good = batch((b"k", b"v")).data
    with pytest.raises(batches.ChecksumError):
        batches.parse(good[:40])
    with pytest.raises(batches.ChecksumError):
        batches.parse(good[:-1] + b"\xff")
    for bad in (good + b"x", good[:16] + b"\x01" + good[17:]):
        with pytest.raises(batches.InvalidBatchError):
            batches.parse(bad)


def test_all_kinds_of_compression_are_read() -> None:
    plain = record(b"k", b"v" * 50)
    snappy = bytes(cramjam.snappy.compress_raw(plain))
    framed = b"\x82SNAPPY\x00" + bytes(8) + len(snappy).to_bytes(4, "big") + snappy
    gzip = zlib.compressobj(wbits=31)
    packed = {
        0: plain,
        1: gzip.compress(plain) + gzip.flush(),
        3: bytes(cramjam.lz4.compress(plain)),
        4: bytes(cramjam.zstd.compress(plain)),
    }
    for codec, body in [*packed.items(), (2, snappy), (2, framed)]:
        sent = batch((b"k", b""), attributes=codec, body=body)
        assert [r.key for r in sent.records()] == [b"k"]


def test_the_brokers_time_is_under_a_checksum() -> None:
    stamped = batches.stamp(batch((b"k", b"v")), TIME + 99)
    again = batches.parse(stamped.data)
    assert (again.max_time, again.log_append_time, again.transactional) == (TIME + 99, True, False)


# The log


def test_readers_get_whole_batches_within_their_limit() -> None:
    log = Partition()
    one = batch((b"a", b"1"), (b"b", b"2"))
    for _ in range(3):
        log.append(one)
    size = len(one.data)
    read = lambda *args, first=True: log.read(*args, at_least_one=first)  # noqa: E731
    assert len(read(0, 2 * size, log.end)) == 2 * size
    assert len(read(0, 2 * size - 1, log.end)) == size
    assert len(read(3, 1, log.end)) == size  # the batch that holds offset 3, although it is too large
    assert read(3, 1, log.end, first=False) == b""
    assert len(read(0, 9 * size, 4)) == 2 * size
    assert log.find_time(TIME + 1) == (1, TIME + 1)
    assert log.find_time(TIME + 2) == (-1, -1)
    assert log.find_latest_time() == (1, TIME + 1)
    assert Partition().find_latest_time() == (-1, -1)


def test_an_idempotent_producer() -> None:
    log = Partition()

    def send(sequence: int, epoch: int = 0, count: int = 2) -> tuple[Code, int]:
        return log.append(batch(*[(b"k", b"v")] * count, producer=7, epoch=epoch, sequence=sequence))

    assert send(5) == (Code.NONE, 0)  # of an unknown producer any number is taken
    assert send(7) == (Code.NONE, 2)
    assert send(5) == (Code.NONE, 0)
    assert send(10) == (Code.OUT_OF_ORDER_SEQUENCE, -1)
    assert send(3, epoch=1) == (Code.OUT_OF_ORDER_SEQUENCE, -1)  # a new epoch begins at 0
    assert send(0, epoch=1) == (Code.NONE, 4)
    assert send(9) == (Code.INVALID_PRODUCER_EPOCH, -1)
    assert log.end == 6


def test_sequence_numbers_begin_again_after_the_largest() -> None:
    log = Partition()
    log.append(batch((b"k", b"v"), (b"k", b"v"), producer=7, sequence=2**31 - 2))
    assert log.append(batch((b"k", b"v"), producer=7, sequence=0)) == (Code.NONE, 2)


def test_transactions_in_a_log() -> None:
    log = Partition()
    write = {"producer": 7, "attributes": 0x10}
    log.append(batch((b"a", b"1"), **write))
    log.append(batch((b"x", b"y")))
    assert (log.stable, log.end) == (0, 2)
    log.end_transaction(7, 0, commit=False, now=TIME)
    assert (log.stable, log.end) == (3, 3)
    assert [(item.producer, item.first) for item in log.aborted_from(0)] == [(7, 0)]
    assert log.aborted_from(2) == log.aborted
    assert log.aborted_from(3) == []
    log.append(batch((b"b", b"2"), sequence=1, **write))
    log.end_transaction(7, 0, commit=True, now=TIME)
    assert len(log.aborted) == 1
    marker = log.batches[-1]
    assert (marker.control, marker.transactional, batches.parse(marker.data).producer) == (True, True, 7)


def test_compaction() -> None:
    log = Partition()
    log.append(batch((b"a", b"1"), (b"b", b"1"), (b"c", b"1")))
    log.append(batch((b"dropped", b"1"), producer=7, attributes=0x10))
    log.end_transaction(7, 0, commit=False, now=TIME)
    log.append(batch((b"a", b"2"), (b"b", None)))
    log.append(batch((b"c", b"open"), producer=8, attributes=0x10))
    log.compact(lag=3600, keep_tombstones=3600)
    assert len(log.batches) == 5
    log.compact(lag=0, keep_tombstones=3600)
    kept = [(b.base + r.offset_delta, r.key) for b in log.batches if not b.control for r in b.records()]
    assert kept == [(2, b"c"), (5, b"a"), (6, b"b"), (7, b"c")]
    assert all(batches.parse(b.data) for b in log.batches)
    assert (log.end, log.start) == (8, 0)
    assert log.read(0, 1, log.end, at_least_one=True) == log.batches[0].data
    log.end_transaction(8, 0, commit=True, now=TIME)
    log.compact(lag=0, keep_tombstones=-1)
    kept = [(b.base + r.offset_delta, r.key) for b in log.batches if not b.control for r in b.records()]
    assert kept == [(5, b"a"), (7, b"c")]
    before = list(log.batches)
    log.compact(lag=0, keep_tombstones=-1)
    assert log.batches == before


def test_deleted_records_are_gone() -> None:
    log = Partition()
    for _ in range(3):
        log.append(batch((b"a", b"1"), (b"b", b"2")))
    log.delete_before(3)
    assert (log.start, len(log.batches)) == (3, 2)
    assert log.find_time(0) == (3, TIME + 1)
    log.delete_before(1)
    assert log.start == 3


# Topics


def test_names_and_settings_of_topics() -> None:
    assert against_name("a.b_c-1") == ""
    assert all(against_name(name) for name in ("", ".", "..", "a/b", "é", "x" * 250))
    assert against_setting("cleanup.policy", "compact,delete") == ""
    assert against_setting("min.cleanable.dirty.ratio", "0.01") == ""
    for name, value in [
        ("cleanup.policy", "shred"),
        ("retention.ms", "soon"),
        ("preallocate", "perhaps"),
        ("no.such", "1"),
        ("retention.ms", None),
        ("segment.ms", "1.5"),
    ]:
        assert name in against_setting(name, value)
    topic = Topic(2, {"cleanup.policy": "compact"})
    assert (topic.compacted, topic.setting("segment.ms"), len(topic.partitions)) == (True, "604800000", 2)
    topic.compact()


# Groups


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def wants(*protocols: str, session: int = 6000) -> SimpleNamespace:
    items = [SimpleNamespace(name=name, metadata=name.encode()) for name in protocols]
    return SimpleNamespace(protocols=items, session_timeout=session, rebalance_timeout=500)


def member(group: Group, name: str, *protocols: str, instance: str | None = None) -> Member:
    request = wants(*(protocols or ("range",)))
    request.group_instance_id = instance
    found = Member(name, request, Caller(5, name, "/h"))
    group.members[name] = found
    return found


def test_two_members_of_a_group() -> None:
    async def play() -> None:
        group = Group("g")
        group.kind = "consumer"
        one, other = member(group, "one", "sticky", "range"), member(group, "other", "range")
        assert await asyncio.gather(group.join(one), group.join(other)) == [Code.NONE, Code.NONE]
        assert (group.generation, group.leader, group.protocol) == (1, "one", "range")
        assert [m["member_id"] for m in group.description(one)["members"]] == ["one", "other"]
        assert group.description(other)["members"] == []
        waits = asyncio.create_task(group.sync(other, {}))
        await asyncio.sleep(0)
        assert await group.sync(one, {"one": b"1", "other": b"2"}) == Code.NONE
        assert (await waits, one.assignment, other.assignment) == (Code.NONE, b"1", b"2")
        assert group.state is State.STABLE
        assert group.against(one, 0) == Code.ILLEGAL_GENERATION
        assert group.against(None, 1) == Code.UNKNOWN_MEMBER_ID
        assert group.remove("other")
        assert not group.remove("other")
        assert group.state is State.PREPARING
        assert await group.join(one) == Code.NONE
        assert group.generation == 2
        assert group.remove("one")
        assert (group.state, group.generation) == (State.EMPTY, 3)

    run(play())


def test_a_member_that_does_not_come_back_is_left_behind() -> None:
    async def play() -> None:
        group = Group("g")
        one, other = member(group, "one"), member(group, "other")
        await asyncio.gather(group.join(one), group.join(other))
        assert await group.join(one) == Code.NONE  # after the 500 ms that `other` has
        assert list(group.members) == ["one"]
        late = asyncio.create_task(group.join(one))
        await asyncio.sleep(0)
        one.seen -= 7
        group.expire(one.seen + 7)
        assert await late == Code.NONE  # who waits for us is alive
        group.expire(one.seen + 7)
        assert not group.members

    run(play())


def test_a_static_member_fences_its_predecessor() -> None:
    async def play() -> None:
        group = Group("g")
        old = member(group, "old", instance="i")
        await group.join(old)
        assert group.replace(old, "new").id == "new"
        assert (list(group.members), group.leader) == (["new"], "new")
        assert group.find("old", "i") == (None, Code.FENCED_INSTANCE_ID)
        assert group.find("old", None) == (None, Code.UNKNOWN_MEMBER_ID)
        assert group.find("new", "i") == (old, Code.NONE)
        assert not group.accepts("connect", ["range"])
        assert not group.accepts("", ["sticky"])

    run(play())


# The wire


def answer(connection: Connection, key: int, version: int, body: bytes) -> bytes | None:
    head = key.to_bytes(2, "big") + version.to_bytes(2, "big") + b"\0\0\0\x09" + b"\0\x02me"
    return run(connection.answer(head + body))


def test_nobody_is_served_without_a_login() -> None:
    connection = Connection(Broker("h", 1), Login("u", "p"), "/h")
    versions = answer(connection, 18, 0, b"")
    assert versions is not None
    assert versions[4:10] == b"\0\0\0\x09\0\0"
    unsupported = answer(connection, 18, 99, b"anything")
    assert unsupported is not None
    assert unsupported[8:10] == b"\0\x23"
    with pytest.raises(ConnectionError, match="without a login"):
        answer(connection, 3, 1, b"\xff\xff\xff\xff")
    with pytest.raises(ConnectionError, match="no version 99 of API 3"):
        answer(connection, 3, 99, b"")
    wrong = answer(connection, 17, 1, b"\0\x05GSSAP")
    assert wrong is not None
    assert wrong[8:10] == b"\0\x21"
    refused = answer(connection, 36, 1, b"\0\0\0\x04\0u\0x")
    assert refused is not None
    assert refused[8:10] == b"\0\x3a"
    with pytest.raises(ConnectionError):
        answer(connection, 3, 1, b"\xff\xff\xff\xff")
    assert answer(connection, 36, 1, b"\0\0\0\x04\0u\0p") is not None
    assert answer(connection, 3, 1, b"\xff\xff\xff\xff") is not None


@pytest.mark.parametrize(
    ("message", "good"), [(b"\0u\0p", True), (b"u\0u\0p", True), (b"\0u\0q", False), (b"\0v\0p", False), (b"up", False)]
)
def test_logins(message: bytes, good: bool) -> None:
    assert Login("u", "p").accepts(message) is good


def test_requests_of_flexible_versions_may_have_tags() -> None:
    message = b"\0\x1a\0\x03\0\0\0\x01\0\x02me" + b"\x01\x05\x02xx" + b"\x03tx" + bytes(8) + b"\0\0\x01\0"
    header = read_header(message)
    assert (header.key, header.version, header.client) == (26, 3, "me")
    request = read_request(header, message)
    assert (request.transactional_id, request.committed) == ("tx", True)


def test_responses_have_defaults_for_what_is_left_out() -> None:
    short = write_response(12, 0, 5, {"error_code": Code.REBALANCE_IN_PROGRESS})
    assert short == b"\0\0\0\x06" + b"\0\0\0\x05" + b"\0\x1b"
    assert milliseconds(5) == 5
    produced = {"index": 1, "base_offset": 2, "log_append_time": TIME}
    long = write_response(0, 9, 5, {"responses": [{"name": "t", "partition_responses": [produced]}]})
    assert TIME.to_bytes(8, "big") in long


def test_a_fenced_transaction() -> None:
    broker = Broker("h", 1)
    broker.topics["t"] = Topic(1, {})
    first = replace(broker.open_transactions("tx", 60))
    assert broker.against_producer(first.producer, 0, ("t", 0), transactional=True) == Code.INVALID_TXN_STATE
    transaction = broker.transactions["tx"]
    broker.begin(transaction)
    transaction.places.add(("t", 0))
    assert broker.against_producer(first.producer, 0, ("t", 0), transactional=True) == Code.NONE
    broker.topics["t"].partitions[0].append(batch((b"k", b"v"), producer=first.producer, attributes=0x10))
    second = broker.open_transactions("tx", 60)
    assert (second.producer, second.epoch, second.open) == (first.producer, 1, False)
    assert len(broker.topics["t"].partitions[0].aborted) == 1
    assert broker.against_producer(first.producer, 0, ("t", 0), transactional=True) == Code.INVALID_PRODUCER_EPOCH
    assert broker.against_producer(99, 0, ("t", 0), transactional=False) == Code.NONE
    second.epoch = 31_999
    assert broker.open_transactions("tx", 60).producer != first.producer
    broker.remove_topic("t")
    assert broker.partition("t", 0) is None
