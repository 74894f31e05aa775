"""Contracts of one's own family: a row that nobody could be held to is refused, and says why."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_dpone.core.contracts import Contract, Contracts, default_contracts
from pytest_dpone.core.dataset import Dataset, DatasetSpec
from pytest_dpone.core.declared import check_contracts
from pytest_dpone.core.registry import Family, default_registry
from pytest_dpone.errors import UsageError

PATTERN = 'give it error="…", a pattern that the text of the error matches, and that of no other error'
UNENDED = "missing ), unterminated subpattern at position 0"


def added(*contracts: Contract) -> str:
    """What is told when a family comes with these contracts; empty if it is taken."""
    registry = default_registry()
    try:
        registry.add(Family("mine"), contracts=contracts)
    except UsageError as error:
        assert "mine" not in registry.families and not registry.contracts
        return str(error)
    return ""


def row(kind: str, how: Any = "exact", **fields: Any) -> Contract:
    return Contract("mine", kind, how, **fields)


@pytest.mark.parametrize(
    ("contract", "fact", "hint"),
    [
        (
            row("float64", "reject", feature="not_finite", error="nan"),
            "('mine', 'float64', 'reject', feature='not_finite') says how by a word that is unknown",
            "did you mean how='rejected'?",
        ),
        (
            row("float64", "cut off", native=("t",)),
            "('mine', 'float64', 'cut off') says how by a word that is unknown",
            "how is one of exact, widened, lossy, rejected",
        ),
        (
            row("flaot64", native=("t",)),
            "('mine', 'flaot64', 'exact') is of an unknown kind",
            "did you mean kind='float64'?",
        ),
        (
            row("decimal(38,10)", native=("t",)),
            "('mine', 'decimal(38,10)', 'exact') is of an unknown kind",
            "did you mean kind='decimal'?",
        ),
        (
            row("float64", "rejected", feature="not-finite", error="nan"),
            "('mine', 'float64', 'rejected', feature='not-finite') is of a feature that values of this kind don't have",
            "did you mean feature='not_finite'?",
        ),
        (
            row("bool", "rejected", feature="nul", error="nul"),
            "('mine', 'bool', 'rejected', feature='nul') is of a feature that values of this kind don't have",
            "leave feature out",
        ),
        (
            row("array<int64>", "lossy", feature="null_array", rule="null_as_empty"),
            "('mine', 'array<int64>', 'lossy', feature='null_array') has the rule 'null_as_empty', which is unknown",
            "did you mean rule='null_array_as_empty'?",
        ),
        (
            row("array<int64>", "lossy", feature="null_array"),
            "('mine', 'array<int64>', 'lossy', feature='null_array') does not say by which rule",
            "rule is one of null_array_as_empty",
        ),
        (
            row("array<int64>", native=("t",), rule="null_array_as_empty"),
            "('mine', 'array<int64>', 'exact') has the rule 'null_array_as_empty', and loses nothing",
            "a rule says what a value becomes that is 'lossy'",
        ),
        (
            row("float64", "rejected", feature="not_finite"),
            "('mine', 'float64', 'rejected', feature='not_finite') does not say by which error",
            PATTERN,
        ),
        (
            row("float64", "rejected", feature="not_finite", error="(nan"),
            f"('mine', 'float64', 'rejected', feature='not_finite') has the error '(nan', which is no pattern: {UNENDED}",
            PATTERN,
        ),
        (
            row("float64", "rejected", feature="not_finite", error="nan|.*"),
            "('mine', 'float64', 'rejected', feature='not_finite') has the error 'nan|.*', which any text matches",
            PATTERN,
        ),
        (
            row("float64", native=("t",), error="nan"),
            "('mine', 'float64', 'exact') has the error 'nan', and rejects nothing",
            "an error is that of a value that is 'rejected'",
        ),
        (
            row("float64"),
            "('mine', 'float64', 'exact') names no column type",
            'give it native=("…",): the names of types that the family may store the kind in',
        ),
    ],
)
def test_a_row_that_nobody_could_be_held_to_is_refused(contract: Contract, fact: str, hint: str) -> None:
    assert added(contract) == f"Contract{fact}\nhint: {hint}"


def test_two_rows_of_one_feature_are_refused() -> None:
    first, second = row("text", "rejected", feature="nul", error="NUL"), row("text", feature="nul")
    told = "Contract('mine', 'text', 'exact', feature='nul') is there twice"
    assert added(first, second) == f"{told}\nhint: leave one of them: nobody could tell which counts"
    assert added(row("text", native=("t",)), first) == ""


@pytest.mark.parametrize("family", sorted({row.family for row in default_contracts().rows}))
def test_the_contracts_of_our_own_families_are_well_declared(family: str) -> None:
    rows = [row for row in default_contracts().rows if row.family == family]
    assert rows
    check_contracts(rows)


def test_an_array_that_is_null_can_be_refused() -> None:
    refusing = row("array<int64>", "rejected", feature="null_array", error="no NULL")
    kinds = {each.kind: each for each in default_contracts().rows if each.family == "postgres" and not each.feature}
    others = [Contract("mine", kind, native=each.native) for kind, each in kinds.items()]
    assert added(*others, refusing) == ""
    contracts = Contracts((*default_contracts().rows, *others, refusing))
    data = Dataset(DatasetSpec(seed=1, rows=20), source="postgres", sink="mine", contracts=contracts)
    (rejection,) = data.rejections(all_values=True)
    assert rejection.rows.column("value").to_pylist() == [None]
    assert rejection.schema.field("value").nullable, "else the source would refuse it"
