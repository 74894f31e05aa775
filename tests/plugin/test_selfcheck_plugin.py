"""`--dpone-selfcheck` runs the mutants and nothing else, and a survivor is red."""

from __future__ import annotations

import json
import sys

import pytest

import pytest_dpone.engines.mutants as mutants_module
from pytest_dpone import engines

from .conftest import WORKERS, Project

MUTANTS = """
import sys, types
from pytest_dpone import engines

class Mutant:
    def __init__(self, name, strategy, killed_by):
        self.name, self.case_id, self.killed_by = name, f"alpha_to_beta__{strategy}", killed_by
        self.breaks = "something"

    def build(self):
        return Mover(self.name)


module = types.ModuleType("pytest_dpone.engines.mutants")
module.Mutant = Mutant
module.MUTANTS = tuple(Mutant(*row) for row in FAKE["mutants"])
sys.modules["pytest_dpone.engines.mutants"] = module
engines.mutants = module
plain = certify


def certify(case, *, engine, **rest):
    FAKE["behaviours"] = {"*": FAKE["engines"].get(engine.name, "pass")}
    return plain(case, engine=engine, **rest)
"""


@pytest.fixture
def mutants(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    # The project puts mutants of its own in the place of the shipped ones: these come back afterwards.
    monkeypatch.setitem(sys.modules, mutants_module.__name__, mutants_module)
    monkeypatch.setattr(engines, "mutants", mutants_module)
    monkeypatch.delitem(sys.modules, "pytest_dpone.plugin.suite.test_selfcheck", raising=False)
    with (project.path / "conftest.py").open("a") as conftest:
        conftest.write(MUTANTS)
    return project


def plant(project: Project, rows: list[tuple[str, str, list[str]]], engines: dict[str, str]) -> None:
    facts = json.loads((project.path / "fake.json").read_text())
    (project.path / "fake.json").write_text(json.dumps({**facts, "mutants": rows, "engines": engines}))


ROWS = [("drop_rows", "scd2", ["rows"]), ("lose_type", "replace", ["rows", "schema"])]


def test_all_killed(mutants: Project) -> None:
    plant(mutants, ROWS, {"drop_rows": "fail", "lose_type": "fail"})
    mutants.pytester.makepyfile("def test_mine(): raise SystemExit")
    result = mutants.run("--dpone-selfcheck")
    result.assert_outcomes(passed=4, deselected=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "drop_rows  alpha_to_beta__scd2     rows",
            "lose_type  alpha_to_beta__replace  rows",
            "SELFCHECK PASSED: 2 of 2 mutants killed",
        ]
    )
    assert not mutants.artifacts.exists()


@pytest.mark.parametrize("workers", WORKERS)
def test_a_survivor_is_red(mutants: Project, workers: list[str]) -> None:
    plant(mutants, ROWS, {"drop_rows": "fail"})
    result = mutants.run_with(workers, "--dpone-selfcheck")
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == 1
    result.stdout.no_fnmatch_line("lose_type  *")
    result.stdout.fnmatch_lines(
        [
            "SURVIVED lose_type: survived alpha_to_beta__replace: expected a red check among rows, schema",
            "SELFCHECK FAILED: 1 of 2 mutants killed",
        ]
    )


def test_a_mutant_that_is_red_for_another_reason_is_not_killed(mutants: Project) -> None:
    plant(mutants, [("drop_rows", "scd2", ["swap"])], {"drop_rows": "fail"})
    result = mutants.run("--dpone-selfcheck")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["SURVIVED drop_rows: *is red for another reason (rows): expected*swap"])


def test_a_sound_engine_that_fails_is_red(mutants: Project) -> None:
    plant(mutants, ROWS, {"native": "fail", "drop_rows": "fail", "lose_type": "fail"})
    result = mutants.run("--dpone-selfcheck")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["SELFCHECK FAILED: 2 of 2 mutants killed; the sound engine did not pass *scd2*"])


@pytest.mark.parametrize("arguments", [["-k", "drop_rows"], ["-x", "-k", "sound"]])
def test_a_mutant_that_was_not_tried_is_red(mutants: Project, arguments: list[str]) -> None:
    plant(mutants, ROWS, {"drop_rows": "fail", "lose_type": "fail"})
    result = mutants.run("--dpone-selfcheck", *arguments)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["SURVIVED lose_type: not tried", "SELFCHECK FAILED: *"])


def test_no_mutants_at_all_prove_nothing(mutants: Project) -> None:
    plant(mutants, [], {})
    result = mutants.run("--dpone-selfcheck")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["SELFCHECK FAILED: 0 of 0 mutants killed"])
