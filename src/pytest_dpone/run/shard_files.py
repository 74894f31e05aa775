"""The folders of shards read back: what each says, and what is wrong between it and the documents of its cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from ..core.gates.documents import SHARD, SourceTree, first_error, is_edited
from ..core.gates.shards import MergedShard, MergeFacts, RunFrame, ShardFacts, ShardProblem, differences
from ..core.model import CaseRecord, Verdict
from ..core.strict import NotStrict, parse_object
from ..errors import ArtifactError, UsageError
from ..evidence.files import Unreadable, digest, read_bytes, sha256
from .matrix_files import REPORT_FILE, MatrixFiles, read_matrix
from .publication import has_behavior

_HINT = "run this shard again, and keep its whole folder"


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a run as its folder has it. `sha256` is that of its document, `records` are its cases' own."""

    folder: Path
    facts: ShardFacts
    run_id: str
    generated_at: str
    source: SourceTree
    sha256: str
    records: tuple[CaseRecord, ...]
    problems: tuple[ShardProblem, ...]


def find_shards(folders: Sequence[Path]) -> list[Path]:
    """The folders of shards that are, or lie below, `folders`; each once.

    Raises `UsageError` for a folder that is none, and `ArtifactError` for one that holds no shard: it has died.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder", hint="name the folders that the shards have left")
        here = sorted(path.parent for path in folder.rglob(SHARD.file))
        if not here:
            raise ArtifactError(f"{folder} holds no {SHARD.file}: its shard has not come to its end", hint=_HINT)
        found += here
    return list({path.resolve(): path for path in found}.values())


def read_shard(folder: Path) -> Shard:
    """Read one shard. Raises `ArtifactError` if its document or its report can't be read: nothing is known then."""
    path = folder / SHARD.file
    try:
        raw = read_bytes(path)
        data = parse_object(raw)
        document = SHARD.read(raw)
    except Unreadable as error:
        raise ArtifactError(f"{path} {error}", hint=_HINT) from None
    except NotStrict as error:
        raise ArtifactError(f"{path} is not strict JSON: {error}", hint=_HINT) from None
    except ValidationError as error:
        raise ArtifactError(f"{path} is malformed: {first_error(error)}", hint=_HINT) from None
    if is_edited(data) or document.schema_ != SHARD.schema:
        raise ArtifactError(f"{path} was edited: its content is not what its digest says", hint=_HINT)
    facts = cast("ShardFacts", document.facts)
    matrix = read_matrix(folder / "matrix")
    records, problems = _records(facts, matrix)
    return Shard(
        folder,
        facts,
        document.run_id,
        document.generated_at,
        document.source,
        sha256(raw),
        records,
        (*problems, *_contradictions(facts, matrix, folder, document.run_id)),
    )


def merge_facts(shards: Sequence[Shard]) -> MergeFacts:
    """For the gate over the merge; the first shard says what the run is."""
    frame: RunFrame = shards[0].facts.frame
    problems = [problem for shard in shards for problem in shard.problems]
    problems += differences([shard.facts for shard in shards])
    for shard in shards[1:]:
        for name in SourceTree.model_fields:
            one, other = getattr(shards[0].source, name), getattr(shard.source, name)
            if one != other:
                text = f"shard {shard.facts.index} ran on another {name}: {other}, not {one}"
                problems.append(_problem(shard.facts, f"other_{name}", text))
    return MergeFacts(
        count=frame.count,
        scope=frame.scope,
        parts=frame.parts,
        shards=tuple(
            MergedShard(
                index=shard.facts.index,
                run_id=shard.run_id,
                generated_at=shard.generated_at,
                sha256=shard.sha256,
                cases=len(shard.facts.cases),
            )
            for shard in shards
        ),
        problems=tuple({(p.subject, p.code): p for p in problems}.values()),
    )


def _records(facts: ShardFacts, matrix: MatrixFiles) -> tuple[tuple[CaseRecord, ...], list[ShardProblem]]:
    """The records of the shard's cases, and what is wrong with the documents of those that have none."""
    found: dict[str, CaseRecord] = {}
    problems = []
    for text in facts.unplayed:
        try:
            record = CaseRecord.model_validate_json(text)
        except ValidationError as error:
            problems.append(_problem(facts, "record", f"a record is malformed: {first_error(error)}"))
        else:
            if record.verdict is not Verdict.PASSED and not has_behavior(record):
                found[record.case_id] = record
    for case_id, document in matrix.documents.items():
        if isinstance(document, CaseRecord):
            found[case_id] = document
        else:
            problems.append(_problem(facts, "document", f"{case_id}: {document}"))
    return tuple(found[name] for name in facts.cases if name in found), problems


def _contradictions(facts: ShardFacts, matrix: MatrixFiles, folder: Path, run_id: str) -> Iterator[ShardProblem]:
    if digest(folder / "matrix" / REPORT_FILE)[0] != facts.report or matrix.edited:
        yield _problem(facts, "report_changed", f"the report of shard {facts.index} is not the one that it wrote")
    if matrix.report.run_id != run_id:
        yield _problem(facts, "another_run", f"the report of shard {facts.index} is of another run")
    if facts.index > len(facts.frame.parts) or set(facts.cases) != set(facts.frame.parts[facts.index - 1]):
        yield _problem(facts, "other_cases", f"shard {facts.index} has other cases than its part")
    reported = {row.case_id: str(row.reason or row.verdict) for row in matrix.report.cases}
    if reported != facts.cases:
        yield _problem(facts, "contradicts_itself", f"shard {facts.index} and its report tell of other verdicts")
    for name in matrix.strangers:
        yield _problem(facts, "stranger", f"{name} is in the folder of shard {facts.index}, and not in its report")


def _problem(facts: ShardFacts, code: str, text: str) -> ShardProblem:
    return ShardProblem(subject=f"shard_{facts.index}", code=code, text=text)
