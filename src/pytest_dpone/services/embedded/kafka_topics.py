"""Topics: their names, their settings and their partitions."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from types import MappingProxyType

from .kafka_log import Partition

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "cleanup.policy": "delete",
        "compression.type": "producer",
        "delete.retention.ms": "86400000",
        "file.delete.delay.ms": "60000",
        "flush.messages": "9223372036854775807",
        "flush.ms": "9223372036854775807",
        "follower.replication.throttled.replicas": "",
        "index.interval.bytes": "4096",
        "leader.replication.throttled.replicas": "",
        "local.retention.bytes": "-2",
        "local.retention.ms": "-2",
        "max.compaction.lag.ms": "9223372036854775807",
        "max.message.bytes": "1048588",
        "message.timestamp.after.max.ms": "3600000",
        "message.timestamp.before.max.ms": "9223372036854775807",
        "message.timestamp.type": "CreateTime",
        "min.cleanable.dirty.ratio": "0.5",
        "min.compaction.lag.ms": "0",
        "min.insync.replicas": "1",
        "preallocate": "false",
        "remote.storage.enable": "false",
        "retention.bytes": "-1",
        "retention.ms": "604800000",
        "segment.bytes": "1073741824",
        "segment.index.bytes": "10485760",
        "segment.jitter.ms": "0",
        "segment.ms": "604800000",
        "unclean.leader.election.enable": "false",
    }
)
"""What a topic has without settings of its own, as Apache Kafka has it."""
_CHOICES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "cleanup.policy": frozenset(("delete", "compact")),
        "compression.type": frozenset(("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")),
        "message.timestamp.type": frozenset(("CreateTime", "LogAppendTime")),
    }
)
_LISTS = frozenset(("cleanup.policy",))
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class Topic:
    """A topic; `settings` holds what differs from the defaults."""

    def __init__(self, partitions: int, settings: Mapping[str, str]) -> None:
        self.id = uuid.uuid4()
        self.partitions = [Partition() for _ in range(partitions)]
        self.settings = dict(settings)

    def setting(self, name: str) -> str:
        """The value that holds for the topic."""
        return self.settings.get(name, DEFAULTS[name])

    @property
    def compacted(self) -> bool:
        """If only the last record per key is kept."""
        return "compact" in self.setting("cleanup.policy").split(",")

    def compact(self) -> None:
        """Compact what has waited long enough. A record waits for its segment to be closed, or for the longest lag."""
        lag = min(int(self.setting("segment.ms")), int(self.setting("max.compaction.lag.ms")))
        lag = max(lag, int(self.setting("min.compaction.lag.ms")))
        for partition in self.partitions:
            partition.compact(lag=lag / 1000, keep_tombstones=int(self.setting("delete.retention.ms")) / 1000)


def against_name(name: str) -> str:
    """Why `name` can't be a topic's, in Kafka's words; empty if it can."""
    if name in ("", ".", ".."):
        return f"Topic name is invalid: '{name}' is not allowed"
    if not _NAME.fullmatch(name):
        return (
            f"Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, "
            "'.', '_' and '-', or is longer than 249 characters"
        )
    return ""


def against_setting(name: str, value: str | None) -> str:
    """Why a topic can't have this setting, in Kafka's words; empty if it can."""
    if name not in DEFAULTS:
        return f"Unknown topic config name: {name}"
    if value is None:
        return f"Null value not supported for topic configs: {name}"
    parts = [part.strip() for part in value.split(",")] if name in _LISTS else [value]
    if name in _CHOICES and not set(parts) <= _CHOICES[name]:
        return f"Invalid value {value} for configuration {name}: String must be one of: {', '.join(_CHOICES[name])}"
    if name not in _CHOICES and not _same_kind(value, DEFAULTS[name]):
        return f"Invalid value {value} for configuration {name}: Not a number or boolean as it should be"
    return ""


def _same_kind(value: str, example: str) -> bool:
    if example in ("true", "false"):
        return value.lower() in ("true", "false")
    if re.fullmatch(r"-?\d+(\.\d+)?", example):
        pattern = r"-?\d+" if "." not in example else r"-?\d+(\.\d+)?"
        return re.fullmatch(pattern, value) is not None
    return True
