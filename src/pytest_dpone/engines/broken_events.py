"""The parts of which Kafka's mutants are made: what the native engine sends or reads, broken in one way each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from ..core.wire import Job
from .native import NativeEngine, Seams, Sink, Source
from .native.kafka import TIMEOUT, KafkaSource
from .native.kafka_sink import Event, KafkaSink

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


def last_twice(sink: KafkaSink, events: Events) -> Events:
    """The last event comes again after the commit, as by a producer that tries again."""
    last: Event | None = None
    for last in events:
        yield last
    if last is not None:
        _commit(sink)
        yield last


def half_first(sink: KafkaSink, events: Events) -> Events:
    """Half of the events are committed by themselves, and the other half a while later."""
    every = list(events)
    half = len(every) // 2
    yield from every[:half]
    if half:
        _commit(sink)
        time.sleep(_PAUSE)
    yield from every[half:]


def text_keys(_sink: KafkaSink, events: Events) -> Events:
    """Keys whose numbers have become texts."""
    for event in events:
        parts = {name: str(value) for name, value in json.loads(event.key).items()}
        yield replace(event, key=json.dumps(parts, separators=(",", ":")).encode())


def reading(*, past_stable: bool) -> NativeEngine:
    """The native engine that reads aborted events; `past_stable`: and those of transactions that are open, too."""

    def careless(_job: Job, source: Source) -> Source:
        assert isinstance(source, KafkaSource)
        source.isolation = "read_uncommitted"
        if past_stable:
            source.ends = source.broker.ends(source.topic, isolation=source.isolation)
        return source

    return NativeEngine(Seams(source=careless))


def _commit(sink: KafkaSink) -> None:
    sink.producer.commit_transaction(TIMEOUT)
    sink.producer.begin_transaction()
