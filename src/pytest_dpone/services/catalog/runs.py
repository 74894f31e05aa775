"""Sorting more rows than should be in memory: sorted runs on disk, merged by the order of their keys."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

_RUN_ROWS = 262_144
_RUN_BYTES = 128 << 20
_BLOCK_ROWS = 8192


class SortedRuns:
    """Rows go in by `add`, and come out of `batches` sorted by `order_by` (bytewise for text, NULL last).

    A context manager: the runs are in temporary files. Memory: one run (256k rows or 128 MiB), 8k rows of each
    run, and the columns `order_by` of all rows.
    """

    def __init__(self, order_by: Sequence[str], *, run_rows: int = _RUN_ROWS) -> None:
        self._order_by = list(order_by)
        self._run_rows = run_rows
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_bytes = 0
        self._keys: list[pa.Table] = []
        self._runs: list[IO[bytes]] = []

    def __enter__(self) -> SortedRuns:
        return self

    def __exit__(self, *failure: object) -> None:
        self.discard()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows; all batches have one schema."""
        self._held.append(batch)
        self._held_rows += batch.num_rows
        self._held_bytes += batch.nbytes
        if self._held_rows >= self._run_rows or self._held_bytes >= _RUN_BYTES:
            self._flush()

    def batches(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """All rows in order, at most `batch_rows` in a batch; nothing may be added after."""
        self._flush()
        if not self._runs:
            return
        owners = self._owners()
        runs = [_Run(file) for file in self._runs]
        for start in range(0, len(owners), batch_rows):
            shares = pc.value_counts(owners.slice(start, batch_rows)).to_pylist()
            shares.sort(key=lambda share: int(share["values"]))
            parts = [part for share in shares for part in runs[share["values"]].take(share["counts"])]
            yield from self._sorted(pa.Table.from_batches(parts)).combine_chunks().to_batches()

    def discard(self) -> None:
        """Remove the runs from the disk."""
        for file in self._runs:
            file.close()

    def _flush(self) -> None:
        if self._held_rows:
            table = self._sorted(pa.Table.from_batches(self._held))
            # It has no name, so that a kill leaves nothing; `discard` closes it.
            file = tempfile.TemporaryFile(prefix="pytest-dpone-")  # noqa: SIM115
            self._runs.append(file)
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table, max_chunksize=_BLOCK_ROWS)
            owner = pa.repeat(pa.scalar(len(self._runs) - 1, pa.int32()), table.num_rows)
            self._keys.append(self._sort_columns(table).append_column("owner", owner))
        self._held, self._held_rows, self._held_bytes = [], 0, 0

    def _owners(self) -> pa.ChunkedArray:
        """For each row of the result, the run that holds it. The runs are sorted: each one's rows come in turn."""
        keys = pa.concat_tables(self._keys)
        self._keys = []
        return keys.column("owner").take(self._indices(keys)) if self._order_by else keys.column("owner")

    def _sorted(self, table: pa.Table) -> pa.Table:
        return table.take(self._indices(self._sort_columns(table))) if self._order_by else table

    def _sort_columns(self, table: pa.Table) -> pa.Table:
        # By new names: Arrow takes a name such as `.a` for a path.
        columns = table.select(self._order_by)
        return columns.rename_columns([f"k{i}" for i in range(columns.num_columns)])

    def _indices(self, columns: pa.Table) -> pa.Array:
        # NULL last is Arrow's default; naming it warns in some versions and is unknown in others.
        order = [(f"k{i}", "ascending") for i in range(len(self._order_by))]
        return pc.sort_indices(columns, sort_keys=order)


class _Run:
    """One sorted run, read block by block."""

    def __init__(self, file: IO[bytes]) -> None:
        file.seek(0)
        self._blocks = iter(pa.ipc.open_stream(file))
        self._block: pa.RecordBatch | None = None

    def take(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The next `rows` rows."""
        while rows > 0:
            if self._block is None or self._block.num_rows == 0:
                self._block = next(self._blocks)
            part = self._block.slice(0, rows)
            self._block = self._block.slice(part.num_rows)
            rows -= part.num_rows
            yield part
