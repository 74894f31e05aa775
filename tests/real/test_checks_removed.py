"""No check is there in vain: where it is always green, at least one mutant passes that it would have found."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_dpone.core.checks import CHECKS, check_of
from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import CaseRecord, Check, Verdict
from pytest_dpone.core.registry import default_registry
from pytest_dpone.engines.mutants import MUTANTS, Mutant
from pytest_dpone.run.attempt import attempt
from pytest_dpone.run.selfcheck import kills
from pytest_dpone.run.settings import RunSettings
from pytest_dpone.services.stack import Stack, StackSettings

pytestmark = pytest.mark.real

REGISTRY = default_registry()
REGISTRY.staging = "minio"
PLANNED = {case.case_id: case for case in build_matrix(REGISTRY).planned}
PROVIDERS = dict.fromkeys(("postgres", "clickhouse", "minio", "kafka", "schema_registry"), "embedded")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack.launch(StackSettings(run_id=f"test-{secrets.token_hex(4)}", providers=PROVIDERS)) as stack:
        yield stack


@pytest.fixture
def play(stack: Stack) -> Callable[[Mutant], CaseRecord]:
    def play_mutant(mutant: Mutant) -> CaseRecord:
        # as many rows as a selfcheck has, which shows that the same mutants are red while the checks see
        settings = RunSettings(
            run_id=f"test-{secrets.token_hex(4)}",
            crash="quick" if kills(mutant.killed_by) else "off",
            engine=f"mutant:{mutant.name}",
        )
        case = PLANNED[mutant.case_id]
        return attempt(case, engine=mutant.build(), registry=REGISTRY, services=lambda: stack, settings=settings)

    return play_mutant


def blind(monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    """From now on `check` is green whatever it sees."""
    make, copy = Check.__init__, Check.model_copy

    def made(self: Check, **data: Any) -> None:
        make(self, **data | {"passed": data["passed"] or check_of(data["name"]) == check})

    def copied(self: Check, *, update: dict[str, Any]) -> Check:
        green = self.passed or check_of(update["name"]) == check
        return copy(self, update=update | {"passed": green})

    monkeypatch.setattr(Check, "__init__", made)
    monkeypatch.setattr(Check, "model_copy", copied)


FOUND = [name for name, meaning in CHECKS.items() if not meaning.no_mutant]


@pytest.mark.nightly("blinds every third check; the others are skipped")
@pytest.mark.parametrize("check", FOUND)
def test_without_the_check_a_mutant_lives(
    check: str, play: Callable[[Mutant], CaseRecord], monkeypatch: pytest.MonkeyPatch, nightly: bool
) -> None:
    if not nightly and FOUND.index(check) % 3:
        pytest.skip("two of three checks are blinded by `make nightly` alone")
    found = [mutant for mutant in MUTANTS if check in map(check_of, mutant.killed_by)]
    blind(monkeypatch, check)
    told = []
    for mutant in sorted(found, key=lambda mutant: len(mutant.killed_by)):
        record = play(mutant)
        if record.verdict is Verdict.PASSED:
            return
        told.append(f"{mutant.name}: {record.detail}")
    pytest.fail(f"without {check} every mutant that it finds is found all the same: {told}")
