"""Each guard of the verifier is removed in turn: the sabotage that it is for must then go through unseen."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from pytest_dpone.evidence import dsse, note, sums, tlog
from pytest_dpone.run import again, asked, twins, verification

from .sabotage import ASKED, INTEGRITY, JUDGEMENT, Sabotage, copy_of

MODULES: tuple[ModuleType, ...] = (verification, again, twins, asked, dsse, note, sums, tlog)
RAISED = {"BadEnvelope", "BadNote", "BadSums", "BadLog"}
WRITING = {"kept_log", "read_pin"}
"""Functions of these modules that a verifier does not call."""
CODES = {
    "_matrix": "document",
    "_same_run": "another_run_id",
    "_judged": "edited",
    "_linked": "removed",
    "_tree_files": "no_file",
    "_said": "says_chain",
    "read_sums": "sums",
}
"""A code that a function tells, where its source does not have it as a text."""
TELLING = {"name_problem", "against"}
"""Functions that give back a text if something is wrong, else an empty one."""


@dataclass(frozen=True)
class Guard:
    """A finding or a refusal in the source of a module: `function` makes it in `line`."""

    module: ModuleType
    function: str
    line: int
    text: str
    """Its source, without the braces of its names."""


def guards() -> list[Guard]:
    found = []
    for module in MODULES:
        for function in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(function, ast.FunctionDef) and function.name not in WRITING:
                telling = function.name in TELLING
                for node in ast.walk(function):
                    if is_guard(node) and (telling or not isinstance(node, ast.Return)):
                        found.append(Guard(module, function.name, node.lineno, ast.unparse(node)))  # type: ignore[attr-defined]
    return found


def is_guard(node: ast.AST) -> bool:
    """`yield red(…)`, `return "why"` of what tells a problem, and `raise BadThing(…)`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield):
        return isinstance(node.value.value, ast.Call) and ast.unparse(node.value.value.func) == "red"
    if isinstance(node, ast.Raise):
        return isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in RAISED
    return (
        isinstance(node, ast.Return) and isinstance(node.value, ast.Constant | ast.JoinedStr) and bool(words_of(node))
    )


def words_of(node: ast.AST) -> list[str]:
    """The texts in a guard, longest first."""
    texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return sorted((text.strip() for text in texts if len(text.strip()) > 3), key=len, reverse=True)


GUARDS = guards()


class Remover(ast.NodeTransformer):
    """Takes one guard out: a finding is not told, a refusal is not raised, a problem is none."""

    def __init__(self, line: int) -> None:
        self.line, self.done = line, 0

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if getattr(node, "lineno", 0) == self.line and is_guard(node):
            self.done += 1
            new = ast.parse(
                "return ''"
                if isinstance(node, ast.Return)
                else "yield from ()"
                if isinstance(node, ast.Expr)
                else "pass"
            )
            return ast.copy_location(new.body[0], node)
        return super().generic_visit(node)


@contextmanager
def without(guard: Guard) -> Iterator[None]:
    """Within this, the guard's function has no such guard."""
    tree = ast.parse(inspect.getsource(guard.module))
    remover = Remover(guard.line)
    tree = ast.fix_missing_locations(remover.visit(tree))
    assert remover.done == 1
    space: dict[str, object] = dict(vars(guard.module))
    exec(compile(tree, str(guard.module.__file__), "exec"), space)
    for original, mutated in functions(vars(guard.module), space, guard):
        code = original.__code__
        original.__code__ = mutated.__code__
        try:
            yield
        finally:
            original.__code__ = code


def functions(
    own: dict[str, object], space: dict[str, object], guard: Guard
) -> list[tuple[FunctionType, FunctionType]]:
    """The function with the guard, as it is and as it was made without it; it may be a method."""
    for name, value in own.items():
        other = space[name]
        if name == guard.function and isinstance(value, FunctionType):
            return [(value, other)]  # type: ignore[list-item]
        if inspect.isclass(value) and value.__module__ == guard.module.__name__ and guard.function in vars(value):
            return [(vars(value)[guard.function], vars(other)[guard.function])]  # type: ignore[arg-type]
    raise AssertionError(guard.function)


def cases(guard: Guard) -> list[tuple[Sabotage, bool]]:
    """The sabotage that may be for this guard, what is likely first; if it is for the judgement."""
    every = [(case, False) for case in INTEGRITY] + [(case, True) for case in JUDGEMENT]

    def likely(pair: tuple[Sabotage, bool]) -> tuple[bool, bool, bool]:
        case = pair[0]
        by_words = bool(case.words) and case.words in guard.text
        return (by_words, repr(case.code) in guard.text, case.code == CODES.get(guard.function))

    return sorted(every, key=likely, reverse=True)


NUMBERS = count()


def is_missed(guard: Guard, golden: tuple[Path, Path], folder: Path) -> bool:
    """If some sabotage is no longer seen."""
    for what, do, policy, file, code in ASKED:
        if repr(code) in guard.text:
            broken = copy_of(golden, folder / f"{what}{next(NUMBERS)}")
            do(broken)
            with without(guard):
                return (file, code) not in [(r.subject, r.code) for r in broken.again(policy)]
    for case, judged in cases(guard):
        broken = copy_of(golden, folder / str(next(NUMBERS)))
        case.do(broken)
        with without(guard):
            try:
                rulings = broken.again() if judged else broken.verify()
            except Exception:
                return True  # a verifier that falls over has told nothing
        if not case.found(rulings):
            return True
    return False


def test_there_are_guards() -> None:
    assert len(GUARDS) >= 60
    assert {guard.module for guard in GUARDS} == set(MODULES)


@pytest.mark.nightly("removes every third guard")
@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__[13:])
def test_a_guard_that_is_removed_is_missed(
    module: ModuleType, golden: tuple[Path, Path], tmp_path: Path, nightly: bool
) -> None:
    known = [guard for guard in GUARDS if guard.module is module]
    assert known
    for guard in known if nightly else known[::3]:
        assert is_missed(guard, golden, tmp_path), f"line {guard.line}: no sabotage is for this one: {guard.text}"


def test_a_guard_that_is_there_is_not_missed(golden: tuple[Path, Path], tmp_path: Path) -> None:
    """The test above would be green for nothing if copies were broken by themselves."""
    broken = copy_of(golden, tmp_path / "copy")
    with without(GUARDS[0]):
        assert broken.verify() == ()
    for case in INTEGRITY[:3]:
        broken = copy_of(golden, tmp_path / case.name)
        case.do(broken)
        assert case.found(broken.verify())
