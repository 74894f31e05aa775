from __future__ import annotations

import pytest

from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import Case, CaseRecord, NotRun, Strategy, Verdict
from pytest_dpone.core.registry import Family, Registry, default_registry
from pytest_dpone.errors import UsageError

ALL = "full_refresh incremental_append incremental_merge replace snapshot_diff partition_replace scd2 backfill"
TO_KAFKA = "full_refresh incremental_append incremental_merge replace snapshot_diff"
DPONE_071 = {
    # dpone 0.7.1's own matrix, all sinks but BigQuery: source → sink → strategies.
    "postgres": {
        **dict.fromkeys(("mssql", "postgres", "clickhouse"), f"{ALL} xmin cdc"),
        "kafka": f"{TO_KAFKA} xmin cdc",
    },
    "mssql": {**dict.fromkeys(("mssql", "postgres", "clickhouse"), f"{ALL} cdc"), "kafka": f"{TO_KAFKA} cdc"},
    **{
        source: {**dict.fromkeys(("mssql", "postgres", "clickhouse"), ALL), "kafka": TO_KAFKA}
        for source in ("clickhouse", "api", "kafka")
    },
}


def reference_ids() -> list[str]:
    return [
        f"{source}_to_{sink}__{strategy}"
        for source, sinks in DPONE_071.items()
        for sink, strategies in sinks.items()
        for strategy in strategies.split()
    ]


def test_every_locally_possible_case_of_dpone_is_planned() -> None:
    planned = {case.case_id for case in build_matrix(default_registry()).planned}
    reference = reference_ids()
    assert len(reference) == len(set(reference)) == 157
    assert [case_id for case_id in reference if case_id not in planned] == []
    assert sum("mssql" not in case_id for case_id in reference) == 90


def test_a_combination_is_planned_or_excluded_with_a_reason_never_both_never_neither() -> None:
    registry = default_registry()
    matrix = build_matrix(registry)
    sources = [f.name for f in registry.families.values() if f.source]
    sinks = [f.name for f in registry.families.values() if f.sink]
    everything = {Case(a, b, s) for a in sources for b in sinks for s in Strategy}
    excluded = {row.case for row in matrix.excluded}
    assert set(matrix.planned) | excluded == everything
    assert not set(matrix.planned) & excluded
    assert all(row.reason for row in matrix.excluded)
    assert (len(matrix.planned), len(matrix.excluded)) == (216, 84)


def test_the_order_is_the_registrys() -> None:
    ids = [case.case_id for case in build_matrix(default_registry()).planned]
    assert ids[:2] == ["postgres_to_postgres__full_refresh", "postgres_to_postgres__incremental_append"]
    assert ids == [case.case_id for case in build_matrix(default_registry()).planned]


@pytest.mark.parametrize(
    ("source", "sink", "strategy", "reason"),
    [
        ("clickhouse", "postgres", Strategy.XMIN, "xmin is a system column of Postgres"),
        ("minio", "postgres", Strategy.CDC, "it has no change log"),
        ("postgres", "minio", Strategy.INCREMENTAL_MERGE, "Parquet objects can't be updated in place"),
        ("postgres", "kafka", Strategy.SCD2, "a topic has no partitions"),
    ],
)
def test_exclusions_say_why(source: str, sink: str, strategy: Strategy, reason: str) -> None:
    found = default_registry().reason_against(Case(source, sink, strategy))
    assert found is not None
    assert reason in found


def test_a_rule_of_the_user_excludes() -> None:
    registry = default_registry()
    registry.exclude(lambda case: "too slow for us" if case.sink == "mssql" else None)
    matrix = build_matrix(registry)
    assert not [case for case in matrix.planned if case.sink == "mssql"]
    assert any(row.reason == "too slow for us" for row in matrix.excluded)


@pytest.mark.parametrize("name", ["", "Oracle", "a-b", "a__b", "a_to_b", "to", "1a", "a/b", "a b"])
def test_a_familys_name_must_fit_into_a_case_id(name: str) -> None:
    with pytest.raises(UsageError, match="can't be a family's name"):
        Registry().add(Family(name))


def test_a_familys_name_is_taken_once() -> None:
    registry = default_registry()
    with pytest.raises(UsageError, match="'postgres' is registered already"):
        registry.add(Family("postgres"))


def test_an_empty_registry_is_an_error_not_an_empty_pass() -> None:
    with pytest.raises(UsageError, match="the registry plans no case"):
        build_matrix(Registry())


def select(**chosen: list[str]) -> list[str]:
    return [case.case_id for case in build_matrix(default_registry()).select(**chosen)]


def test_select_by_id_glob_and_dimension() -> None:
    assert select(cases=["postgres_to_clickhouse__cdc"]) == ["postgres_to_clickhouse__cdc"]
    assert len(select(cases=["postgres_to_*"])) == 42
    assert select(sources=["minio"], sinks=["post*"], strategies=["full_refresh", "scd2"]) == [
        "minio_to_postgres__full_refresh",
        "minio_to_postgres__scd2",
    ]
    assert len(select()) == 216


@pytest.mark.parametrize(
    ("chosen", "fact", "hint"),
    [
        ({"cases": ["postgres_to_clickhouse__ful_refresh"]}, "no planned case has the case", "postgres_to_clickhouse__full_refresh"),
        ({"sources": ["postgre"]}, "no planned case has the source 'postgre'", "did you mean postgres?"),
        ({"sinks": ["zzzzzz"]}, "no planned case has the sink 'zzzzzz'", "known are postgres, mssql, clickhouse"),
        ({"cases": ["minio_to_minio__cdc"]}, "is excluded: it has no change log", "choose another strategy for minio_to_minio"),
        ({"cases": ["postgres_to_minio__*"], "sinks": ["kafka"]}, "the selection leaves no case", "--dpone-source"),
    ],
)  # fmt: skip
def test_a_selection_that_finds_nothing_says_what_is_near(chosen: dict[str, list[str]], fact: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(**chosen)
    assert fact in caught.value.fact
    assert hint in caught.value.hint


def test_a_long_list_of_known_names_is_cut() -> None:
    with pytest.raises(UsageError) as caught:
        select(cases=["0"])
    assert caught.value.hint.endswith(", …")


def test_cases_that_are_staged_stand_beside_the_direct_ones() -> None:
    registry = default_registry()
    registry.staging = "minio"
    matrix = build_matrix(registry)
    staged = [case for case in matrix.planned if case.via]
    assert {(case.sink, case.via) for case in staged} == {("clickhouse", "minio")}
    assert [case for case in matrix.planned if not case.via] == list(build_matrix(default_registry()).planned)
    assert (len(staged), len(matrix.excluded)) == (51, 84)
    direct = {(case.source, case.strategy) for case in matrix.planned if case.pair.endswith("_to_clickhouse")}
    assert {(case.source, case.strategy) for case in staged} == direct
    assert registry.needs(staged[0]) == ("postgres", "clickhouse", "minio")


def test_a_staged_case_that_is_not_planned_tells_the_option() -> None:
    with pytest.raises(UsageError) as told:
        build_matrix(default_registry()).select(cases=["postgres_to_clickhouse_via_minio__cdc"])
    assert "is not planned: its rows would be staged in minio" in told.value.fact
    assert told.value.hint == "add --dpone-staging=minio"


def test_without_the_family_nothing_is_staged_in_it() -> None:
    registry = default_registry()
    registry.staging = "minio"
    del registry.families["minio"]
    assert not any(case.via for case in build_matrix(registry).planned)


@pytest.mark.parametrize("name", ["a_via_b", "via", "a_to_b"])
def test_a_family_is_not_called_like_a_way(name: str) -> None:
    with pytest.raises(UsageError, match="can't be a family's name"):
        Registry().add(Family(name))


@pytest.mark.parametrize(
    "case",
    [
        Case("postgres", "mssql", Strategy.CDC),
        Case("a", "b", Strategy.SCD2, "minio"),
        Case("x_y", "z_w", Strategy.XMIN),
    ],
)
def test_an_id_leads_back_to_its_case(case: Case) -> None:
    assert Case.of_id(case.case_id) == case


@pytest.mark.parametrize(
    "text", ["", "a_to_b", "a_to_b__fast", "a__cdc", "a_to___cdc", "a_to_b_via___cdc", "_to_b__cdc"]
)
def test_what_is_no_id_leads_to_no_case(text: str) -> None:
    assert Case.of_id(text) is None


def test_a_record_knows_its_case_and_the_way_of_the_rows() -> None:
    case = Case("a", "b", Strategy.SCD2, "minio")
    record = CaseRecord.of(case, Verdict.NOT_RUN, reason=NotRun.CRASHED)
    assert (record.case, record.via, record.case_id) == (case, "minio", "a_to_b_via_minio__scd2")
    assert (case.end, Case("a", "b", Strategy.SCD2).end) == ("b via minio", "b")
