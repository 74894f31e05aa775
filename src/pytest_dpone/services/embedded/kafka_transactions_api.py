"""Requests of producers about their identity and their transactions."""
# ruff: noqa: ARG001 - all handlers have one signature

from __future__ import annotations

from typing import Any

from .kafka_groups_api import noted
from .kafka_state import Broker, Transaction
from .kafka_wire import Api, Caller, Code, Fields, milliseconds


async def init_producer(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """A producer id and epoch. With a transactional id, producers that had it before are fenced."""
    if not request.transactional_id:
        return {"producer_id": broker.new_producer(), "producer_epoch": 0}
    known = broker.transactions.get(request.transactional_id)
    claimed = getattr(request, "producer_id", -1)
    if claimed != -1 and (known is None or (known.producer, known.epoch) != (claimed, request.producer_epoch)):
        return {"error_code": Code.PRODUCER_FENCED, "producer_id": -1, "producer_epoch": -1}
    timeout = milliseconds(request.transaction_timeout) / 1000
    opened = broker.open_transactions(request.transactional_id, timeout)
    return {"producer_id": opened.producer, "producer_epoch": opened.epoch}


async def add_partitions(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Partitions that the transaction is going to write to."""
    transaction, code = _find(
        broker,
        request.v3_and_below_transactional_id,
        (request.v3_and_below_producer_id, request.v3_and_below_producer_epoch),
        caller,
    )
    places = [(topic.name, index) for topic in request.v3_and_below_topics for index in topic.partitions]
    absent = {place for place in places if broker.partition(*place) is None}
    if transaction is not None and not code and not absent:
        broker.begin(transaction)
        transaction.places.update(places)
    topics = []
    for topic in request.v3_and_below_topics:
        parts = []
        for index in topic.partitions:
            error = code or (Code.UNKNOWN_TOPIC_OR_PARTITION if (topic.name, index) in absent else Code.NONE)
            parts.append({"partition_index": index, "partition_error_code": error})
        topics.append({"name": topic.name, "results_by_partition": parts})
    return {"results_by_topic_v3_and_below": topics}


async def add_offsets(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """A group whose offsets the transaction is going to commit."""
    who = (request.producer_id, request.producer_epoch)
    transaction, code = _find(broker, request.transactional_id, who, caller)
    if transaction is not None and not code:
        broker.begin(transaction)
        transaction.groups.add(request.group_id)
    return {"error_code": code}


async def commit_offsets(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Offsets that count when the transaction is committed."""
    who = (request.producer_id, request.producer_epoch)
    transaction, code = _find(broker, request.transactional_id, who, caller)
    group = broker.group(request.group_id)
    if not code and transaction is not None and not (transaction.open and request.group_id in transaction.groups):
        code = Code.INVALID_TXN_STATE
    generation = getattr(request, "generation_id", -1)
    if not code and generation >= 0:
        member, code = group.find(request.member_id, getattr(request, "group_instance_id", None))
        code = code or group.against(member, generation)
    topics = []
    for topic in request.topics:
        parts = []
        for part in topic.partitions:
            if not code:
                offsets = group.pending.setdefault(request.producer_id, {})
                offsets[topic.name, part.partition_index] = noted(part)
            parts.append({"partition_index": part.partition_index, "error_code": code})
        topics.append({"name": topic.name, "partitions": parts})
    return {"topics": topics}


async def end_transaction(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Commit or abort. The same end may be asked for twice, another one not."""
    who = (request.producer_id, request.producer_epoch)
    transaction, code = _find(broker, request.transactional_id, who, caller)
    if transaction is not None and not code:
        if transaction.open:
            broker.end(transaction, commit=request.committed)
        elif transaction.ended != ("commit" if request.committed else "abort"):
            code = Code.INVALID_TXN_STATE
    return {"error_code": code}


def _find(broker: Broker, name: str, who: tuple[int, int], caller: Caller) -> tuple[Transaction | None, Code]:
    """The producer's transaction, and why it may not go on with it."""
    found = broker.transactions.get(name)
    if found is None or found.producer != who[0]:
        return None, Code.INVALID_PRODUCER_ID_MAPPING
    if found.epoch != who[1]:
        return found, Code.INVALID_PRODUCER_EPOCH if caller.version < 2 else Code.PRODUCER_FENCED
    return found, Code.NONE


APIS = (
    Api(22, 0, 4, init_producer),
    Api(24, 0, 3, add_partitions),
    Api(25, 0, 3, add_offsets),
    Api(26, 0, 3, end_transaction),
    Api(28, 0, 3, commit_offsets),
)
