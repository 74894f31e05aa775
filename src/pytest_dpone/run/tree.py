"""The folder of a run's artifacts: held by one run at a time, and without anything that tells of an earlier one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..core.gates.documents import CHAIN, KINDS, MATRIX, RUNTIME, SHARD, SHARDS, Kind
from ..core.gates.matrix import SCHEMA_REPORT
from ..core.model import SCHEMA_BEHAVIOR
from ..errors import ArtifactError
from ..evidence.artifacts import check_writable, hold, remove_stale, remove_stale_file
from ..report.ctrf import MARK

EXPORTS = {RUNTIME.name: (".prom", ".otlp.jsonl")}
"""Kind → endings of the files that stand beside its document."""
JUNIT = "junit.xml"
JUNIT_PROPERTY = "dpone_run_id"
CTRF = "ctrf-report.json"
CTRF_MARK = MARK.encode()
PAGE = "report.html"
PAGE_MARK = b'<meta name="generator" content="pytest-dpone">'

_MATRIX_SCHEMAS = (SCHEMA_BEHAVIOR, SCHEMA_REPORT, MATRIX.schema)


@dataclass(frozen=True, slots=True)
class Tree:
    """Where a run writes: `root` has the gates' documents, `matrix` those of the cases."""

    root: Path
    matrix: Path

    def file(self, kind: Kind) -> Path:
        """Where the document of `kind` lies."""
        return self.root / kind.path

    def hold(self, *, whole: bool) -> tuple[int, ...] | None:
        """Hold the matrix folder, with `whole` also the root, until the handles are closed. Raises `ArtifactError`.

        None, and nothing is held, if another living run writes there.
        """
        handles: list[int] = []
        for folder in dict.fromkeys((self.root, self.matrix) if whole else (self.matrix,)):
            check_writable(folder)
            handle = hold(folder)
            if handle is None:
                for other in handles:
                    os.close(other)
                return None
            handles.append(handle)
        return tuple(handles)

    def clear(self, *, whole: bool) -> None:
        """Remove what an earlier run left in the matrix folder, with `whole` all its gates' documents too.

        The evidence chain stays: it is the log of the runs. Raises `ArtifactError`, also if a file that is none of
        ours is where one of ours will be written.
        """
        remove_stale(self.matrix, schemas=_MATRIX_SCHEMAS)
        for kind in (SHARD, SHARDS):
            remove_stale_file(self.file(kind), schemas=(kind.schema,))
        if not whole:
            return
        for kind in KINDS:
            if kind not in (CHAIN, MATRIX):
                beside = [self.file(kind).with_suffix(ending) for ending in EXPORTS.get(kind.name, ())]
                remove_stale_file(self.file(kind), schemas=(kind.schema,), beside=beside)
        self._clear_marked(JUNIT, JUNIT_PROPERTY.encode())
        self._clear_marked(CTRF, CTRF_MARK)
        self._clear_marked(PAGE, PAGE_MARK)

    def _clear_marked(self, name: str, mark: bytes) -> None:
        path = self.root / name
        try:
            if has_mark(path, mark):
                path.unlink()
        except OSError as error:
            raise ArtifactError(f"{path} can't be removed: {error.strerror}", hint="remove it") from error


def has_mark(path: Path, mark: bytes) -> bool:
    """If the file at `path` says near its beginning that it is ours; False if there is no file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return mark in file.read(4096)
