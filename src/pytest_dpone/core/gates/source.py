"""The source of a run: the tree, the plugin and the engine as they lay on disk at its start and at its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from .chain import Sha256
from .ruling import RELEASE_PROFILES, Ruling, Value, green, red

Count = Annotated[int, Field(ge=0)]
TOLD = 20
"""Names that a state tells of a set; the digest covers all of it."""


class FileSet(Value):
    """Files by name and content. `digest` is SHA-256 over the sorted entries; None if they could not all be read."""

    digest: Sha256 | None = None
    files: Count = 0
    bytes: Count = 0
    names: tuple[str, ...] = ()
    """The first ones, where a set should be empty."""


class TreeState(Value):
    """The tree around rootdir.

    `tracked` are the files of the commit and of the index as they lie on disk, whatever git is told to assume of them.
    `untracked` and `ignored` are files that Python would import or that decide what runs, and that no commit holds.
    Without a repository every such file is in `tracked`.
    """

    repository: Literal["git", "none", "unknown"]
    commit: str | None = None
    tracked: FileSet = FileSet()
    untracked: FileSet = FileSet()
    ignored: FileSet = FileSet()
    differing: Count = 0
    """Files that are not as the commit has them."""
    differs: tuple[str, ...] = ()
    """The first ones, each with how."""
    problems: tuple[str, ...] = ()
    """Why something could not be bound."""


class CodeState(Value):
    """Code that was imported from outside of the tree or inside: the plugin, the engine under test."""

    name: str
    distribution: str | None = None
    version: str | None = None
    files: FileSet = FileSet()
    edited: tuple[str, ...] = ()
    """Files that are not as they were installed; of an editable installation none is known."""
    problems: tuple[str, ...] = ()


class SourceState(Value):
    """One look. `seconds` is what it took."""

    tree: TreeState
    plugin: CodeState
    engines: tuple[CodeState, ...] = ()
    seconds: Annotated[float, Field(ge=0)] = 0.0


class SourceFacts(Value):
    """Input of the gate."""

    profile: str | None
    start: SourceState
    end: SourceState


def judge_source(facts: SourceFacts) -> tuple[Ruling, ...]:
    """The same source at both ends, and the commit's; a release needs it, another profile is told."""
    found = [*_changes(facts), *_problems(facts.end), *_beside_the_commit(facts.end.tree), *_edited(facts.end)]
    if facts.profile not in RELEASE_PROFILES:
        rows = [green(subject, "told", text=text) for subject, _, text in found]
    else:
        rows = [red(subject, code, text) for subject, code, text in found]
    rows += [green(*row) for row in _kept({subject for subject, *_ in found})]
    return tuple(rows)


def told(facts: SourceFacts) -> str:
    """What is not as it should be, in one line; empty if nothing is."""
    return "; ".join(row.text for row in judge_source(facts) if row.text)


Found = tuple[str, str, str]
"""Subject, code, text."""


def _changes(facts: SourceFacts) -> Iterator[Found]:
    start, end = facts.start, facts.end
    if start.tree.commit != end.tree.commit:
        yield "commit", "changed", f"the commit was {start.tree.commit} at the start and {end.tree.commit} at the end"
    for name in ("tracked", "untracked", "ignored"):
        if getattr(start.tree, name).digest != getattr(end.tree, name).digest:
            yield name, "changed", f"{name} files were changed during the run{_which(facts, name)}"
    if start.plugin.files.digest != end.plugin.files.digest:
        yield "plugin", "changed", "pytest-dpone was changed during the run"
    known = {engine.name: engine.files.digest for engine in start.engines}
    for engine in end.engines:
        if engine.name in known and engine.files.digest != known[engine.name]:
            yield "engine", "changed", f"the engine {engine.name} was changed during the run"
    if lost := sorted(known.keys() - {engine.name for engine in end.engines}):
        yield "engine", "changed", f"the engine {lost[0]} was bound at the start only"


def _which(facts: SourceFacts, name: str) -> str:
    before, after = getattr(facts.start.tree, name), getattr(facts.end.tree, name)
    news = sorted({*facts.start.tree.differs} ^ {*facts.end.tree.differs}) if name == "tracked" else []
    news = news or sorted({*before.names} ^ {*after.names})
    return f": {', '.join(news[:3])}" if news else ""


def _problems(state: SourceState) -> Iterator[Found]:
    for subject, problems, bound in (
        ("tree", state.tree.problems, state.tree.tracked),
        *(("plugin", code.problems, code.files) for code in (state.plugin,)),
        *(("engine", engine.problems, engine.files) for engine in state.engines),
    ):
        if problems or bound.digest is None:
            more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
            why = "; ".join(problems[:3]) or "nothing of it was read"
            yield subject, "not_bound", f"the {subject} can't be bound: {why}{more}"
    if not state.engines:
        yield "engine", "not_bound", "the engine can't be bound: none was named"


def _beside_the_commit(tree: TreeState) -> Iterator[Found]:
    if tree.differing:
        text = f"{tree.differing} files are not as the commit has them: {', '.join(tree.differs[:3])}"
        yield "tracked", "differs_from_commit", f"{text}; commit them, or put them back"
    if tree.untracked.files:
        text = f"{tree.untracked.files} files that can decide what runs are in no commit"
        yield "untracked", "in_no_commit", f"{text}: {', '.join(tree.untracked.names[:3])}; commit or remove them"


def _edited(state: SourceState) -> Iterator[Found]:
    for subject, code in (("plugin", state.plugin), *(("engine", engine) for engine in state.engines)):
        if code.edited:
            yield subject, "edited", f"{code.name} is not as it was installed: {', '.join(code.edited[:3])}"


def _kept(broken: set[str]) -> Iterator[tuple[str, str]]:
    for subject in ("commit", "tracked", "untracked", "ignored", "plugin", "engine"):
        if subject not in broken:
            yield subject, "the same at the start and at the end"
