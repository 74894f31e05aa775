"""Requests about the cluster and its topics."""
# ruff: noqa: ARG001 - all handlers have one signature

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .kafka_log import Partition
from .kafka_state import NODE, Broker
from .kafka_topics import DEFAULTS, Topic, against_name, against_setting
from .kafka_wire import Api, Caller, Code, Fields

_TOPIC, _BROKER = 2, 4
_FROM_TOPIC, _FROM_DEFAULT = 1, 5
_SET, _DELETE, _APPEND, _SUBTRACT = range(4)


async def metadata(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Where the partitions are: all of them here. A client may have topics made by asking for them."""
    if request.topics is None:
        names: list[str | None] = list(broker.topics)
    else:
        names = [_name(broker, topic) for topic in request.topics]
    topics = []
    for name in names:
        create = request.topics is not None and getattr(request, "allow_auto_topic_creation", True)
        if create and name and name not in broker.topics and not against_name(name):
            broker.topics[name] = Topic(broker.default_partitions, {})
        topics.append(_described(name, broker.topics.get(name or "")))
    return {
        "brokers": [broker.node()],
        "cluster_id": broker.cluster,
        "controller_id": NODE,
        "topics": topics,
    }


def _name(broker: Broker, topic: Any) -> str | None:
    if getattr(topic, "name", None) is not None:
        return str(topic.name)
    wanted = getattr(topic, "topic_id", None)
    return next((name for name, found in broker.topics.items() if found.id == wanted), None)


def _described(name: str | None, topic: Topic | None) -> Fields:
    if topic is None:
        bad = name is not None and against_name(name)
        code = Code.INVALID_TOPIC if bad else Code.UNKNOWN_TOPIC_OR_PARTITION if name else Code.UNKNOWN_TOPIC_ID
        return {"error_code": code, "name": name, "partitions": []}
    parts = [
        {"partition_index": index, "leader_id": NODE, "leader_epoch": 0, "replica_nodes": [NODE], "isr_nodes": [NODE]}
        for index in range(len(topic.partitions))
    ]
    return {"name": name, "topic_id": topic.id, "partitions": parts}


async def describe_cluster(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """One node."""
    return {"endpoint_type": 1, "cluster_id": broker.cluster, "controller_id": NODE, "brokers": [broker.node()]}


async def create_topics(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Create topics, or say why not."""
    answers = []
    for wanted in request.topics:
        count = len(wanted.assignments) or wanted.num_partitions
        count = broker.default_partitions if count == -1 else count
        settings = {item.name: item.value for item in wanted.configs if item.value is not None}
        code, text = _against_topic(broker, wanted, count)
        answer: Fields = {"name": wanted.name, "error_code": code, "error_message": text or None}
        answer |= {"num_partitions": -1, "replication_factor": -1, "configs": []}
        if not code:
            topic = Topic(count, settings)
            if not request.validate_only:
                broker.topics[wanted.name] = topic
                answer["topic_id"] = topic.id
            answer |= {"num_partitions": count, "replication_factor": 1, "configs": _settings(topic)}
        answers.append(answer)
    return {"topics": answers}


def _against_topic(broker: Broker, wanted: Any, count: int) -> tuple[Code, str]:
    if text := against_name(wanted.name):
        return Code.INVALID_TOPIC, text
    if wanted.name in broker.topics:
        return Code.TOPIC_ALREADY_EXISTS, f"Topic '{wanted.name}' already exists."
    if count < 1:
        return Code.INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value."
    if not wanted.assignments and wanted.replication_factor not in (-1, 1):
        text = f"Unable to replicate the partition {wanted.replication_factor} time(s): 1 broker is registered."
        return Code.INVALID_REPLICATION_FACTOR, text
    for item in wanted.configs:
        if text := against_setting(item.name, item.value):
            return Code.INVALID_CONFIG, text
    return Code.NONE, ""


async def delete_topics(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Delete topics by name or id."""
    answers = []
    named = getattr(request, "topics", None)
    for name in [_name(broker, topic) for topic in named] if named is not None else request.topic_names:
        topic = broker.topics.get(name or "")
        if topic is None or name is None:
            code = Code.UNKNOWN_TOPIC_OR_PARTITION if name else Code.UNKNOWN_TOPIC_ID
            answers.append({"name": name, "error_code": code})
            continue
        broker.remove_topic(name)
        answers.append({"name": name, "topic_id": topic.id})
    return {"responses": answers}


async def create_partitions(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Give topics more partitions."""
    answers = []
    for wanted in request.topics:
        topic = broker.topics.get(wanted.name)
        answer: Fields = {"name": wanted.name, "error_message": None}
        if topic is None:
            answer |= {"error_code": Code.UNKNOWN_TOPIC_OR_PARTITION}
        elif wanted.count <= (have := len(topic.partitions)):
            text = f"Topic {wanted.name} has {have} partition(s); {wanted.count} would not be an increase."
            answer |= {"error_code": Code.INVALID_PARTITIONS, "error_message": text}
        elif not request.validate_only:
            topic.partitions += [Partition() for _ in range(wanted.count - have)]
        answers.append(answer)
    return {"results": answers}


async def describe_settings(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """The settings of topics and of the broker."""
    answers = []
    for wanted in request.resources:
        topic = broker.topics.get(wanted.resource_name)
        answer: Fields = {"resource_type": wanted.resource_type, "resource_name": wanted.resource_name}
        answer |= {"error_message": None, "configs": []}
        if wanted.resource_type == _TOPIC and topic is not None:
            found = _settings(topic)
        elif wanted.resource_type == _BROKER:
            found = _broker_settings(broker)
        else:
            text = "" if wanted.resource_type == _TOPIC else "this broker knows settings of topics and of itself only"
            code = Code.UNKNOWN_TOPIC_OR_PARTITION if wanted.resource_type == _TOPIC else Code.INVALID_REQUEST
            answers.append(answer | {"error_code": code, "error_message": text})
            continue
        keys = wanted.configuration_keys
        answers.append(answer | {"configs": [item for item in found if keys is None or item["name"] in keys]})
    return {"results": answers}


def _settings(topic: Topic) -> list[Fields]:
    values = {**DEFAULTS, **topic.settings}
    own = topic.settings
    return [_setting(name, value, _FROM_TOPIC if name in own else _FROM_DEFAULT) for name, value in values.items()]


def _broker_settings(broker: Broker) -> list[Fields]:
    values: Mapping[str, str] = {
        "auto.create.topics.enable": "true",
        "broker.id": str(NODE),
        "default.replication.factor": "1",
        "message.max.bytes": DEFAULTS["max.message.bytes"],
        "num.partitions": str(broker.default_partitions),
    }
    return [_setting(name, value, _FROM_DEFAULT) for name, value in values.items()]


def _setting(name: str, value: str, source: int) -> Fields:
    return {"name": name, "value": value, "config_source": source, "synonyms": [], "config_type": 2}


async def alter_settings(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Replace all settings of topics."""
    answers = []
    for wanted in request.resources:
        changes = [(_SET, item.name, item.value) for item in wanted.configs]
        answers.append(_alter(broker, wanted, changes, keep=False, dry=request.validate_only))
    return {"responses": answers}


async def change_settings(broker: Broker, request: Any, caller: Caller) -> Fields | None:
    """Change single settings of topics."""
    answers = []
    for wanted in request.resources:
        changes = [(item.config_operation, item.name, item.value) for item in wanted.configs]
        answers.append(_alter(broker, wanted, changes, keep=True, dry=request.validate_only))
    return {"responses": answers}


def _alter(broker: Broker, wanted: Any, changes: list[tuple[int, str, str | None]], *, keep: bool, dry: bool) -> Fields:
    answer: Fields = {"resource_type": wanted.resource_type, "resource_name": wanted.resource_name}
    topic = broker.topics.get(wanted.resource_name)
    if wanted.resource_type != _TOPIC:
        return answer | {"error_code": Code.INVALID_REQUEST, "error_message": "only topics have settings to change"}
    if topic is None:
        return answer | {"error_code": Code.UNKNOWN_TOPIC_OR_PARTITION, "error_message": None}
    settings = dict(topic.settings) if keep else {}
    for operation, name, value in changes:
        if operation != _DELETE and (text := against_setting(name, value)):
            return answer | {"error_code": Code.INVALID_CONFIG, "error_message": text}
        _change(settings, operation, name, value or "")
    if not dry:
        topic.settings = settings
    return answer | {"error_message": None}


def _change(settings: dict[str, str], operation: int, name: str, value: str) -> None:
    old = [item for item in settings.get(name, DEFAULTS.get(name, "")).split(",") if item]
    if operation == _SET:
        settings[name] = value
    elif operation == _DELETE:
        settings.pop(name, None)
    elif operation == _APPEND:
        settings[name] = ",".join(dict.fromkeys((*old, *value.split(","))))
    elif operation == _SUBTRACT:
        settings[name] = ",".join(item for item in old if item not in value.split(","))


APIS = (
    Api(3, 1, 12, metadata),
    Api(19, 2, 7, create_topics),
    Api(20, 1, 6, delete_topics),
    Api(32, 1, 4, describe_settings),
    Api(33, 0, 2, alter_settings),
    Api(37, 0, 3, create_partitions),
    Api(44, 0, 1, change_settings),
    Api(60, 0, 1, describe_cluster),
)
