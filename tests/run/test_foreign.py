"""Engines that are wrong in every way that foreign code can be: each gives a red case that names the engine's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pytest_dpone.core.model import Case, Strategy
from pytest_dpone.core.wire import SUPPORTED, Engine, Job, RunFacts, Support
from pytest_dpone.errors import EngineFailed
from pytest_dpone.run.foreign import check_engine, facts_of, support_of

CASE = Case("postgres", "clickhouse", Strategy.FULL_REFRESH)
ENDPOINT = {"family": "postgres", "url": "postgresql://u@h/d", "namespace": "n", "table": "t"}
JOB = Job.model_validate(
    {
        "case_id": CASE.case_id,
        "run_id": "r",
        "strategy": CASE.strategy,
        "source": ENDPOINT,
        "sink": ENDPOINT,
        "key": ("id",),
        "cursor": "c",
        "partition": "p",
        "state_table": "s",
        "batch_rows": 1,
    }
)


class Foreign:
    name = "mine"

    def __init__(self, answer: Callable[[], object]) -> None:
        self._answer = answer

    def supports(self, case: Case) -> Support:
        return self._answer()  # type: ignore[return-value]

    def run(self, job: Job) -> RunFacts:
        return self._answer()  # type: ignore[return-value]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def raising(error: BaseException) -> Engine:
    def answer() -> object:
        raise error

    return Foreign(answer)


NO_ENGINES = [
    (Foreign, "the engine is the class Foreign"),
    (42, "the engine, a int, has no name"),
    (type("E", (), {"name": ""})(), "has no name"),
    (type("E", (), {"name": "x", "supports": print})(), "the engine x has no method run"),
]


@pytest.mark.parametrize(("engine", "told"), NO_ENGINES, ids=[told for _, told in NO_ENGINES])
def test_what_is_no_engine_is_refused(engine: object, told: str) -> None:
    with pytest.raises(EngineFailed, match=told):
        check_engine(engine)


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        (Foreign(lambda: None), "it returned NoneType instead of a Support"),
        (Foreign(lambda: "supported"), "it returned str instead of a Support"),
        (raising(SystemExit(0)), "SystemExit: 0"),
        (raising(GeneratorExit()), "GeneratorExit"),
        (raising(Unspeakable()), "its text can't be had"),
        (raising(KeyError("boom")), "KeyError: 'boom'"),
    ],
)
def test_an_engine_that_can_not_say_what_it_supports(engine: Engine, told: str) -> None:
    with pytest.raises(EngineFailed) as caught:
        support_of(engine, CASE)
    assert caught.value.fact.startswith("the engine mine can't say if it supports postgres_to_clickhouse__full_refresh")
    assert told in caught.value.fact
    assert "must return a Support" in caught.value.hint


def test_a_support_goes_through() -> None:
    assert support_of(Foreign(lambda: SUPPORTED), CASE) is SUPPORTED


GOOD = RunFacts(read=1, written=1)


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        (Foreign(lambda: None), "the engine returned NoneType instead of RunFacts"),
        (Foreign(lambda: {"read": 1, "written": 1}), "the engine returned dict instead of RunFacts"),
        (Foreign(lambda: GOOD.model_copy(update={"read": -1})), "read: Input should be greater than or equal to 0"),
        (Foreign(lambda: GOOD.model_copy(update={"read": 10**5000})), "read: "),
        (Foreign(lambda: GOOD.model_copy(update={"state_after": 7})), "state_after: Input should be a valid string"),
        (Foreign(lambda: RunFacts.model_construct(read=1)), "written: Field required"),
        (raising(SystemExit(0)), "the engine raised SystemExit: 0"),
        (raising(GeneratorExit()), "the engine raised GeneratorExit"),
        (raising(asyncio.CancelledError()), "the engine raised CancelledError"),
    ],
)
def test_facts_that_are_none(engine: Engine, told: str) -> None:
    with pytest.raises(EngineFailed) as caught:
        facts_of(engine, JOB)
    assert told in caught.value.fact


def test_what_an_engine_raises_goes_through() -> None:
    with pytest.raises(KeyError, match="boom"):
        facts_of(raising(KeyError("boom")), JOB)


def test_ctrl_c_goes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        facts_of(raising(KeyboardInterrupt()), JOB)
    with pytest.raises(KeyboardInterrupt):
        support_of(raising(KeyboardInterrupt()), CASE)


def test_half_a_character_in_a_state_can_be_written() -> None:
    facts = facts_of(Foreign(lambda: GOOD.model_copy(update={"state_after": "x\ud800"})), JOB)
    assert facts.state_after == "x\\ud800"
    assert RunFacts.model_validate_json(facts.model_dump_json()) == facts
