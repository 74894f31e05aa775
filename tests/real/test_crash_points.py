"""The act `crash` on real services: each point is where it is said to be, and engines that lose rows are found out."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import ActName, ActRecord, Case, CaseRecord, ServiceRecord, Verdict
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.engines.child import load
from pytest_dpone.run import crash
from pytest_dpone.run.case import certify
from pytest_dpone.run.settings import RunSettings

pytestmark = pytest.mark.real

REGISTRY = default_registry()
CASES: dict[str, Case] = {case.case_id: case for case in build_matrix(REGISTRY).planned}
HIDDEN = {"data_committed": 1, "nothing_visible_yet": 1, "nothing_written": 1, "partial_staged_data": 2}
APART = {"data_committed": 1, "data_without_state": 1, "nothing_written": 1, "partial_staged_data": 2}


@pytest.fixture
def kafka(request: pytest.FixtureRequest) -> dict[str, ServiceInfo]:
    url = SecretStr(request.getfixturevalue("kafka_url"))
    record = ServiceRecord(name="kafka", provider="external", product="kafka", version="", fidelity="emulated")
    return {"kafka": ServiceInfo(record=record, url=url)}


def play(case_id: str, services: dict[str, ServiceInfo], *, engine: str = "native", mode: crash.Mode) -> CaseRecord:
    settings = RunSettings(run_id="crash", rows=40, dataset="narrow", crash=mode, engine=engine)
    return certify(CASES[case_id], engine=load(engine), registry=REGISTRY, services=services, settings=settings)


def act_of(record: CaseRecord) -> ActRecord:
    return next(act for act in record.acts if act.name is ActName.CRASH)


def counted(act: ActRecord, start: str) -> dict[str, object]:
    return {name.removeprefix(start): n for name, n in sorted(act.observed.items()) if name.startswith(start)}


def judge(record: CaseRecord, proofs: dict[str, int], *, cuts: int, refusals: int) -> None:
    assert record.verdict is Verdict.PASSED, record.detail
    act = act_of(record)
    assert counted(act, "proofs.") == proofs
    kills = counted(act, "kills.")
    assert (kills.pop("random"), kills) == (2, {"applied": 1, "begun": 1, "committing": 1, "staged": 2})
    assert [act.observed.get(name, 0) for name in ("lost", "doubled", "extra")] == [0, 0, 0]
    assert (act.observed.get("cuts", 0), act.observed.get("refusals", 0)) == (cuts, refusals)


@pytest.mark.nightly("two of four cases; the others are skipped")
@pytest.mark.parametrize(
    ("case_id", "proofs", "refusals"),
    [
        ("postgres_to_postgres__backfill", HIDDEN, 0),
        ("clickhouse_to_postgres__incremental_merge", HIDDEN, 1),
        ("postgres_to_clickhouse__incremental_append", APART, 1),
        ("postgres_to_minio__full_refresh", HIDDEN, 0),
    ],
)
def test_each_point_is_where_it_is_said_to_be(
    services: dict[str, ServiceInfo], case_id: str, proofs: dict[str, int], refusals: int, nightly: bool
) -> None:
    if not nightly and case_id.endswith(("backfill", "full_refresh")):
        pytest.skip("two of four cases are played by `make nightly` alone")
    judge(play(case_id, services, mode="full"), proofs, cuts=3, refusals=refusals)


def test_each_point_on_kafka(services: dict[str, ServiceInfo], kafka: dict[str, ServiceInfo]) -> None:
    record = play("postgres_to_kafka__full_refresh", {**services, **kafka}, mode="full")
    judge(record, HIDDEN, cuts=0, refusals=1)
    assert str(act_of(record).planned["cuts"]).startswith("not tried: clients of Kafka")


@pytest.mark.parametrize(
    ("name", "case_id", "check"),
    [
        ("state_before_data", "postgres_to_postgres__incremental_append", "crash.committing.rows"),
        ("data_before_state", "postgres_to_postgres__incremental_append", "crash.committing.rows"),
        ("deaf_to_a_cut", "postgres_to_postgres__incremental_append", "crash.cut.told"),
        ("keep_what_was_good", "postgres_to_clickhouse__full_refresh", "crash.refused.hidden"),
    ],
)
def test_an_engine_that_can_not_bear_it_is_found_out(
    services: dict[str, ServiceInfo], name: str, case_id: str, check: str
) -> None:
    record = play(case_id, services, engine=f"mutant:{name}", mode="quick")
    red = [each.name for act in record.acts for each in act.checks if not each.passed]
    assert red[:1] == [check], record.detail


def test_an_engine_of_a_fixture_is_not_taken_for_the_one_that_a_process_can_start(
    services: dict[str, ServiceInfo],
) -> None:
    settings = RunSettings(run_id="crash", rows=10, dataset="narrow", engine="native")
    case = CASES["postgres_to_postgres__full_refresh"]
    engine = load("mutant:keep_what_was_good")
    record = certify(case, engine=engine, registry=REGISTRY, services=services, settings=settings)
    assert ActName.CRASH not in [act.name for act in record.acts]
    told = next(act for act in record.acts if act.name is ActName.LOAD).planned["kills"]
    assert told == "not tried: a fixture has put another engine in the place of native"
