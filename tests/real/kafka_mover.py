"""A producer or a consumer in a process of its own: what to do comes as JSON on the standard input."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def produce(settings: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    from confluent_kafka import Producer

    producer = Producer({**settings, "enable.idempotence": True, "linger.ms": 20, "batch.size": 1_000_000})
    errors: list[str] = []
    acknowledged = 0

    def hear(error: Any, _: Any) -> None:
        nonlocal acknowledged
        acknowledged += error is None
        if error is not None:
            errors.append(str(error))

    start = time.monotonic()
    for number in range(job["first"], job["first"] + job["count"]):
        while True:
            try:
                producer.produce(job["topic"], b"%d" % number, b"%d" % number, on_delivery=hear)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 5000 == 0:
            producer.poll(0)
    left = producer.flush(60)
    return {"acknowledged": acknowledged, "left": left, "errors": errors[:3], "seconds": time.monotonic() - start}


def consume(settings: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Read until nothing has come for a while. What was read is counted per number in a file."""
    from confluent_kafka import Consumer

    own = {"group.id": job["group"], "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**settings, **own})
    consumer.subscribe([job["topic"]])
    while len(consumer.assignment()) != job["partitions"]:
        consumer.poll(0.05)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    seen = bytearray(job["total"])
    last = time.monotonic()
    first = 0.0
    out_of_order = 0
    positions: dict[int, int] = {}
    while time.monotonic() - last < job["idle"]:
        messages = consumer.consume(10_000, 0.2)
        for message in messages:
            assert message.error() is None, message.error()
            seen[int(message.value())] += 1
            out_of_order += message.offset() != positions.get(message.partition(), -1) + 1
            positions[message.partition()] = message.offset()
        if messages:
            last = time.monotonic()
            first = first or last
            consumer.commit(asynchronous=False)
    consumer.close()
    Path(job["file"]).write_bytes(seen)
    return {"out_of_order": out_of_order, "seconds": last - first}


if __name__ == "__main__":
    job = json.loads(sys.stdin.readline())
    action = {"produce": produce, "consume": consume}[job["action"]]
    sys.stdout.write(json.dumps(action(job["settings"], job)) + "\n")
