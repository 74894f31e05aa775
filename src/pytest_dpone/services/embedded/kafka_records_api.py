"""Requests about records: produce, fetch, offsets by time, deletion of old records."""
# ruff: noqa: ARG001 - all handlers have one signature

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from .kafka_batch import Batch, ChecksumError, InvalidBatchError, parse, stamp
from .kafka_log import Partition
from .kafka_state import Broker, now_ms
from .kafka_topics import Topic
from .kafka_wire import Api, Caller, Code, Fields, milliseconds

_LATEST, _EARLIEST, _MAX_TIME, _EARLIEST_LOCAL = -1, -2, -3, -4
_READ_COMMITTED = 1
_NOT_KNOWN: Fields = {"error_code": Code.UNKNOWN_TOPIC_OR_PARTITION}


async def produce(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Append one batch per partition."""
    topics = [
        {
            "name": topic.name,
            "partition_responses": [_append(broker, topic.name, part) for part in topic.partition_data],
        }
        for topic in request.topic_data
    ]
    return None if request.acks == 0 else {"responses": topics}


def _append(broker: Broker, name: str, part: Any) -> Fields:
    topic, partition = broker.topics.get(name), broker.partition(name, part.index)
    answer: Fields = {"index": part.index, "base_offset": -1, "log_append_time": -1}
    if topic is None or partition is None:
        return answer | _NOT_KNOWN
    try:
        batch = parse(part.records or b"")
    except InvalidBatchError as error:
        damaged = isinstance(error, ChecksumError)
        return answer | {"error_code": Code.CORRUPT_MESSAGE if damaged else Code.INVALID_RECORD}
    code, text = _against(topic, batch)
    code = code or broker.against_producer(
        batch.producer, batch.epoch, (name, part.index), transactional=batch.transactional
    )
    if code:
        return answer | {"error_code": code, "error_message": text}
    if topic.setting("message.timestamp.type") == "LogAppendTime":
        batch = stamp(batch, now_ms())
        answer["log_append_time"] = batch.max_time
    code, base = partition.append(batch)
    return answer | {"error_code": code, "base_offset": base, "log_start_offset": partition.start}


def _against(topic: Topic, batch: Batch) -> tuple[Code, str | None]:
    """Why `topic` does not take the batch: (error, text); no error if it does."""
    if len(batch.data) > int(topic.setting("max.message.bytes")):
        return Code.MESSAGE_TOO_LARGE, None
    ahead = batch.max_time - now_ms()
    if ahead > int(topic.setting("message.timestamp.after.max.ms")) and (
        topic.setting("message.timestamp.type") == "CreateTime"
    ):
        return Code.INVALID_TIMESTAMP, "One or more records have been rejected due to invalid timestamp"
    if topic.compacted and any(record.key is None for record in batch.records()):
        return Code.INVALID_RECORD, "Compacted topic cannot accept message without key"
    return Code.NONE, None


async def fetch(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Give batches as soon as there are `min_bytes` of them, an error, or no time left."""
    deadline = time.monotonic() + milliseconds(request.max_wait) / 1000
    news = asyncio.Event()
    partitions = [found for _, _, found in _wanted(broker, request) if found is not None]
    for partition in partitions:
        partition.waiting.add(news)
    try:
        while True:
            news.clear()
            topics, size, failed = _collect(broker, request)
            left = deadline - time.monotonic()
            if size >= request.min_bytes or failed or left <= 0:
                return {"responses": topics, "session_id": 0}
            try:
                async with asyncio.timeout(left):
                    await news.wait()
            except TimeoutError:
                pass
    finally:
        for partition in partitions:
            partition.waiting.discard(news)


def _wanted(broker: Broker, request: Any) -> Iterator[tuple[Any, Any, Partition | None]]:
    for topic in request.topics:
        for part in topic.partitions:
            yield topic, part, broker.partition(topic.topic, part.partition)


def _collect(broker: Broker, request: Any) -> tuple[list[Fields], int, bool]:
    """(topics of the response, bytes of all batches, if any partition has an error)."""
    topics: list[Fields] = []
    size = 0
    failed = False
    for topic, part, partition in _wanted(broker, request):
        if not topics or topics[-1]["topic"] != topic.topic:
            topics.append({"topic": topic.topic, "partitions": []})
        committed = request.isolation_level == _READ_COMMITTED
        left = min(part.partition_max_bytes, request.max_bytes - size)
        answer = _read(partition, part, left, committed=committed, first=size == 0)
        failed = failed or bool(answer["error_code"])
        size += len(answer["records"])
        topics[-1]["partitions"].append(answer)
    return topics, size, failed


def _read(partition: Partition | None, part: Any, limit: int, *, committed: bool, first: bool) -> Fields:
    answer: Fields = {"partition_index": part.partition, "high_watermark": -1, "records": b""}
    if partition is None:
        return answer | _NOT_KNOWN | {"aborted_transactions": None}
    answer |= {
        "error_code": Code.NONE,
        "high_watermark": partition.end,
        "last_stable_offset": partition.stable,
        "log_start_offset": partition.start,
        "aborted_transactions": None,
    }
    offset = part.fetch_offset
    if not partition.start <= offset <= partition.end:
        return answer | {"error_code": Code.OFFSET_OUT_OF_RANGE}
    below = partition.stable if committed else partition.end
    if offset < below:
        answer["records"] = partition.read(offset, limit, below, at_least_one=first)
    if committed:
        aborted = partition.aborted_from(offset)
        answer["aborted_transactions"] = [
            {"producer_id": item.producer, "first_offset": item.first} for item in aborted
        ]
    return answer


async def list_offsets(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """The first and last offsets, or the first one that is not older than a time."""
    committed = getattr(request, "isolation_level", 0) == _READ_COMMITTED
    topics = []
    for topic in request.topics:
        parts = []
        for part in topic.partitions:
            answer: Fields = {"partition_index": part.partition_index, "timestamp": -1, "offset": -1, "leader_epoch": 0}
            partition = broker.partition(topic.name, part.partition_index)
            if partition is None:
                answer |= _NOT_KNOWN
            else:
                offset, when = _offset_at(partition, part.timestamp, committed=committed)
                answer |= {"offset": offset, "timestamp": when}
            parts.append(answer)
        topics.append({"name": topic.name, "partitions": parts})
    return {"topics": topics}


def _offset_at(partition: Partition, when: int, *, committed: bool) -> tuple[int, int]:
    if when == _LATEST:
        return (partition.stable if committed else partition.end), -1
    if when in (_EARLIEST, _EARLIEST_LOCAL):
        return partition.start, -1
    return partition.find_latest_time() if when == _MAX_TIME else partition.find_time(when)


async def offsets_of_epochs(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Where leader epochs end: there is one, so at the end of the log."""
    topics = []
    for topic in request.topics:
        parts: list[Fields] = []
        for part in topic.partitions:
            partition = broker.partition(topic.topic, part.partition)
            end = _NOT_KNOWN if partition is None else {"leader_epoch": 0, "end_offset": partition.end}
            parts.append({"partition": part.partition, **end})
        topics.append({"topic": topic.topic, "partitions": parts})
    return {"topics": topics}


async def delete_records(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Move the start of partitions; -1 means to their end."""
    topics = []
    for topic in request.topics:
        parts = []
        for part in topic.partitions:
            answer: Fields = {"partition_index": part.partition_index, "low_watermark": -1}
            partition = broker.partition(topic.name, part.partition_index)
            if partition is None:
                answer |= _NOT_KNOWN
            else:
                offset = partition.end if part.offset == -1 else part.offset
                if 0 <= offset <= partition.end:
                    partition.delete_before(offset)
                    answer["low_watermark"] = partition.start
                else:
                    answer["error_code"] = Code.OFFSET_OUT_OF_RANGE
            parts.append(answer)
        topics.append({"name": topic.name, "partitions": parts})
    return {"topics": topics}


APIS = (
    Api(0, 3, 11, produce),
    Api(1, 4, 12, fetch),
    Api(2, 1, 7, list_offsets),
    Api(21, 0, 2, delete_records),
    Api(23, 2, 4, offsets_of_epochs),
)
"""Fetch ends at 12 and Produce at 11: later ones name topics by id, or change how transactions begin."""
