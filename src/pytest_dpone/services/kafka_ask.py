"""Questions to a Kafka server: who it is, and whether messages really pass through it."""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..errors import ServiceFailed, require
from .kafka_address import KafkaAddress, client_settings, parse_address

STAND_IN = "pytest-dpone broker"
STAND_IN_CLUSTER = "pytest-dpone-"
"""Cluster ids of our stand-in begin so."""
EMULATED = (
    "Kafka protocol by a broker of our own: one node, in memory; no durability, replication, retention, quotas, ACLs, "
    "TLS, SCRAM, client metrics or share groups; administration of topics and groups only; "
    "consumer groups of the classic protocol only; log compaction without segments"
)
PRODUCT = "Apache Kafka"
_QUIET: Mapping[str, object] = MappingProxyType(
    {"log_level": 0, "client.id": "pytest-dpone", "socket.timeout.ms": 10_000, "reconnect.backoff.max.ms": 200}
)
_API_VERSIONS = 18
_FEATURE = "metadata.version"
_RELEASES = (
    *((1, "3.0"), (2, "3.1"), (3, "3.2"), (7, "3.3"), (8, "3.4"), (11, "3.5"), (14, "3.6"), (19, "3.7"), (20, "3.8")),
    *((21, "3.9"), (25, "4.0"), (27, "4.1"), (29, "4.2"), (30, "4.3")),
)
"""(highest level of `metadata.version` that a release supports, release)"""


def ask_kafka(url: str, timeout: float) -> tuple[str, str, str]:
    """(product, version, what is emulated) of the server, asked with its credentials.

    Raises `ServiceFailed` if it refuses, OSError if it can't be reached. The text holds no password.
    """
    address = parse_address(url)
    features = _features(address, timeout)
    cluster = _cluster_id(url, timeout)
    if cluster.startswith(STAND_IN_CLUSTER):
        return STAND_IN, _own_version(), EMULATED
    return PRODUCT, release(features.get(_FEATURE, 0)), ""


def prove_kafka(url: str, timeout: float) -> None:
    """Send a message through a topic of its own, and read it in a group; topic and group are removed.

    For servers that we have started: it makes them set up what the first user would have to wait for.
    """
    kafka: Any = require("confluent_kafka", extra="kafka")
    admin_module: Any = require("confluent_kafka.admin", extra="kafka")
    name = f"dpone-ready-{secrets.token_hex(4)}"
    settings = {**client_settings(url), **_QUIET}
    admin = admin_module.AdminClient(settings)
    try:
        admin.create_topics([admin_module.NewTopic(name, 1, 1)])[name].result(timeout)
        send(kafka.Producer(settings), name, timeout)
        consumer = kafka.Consumer({**settings, "group.id": name, "auto.offset.reset": "earliest"})
        try:
            consumer.subscribe([name])
            receive(consumer, name, timeout)
        finally:
            consumer.close()
        with contextlib.suppress(kafka.KafkaException):
            admin.delete_consumer_groups([name])[name].result(timeout)
        admin.delete_topics([name])[name].result(timeout)
    except kafka.KafkaException as error:
        raise ServiceFailed(f"no message passes through it: {error.args[0]}", hint="see its log") from None


def release(level: int) -> str:
    """The release whose highest `metadata.version` is `level`; it tells no third number."""
    if level <= 0:
        return "unknown"
    return next((name for highest, name in _RELEASES if level <= highest), f"newer than {_RELEASES[-1][1]}")


def send(producer: Any, topic: str, timeout: float) -> None:
    """Send a message and wait until it is taken; raises the broker's error, or `ServiceFailed` without an answer."""
    failures: list[Any] = []
    producer.produce(
        topic, b"ready", key=b"dpone", on_delivery=lambda error, _: failures.append(error) if error else None
    )
    unsent = producer.flush(timeout)
    if failures:
        kafka: Any = require("confluent_kafka", extra="kafka")
        raise kafka.KafkaException(failures[0])
    if unsent:
        raise ServiceFailed(f"a message was not taken within {timeout:g} s", hint="see its log")


def receive(consumer: Any, topic: str, timeout: float) -> None:
    """Wait for the message of `send`; raises the broker's error, or `ServiceFailed` if it does not come."""
    kafka: Any = require("confluent_kafka", extra="kafka")
    deadline = time.monotonic() + timeout
    refused = (kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED, kafka.KafkaError.GROUP_AUTHORIZATION_FAILED)
    while time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error() is None and message.value() == b"ready":
            return
        if message.error() is not None and message.error().code() in refused:
            raise kafka.KafkaException(message.error())
    raise ServiceFailed(f"a message was taken, but did not come back from {topic}", hint="see its log")


def _cluster_id(url: str, timeout: float) -> str:
    kafka: Any = require("confluent_kafka", extra="kafka")
    admin_module: Any = require("confluent_kafka.admin", extra="kafka")
    refusals: list[str] = []

    def hear(error: Any) -> None:
        if error.code() in (kafka.KafkaError._AUTHENTICATION, kafka.KafkaError.SASL_AUTHENTICATION_FAILED):
            refusals.append(error.str())

    admin = admin_module.AdminClient({**client_settings(url), **_QUIET, "error_cb": hear})
    deadline = time.monotonic() + timeout
    while True:
        try:
            return str(admin.list_topics(timeout=min(0.5, timeout)).cluster_id or "")
        except kafka.KafkaException as error:
            last = error.args[0].str()
        admin.poll(0)
        if refusals:
            raise ServiceFailed(
                _without_prefix(refusals[0]), hint="check the user name and the password in the address"
            )
        if time.monotonic() > deadline:
            hint = "check the address, the kind of SASL (?sasl=…) and whether it needs TLS (kafkas://)"
            raise ServiceFailed(f"no answer to a question about its topics: {last}", hint=hint)


def _without_prefix(text: str) -> str:
    """librdkafka's error behind the broker's address, in whatever form that stands in front."""
    return re.sub(r"^(?:\[[^]]*\]: )?\S+://\S+: ", "", text)


def _features(address: KafkaAddress, timeout: float) -> dict[str, int]:
    """Feature → highest level that the server supports, from its API versions, which it tells to everybody."""
    error: OSError | None = None
    for server in address.servers:
        try:
            with socket.create_connection(server, timeout) as plain:
                return _ask_versions(_secured(plain, server[0], address), timeout)
        except OSError as failed:
            error = failed
    raise error or OSError("the address names no server")


def _secured(plain: socket.socket, host: str, address: KafkaAddress) -> socket.socket:
    if not address.secure:
        return plain
    context = ssl.create_default_context(cafile=address.authorities or None)
    return context.wrap_socket(plain, server_hostname=host)


def _ask_versions(connection: socket.socket, timeout: float) -> dict[str, int]:
    connection.settimeout(timeout)
    name = b"pytest-dpone"
    head = struct.pack(">hhih", _API_VERSIONS, 3, 1, len(name)) + name + b"\0"
    body = b"".join(bytes([len(text) + 1]) + text for text in (name, b"1")) + b"\0"
    connection.sendall(struct.pack(">i", len(head + body)) + head + body)
    length = int.from_bytes(_exactly(connection, 4), "big")
    if not 10 <= length <= 1 << 20:
        raise ServiceFailed(
            "that is not Kafka's protocol", hint="is this Kafka's port, and does it need TLS (kafkas://)?"
        )
    return read_features(_exactly(connection, length))


def read_features(answer: bytes) -> dict[str, int]:
    """The supported features in a response to ApiVersions of version 3; none in an older one."""
    error = int.from_bytes(answer[4:6], "big")
    if error:
        return {}  # it is too old to know this version of the question
    count, position = _number(answer, 6)
    for _ in range(count - 1):
        _, position = _number(answer, position + 6)  # three numbers, then no tagged fields
    tags, position = _number(answer, position + 4)  # behind the throttle time
    features: dict[str, int] = {}
    for _ in range(tags):
        tag, position = _number(answer, position)
        length, position = _number(answer, position)
        if tag == 0:
            features = _supported(answer, position)
        position += length
    return features


def _supported(answer: bytes, position: int) -> dict[str, int]:
    features = {}
    count, position = _number(answer, position)
    for _ in range(count - 1):
        length, position = _number(answer, position)
        name = answer[position : position + length - 1].decode()
        position += length - 1
        features[name] = int.from_bytes(answer[position + 2 : position + 4], "big")
        _, position = _number(answer, position + 4)
    return features


def _number(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionError("the connection was closed")
        data += more
    return data


def _own_version() -> str:
    from importlib.metadata import version

    return version("pytest-dpone")
