"""Kafka: the address, the events of a topic up to a bound, and the source: what the events of a topic leave."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from functools import cached_property
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from ...core.wire import Endpoint, Job
from ...errors import EngineFailed, UsageError, require
from .address import place, told
from .arrow import Batches, sliced, within
from .kafka_form import AvroForm, JsonForm, changes_of, columns_of, keys
from .ports import Extract
from .ties import cursor_value

TIMEOUT = 60.0
"""Seconds without any progress before an answer is given up."""
COLUMNS = "dpone_columns"
"""The topic of a namespace whose events tell the columns of its tables, where they are not in a registry."""

_AT_ONCE = 2_000
_PORT = 9092
_QUIET: Mapping[str, object] = MappingProxyType({"log_level": 0, "client.id": "dpone-native"})
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def part_key(key: str, number: int) -> bytes:
    """The key of the event with a part of what is said of `key`: a long text does not fit into one event."""
    return f"{key}\0{number}".encode() if number else key.encode()


class Broker:
    """The clients for an endpoint: admin, consumer and producer of confluent-kafka, and its registry client."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.kafka: Any = require("confluent_kafka", extra="kafka")
        self._admin_api: Any = require("confluent_kafka.admin", extra="kafka")
        self._settings = {**_settings(endpoint.url.get_secret_value()), **_QUIET}
        self._registry_url = _option(endpoint.url.get_secret_value(), "registry")
        self.where = place(endpoint)

    @property
    def avro(self) -> bool:
        """If events are Avro, with their schemas in a registry."""
        return bool(self._registry_url)

    @cached_property
    def admin(self) -> Any:
        """The client for topics and offsets."""
        return self._admin_api.AdminClient(self._settings)

    def close(self) -> None:
        """Close the registry's connections; those of the other clients end with them."""
        if "registry" in self.__dict__:
            self.registry.__exit__(None, None, None)
            del self.registry

    @cached_property
    def registry(self) -> Any:
        """The client of the Schema Registry."""
        module: Any = require("confluent_kafka.schema_registry", extra="kafka")
        parts = urlsplit(self._registry_url)
        found: dict[str, Any] = {"url": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"}
        if parts.username:
            found["basic.auth.user.info"] = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        if parts.scheme == "http":
            # There is no certificate to look at, and to read those of all authorities takes 40 ms for each client.
            found["ssl.ca.location"] = False
        return module.SchemaRegistryClient(found)

    def producer(self, transactional_id: str) -> Any:
        """A producer whose transactions end those that another one of this id has left open."""
        own = {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": 900_000,  # the most that brokers allow by default
            "partitioner": "murmur2_random",
            "linger.ms": 5,
        }
        return self.kafka.Producer({**self._settings, **own})

    def partitions(self, topic: str) -> int:
        """The number of its partitions; 0 if there is no such topic."""
        topics = self.admin.list_topics(timeout=TIMEOUT).topics
        return len(topics[topic].partitions) if topic in topics else 0

    def create(self, topic: str, *, partitions: int) -> None:
        """Create a compacted topic, unless it is there, and wait until it can be written."""
        if not self.partitions(topic):
            wanted = self._admin_api.NewTopic(topic, partitions, -1, config={"cleanup.policy": "compact"})
            try:
                self.admin.create_topics([wanted])[topic].result(TIMEOUT)
            except self.kafka.KafkaException as error:
                if error.args[0].code() != self.kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        deadline = time.monotonic() + TIMEOUT
        while not self.partitions(topic):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the topic {topic} was not there after {TIMEOUT:g} s")
            time.sleep(0.02)

    def ends(self, topic: str, *, isolation: str = "read_committed") -> dict[int, int]:
        """The last stable offset of each partition: what is behind it may yet be aborted. Uncommitted: its end."""
        spec = self._admin_api.OffsetSpec.latest()
        places = [self.kafka.TopicPartition(topic, number) for number in range(self.partitions(topic))]
        if not places:
            return {}
        level = self.kafka.IsolationLevel[isolation.upper()]
        deadline = time.monotonic() + TIMEOUT
        while True:
            found = self.admin.list_offsets(dict.fromkeys(places, spec), isolation_level=level)
            try:
                return {each.partition: future.result(TIMEOUT).offset for each, future in found.items()}
            except self.kafka.KafkaException as error:
                # a topic that is new has no leader for a moment, or the client knows one of a topic that is gone
                if error.args[0].code() not in self._leaderless or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    @property
    def _leaderless(self) -> tuple[int, ...]:
        codes = self.kafka.KafkaError
        return codes.NOT_LEADER_FOR_PARTITION, codes.LEADER_NOT_AVAILABLE, codes.UNKNOWN_LEADER_EPOCH

    def events(self, topic: str, ends: Mapping[int, int], *, isolation: str = "read_committed") -> Iterator[Any]:
        """The messages of each partition up to its end, in order within each partition."""
        wanted = {number: end for number, end in ends.items() if end > 0}
        if not wanted:
            return
        own = {
            "group.id": f"{topic}.reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "fetch.wait.max.ms": 10,
        }
        consumer = self.kafka.Consumer({**self._settings, **own})
        try:
            consumer.assign([self.kafka.TopicPartition(topic, number, 0) for number in wanted])
            yield from self._until(consumer, wanted)
        finally:
            consumer.close()

    def _until(self, consumer: Any, wanted: dict[int, int]) -> Iterator[Any]:
        heard = time.monotonic()
        while wanted:
            if time.monotonic() - heard > TIMEOUT:
                raise TimeoutError(f"no event came for {TIMEOUT:g} s, before the end of the topic")
            for message in consumer.consume(_AT_ONCE, 0.05):
                heard = time.monotonic()
                end = wanted.get(message.partition())
                error = message.error()
                if error is not None and error.code() != self.kafka.KafkaError._PARTITION_EOF:
                    raise self.kafka.KafkaException(error)
                if error is None and end is not None and message.offset() < end:
                    yield message
                if end is not None and message.offset() >= (end if error is not None else end - 1):
                    del wanted[message.partition()]

    def parts(self, topic: str, key: str) -> list[bytes]:
        """What was last said of `key` in a topic of one partition, in its parts (see `part_key`); none if nothing."""
        last = {message.key(): message.value() for message in self.events(topic, self.ends(topic))}
        parts: list[bytes] = []
        while (value := last.get(part_key(key, len(parts)))) is not None:
            parts.append(value)
        return parts

    def event_schema(self, namespace: str, table: str) -> Mapping[str, Any] | None:
        """The schema of the events of a table, from where its encoding keeps it; None if it is not there."""
        if not self.avro:
            parts = self.parts(f"{namespace}.{COLUMNS}", table)
            return _object(b"".join(parts)) if parts else None
        module: Any = require("confluent_kafka.schema_registry.error", extra="kafka")
        try:
            latest = self.registry.get_latest_version(f"{namespace}.{table}-value")
        except module.SchemaRegistryError as error:
            if error.http_status_code == 404:
                return None
            raise
        return _object(latest.schema.schema_str)

    def form(
        self, columns: pa.Schema, *, written: int = 0, told: Mapping[str, Any] | None = None
    ) -> AvroForm | JsonForm:
        """How rows with these columns are written and read; `told` is the schema of events that others have written."""
        changes = changes_of(told, avro=self.avro) if told else {}
        if not self.avro:
            return JsonForm(columns, changes=changes)
        return AvroForm(columns, lookup=self._registered, written=written, changes=changes)

    def _registered(self, number: int) -> Mapping[str, Any]:
        return _object(self.registry.get_schema(number).schema_str)


class Fold:
    """What events leave, on the disk: the last value of each key, in the order in which the keys came."""

    def __init__(self) -> None:
        # SQLite's temporary database: a file without a name, so that a kill leaves nothing.
        # It is read by the thread that reads ahead, never by two at once.
        self.db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = OFF")
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute("CREATE TABLE fold (key BLOB PRIMARY KEY, value BLOB)")

    def take(self, messages: Iterator[Any]) -> None:
        """Fold messages into it."""
        self.db.execute("BEGIN")
        for message in messages:
            if message.value() is None:
                self.db.execute("DELETE FROM fold WHERE key = ?", (message.key(),))
            else:
                self.db.execute("REPLACE INTO fold VALUES (?, ?)", (message.key(), message.value()))
        self.db.execute("COMMIT")

    def pairs(self, *, rows: int, only: list[bytes] | None = None) -> Iterator[list[tuple[bytes, bytes]]]:
        """The keys with their values, in lists of at most `rows`; of the keys `only`, if there are such."""
        found = self.db.execute("SELECT key, value FROM fold ORDER BY rowid")
        if only is not None:
            listed = json.dumps([key.hex().upper() for key in only])
            query = "SELECT key, value FROM fold WHERE hex(key) IN (SELECT value FROM json_each(?)) ORDER BY rowid"
            found = self.db.execute(query, (listed,))
        while some := found.fetchmany(rows):
            yield some

    def close(self) -> None:
        """Remove the file."""
        self.db.close()


class KafkaSource:
    """A topic up to its last stable offsets at the start, as a table; implements `Source`."""

    isolation = "read_committed"

    def __init__(self, job: Job) -> None:
        self._job = job
        self._endpoint = job.source
        self.topic = topic_of(job.source)
        self._fold: Fold | None = None
        with told(self._endpoint, "opening the source"), ExitStack() as opened:
            self.broker = opened.enter_context(closing(Broker(self._endpoint)))
            self.ends = self.broker.ends(self.topic)
            found = self.broker.event_schema(job.source.namespace, job.source.table)
            if not self.ends or found is None:
                raise EngineFailed(
                    f"there is no table at {self.broker.where}",
                    hint="a topic is a table if the schema of its events is known: see Tables in topics in the docs",
                )
            self.schema = columns_of(found, where=self.broker.where)
            self._form = self.broker.form(self.schema, told=found)
            opened.pop_all()

    def read(self, extract: Extract) -> Batches:
        """See `Source.read`."""
        floor = None
        if extract.since is not None:
            floor = cursor_value(extract.since, self.schema.field(self._job.cursor).type)
        with told(self._endpoint, "reading the source"):
            for pairs in self._folded().pairs(rows=self._job.batch_rows, only=_named(extract, self._job)):
                rows = self._form.batch([value for _, value in pairs])
                if floor is not None:
                    rows = rows.filter(pc.greater_equal(rows.column(self._job.cursor), floor))
                yield from sliced(iter([within(rows, extract.days, self._job.partition)]), rows=self._job.batch_rows)

    def close(self) -> None:
        """See `Source.close`."""
        self.broker.close()
        if self._fold is not None:
            self._fold.close()
            self._fold = None

    def _folded(self) -> Fold:
        if self._fold is None:
            self._fold = Fold()
            self._fold.take(self.broker.events(self.topic, self.ends, isolation=self.isolation))
        return self._fold


def _named(extract: Extract, job: Job) -> list[bytes] | None:
    """The keys that an extract names."""
    if extract.keys is None:
        return None
    return [key for batch in extract.keys.to_batches() for key in keys(batch, job.key)]


def topic_of(endpoint: Endpoint) -> str:
    """The topic of a table; raises `UsageError` for a name that Kafka can't have."""
    name = f"{endpoint.namespace}.{endpoint.table}"
    if not _TOPIC.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be a topic", hint="use 1 to 249 letters, digits, dots, underscores and hyphens"
        )
    return name


def _settings(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    login, _, servers = parts.netloc.rpartition("@")
    hosts = [host if re.search(r":\d+$", host) else f"{host}:{_PORT}" for host in servers.split(",")]
    user, _, password = login.partition(":")
    protocol = ("SASL_" if user else "") + ("SSL" if parts.scheme == "kafkas" else "PLAINTEXT")
    found: dict[str, object] = {"bootstrap.servers": ",".join(hosts), "security.protocol": protocol}
    if user:
        found["sasl.mechanism"] = (_option(url, "sasl") or "plain").upper()
        found["sasl.username"], found["sasl.password"] = unquote(user), unquote(password)
    if authorities := _option(url, "ca"):
        found["ssl.ca.location"] = authorities
    return found


def _option(url: str, name: str) -> str:
    return parse_qs(urlsplit(url).query).get(name, [""])[-1]


def _object(text: str | bytes) -> Mapping[str, Any]:
    found = json.loads(text)
    return found if isinstance(found, dict) else {}
