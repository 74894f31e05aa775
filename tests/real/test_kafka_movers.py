"""Several producers and consumers at once; and what is left of a broker whose keeper is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytest_dpone.services.life import start_ticks
from pytest_dpone.services.stack import Stack, StackSettings

from .kafka_client import Kafka, unique

pytest.importorskip("confluent_kafka")

pytestmark = pytest.mark.real

MESSAGES = int(os.environ.get("DPONE_TEST_KAFKA_MESSAGES", "1000000"))
"""A million takes a few seconds on two processors."""
PRODUCERS, CONSUMERS, PARTITIONS = 3, 2, 6
MOVER = Path(__file__).with_name("kafka_mover.py")


@pytest.fixture
def kafka(kafka_url: str) -> Iterator[Kafka]:
    found = Kafka(kafka_url)
    yield found
    found.remove_topics()


def start(job: dict[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, str(MOVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    return process


def test_nothing_is_lost_and_nothing_comes_twice(kafka: Kafka, tmp_path: Path) -> None:
    each = -(-MESSAGES // PRODUCERS)
    total = each * PRODUCERS
    common = {"settings": kafka.settings, "topic": kafka.topic(PARTITIONS), "total": total}
    reading = {"action": "consume", "group": unique("group"), "partitions": PARTITIONS // CONSUMERS, "idle": 3.0}
    files = [tmp_path / str(number) for number in range(CONSUMERS)]
    consumers = [start({**common, **reading, "file": str(file)}) for file in files]
    for consumer in consumers:
        assert consumer.stdout is not None
        assert consumer.stdout.readline() == "ready\n"
    begun = time.monotonic()
    producers = [
        start({**common, "action": "produce", "first": number * each, "count": each}) for number in range(PRODUCERS)
    ]
    sent = [json.loads(producer.communicate(timeout=240)[0]) for producer in producers]
    read = [json.loads(consumer.communicate(timeout=240)[0]) for consumer in consumers]
    print(f"{total / (time.monotonic() - begun - reading['idle']):.0f} messages per second")
    assert [(item["acknowledged"], item["left"], item["errors"]) for item in sent] == [(each, 0, [])] * PRODUCERS
    assert [item["out_of_order"] for item in read] == [0] * CONSUMERS
    counts = [sum(pair) for pair in zip(*(file.read_bytes() for file in files), strict=True)]
    assert (len(counts), min(counts), max(counts)) == (total, 1, 1)


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 2).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_kill_of_the_supervisor_leaves_no_broker() -> None:
    stack = Stack.launch(StackSettings(run_id=unique("t"), providers={"kafka": "embedded"}))
    info = stack.ensure(["kafka"])["kafka"]
    directory = Path(stack.address).parent.parent
    owner = json.loads((directory / "owner.json").read_text())
    processes = [(item["pid"], item["start"]) for item in owner["processes"]]
    assert processes
    os.kill(owner["supervisor"]["pid"], signal.SIGKILL)
    end = time.monotonic() + 10
    while any(start_ticks(pid) == ticks for pid, ticks in processes) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid, ticks in processes if start_ticks(pid) == ticks]
    parts = urlsplit(info.url.get_secret_value())
    # The kernel closes the socket with the last thread, a moment after the process counts as gone.
    while answers(parts.hostname or "", parts.port or 0):
        assert time.monotonic() < end
        time.sleep(0.05)
    stack.close()
    assert not directory.exists()
