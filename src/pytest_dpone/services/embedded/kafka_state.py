"""What the broker knows: topics, groups, producers and their transactions."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from dataclasses import dataclass, field

from .kafka_groups import Group, Place
from .kafka_log import Partition
from .kafka_topics import Topic
from .kafka_wire import Code, Fields

NODE = 1
CLUSTER_PREFIX = "pytest-dpone-"
"""A cluster's id says who we are; the part behind it is random."""
_TICK = 0.25
"""Seconds between looks at groups and transactions."""
_COMPACT_EVERY = 4
"""Ticks."""
_LAST_EPOCH = 32_000


@dataclass
class Transaction:
    """A transactional producer: the latest epoch is the one that may write."""

    producer: int
    epoch: int = 0
    timeout: float = 60.0
    ended: str = ""
    """How the latest transaction ended: `commit`, `abort`, or empty for none."""
    open: bool = False
    started: float = 0.0
    places: set[Place] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)


class Broker:
    """The one node. All of it lives in one event loop, so nothing is locked."""

    def __init__(self, host: str, port: int, *, partitions: int = 1) -> None:
        """`partitions` is what a topic has that does not say how many."""
        self.host = host
        self.port = port
        self.default_partitions = partitions
        self.cluster = CLUSTER_PREFIX + base64.urlsafe_b64encode(os.urandom(6)).decode()
        self.topics: dict[str, Topic] = {}
        self.groups: dict[str, Group] = {}
        self.transactions: dict[str, Transaction] = {}
        self._of_producer: dict[int, Transaction] = {}
        self._producers = 0

    def partition(self, topic: str, index: int) -> Partition | None:
        """The partition, if there is one."""
        found = self.topics.get(topic)
        return found.partitions[index] if found is not None and 0 <= index < len(found.partitions) else None

    def group(self, name: str) -> Group:
        """The group, which is there as soon as somebody names it."""
        return self.groups.setdefault(name, Group(name))

    def node(self) -> Fields:
        """How a response names us."""
        return {"node_id": NODE, "broker_id": NODE, "host": self.host, "port": self.port}

    def remove_topic(self, name: str) -> None:
        """Delete a topic, and what groups and transactions have noted about it."""
        topic = self.topics.pop(name)
        for partition in topic.partitions:
            partition.wake()
        for group in self.groups.values():
            for notes in (group.offsets, *group.pending.values()):
                for place in [place for place in notes if place[0] == name]:
                    del notes[place]
        for transaction in self.transactions.values():
            transaction.places = {place for place in transaction.places if place[0] != name}

    def new_producer(self) -> int:
        """A producer id that nobody had before."""
        self._producers += 1
        return self._producers

    def open_transactions(self, name: str, timeout: float) -> Transaction:
        """Make its caller the only producer of that transactional id; what an older one left open is aborted."""
        found = self.transactions.get(name)
        if found is None:
            found = self.transactions[name] = Transaction(self.new_producer())
        else:
            found.epoch += 1
            if found.open:
                self.end(found, commit=False)
        if found.epoch >= _LAST_EPOCH:
            del self._of_producer[found.producer]
            found.producer, found.epoch = self.new_producer(), 0
        self._of_producer[found.producer] = found
        found.timeout, found.ended = timeout, ""
        return found

    def against_producer(self, producer: int, epoch: int, place: Place, *, transactional: bool) -> Code:
        """Why a batch of this producer can't be stored, or no error."""
        found = self._of_producer.get(producer)
        if found is None:
            return Code.INVALID_PRODUCER_ID_MAPPING if transactional else Code.NONE
        if epoch < found.epoch:
            return Code.INVALID_PRODUCER_EPOCH
        if transactional and not (found.open and place in found.places):
            return Code.INVALID_TXN_STATE
        return Code.NONE

    def begin(self, transaction: Transaction) -> None:
        """A transaction begins with the first partition or group that it touches."""
        if not transaction.open:
            transaction.open, transaction.started = True, time.monotonic()

    def end(self, transaction: Transaction, *, commit: bool) -> None:
        """Write the markers, and let the offsets count or not."""
        now = now_ms()
        for topic, index in sorted(transaction.places):
            if (partition := self.partition(topic, index)) is not None:
                partition.end_transaction(transaction.producer, transaction.epoch, commit=commit, now=now)
        for name in transaction.groups:
            self.group(name).settle(transaction.producer, commit=commit)
        transaction.places.clear()
        transaction.groups.clear()
        transaction.open, transaction.ended = False, "commit" if commit else "abort"

    async def keep_time(self) -> None:
        """Forever: members that are silent leave, transactions that take too long are aborted, topics are compacted."""
        ticks = 0
        while True:
            await asyncio.sleep(_TICK)
            ticks += 1
            now = time.monotonic()
            for group in list(self.groups.values()):
                group.expire(now)
            for transaction in self.transactions.values():
                if transaction.open and now - transaction.started > transaction.timeout:
                    transaction.epoch += 1  # its producer is fenced
                    self.end(transaction, commit=False)
            if ticks % _COMPACT_EVERY == 0:
                for topic in self.topics.values():
                    if topic.compacted:
                        topic.compact()


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
