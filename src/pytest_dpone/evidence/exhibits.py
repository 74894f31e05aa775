"""Artifacts as evidence: read, parsed strictly, judged again, with what they themselves stand on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.gates.bundle import KIND_OF_NAME, BundleFacts, Exhibit, ExhibitProblem
from ..core.gates.checklist import ChecklistFacts
from ..core.gates.documents import Judged, judge_document
from ..core.gates.external import Problem
from ..core.gates.matrix import MatrixFacts
from ..core.gates.tallies import CheckedFacts, RuntimeFacts
from ..core.strict import NotStrict, parse_object
from .files import Unreadable, read_bytes, sha256

Render = Callable[[Mapping[str, object]], str]
"""The Markdown twin of a document."""

_MAX_LEVELS = 4
"""A pack in a pack in a pack; deeper ones are no evidence."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A document that was read: its digest and how it was judged. Without a digest it could not be read."""

    sha256: str | None
    judged: Judged


_known: ContextVar[dict[tuple[str, str], Judged] | None] = ContextVar("known", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Within this, the same bytes are judged once: a run reads its documents in several packs one after the other."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def read_document(path: Path, *, expected: str, level: int = 0) -> Reading:
    """Read and judge the document at `path`, and the artifacts that it names if it is a pack. Never raises."""
    try:
        raw = read_bytes(path)
    except Unreadable as error:
        code = "missing" if str(error) == "is missing" else "unreadable"
        return Reading(None, _broken(Problem(code, f"{error}: {path}")))
    digest = sha256(raw)
    judged = _judged(raw, digest, expected)
    if isinstance(judged.facts, BundleFacts):
        below = tuple(_below(judged, judged.facts, path.parent, level))
        judged = replace(judged, problems=(*judged.problems, *below))
    return Reading(digest, judged)


def _judged(raw: bytes, digest: str, expected: str) -> Judged:
    known = _known.get()
    if known is not None and (digest, expected) in known:
        return known[digest, expected]
    try:
        judged = judge_document(parse_object(raw), raw, expected=expected)
    except NotStrict as error:
        judged = _broken(Problem("not_json", f"is not strict JSON: {error}"))
    if known is not None:
        # Nobody reads the facts of these again, and they are large.
        light = replace(judged, facts=None) if isinstance(judged.facts, RuntimeFacts | CheckedFacts) else judged
        known[digest, expected] = light
    return judged


def exhibit(name: str, path: Path, *, base: Path, extra: Callable[[Reading], list[Problem]] | None = None) -> Exhibit:
    """The artifact at `path` under `name`; its path is told relative to `base`. `extra` may find more problems."""
    reading = read_document(path, expected=KIND_OF_NAME.get(name, name))
    problems = [*reading.judged.problems, *(extra(reading) if extra is not None else [])]
    readable = reading.sha256 is not None
    return Exhibit(
        name=name,
        path=Path(os.path.relpath(path, base)).as_posix(),
        sha256=reading.sha256,
        evidence=reading.judged.evidence if readable else "none",
        kind=reading.judged.kind,
        release=reading.judged.release,
        profile=reading.judged.profile,
        run_mode=reading.judged.run_mode,
        generated_at=reading.judged.generated_at,
        problems=tuple(ExhibitProblem(code=p.code, text=p.text) for p in problems),
        notes=tuple(dict.fromkeys(_notes(reading.judged))),
    )


def supersedes(reading: Reading, *, since: str, kind: str | None) -> bool:
    """If a document that is not the recorded one is a later green one of ours: its gate was run again since."""
    judged = reading.judged
    later = judged.generated_at is not None and judged.generated_at >= since
    return judged.as_written and not judged.problems and judged.kind == kind and later


def _broken(problem: Problem) -> Judged:
    return Judged("external", None, (problem,))


def _notes(judged: Judged) -> Iterator[str]:
    facts = judged.facts
    if isinstance(facts, ChecklistFacts):
        asserted = [item.name for item in facts.items if item.by == "self_asserted"]
        if asserted:
            yield f"self-asserted: {', '.join(asserted)}"
    elif isinstance(facts, MatrixFacts) and facts.accepted_fidelity:
        yield f"accepted beside real services: {', '.join(facts.accepted_fidelity)}"
    elif isinstance(facts, BundleFacts):
        yield from (note for row in facts.exhibits for note in row.notes)


def _other(judged: Judged, facts: BundleFacts) -> str:
    """`profile` or `release` if a document is of another one than the pack, else empty."""
    for name in ("profile", "release"):
        said, wanted = getattr(judged, name), getattr(facts, name)
        if said is not None and wanted is not None and said != wanted:
            return name
    return ""


def _below(judged: Judged, facts: BundleFacts, folder: Path, level: int) -> list[Problem]:
    """What is wrong with the artifacts that a pack names."""
    if level >= _MAX_LEVELS:
        return [Problem("too_deep", "is a pack in too many packs")]
    found = []
    for row in facts.exhibits:
        reading = read_document(folder / row.path, expected=KIND_OF_NAME.get(row.name, row.name), level=level + 1)
        if reading.sha256 is None:
            found.append(Problem("artifact_missing", f"names {row.name}, which {reading.judged.problems[0].text}"))
        elif reading.judged.problems:
            found.append(Problem("artifact_red", f"names {row.name}, which {reading.judged.problems[0].text}"))
        elif other := _other(reading.judged, facts):
            found.append(Problem(f"artifact_another_{other}", f"names {row.name}, which is of another {other}"))
        elif reading.sha256 != row.sha256 and not supersedes(reading, since=judged.generated_at or "", kind=row.kind):
            found.append(Problem("artifact_changed", f"names {row.name}, which was changed since: {row.path}"))
    return found
