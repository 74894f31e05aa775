"""The parts of which Kafka's mutants are made: what the native engine sends or reads, broken in one way each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import pyarrow as pa

from ....core.wire import Job
from ...native import Counts, NativeEngine, Seams, Sink, Source, State
from ...native.kafka import TIMEOUT, KafkaSource
from ...native.kafka_sink import PARTITIONS, Event, KafkaSink, _digest
from .passing import PassingSink

Events: TypeAlias = Iterator[Event]
_PAUSE = 0.5
"""Seconds in which a reader who polls must get a look in."""


def sending(change: Callable[[KafkaSink, Events], Events]) -> NativeEngine:
    """The native engine that sends what `change` makes of the events of a load."""

    def tapped(_job: Job, sink: Sink) -> Sink:
        assert isinstance(sink, KafkaSink)
        sink.tap = partial(change, sink)
        return sink

    return NativeEngine(Seams(sink=tapped))


def without_tombstones(_sink: KafkaSink, events: Events) -> Events:
    """Rows only."""
    return (event for event in events if event.data is not None)


def half_first(sink: KafkaSink, events: Events) -> Events:
    """What is sent first is committed by itself, and the rest a while later."""
    yield from events
    if not sink.__dict__.get("halved"):
        sink.__dict__["halved"] = True
        sink.producer.commit_transaction(TIMEOUT)
        time.sleep(_PAUSE)
        sink.producer.begin_transaction()


def escaped_keys(_sink: KafkaSink, events: Events) -> Events:
    """Keys of ASCII alone: to JSON they mean the same, to a topic they are other keys."""
    for event in events:
        yield replace(event, key=json.dumps(json.loads(event.key), separators=(",", ":")).encode())


def first_parts(_sink: KafkaSink, events: Events) -> Events:
    """Keys of one column."""
    for event in events:
        first = dict(list(json.loads(event.key).items())[:1])
        yield replace(event, key=json.dumps(first, ensure_ascii=False, separators=(",", ":")).encode())


def last_again(_sink: KafkaSink, events: Events) -> Events:
    """The last row once more, as an update."""
    last = None
    for last in events:
        yield last
    if last is not None and last.data is not None:
        yield replace(last, op="update")


def all_inserts(_sink: KafkaSink, events: Events) -> Events:
    """Updates under another name."""
    return (replace(event, op="insert") if event.op == "update" else event for event in events)


class _Elsewhere:
    """A producer that sends to the last partition while `on`."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.on = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def produce(self, *event: Any, **more: Any) -> None:
        """To a partition that the key did not choose."""
        self._inner.produce(*event, **more, **({"partition": PARTITIONS - 1} if self.on else {}))


def elsewhere(sink: KafkaSink, events: Events) -> Events:
    """Rows that did not change are sent again to the last partition: whatever is read last, the table is the same."""
    if not isinstance(sink.producer, _Elsewhere):
        sink.producer = _Elsewhere(sink.producer)
    for event in events:
        known = sink._fold.db.execute("SELECT value FROM fold WHERE key = ?", (event.key,)).fetchone()
        sink.producer.on = known is not None and event.data is not None and known[0] == _digest(event.data)
        yield event
        sink.producer.on = False


def reading(*, past_stable: bool) -> NativeEngine:
    """The native engine that reads aborted events; `past_stable`: and those of transactions that are open, too."""

    def careless(_job: Job, source: Source) -> Source:
        assert isinstance(source, KafkaSource)
        source.isolation = "read_uncommitted"
        if past_stable:
            source.ends = source.broker.ends(source.topic, isolation=source.isolation)
        return source

    return NativeEngine(Seams(source=careless))


class SendsTwice(PassingSink):
    """Sends the last event again after the commit, as a producer that tries again without a sequence."""

    def __init__(self, job: Job, inner: Sink) -> None:
        super().__init__(job, inner)
        assert isinstance(inner, KafkaSink)
        self._topic = inner
        self._last: Event | None = None
        inner.tap = self._remembered

    def merge(self, state: State | None, *, delete: bool, gone: pa.Table | None = None) -> Counts:
        """And once more."""
        counts = self._topic.merge(state, delete=delete, gone=gone)
        if self._last is not None:
            self._topic.producer.begin_transaction()
            self._topic.produce(self._last)
            self._topic.producer.commit_transaction(TIMEOUT)
        return counts

    def _remembered(self, events: Events) -> Events:
        for self._last in events:
            yield self._last
