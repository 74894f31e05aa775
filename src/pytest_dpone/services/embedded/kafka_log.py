"""One partition: its batches in memory, who may append to it, and what a reader may see."""

from __future__ import annotations

import asyncio
import bisect
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from .kafka_batch import Batch, Record, keep_records, marker, place
from .kafka_wire import Code

_REMEMBERED = 5
"""Batches of a producer that are recognised when they come again; a real broker remembers as many."""


class Aborted(NamedTuple):
    """A transaction that was given up: the consumer skips its producer's records from `first` to the marker."""

    marker: int
    producer: int
    first: int


@dataclass(slots=True)
class Producer:
    """What the partition knows of an idempotent producer."""

    epoch: int
    next_sequence: int
    recent: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    """(first sequence, last sequence, base offset)"""


class Partition:
    """The log. Offsets may have gaps after compaction; `start` is the first one that can be read."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.start = 0
        self.end = 0
        self.open: dict[int, int] = {}
        """Producer → first offset of its running transaction."""
        self.aborted: list[Aborted] = []
        self.waiting: set[asyncio.Event] = set()
        self._producers: dict[int, Producer] = {}
        self._bases: list[int] = []
        self._clean = 0
        """Offset below which compaction has nothing to do."""

    @property
    def stable(self) -> int:
        """The last stable offset: below it every transaction has ended."""
        return min(self.end, *self.open.values()) if self.open else self.end

    def append(self, batch: Batch) -> tuple[Code, int]:
        """Store a parsed batch: (error, base offset). One that is here already is not stored again."""
        if batch.producer >= 0:
            error, known = self._check_sequence(batch)
            if error or known >= 0:
                return error, known
        placed = place(batch, self.end)
        if batch.transactional:
            self.open.setdefault(batch.producer, placed.base)
        self._store(placed)
        return Code.NONE, placed.base

    def end_transaction(self, producer: int, epoch: int, *, commit: bool, now: int) -> None:
        """Write the marker that ends the producer's transaction."""
        first = self.open.pop(producer, None)
        if first is not None and not commit:
            self.aborted.append(Aborted(self.end, producer, first))
        self._store(marker(self.end, producer, epoch, commit=commit, now=now))

    def read(self, offset: int, limit: int, below: int, *, at_least_one: bool) -> bytes:
        """Whole batches from `offset` on, of at most `limit` bytes together, that begin below the offset `below`.

        The first one may be larger than `limit` if there is to be `at_least_one`.
        """
        parts: list[bytes] = []
        size = 0
        for index in range(max(0, bisect.bisect_right(self._bases, offset) - 1), len(self.batches)):
            batch = self.batches[index]
            if batch.last < offset:
                continue
            if batch.base >= below:
                break
            if size + len(batch.data) > limit and (parts or not at_least_one):
                break
            parts.append(batch.data)
            size += len(batch.data)
        return b"".join(parts)

    def aborted_from(self, offset: int) -> list[Aborted]:
        """The given-up transactions whose marker is at `offset` or behind it."""
        return self.aborted[bisect.bisect_left(self.aborted, (offset,)) :]

    def find_time(self, wanted: int) -> tuple[int, int]:
        """(offset, time) of the first record that is not older than `wanted`; -1 for both if there is none."""
        for batch in self.batches:
            if batch.max_time < wanted or batch.control or batch.last < self.start:
                continue
            if batch.log_append_time:
                return batch.base, batch.max_time
            for record in batch.records():
                offset, when = batch.base + record.offset_delta, batch.base_time + record.time_delta
                if when >= wanted and offset >= self.start:
                    return offset, when
        return -1, -1

    def find_latest_time(self) -> tuple[int, int]:
        """(offset, time) of the first record with the greatest time."""
        times = [batch.max_time for batch in self.batches if not batch.control]
        return self.find_time(max(times)) if times else (-1, -1)

    def delete_before(self, offset: int) -> None:
        """Let the log begin at `offset`."""
        self.start = max(self.start, offset)
        kept = [batch for batch in self.batches if batch.last >= self.start]
        self._replace(kept)

    def compact(self, *, lag: float, keep_tombstones: float) -> None:
        """Keep the last record per key, if a record has waited for `lag` seconds; all of it below the stable offset.

        Tombstones stay for `keep_tombstones` seconds. Records of given-up transactions go, markers stay.
        """
        now = time.monotonic()
        below = self.stable
        waiting = next((batch for batch in self.batches if batch.base >= self._clean and not batch.control), None)
        if waiting is None or waiting.base >= below or now - waiting.stored < lag:
            return
        bodies = {b.base: b.body() for b in self.batches if not b.control and b.last < below and not self._given_up(b)}
        last: dict[bytes | None, int] = {}
        for batch in self.batches:
            if batch.base in bodies:
                last.update({record.key: batch.base + record.offset_delta for record in batch.records()})
        kept: list[Batch] = []
        for batch in self.batches:
            if batch.base not in bodies:
                if batch.control or batch.last >= below:
                    kept.append(batch)
                continue
            expired = now - batch.stored > keep_tombstones
            records = [record for record in batch.records() if _stays(batch, record, last, expired)]
            if len(records) == batch.count:
                kept.append(batch)
            elif records:
                kept.append(keep_records(batch, bodies[batch.base], records))
        self._replace(kept)
        self._clean = below

    def wake(self) -> None:
        """Let waiting readers look again."""
        for event in self.waiting:
            event.set()

    def _check_sequence(self, batch: Batch) -> tuple[Code, int]:
        """(error, offset of the same batch if it is here already, else -1)."""
        known = self._producers.get(batch.producer)
        if known is None or known.epoch < batch.epoch:
            if known is not None and batch.sequence != 0:
                return Code.OUT_OF_ORDER_SEQUENCE, -1
            known = self._producers[batch.producer] = Producer(batch.epoch, batch.sequence)
        elif batch.epoch < known.epoch:
            return Code.INVALID_PRODUCER_EPOCH, -1
        for first, last, offset in known.recent:
            if (first, last) == (batch.sequence, batch.last_sequence):
                return Code.NONE, offset
        if batch.sequence != known.next_sequence:
            return Code.OUT_OF_ORDER_SEQUENCE, -1
        known.next_sequence = (batch.last_sequence + 1) & 0x7FFFFFFF
        known.recent.append((batch.sequence, batch.last_sequence, self.end))
        return Code.NONE, -1

    def _given_up(self, batch: Batch) -> bool:
        return batch.transactional and any(
            item.producer == batch.producer and item.first <= batch.base < item.marker for item in self.aborted
        )

    def _store(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._bases.append(batch.base)
        self.end = batch.last + 1
        self.wake()

    def _replace(self, batches: list[Batch]) -> None:
        self.batches = batches
        self._bases = [batch.base for batch in batches]


def _stays(batch: Batch, record: Record, last: dict[bytes | None, int], expired: bool) -> bool:
    newest = last[record.key] == batch.base + record.offset_delta
    return newest and not (record.tombstone and expired)
