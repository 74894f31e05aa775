"""The tree of a run read back as evidence: its records, its gates' documents, and what of it can't be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ..core.gates.documents import CHAIN, KINDS, Judged, Kind, SourceTree, first_error
from ..core.gates.matrix import Report
from ..core.gates.ruling import PROFILES
from ..core.gates.tallies import Tally, tally
from ..core.model import CaseRecord
from ..core.strict import NotStrict, parse_object
from ..errors import ArtifactError
from ..evidence.chain import Unverifiable
from ..evidence.exhibits import read_document
from ..evidence.files import Unreadable, read_bytes
from .matrix_files import REPORT_FILE, MatrixFiles, read_matrix

MATRIX_FOLDER = "matrix"
SCOPE_LOCK = "scope_lock"
"""Kind of the document that says what the run was held to."""


@dataclass(frozen=True, slots=True)
class Found:
    """A gate's document at its place: its content, empty if it can't be read, and how it was judged again."""

    kind: Kind
    data: Mapping[str, object]
    judged: Judged
    sha256: str | None
    """Of its bytes; None if they can't be read."""

    @property
    def measured(self) -> str:
        """`run`, `command` or `external`: whose word it is."""
        if self.judged.evidence == "external":
            return "external"
        return "run" if self.data.get("origin") == "run" else "command"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A tree, read once; `report_data` is the certification report as it stands in its file."""

    root: Path
    files: MatrixFiles
    report_data: Mapping[str, object]
    source: SourceTree
    """What the report says of the source tree."""
    records: tuple[CaseRecord, ...]
    tallies: tuple[Tally, ...]
    documents: Mapping[str, Found]
    """Name of a kind → what lies at its place; kinds that are not there are absent."""

    @property
    def report(self) -> Report:
        """The certification report."""
        return self.files.report

    @property
    def lock(self) -> str | None:
        """SHA-256 of the scope lock that the run was held to; None if there was none."""
        found = self.documents.get(SCOPE_LOCK)
        facts = found.data.get("facts") if found is not None else None
        lock = facts.get("lock") if isinstance(facts, dict) else None
        return lock if isinstance(lock, str) and re.fullmatch(r"[0-9a-f]{64}", lock) else None

    @property
    def report_path(self) -> str:
        """Where it is, relative to the tree."""
        return f"{MATRIX_FOLDER}/{REPORT_FILE}"

    def data(self, path: str) -> Mapping[str, object]:
        """The JSON object in a file of the tree, empty if there is none that can be read."""
        return _data(self.root / path)


def read_evidence(root: Path) -> Evidence:
    """Read the tree at `root`. Raises `Unverifiable` if it has no certification report that can be read."""
    check_is_tree(root)
    try:
        files = read_matrix(root / MATRIX_FOLDER)
    except ArtifactError as error:
        raise Unverifiable(error.fact, hint="the run did not end, or this is not the folder of its artifacts") from None
    report_data = _data(root / MATRIX_FOLDER / REPORT_FILE)
    records = files.records()
    return Evidence(
        root=root,
        files=files,
        report_data=report_data,
        source=_source(files, report_data),
        records=records,
        tallies=tuple(tally(record) for record in records),
        documents={kind.name: _found(root, kind) for kind in KINDS if (root / kind.path).exists()},
    )


def _source(files: MatrixFiles, report: Mapping[str, object]) -> SourceTree:
    hint = "run the certification again"
    if files.report.profile not in PROFILES:
        raise Unverifiable(f"certification_report is of the unknown profile {files.report.profile!r}", hint=hint)
    try:
        return SourceTree.model_validate(report.get("source"), strict=True)
    except ValidationError as error:
        fact = f"certification_report names no source tree that can be read: {first_error(error)}"
        raise Unverifiable(fact, hint=hint) from None


def check_is_tree(root: Path) -> None:
    """Raises `Unverifiable` if `root` is no folder with a certification report."""
    if not root.is_dir():
        raise Unverifiable(f"there is no evidence: {root} is no folder", hint="name the folder of a run's artifacts")
    if not (root / MATRIX_FOLDER / REPORT_FILE).is_file():
        raise Unverifiable(
            f"there is no evidence: {root} has no {MATRIX_FOLDER}/{REPORT_FILE}",
            hint="the run did not end, or this is not the folder of its artifacts",
        )


def _found(root: Path, kind: Kind) -> Found:
    reading = read_document(root / kind.path, expected=kind.name)
    return Found(kind, _data(root / kind.path), reading.judged, reading.sha256)


def _data(path: Path) -> Mapping[str, object]:
    try:
        return parse_object(read_bytes(path))
    except (Unreadable, NotStrict):
        return {}


def chain_folder(root: Path) -> Path:
    """The folder of the tree's evidence chain."""
    return (root / CHAIN.path).parent
