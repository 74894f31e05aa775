"""The state table of the ClickHouse sink: one row per commit, the greatest version counts."""

# ruff: noqa: S608 - names are quoted by `ident`, values by `literal`

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...errors import EngineFailed
from .clickhouse import literal

_PLAIN: Mapping[str, object] = MappingProxyType({"async_insert": 0})


@dataclass(frozen=True, slots=True)
class Pending:
    """The intent to move `rows` rows out of the staging table `stage`, after which the state is `after`."""

    stage: str
    rows: int
    after: str


@dataclass(frozen=True, slots=True)
class StateRow:
    """The last row of a table: its committed state (empty: none yet) and what is pending."""

    version: int
    state: str
    pending: Pending | None


class StateTable:
    """The rows of one target table in the state table `name` (quoted)."""

    def __init__(self, client: Any, name: str, target: str) -> None:
        self._client = client
        self._name = name
        self._target = target
        self._exists = False

    def read(self) -> StateRow | None:
        """The last row; None if there is none. Raises `EngineFailed` if what is pending can't be read."""
        self._exists = self._exists or bool(self._client.command(f"EXISTS TABLE {self._name}"))
        if not self._exists:
            return None
        rows = self._client.query(
            f"SELECT version, state, pending FROM {self._name} WHERE target = {literal(self._target)}"
            " ORDER BY version DESC LIMIT 1"
        ).result_rows
        if not rows:
            return None
        version, state, pending = rows[0]
        return StateRow(int(version), str(state), self._parsed(pending) if pending else None)

    def pending(self) -> bool:
        """If a load was interrupted between its intent and its commit."""
        row = self.read()
        return row is not None and row.pending is not None

    def write(self, state: str, pending: Pending | None = None) -> None:
        """Commit a row; a single row is inserted atomically."""
        if not self._exists:
            self._client.command(
                f"CREATE TABLE IF NOT EXISTS {self._name} (target String, version UInt64, state String, pending String)"
                " ENGINE = ReplacingMergeTree(version) ORDER BY target"
            )
            self._exists = True
        last = self.read()
        intent = "" if pending is None else json.dumps([pending.stage, pending.rows, pending.after])
        row = {"target": self._target, "version": (last.version if last else 0) + 1, "state": state, "pending": intent}
        # As data: a state with many keys at its watermark is longer than a statement may be.
        self._client.raw_insert(self._name, [*row], json.dumps(row).encode(), dict(_PLAIN), "JSONEachRow")

    def _parsed(self, text: str) -> Pending:
        try:
            stage, rows, after = json.loads(text)
            return Pending(stage=str(stage), rows=int(rows), after=str(after))
        except (ValueError, TypeError) as error:
            raise EngineFailed(
                f"the pending load in {self._name} can't be read: {error}",
                hint="compare the table with its source, then remove the damaged row",
            ) from None
