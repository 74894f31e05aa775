"""The selfcheck: the sound engine passes, and every mutant is found out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_dpone.core.model import Case, CaseRecord
from pytest_dpone.core.wire import Engine
from pytest_dpone.engines.mutants import MUTANTS, Mutant
from pytest_dpone.plugin.active import session_or_skip
from pytest_dpone.plugin.records import keep_trial
from pytest_dpone.run.attempt import attempt
from pytest_dpone.run.selfcheck import Trial, kills, try_mutant, try_sound

Play = Callable[..., CaseRecord]


@pytest.fixture
def play(request: pytest.FixtureRequest) -> Play:
    """Play the case with this id with an engine; its name is for a process that can start it, to be killed."""
    session = session_or_skip(request.config)

    def play_case(case_id: str, engine: Engine, name: str, *, killed: bool) -> CaseRecord:
        crash = {} if killed else {"crash": "off"}
        case = Case.of_id(case_id)
        assert case is not None
        with session.teller.playing(f"{name} {case_id}") as on_step:
            return attempt(
                case,
                engine=engine,
                registry=session.plan.registry,
                services=session.services,
                settings=session.settings.model_copy(update={"engine": name, **crash}),
                on_step=on_step,
            )

    return play_case


@pytest.mark.integration_matrix
@pytest.mark.parametrize("case_id", sorted({mutant.case_id for mutant in MUTANTS}))
def test_sound(request: pytest.FixtureRequest, case_id: str, play: Play) -> None:
    """The engine that the mutants are made of passes, so what kills a mutant is its mutation."""
    session = session_or_skip(request.config)
    killed = any(mutant.case_id == case_id and kills(mutant.killed_by) for mutant in MUTANTS)
    name = session.settings.engine
    _judge(request, try_sound(case_id, play=lambda: play(case_id, session.engine, name, killed=killed)))


@pytest.mark.integration_matrix
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_mutant(request: pytest.FixtureRequest, mutant: Mutant, play: Play) -> None:
    """The check that is there for this kind of mistake finds it."""
    trial = try_mutant(
        mutant.name,
        case_id=mutant.case_id,
        killed_by=mutant.killed_by,
        play=lambda: play(mutant.case_id, mutant.build(), f"mutant:{mutant.name}", killed=kills(mutant.killed_by)),
    )
    _judge(request, trial)


def _judge(request: pytest.FixtureRequest, trial: Trial) -> None:
    keep_trial(request.node, trial.model_dump_json())
    if not trial.good:
        pytest.fail(f"{trial.name}: {trial.detail}", pytrace=False)
