"""Write the pages of docs/ that come from the code: `python docs/generate.py`."""

from __future__ import annotations

import ast
import inspect
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_dpone.core.checks import CHECKS, check_of
from pytest_dpone.core.contracts import Contract, default_contracts
from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import Case, KeyForm, Strategy
from pytest_dpone.core.registry import default_registry
from pytest_dpone.engines.mutants import MUTANTS
from pytest_dpone.plugin import fixtures, hooks
from pytest_dpone.plugin.chosen import reference_page

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
import guides  # noqa: E402 - it lies beside this file

CONTRACTS = """\
# Contracts

A contract says what a family may do to a value. The oracle computes from the contracts what the sink must hold, so a
loss that is not in this table is a failure, and a loss that is in it is checked too.

| how | meaning |
|---|---|
| exact | The value comes back as it was. |
| widened | It is stored in a wider type, and is recovered from it exactly. |
| lossy | It becomes what the rule says, and nothing else. |
| rejected | It can't be stored: the engine must raise an error that matches the pattern, and store nothing of it. |

The column types are those that a sink may choose; the first one is what a source table is created with. `{p}` and
`{s}` are a decimal's precision and scale, and a sink may have more digits on both sides of the point; `*` is any text.
A kind with *no* in the column *source* occurs only in the source tables of other families.

`pytest-dpone contracts` prints the same table, with `--format json` for programs. This page is generated from
`pytest_dpone.core.contracts`.
"""

NO_SOURCE = "no"

MUTANTS_PAGE = """\
# Mutants

A mutant is the reference engine, broken in one way. `pytest --dpone-selfcheck` plays the case of each, and is red if
one of them passes, or is found by none of the checks that are there for it. The sound engine must pass the same cases.

A test makes each check always green in turn, and at least one mutant must pass then. It leaves out the checks of which
the second table says why no mutant can depend on them alone; other tests show each of these red.

This page is generated from `pytest_dpone.engines.mutants` and `pytest_dpone.core.checks`.
"""


MATRIX_PAGE = """\
# The matrix

The cases of the shipped families: {planned} are planned, {excluded} are excluded, each for the reason that its number
stands for. The cell of a planned case says of which form its [key](concepts.md#the-key-of-a-case) is:
{forms}. `pytest-dpone matrix` prints the same list, a case a line, with `--format json` for
programs. This page is generated from `pytest_dpone.core.registry`.

"""

STAGED = """
## Rows that are staged on their way

With `--dpone-staging=minio` {count} cases more are planned, and `pytest-dpone matrix --staging=minio` lists them: their
rows are staged as Parquet objects, which the sink's server loads by itself. They have ids of their own, such as
`{example}`, and are played and judged like the direct ones. An engine that does not stage leaves them *not implemented
yet*. [Architecture](architecture.md#the-staging-area) says how the native engine does it.

"""


def pages() -> Mapping[str, str]:
    """Path below docs/ → text."""
    return {
        "matrix.md": matrix_page(),
        "strategies.md": guides.strategies_page(),
        **guides.pair_pages(),
        "contracts.md": contracts_page(),
        "mutants.md": mutants_page(),
        "reference/options.md": reference_page(),
        "reference/fixtures.md": fixtures_page(),
        "reference/hooks.md": hooks_page(),
    }


def contracts_page() -> str:
    """One table per family."""
    rows = default_contracts().rows
    lines = [CONTRACTS]
    for family in dict.fromkeys(row.family for row in rows):
        lines += [
            f"## {family}",
            "",
            "| kind | values | how | column types | source | note |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_contract_line(row) for row in rows if row.family == family]
        lines.append("")
    return "\n".join(lines)


def matrix_page() -> str:
    """Source and sink by strategy, and the reasons of what is excluded."""
    registry = default_registry()
    matrix = build_matrix(registry)
    planned = set(matrix.planned)
    why = {row.case: row.reason for row in matrix.excluded}
    reasons = list(dict.fromkeys(why.values()))
    counts = Counter(registry.key_form(case) for case in planned)
    forms = ", ".join(f"{counts[form]} `{form}`" for form in KeyForm)
    head = MATRIX_PAGE.format(planned=len(planned), excluded=len(why), forms=forms)
    lines = [head + "| source | sink | " + " | ".join(Strategy) + " |"]
    lines.append("|---|---|" + "---|" * len(Strategy))
    for source, sink in dict.fromkeys((case.source, case.sink) for case in (*matrix.planned, *why)):
        cells = []
        for strategy in Strategy:
            case = Case(source, sink, strategy)
            cells.append(registry.key_form(case) if case in planned else f"[{reasons.index(why[case]) + 1}]")
        lines.append(f"| {source} | {sink} | " + " | ".join(cells) + " |")
    registry.staging = "minio"
    staged = [case for case in build_matrix(registry).planned if case.via]
    lines.append(STAGED.format(count=len(staged), example=staged[0].case_id) + "| source | sink | strategies |")
    lines.append("|---|---|---|")
    for source, end in dict.fromkeys((case.source, case.end) for case in staged):
        named = [str(case.strategy) for case in staged if (case.source, case.end) == (source, end)]
        lines.append(f"| {source} | {end} | {', '.join(named)} |")
    lines += ["", "## Why cases are excluded", ""]
    lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    lines += ["", "## Why keys are integers whatever their turn", ""]
    lines += [f"- {reason}" for reason in dict.fromkeys(map(registry.why_integer, matrix.planned)) if reason]
    return "\n".join(lines) + "\n"


def mutants_page() -> str:
    """The mutants, and the checks with the mutants that they find."""
    lines = [MUTANTS_PAGE, f"## The {len(MUTANTS)} mutants", ""]
    lines += ["| mutant | what it breaks | case | found by |", "|---|---|---|---|"]
    for mutant in MUTANTS:
        checks = ", ".join(map(_code, mutant.killed_by))
        lines.append(f"| `{mutant.name}` | {mutant.breaks} | `{mutant.case_id}` | {checks} |")
    lines += ["", "## The checks", "", "| check | what it says | mutants |", "|---|---|---|"]
    for name, meaning in CHECKS.items():
        count = sum(name in map(check_of, mutant.killed_by) for mutant in MUTANTS)
        lines.append(f"| `{name}` | {meaning.says} | {count or f'none: {meaning.no_mutant}'} |")
    return "\n".join(lines) + "\n"


def fixtures_page() -> str:
    """The fixtures, from their docstrings."""
    lines = ["# Fixtures", ""]
    lines += [
        "A session fixture is a place to override: define one with the same name in the `conftest.py` of rootdir."
    ]
    lines += [
        "This page is generated from `pytest_dpone.plugin.fixtures`.",
        "",
        "| fixture | scope | gives |",
        "|---|---|---|",
    ]
    for function in _functions(inspect.getsource(fixtures)):
        scope = _fixture_scope(function)
        if scope:
            gives = ast.unparse(function.returns) if function.returns else ""
            gives = gives.removeprefix("Iterator[").removesuffix("]") if gives.startswith("Iterator[") else gives
            lines.append(f"| `{function.name}` | {scope} | `{gives}`: {_one_line(function)} |")
    return "\n".join(lines) + "\n"


def hooks_page() -> str:
    """The hooks, from their docstrings."""
    lines = ["# Hooks", "", inspect.cleandoc(hooks.__doc__ or "").partition("\n\n")[2], ""]
    lines += ["This page is generated from `pytest_dpone.plugin.hooks`."]
    for function in _functions(inspect.getsource(hooks)):
        lines += ["", f"## {function.name}", "", f"`{function.name}({ast.unparse(function.args)})`", ""]
        lines.append(inspect.cleandoc(ast.get_docstring(function) or ""))
    return "\n".join(lines) + "\n"


def _contract_line(row: Contract) -> str:
    types = ", ".join(_code(name) for name in row.native) or "–"
    how: str = row.how
    if row.rule:
        how += f": {row.rule.replace('_', ' ')}"
    if row.error:
        how += f" by an error like {_code(row.error)}"
    source = "–" if row.feature else ("yes" if row.source else NO_SOURCE)
    return f"| `{row.kind}` | {row.feature.replace('_', ' ') or 'all'} | {how} | {types} | {source} | {row.note} |"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _functions(source: str) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))


def _fixture_scope(function: ast.FunctionDef) -> str:
    for decorator in function.decorator_list:
        text = ast.unparse(decorator)
        if text.startswith("pytest.fixture"):
            return "session" if "scope='session'" in text else "test"
    return ""


def _one_line(function: ast.FunctionDef) -> str:
    return " ".join((ast.get_docstring(function) or "").split()).replace("|", "\\|")


def main() -> None:
    """Write every page that differs."""
    for name, text in pages().items():
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
