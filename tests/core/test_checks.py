"""The vocabulary of checks is whole: nothing is recorded that it does not know, and all of it is proved by something."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_dpone.run
from pytest_dpone.core.checks import CHECKS, check_of
from pytest_dpone.engines.mutants import MUTANTS

RUN = Path(pytest_dpone.run.__file__).parent
MAKERS = {"check": "", "check_rows": "", "seen_whole": "", "_check": "crash.x.", "_judge": "crash.x."}
"""Functions whose first argument names a check → what they put before the name."""


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("rows", "rows"),
        ("rejects.date.before_1900", "rejects.*"),
        ("evolve.add.columns", "evolve.*.columns"),
        ("evolve.drop", "evolve.*"),
        ("crash.staged.hit", "crash.*.hit"),
        ("crash.staged.rows", "crash.*.rows"),
        ("crash.random.again.events.count", "events.count"),
        ("crash.random.rows.history.gaps", "history.gaps"),
    ],
)
def test_a_name_in_a_record_is_one_of_the_vocabulary(name: str, check: str) -> None:
    assert check_of(name) == check


@pytest.mark.parametrize("name", ["", "row", "crash.staged", "crash.staged.rows.luck", "events"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(KeyError, match=r"is not in the vocabulary: give it a line in core\.checks, and a mutant"):
        check_of(name)


def spelled(node: ast.expr, known: dict[str, ast.expr]) -> str | None:
    """A name as the source spells it, with `x` for what it learns later; None if it comes from elsewhere."""
    if isinstance(node, ast.Name) and node.id in known:
        return spelled(known[node.id], known)
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = [spelled(v.value if isinstance(v, ast.FormattedValue) else v, known) for v in node.values]
        return "".join("x" if part is None else part for part in parts)
    return None


def names_in(function: ast.FunctionDef) -> Iterator[str]:
    """What the function calls its checks."""
    nodes = list(ast.walk(function))
    known = {
        n.targets[0].id: n.value for n in nodes if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    }
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        named = [k.value for k in call.keywords if k.arg == "name"] if called == "Check" else []
        named += call.args[:1] if called in MAKERS else []
        yield from (f"{MAKERS.get(called, '')}{text}" for node in named if (text := spelled(node, known)) is not None)


def test_every_name_in_the_sources_is_in_the_vocabulary_and_no_other() -> None:
    trees = [ast.parse(path.read_text()) for path in sorted(RUN.glob("*.py"))]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    found = {check_of(name.replace("facts.x", "facts.read").replace("events.x", "events.keyed"))
             for function in functions for name in names_in(function)}  # fmt: skip
    spelled_by_a_loop = {name for name in CHECKS if name.startswith(("facts.", "events."))}
    assert found | spelled_by_a_loop == set(CHECKS)
    assert len(found) > 30


def test_every_check_has_mutants_or_a_reason() -> None:
    found = {check_of(name) for mutant in MUTANTS for name in mutant.killed_by}
    apart = {name for name, meaning in CHECKS.items() if meaning.no_mutant}
    assert found == set(CHECKS) - apart
