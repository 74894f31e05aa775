"""A run that was cut into shards: what each of them leaves, and if together they are one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from ..model import Scalar
from .chain import Sha256
from .checklist import ReleaseType
from .metrics import Baseline, Measured, Objective
from .plan import PlanFacts
from .ruling import Ruling, Value, green, red
from .scope import ScopeLock
from .source import SourceFacts, SourceState
from .tallies import MarkerFacts

Place = Annotated[int, Field(ge=1)]


class ShardInputs(Value):
    """What the gates are given beside what is measured."""

    release: str | None = None
    release_type: ReleaseType | None = None
    checks: dict[str, bool] = Field(default_factory=dict)
    objectives: dict[str, Objective] = Field(default_factory=dict)
    baseline: dict[str, Baseline] = Field(default_factory=dict)
    minimum: dict[str, Measured] = Field(default_factory=dict)
    maximum: dict[str, Measured] = Field(default_factory=dict)
    accepted_fidelity: tuple[str, ...] = ()


class RunFrame(Value):
    """All that the shards of one run have in common. Cases are ids, in the order of the matrix."""

    count: Place
    profile: str
    run_mode: str
    whole: bool
    """If the run is judged by all gates."""
    settings: dict[str, Scalar]
    """Seed, rows, ratios, engine and the like."""
    planned: tuple[str, ...]
    excluded: dict[str, str]
    declared: tuple[str, ...]
    """What the ini file plans."""
    scope: tuple[str, ...]
    """What all shards together play."""
    parts: tuple[tuple[str, ...], ...]
    """Which shard plays which cases."""
    durations: Sha256 | None = None
    """Of the file that the parts were balanced by."""
    required: tuple[str, ...] = ()
    """Markers of which tests must have passed."""
    plan: PlanFacts | None = None
    inputs: ShardInputs = ShardInputs()
    lock: ScopeLock | None = None
    lock_sha256: Sha256 | None = None
    dataset: str
    contracts: str


class ShardFacts(Value):
    """What one shard leaves beside the documents of its cases."""

    index: Place
    frame: RunFrame
    cases: dict[str, str]
    """Case of this shard → verdict, or why it was not run."""
    unplayed: tuple[str, ...] = ()
    """Records, as JSON, of the cases that have no document of their own."""
    report: Sha256
    """Of the shard's certification report."""
    markers: MarkerFacts
    tests: dict[str, str] = Field(default_factory=dict)
    """What became of each marked test, by its id."""
    failed: tuple[str, ...] = ()
    """Tests without a marker that failed: the first ones."""
    blockers: dict[str, str] = Field(default_factory=dict)
    """Code → text of what went wrong beside the cases."""
    source: SourceFacts | None = None


class MergedShard(Value):
    """A shard as the merge found it."""

    index: Place
    run_id: str
    generated_at: str
    sha256: Sha256
    """Of its document."""
    cases: Annotated[int, Field(ge=0)]


class ShardProblem(Value):
    """What is wrong between the shards."""

    subject: str
    code: str
    text: str


class MergeFacts(Value):
    """Input of the gate over a merged run."""

    count: Place
    scope: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]
    shards: tuple[MergedShard, ...]
    problems: tuple[ShardProblem, ...] = ()


def judge_shard(facts: ShardFacts) -> tuple[Ruling, ...]:
    """A shard is never green by itself: it stands for a part of the scope."""
    text = f"shard {facts.index} of {facts.frame.count} is a part of a run: `pytest-dpone merge` judges all of them"
    return (red("scope", "shard", text),)


def judge_merge(facts: MergeFacts) -> tuple[Ruling, ...]:
    """Every shard is there once, and their cases are the scope, each once."""
    rulings = [red(problem.subject, problem.code, problem.text) for problem in facts.problems]
    found = Counter(shard.index for shard in facts.shards)
    for index in range(1, facts.count + 1):
        name = f"shard_{index}"
        if not found[index]:
            rulings.append(red(name, "missing", f"shard {index} of {facts.count} is missing"))
        elif found[index] > 1:
            rulings.append(red(name, "doubled", f"shard {index} of {facts.count} is there {found[index]} times"))
    rulings += [
        red(f"shard_{index}", "unknown", f"there is no shard {index} of {facts.count}")
        for index in sorted(found)
        if index > facts.count
    ]
    cases = Counter(name for part in facts.parts for name in part)
    if len(facts.parts) != facts.count or not all(facts.parts) or cases != Counter(facts.scope):
        rulings.append(red("shards", "not_the_scope", "the parts are not the scope, each case once"))
    return tuple(rulings) or (green("shards", "merged", expected=facts.count, actual=len(facts.shards)),)


def differences(shards: Sequence[ShardFacts]) -> Iterator[ShardProblem]:
    """Where a shard's frame or source is another one than that of the first."""
    first, *others = shards
    for shard in others:
        subject = f"shard_{shard.index}"
        for name in RunFrame.model_fields:
            one, other = getattr(first.frame, name), getattr(shard.frame, name)
            if one != other:
                text = f"shard {shard.index} has another {name} than shard {first.index}{_how(one, other)}"
                yield ShardProblem(subject=subject, code=f"other_{name}", text=text)
        if (shard.source is None) != (first.source is None):
            yield ShardProblem(subject=subject, code="other_source", text=f"shard {shard.index} is not bound alike")
        elif shard.source is not None and first.source is not None:
            for name in _sources_differ(first.source.start, shard.source.start):
                text = f"shard {shard.index} ran with another {name} than shard {first.index}"
                yield ShardProblem(subject=subject, code=f"other_{name}", text=text)


def _how(one: object, other: object) -> str:
    """The first value that differs, where that is short."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
        return f": {names[0]} {_short(other.get(names[0]))}, not {_short(one.get(names[0]))}"
    scalars = (str, int, float, type(None))
    return f": {_short(other)}, not {_short(one)}" if isinstance(one, scalars) and isinstance(other, scalars) else ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _sources_differ(one: SourceState, other: SourceState) -> Iterator[str]:
    pairs: tuple[tuple[str, object, object], ...] = (
        ("commit", one.tree.commit, other.tree.commit),
        ("tree", one.tree.tracked.digest, other.tree.tracked.digest),
        ("untracked", one.tree.untracked.digest, other.tree.untracked.digest),
        ("ignored", one.tree.ignored.digest, other.tree.ignored.digest),
        ("plugin", one.plugin.files.digest, other.plugin.files.digest),
        ("engine", _engines(one), _engines(other)),
    )
    return (name for name, mine, theirs in pairs if mine != theirs)


def _engines(state: SourceState) -> dict[str, str | None]:
    return {engine.name: engine.files.digest for engine in state.engines}
