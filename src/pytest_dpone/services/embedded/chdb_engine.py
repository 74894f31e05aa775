"""One in-process ClickHouse engine with sessions: what stands behind our HTTP front."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import require

_CONFIG = """<clickhouse>
 <max_server_memory_usage>{memory}</max_server_memory_usage>
 <mark_cache_size>134217728</mark_cache_size>
 <primary_index_cache_size>134217728</primary_index_cache_size>
 <uncompressed_cache_size>0</uncompressed_cache_size>
 <background_pool_size>4</background_pool_size>
 <tmp_path>{temporary}</tmp_path>
 <backups><allowed_path>{backups}</allowed_path></backups>
 <query_log><database>system</database><table>query_log</table></query_log>
 <part_log><database>system</database><table>part_log</table></part_log>
</clickhouse>"""
_SPILL = 512 << 20
"""Bytes that one sort or aggregation may hold before it goes to the disk."""
_LET_GO = 0.2
"""Seconds that a session may be held on after the answer."""
_SETTING = re.compile(r"\w+")


class QueryError(Exception):
    """An error in ClickHouse's own form: `Code: N. DB::Exception: … (NAME)`."""

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}. ({name})")


@dataclass
class Session:
    """One chDB handle: its settings, current database and temporary tables are seen by its user only."""

    connection: Any
    lock: threading.Lock = field(default_factory=threading.Lock)
    expires: float = 0.0
    _database: str = ""
    _applied: dict[str, str] = field(default_factory=dict)

    def prepare(self, database: str, settings: Mapping[str, str]) -> None:
        """Bring the handle to a request's database and settings; what the last request set is taken back."""
        if database and database != self._database:
            self.connection.query(f"USE {identifier(database)}")
            self._database = database
        for name in self._applied.keys() - settings.keys():
            self.connection.query(f"SET {name} = DEFAULT")
            del self._applied[name]
        new = {name: value for name, value in settings.items() if self._applied.get(name) != value}
        for name in new:
            if not _SETTING.fullmatch(name):
                raise QueryError(115, "UNKNOWN_SETTING", f"Unknown setting {literal(name)}")
        if new:
            self.connection.query("SET " + ", ".join(f"{name} = {literal(value)}" for name, value in new.items()))
            self._applied.update(new)


class Engine:
    """The engine at a directory. A request without a session id gets a handle of its own (about 1 ms)."""

    def __init__(self, data: Path, *, memory: int | None = None) -> None:
        """Open `data`, which must exist and belong to us; `memory` is the engine's limit in bytes."""
        chdb: Any = require("chdb", extra="embedded")
        self._connect = chdb.connect
        config = data / "config.xml"
        temporary = data / "tmp"
        config.write_text(
            _CONFIG.format(memory=memory or default_memory(), temporary=f"{temporary}/", backups=data / "backups")
        )
        spill = f"max_bytes_before_external_sort={_SPILL}&max_bytes_before_external_group_by={_SPILL}"
        self._address = f"{data / 'store'}?config-file={config}&log_queries=1&{spill}"
        self._root = self._connect(self._address)  # keeps the engine alive between requests
        answer = self._root.query("SELECT version(), timezone()", "TSV").bytes().decode()
        self.version, self.timezone = answer.split()
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    @contextmanager
    def session(self, name: str, *, timeout: float, must_exist: bool) -> Iterator[Session]:
        """A handle for one request: the sticky one called `name`, or a fresh one for an empty name."""
        if not name:
            fresh = Session(self._connect(self._address))
            try:
                yield fresh
            finally:
                fresh.connection.close()
            return
        sticky = self._sticky(name, timeout, must_exist)
        try:
            yield sticky
        finally:
            sticky.lock.release()

    def close(self) -> None:
        """Close all handles; the engine flushes and ends."""
        with self._lock:
            for session in self._sessions.values():
                session.connection.close()
            self._sessions.clear()
        self._root.close()

    def _sticky(self, name: str, timeout: float, must_exist: bool) -> Session:
        now = time.monotonic()
        with self._lock:
            self._forget_expired(now)
            if name not in self._sessions:
                if must_exist:
                    raise QueryError(372, "SESSION_NOT_FOUND", f"Session {name} not found")
                self._sessions[name] = Session(self._connect(self._address))
            session = self._sessions[name]
            # The last request may have its answer, and its thread be about to let the session go.
            if not session.lock.acquire(timeout=_LET_GO):
                raise QueryError(373, "SESSION_IS_LOCKED", f"Session {name} is locked by a concurrent client")
            session.expires = now + timeout
            return session

    def _forget_expired(self, now: float) -> None:
        for name in [n for n, s in self._sessions.items() if s.expires < now and not s.lock.locked()]:
            self._sessions.pop(name).connection.close()


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def default_memory() -> int:
    """Bytes for the engine: a third of the machine's memory, at most 8 GiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(8 << 30, total // 3)
