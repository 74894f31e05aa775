"""What the act `crash` plans, whom it spares and why, and how its counts come together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest
from pydantic import SecretStr

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import Dataset, DatasetSpec
from pytest_dpone.core.gates.kills import Kills, kills_of, summed
from pytest_dpone.core.model import ActName, ActRecord, Case, CaseRecord, Check, DiffReport, KeyForm, Strategy, Verdict
from pytest_dpone.core.wire import Endpoint, Job, RunFacts
from pytest_dpone.engines.mock import MockEngine
from pytest_dpone.engines.native import NativeEngine
from pytest_dpone.run import crash
from pytest_dpone.run.act import Act
from pytest_dpone.run.conclusion import _RECONCILIATION_CHECKS, _STATE_CHECKS
from pytest_dpone.run.crash import POINTS, RANDOM, _Attempt, cuts, trials, why_not
from pytest_dpone.run.mishaps import _bad_row, _through, why_not_cut
from pytest_dpone.run.proxy import Proxy
from pytest_dpone.run.settings import RunSettings
from pytest_dpone.run.stage import Stage
from pytest_dpone.services.catalog import Fingerprint

SAME = DiffReport(expected_rows=1, actual_rows=1)
CASE = Case("postgres", "postgres", Strategy.FULL_REFRESH)


def settings(**fields: object) -> RunSettings:
    return RunSettings.model_validate({"run_id": "unit", **fields})


class Watched:
    """An engine of a user that tells its moments."""

    name = "mine"

    def watched(self, moment: Callable[[str], None]) -> Watched:
        del moment
        return self


def job(url: str) -> Job:
    end = Endpoint(family="postgres", url=SecretStr(url), namespace="n", table="t")
    fields: dict[str, Any] = {"key": ("id",), "cursor": "c", "partition": "p", "state_table": "s", "batch_rows": 1}
    return Job(case_id="c", run_id="r", strategy=Strategy.FULL_REFRESH, source=end, sink=end, **fields)


def test_full_has_all_that_quick_has_every_point_and_both_acts() -> None:
    full = trials("full")
    assert set(trials("quick")) < set(full)
    assert {trial.point for trial in full} == {*POINTS, RANDOM}
    assert {trial.act for trial in full} == {ActName.LOAD, ActName.CHANGE}
    assert set(cuts("quick")) < set(cuts("full"))
    assert trials("off") == cuts("off") == ()


def test_full_makes_the_numbers_of_a_release_on_the_six_routes() -> None:
    cases = 48
    points = Counter({trial.point: cases for trial in trials("full")})
    assert len(trials("full")) * cases >= 200
    assert min(points.values()) >= 25


@pytest.mark.parametrize(
    ("engine", "fields", "told"),
    [
        (NativeEngine(), {}, None),
        (NativeEngine(), {"crash": "off"}, ""),
        (MockEngine(), {"engine": "mock"}, "the engine mock tells no moments at which it could be killed"),
        (
            Watched(),
            {"engine": "mine"},
            "the engine mine comes from a hook, and a process of its own can start ours only",
        ),
        (Watched(), {}, "a fixture has put another engine in the place of native"),
    ],
)
def test_whom_it_spares(engine: Any, fields: dict[str, object], told: str | None) -> None:
    assert why_not(CASE, engine, settings(**fields)) == told


def test_other_routes_are_spared_without_a_word() -> None:
    assert why_not(Case("minio", "postgres", Strategy.FULL_REFRESH), NativeEngine(), settings()) == ""


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:p@db:5432/x", ""),
        ("s3://u:p@db:9000/bucket", ""),
        ("kafka://u:p@db:9092", "clients of Kafka go on to the address that the broker tells them"),
        ("memory:///folder?family=postgres", "the sink has no port that could be stood before"),
        ("clickhouses://u:p@db:8443", "the connection is encrypted, and its certificate is not for 127.0.0.1"),
        ("postgresql://u:p@db:1/x?sslmode=require", "the connection is encrypted, and its certificate is not for"),
    ],
)
def test_which_connections_are_cut(url: str, told: str) -> None:
    found = why_not_cut(cast(Stage, SimpleNamespace(job=lambda _: job(url))))
    assert found.startswith(told)
    assert bool(found) is bool(told)


@pytest.mark.parametrize("account", ["", "u:p%40ss@"])
def test_only_the_place_of_the_sink_is_another_one(account: str) -> None:
    given = job(f"postgresql://{account}db:5432/x?a=1")
    with Proxy("127.0.0.1", 1) as proxy:
        moved = _through(given, proxy)
    assert moved.sink.url.get_secret_value() == f"postgresql://{account}127.0.0.1:{proxy.port}/x?a=1"
    assert moved.model_copy(update={"sink": given.sink}) == given


@pytest.mark.parametrize(("folds", "changed"), [(True, False), (False, True)])
def test_a_topic_that_has_no_event_yet_is_no_change_and_an_empty_table_is_one(folds: bool, changed: bool) -> None:
    looks: list[Fingerprint | None] = [None, None, Fingerprint(0, 0), Fingerprint(0, 0)]
    hands = SimpleNamespace(contents=lambda _: {}, fingerprint=lambda *_: looks.pop(0))
    stage: Any = SimpleNamespace(
        sink=hands, inner_sink=lambda: hands, sink_space="s", table="t", staging=None, sink_folds=folds
    )
    attempt = _Attempt(cast(Any, None), stage, NativeEngine(), trials("quick")[0])
    before = attempt._look()
    assert attempt._since(before) == (set(), changed)
    looks[:] = [Fingerprint(1, 1)] * 2
    assert attempt._since(before) == (set(), True)


@pytest.mark.parametrize(("now", "passed"), [(7, True), (8, False)])
def test_a_chunk_that_was_done_is_not_written_again_after_a_kill(
    now: int, passed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(*versions: int) -> pa.Table:
        return pa.table({"key": range(1, 1 + len(versions)), "version": versions})

    monkeypatch.setattr(crash, "judged", lambda *_, **__: None)
    monkeypatch.setattr(crash, "versions", lambda _: seen(7, now, 9))
    stage: Any = SimpleNamespace(job=lambda _: job("postgresql://db:5432/x"), case=CASE)
    act = Act(ActName.CRASH)
    attempt = _Attempt(
        act, stage, cast(Any, SimpleNamespace(run=lambda _: RunFacts(read=0, written=0))), trials("quick")[0]
    )
    attempt.done = seen(7, 7)
    attempt._rerun()
    assert [(check.name, check.passed) for check in act.checks] == [("crash.staged.resumed", passed)]


def record(**observed: int | bool | str) -> CaseRecord:
    passed = (Check(name="rows", passed=True),)
    acts = (
        ActRecord(name=ActName.LOAD, passed=True, checks=passed, observed={"kills.begun": 9}, diff=SAME),
        ActRecord(name=ActName.CRASH, passed=True, checks=passed, observed=observed),
    )
    return CaseRecord.of(CASE, Verdict.PASSED, acts=acts)


def test_kills_are_those_of_the_act_crash() -> None:
    found = kills_of(record(**{"kills.begun": 2, "proofs.nothing_written": 2, "cuts": 1, "lost": True, "read": 7}))
    assert found == Kills(points={"begun": 2}, proofs={"nothing_written": 2}, cuts=1)


def test_kills_of_a_run() -> None:
    total = summed(
        kills_of(record(**more))
        for more in (
            {"kills.staged": 2, "kills.begun": 1, "lost": 1, "extra": 4},
            {"kills.staged": 3, "cuts": 2, "refusals": 1, "doubled": 2},
        )
    )
    assert total.total == 6
    assert total.line() == (
        "6 kills (begun 1, staged 5), 2 cut connections, 1 refused rows: 1 rows lost, 2 doubled, 4 resurrected or extra"
    )
    assert Kills.of(total.told()) == total


def test_no_kill_no_word() -> None:
    assert summed([]).line() == ""
    assert Kills.of(None) == Kills()
    assert Kills(cuts=1).line().startswith("0 kills (), 1 cut")


def test_the_evidence_names_checks_that_the_tallies_look_for() -> None:
    from pytest_dpone.core.gates.tallies import SHOWN

    assert {*_STATE_CHECKS.values(), *_RECONCILIATION_CHECKS.values()} == set(SHOWN)


@pytest.mark.parametrize("form", list(KeyForm))
def test_the_row_that_is_refused_has_a_key_of_its_own(form: KeyForm) -> None:
    spec = DatasetSpec(seed=1, rows=50)
    dataset = Dataset(spec, source="clickhouse", sink="postgres", contracts=default_contracts(), key=form)
    stage: Any = SimpleNamespace(dataset=dataset)
    rejection = next(dataset.rejections(all_values=False))
    (bad,) = _bad_row(stage, rejection).to_pylist()
    key = [bad[name] for name in dataset.schema.key]
    assert key == [*dataset.keys(pa.array([bad["id"]], pa.int64())).to_pylist()[0].values()]
    assert [row for batch in dataset.before() for row in batch.to_pylist() if row["id"] == bad["id"]] == []
    refused = [name for name, value in bad.items() if value == rejection.rows.column("value")[0].as_py()]
    assert len(refused) == 1
    assert refused[0] not in dataset.schema.key
