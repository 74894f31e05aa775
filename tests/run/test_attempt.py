"""One case from the engine's word to the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from pytest_dpone.core.model import (
    ActName,
    ActRecord,
    Case,
    CaseRecord,
    Check,
    DiffReport,
    NotRun,
    ServiceRecord,
    Strategy,
    Verdict,
)
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import SUPPORTED, Job, RunFacts, ServiceInfo, Support
from pytest_dpone.errors import DponeError, ServiceFailed, ServiceUnavailable
from pytest_dpone.run import case as run_case
from pytest_dpone.run.attempt import attempt
from pytest_dpone.run.settings import RunSettings

CASE = Case("postgres", "clickhouse", Strategy.FULL_REFRESH)
SETTINGS = RunSettings(run_id="t1")
FACTS = {"provider": "embedded", "product": "p", "version": "1", "fidelity": "real"}


@dataclass(frozen=True)
class Choice:
    provider: str | None
    reason: str
    asked: bool = False


@dataclass
class Services:
    choices: Mapping[str, Choice] = field(default_factory=dict)
    error: DponeError | None = None
    deaths: Mapping[str, str] = field(default_factory=dict)
    ensured: list[str] = field(default_factory=list)

    def choose(self, names: Sequence[str]) -> Mapping[str, Choice]:
        return {name: self.choices.get(name, Choice("embedded", "it is there")) for name in names}

    def ensure(self, names: Sequence[str]) -> Mapping[str, ServiceInfo]:
        if self.error is not None:
            raise self.error
        self.ensured += names
        url = SecretStr("x://y")
        return {n: ServiceInfo(record=ServiceRecord.model_validate({"name": n, **FACTS}), url=url) for n in names}

    def died(self, name: str) -> str | None:
        return self.deaths.get(name)


class Engine:
    name = "mine"

    def __init__(self, support: Support | Exception = SUPPORTED) -> None:
        self._support = support

    def supports(self, case: Case) -> Support:
        if isinstance(self._support, Exception):
            raise self._support
        return self._support

    def run(self, job: Job) -> RunFacts:
        raise AssertionError("the fake certify never runs it")


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    """Replaces the playing of the case; the verdict of what is played."""
    wanted = [Verdict.PASSED]

    def certify(case: Case, *, services: Mapping[str, ServiceInfo], **_: object) -> CaseRecord:
        acts = (
            ActRecord(
                name=ActName.LOAD,
                passed=True,
                checks=(Check(name="rows", passed=True),),
                diff=DiffReport(expected_rows=1, actual_rows=1),
            ),
        )
        records = tuple(info.record for info in services.values())
        return CaseRecord.of(case, wanted[0], acts=acts, services=records, detail="as played")

    monkeypatch.setattr(run_case, "certify", certify)
    return wanted


def play(services: Services | None, engine: Engine | None = None) -> CaseRecord:
    def give() -> Services:
        assert services is not None, "nobody may ask for services"
        return services

    return attempt(CASE, engine=engine or Engine(), registry=default_registry(), services=give, settings=SETTINGS)


def test_the_services_of_both_sides_are_there(verdict: list[Verdict]) -> None:
    services = Services()
    record = play(services)
    assert record.verdict is Verdict.PASSED
    assert services.ensured == ["postgres", "clickhouse"]


@pytest.mark.parametrize("status", ["unsupported", "not implemented yet"])
def test_what_the_engine_can_not_do_starts_nothing(verdict: list[Verdict], status: str) -> None:
    engine = Engine(Support.model_validate({"status": status, "reason": "too hard"}))
    record = play(None, engine)
    assert (record.reason, record.detail, record.engine) == (NotRun.NOT_IMPLEMENTED, "too hard", "mine")


def test_an_engine_that_can_not_even_say_is_red(verdict: list[Verdict]) -> None:
    record = play(None, Engine(KeyError("boom")))
    assert record.verdict is Verdict.FAILED
    assert "the engine mine can't say if it supports postgres_to_clickhouse__full_refresh" in record.detail


def test_an_unavailable_service_is_not_run_and_starts_nothing(verdict: list[Verdict]) -> None:
    services = Services(choices={"clickhouse": Choice(None, "clickhouse: no provider can serve it")})
    record = play(services)
    assert (record.reason, record.detail) == (NotRun.UNAVAILABLE, "clickhouse: no provider can serve it")
    assert services.ensured == []
    gone = play(Services(error=ServiceUnavailable("the image has gone", hint="pull it")))
    assert (gone.reason, gone.detail) == (NotRun.UNAVAILABLE, "the image has gone")


def test_cdc_makes_a_slot_on_a_server_of_the_user_only_if_it_may(verdict: list[Verdict]) -> None:
    def tried(case: Case, *, allowed: bool) -> CaseRecord:
        services = Services(choices={"postgres": Choice("external", "its address is set")})
        settings = SETTINGS.model_copy(update={"allow_slots": allowed})
        record = attempt(
            case, engine=Engine(), registry=default_registry(), services=lambda: services, settings=settings
        )
        assert bool(services.ensured) is (record.verdict is Verdict.PASSED)
        return record

    cdc = Case("postgres", "postgres", Strategy.CDC)
    refused = tried(cdc, allowed=False)
    assert refused.reason is NotRun.UNAVAILABLE
    assert refused.detail == (
        "postgres is external, and cdc makes a replication slot there: --dpone-allow-slots says that it may"
    )
    assert tried(cdc, allowed=True).verdict is Verdict.PASSED
    assert tried(Case("postgres", "postgres", Strategy.XMIN), allowed=False).verdict is Verdict.PASSED


def test_a_provider_that_was_asked_for_by_name_and_can_not_be_had_is_red(verdict: list[Verdict]) -> None:
    services = Services(choices={"clickhouse": Choice(None, "clickhouse: no Docker Engine answers", asked=True)})
    record = play(services)
    assert (record.verdict, record.detail) == (Verdict.FAILED, "clickhouse: no Docker Engine answers")
    assert services.ensured == []


def test_a_service_that_does_not_start_is_red_and_told_in_full(verdict: list[Verdict]) -> None:
    error = ServiceFailed("postgres was not ready after 60 s\nlog line 1\nlog line 2", hint="read its log")
    record = play(Services(error=error))
    assert (record.verdict, record.detail) == (Verdict.FAILED, "postgres was not ready after 60 s")
    assert record.acts[0].error == str(error)
    assert record.rerun.startswith("pytest --dpone-case=postgres_to_clickhouse__full_refresh")


def test_a_service_that_dies_is_not_the_fault_of_the_case(verdict: list[Verdict]) -> None:
    verdict[0] = Verdict.FAILED
    record = play(Services(deaths={"clickhouse": "clickhouse died: exit status -9\nlast lines"}))
    assert (record.verdict, record.reason) == (Verdict.NOT_RUN, NotRun.SERVICE_DIED)
    assert record.detail == "clickhouse died: exit status -9"
    assert record.acts[-1].error.startswith("clickhouse died: exit status -9\nlast lines")


def test_a_service_that_died_before_is_told_in_full(verdict: list[Verdict]) -> None:
    error = ServiceFailed("postgres (embedded) died: killed\nlog line", hint="look for what killed it")
    record = play(Services(error=error, deaths={"postgres": error.fact}))
    assert (record.verdict, record.reason) == (Verdict.NOT_RUN, NotRun.SERVICE_DIED)
    assert record.detail == "postgres (embedded) died: killed"
    assert record.acts[0].error == str(error)


def test_a_case_that_is_red_by_itself_stays_red(verdict: list[Verdict]) -> None:
    verdict[0] = Verdict.FAILED
    record = play(Services())
    assert (record.verdict, record.detail) == (Verdict.FAILED, "as played")
