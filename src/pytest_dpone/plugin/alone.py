"""Runs of marked tests without the matrix: what they leave, and what can be said of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from .folders import artifact_folders

if TYPE_CHECKING:
    from ..core.gates.documents import Stamp
    from ..run.certification import Outcome
    from .markers import MarkerTally
    from .session import DponeSession


def asks_for_matrix(config: pytest.Config) -> bool:
    """If a test whose one marker is `integration_matrix` is chosen by `-m`, so that cases are to be certified."""
    text: str = config.option.markexpr
    if not text:
        return True
    from _pytest.mark.expression import Expression

    try:
        return Expression.compile(text).evaluate(_is_matrix)
    except Exception:
        return True  # pytest says what is wrong with it


def conclude_alone(
    session: DponeSession, markers: MarkerTally, stamp: Stamp, *, profile: str | None
) -> tuple[Outcome | None, str]:
    """Write `service_markers.json`; with a profile there is a verdict too. Returns it, and a line for people."""
    from ..core.gates.documents import MARKERS, compose
    from ..core.gates.ruling import GateResult
    from ..errors import ArtifactError
    from ..evidence.artifacts import remove_stale_file
    from ..run.certification import Outcome
    from ..run.gate_files import publish
    from ..run.tree import Tree
    from ..run.verdict import Decision

    root, _ = artifact_folders(session.config, session.activity)
    tree = Tree(root, root)
    facts = markers.facts(profile)
    document = compose(MARKERS, facts, stamp.model_copy(update={"profile": profile}))
    blockers, line = [str(code) for code in _texts(document["blockers"])], ""
    try:
        handles = tree.hold(whole=True)
        if handles is None:
            raise ArtifactError(f"another run writes to {root}", hint="choose another --dpone-artifact-dir")
        with closing_all(handles):
            remove_stale_file(tree.file(MARKERS), schemas=(MARKERS.schema,))
            publish(root, MARKERS, document)
        line = f"what the marked tests did: {tree.file(MARKERS)}"
    except ArtifactError as error:
        blockers, line = [*blockers, "artifacts.not_written"], str(error)
    if profile is None:
        return None, line
    passed = not blockers and document["passed"] is True
    counts = f"{sum(row.passed for row in facts.markers.values())} passed by marker"
    word = "PASSED" if passed else "FAILED"
    headline = f"{word} (service tests alone: {counts}; no case was certified)"
    texts = {ruling["subject"]: str(ruling["text"]) for ruling in _rows(document["results"]) if not ruling["passed"]}
    gate = GateResult(
        MARKERS.name,
        "passed" if passed else "failed",
        tuple((code, texts.get(code.rpartition(".")[0], "")) for code in blockers),
    )
    return Outcome((), Decision(passed, word, headline, tuple(blockers)), (), (gate,)), line


def _is_matrix(name: str, /, **_: object) -> bool:
    return name == "integration_matrix"


@contextmanager
def closing_all(handles: Iterable[int]) -> Iterator[None]:
    """Close the handles at the end."""
    try:
        yield
    finally:
        for handle in handles:
            os.close(handle)


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _rows(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []
