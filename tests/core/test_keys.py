"""The keys that cases declare: who has which, and that their values are unlike to us and alike to a careless mover."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pytest_dpone.core.contracts import Contract, default_contracts
from pytest_dpone.core.dataset import VERSION, Dataset, DatasetSpec
from pytest_dpone.core.dataset.keyed import EMPTY, KEYS, key_columns
from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import Case, KeyForm, Strategy
from pytest_dpone.core.registry import Family, Registry, default_registry

REGISTRY = default_registry()
PLANNED = build_matrix(REGISTRY).planned
IDS = pa.array([*range(1, 20_000), 10**9, 10**12 + 7], pa.int64())


def dataset(key: KeyForm, *, source: str = "postgres", sink: str = "clickhouse", kind: str = "standard") -> Dataset:
    spec = DatasetSpec(seed=7, rows=300, batch_rows=128, kind=kind)  # type: ignore[arg-type]
    return Dataset(spec, source=source, sink=sink, contracts=default_contracts(), key=key)


def forms_of(registry: Registry, *, sink: str = "") -> dict[str, set[KeyForm]]:
    """What plays a part in the planned cases → the forms of key that it meets."""
    found: dict[str, set[KeyForm]] = defaultdict(set)
    for case in build_matrix(registry).planned:
        if sink in ("", case.sink) and not registry.why_integer(case):
            for part in (f"from {case.source}", f"to {case.sink}", f"to {case.sink} by {case.strategy}", case.strategy):
                found[part].add(registry.key_form(case))
    return found


def test_every_source_sink_and_strategy_meets_every_form_but_for_a_reason() -> None:
    found = forms_of(REGISTRY)
    by_xmin = {f"to {sink} by xmin" for sink in ("postgres", "mssql", "clickhouse", "kafka")}  # a case each
    assert {part for part, forms in found.items() if len(forms) < 3} == by_xmin
    assert set(found) >= {*(set(Strategy) - {Strategy.CDC}), *(f"to {case.sink}" for case in PLANNED)}
    assert {f"from {case.source}" for case in PLANNED} <= set(found)
    assert set(Counter(map(REGISTRY.key_form, PLANNED)).values()) == {77, 70, 69}


def test_the_form_of_a_case_never_changes() -> None:
    # A change here is a new version of the dataset, as that of a value is.
    told = [f"{case.case_id} {REGISTRY.key_form(case)}" for case in PLANNED if case.source == case.sink == "postgres"]
    assert [line.partition("__")[2] for line in told] == [
        "full_refresh integer",
        "incremental_append text",
        "incremental_merge composite",
        "replace integer",
        "partition_replace text",
        "snapshot_diff composite",
        "scd2 integer",
        "backfill text",
        "xmin composite",
        "cdc integer",
    ]


def test_only_cdc_has_integer_keys_whatever_its_turn() -> None:
    reasons = {case.strategy: REGISTRY.why_integer(case) for case in PLANNED}
    assert {strategy for strategy, reason in reasons.items() if reason} == {Strategy.CDC}
    assert "changes keys by adding to them" in reasons[Strategy.CDC]
    assert {REGISTRY.key_form(case) for case in PLANNED if case.strategy is Strategy.CDC} == {KeyForm.INTEGER}


@pytest.mark.parametrize(
    ("family", "contract", "reason"),
    [
        (
            Family("mine", integer_keys="its keys are numbers"),
            Contract("mine", "text", native=("t",)),
            "its keys are numbers",
        ),
        (Family("mine"), Contract("mine", "text", "rejected", error="x"), "a table of mine has no text as a "),
        (
            Family("mine", sink=False),
            Contract("mine", "text", native=("t",), source=False),
            "a table of mine has no text as a source",
        ),
        (Family("mine"), Contract("mine", "text", native=("t",)), ""),
        (Family("mine"), Contract("mine", "text", "rejected", feature="nul", error="x"), ""),
    ],
)
def test_a_family_of_ones_own_takes_its_turn_if_it_can(family: Family, contract: Contract, reason: str) -> None:
    registry = default_registry()
    registry.add(family, contracts=[contract])
    cases = [case for case in build_matrix(registry).planned if "mine" in (case.source, case.sink)]
    cases = [case for case in cases if case.strategy is not Strategy.CDC]
    assert cases
    for case in cases:
        assert registry.why_integer(case).startswith(reason)
        assert bool(registry.why_integer(case)) is bool(reason)
    assert {registry.key_form(case) for case in cases} == ({KeyForm.INTEGER} if reason else set(KeyForm))
    assert [registry.key_form(case) for case in PLANNED] == [REGISTRY.key_form(case) for case in PLANNED]


def keys(form: KeyForm, *, space_blind: bool = False) -> list[tuple[object, ...]]:
    columns = key_columns(form, IDS, space_blind=space_blind)
    assert tuple(columns) == KEYS[form]
    assert not any(column.null_count for column in columns.values())
    return list(zip(*(column.to_pylist() for column in columns.values()), strict=True))


@pytest.mark.parametrize("space_blind", [False, True])
@pytest.mark.parametrize("form", list(KeyForm))
def test_keys_are_unique(form: KeyForm, space_blind: bool) -> None:
    assert len(set(keys(form, space_blind=space_blind))) == len(IDS)


def test_the_keys_of_a_version_never_change() -> None:
    # A change here is a new version of the dataset, as that of any other value is.
    found = [keys(form, space_blind=blind)[:200] for form in KeyForm for blind in (False, True)]
    assert (VERSION, hashlib.sha256(repr(found).encode()).hexdigest()[:16]) == ("3", "fb756d7fa13ceef4")


@pytest.mark.parametrize(
    ("name", "careless"),
    [
        ("folds case", str.lower),
        ("cuts spaces at the end", lambda text: text.rstrip(" ")),
        ("cuts spaces at the begin", lambda text: text.lstrip(" ")),
        ("composes marks", lambda text: unicodedata.normalize("NFC", text)),
        ("takes texts for numbers", lambda text: int(text) if text.isdigit() else text),
        ("resolves percent signs", lambda text: text.replace("%2F", "/")),
    ],
)
def test_text_keys_are_alike_to_somebody_who(name: str, careless: Callable[[str], object]) -> None:
    texts = [text for (text,) in keys(KeyForm.TEXT)]
    assert len({careless(str(text)) for text in texts}) < len(texts), name


def test_text_keys_hold_what_must_be_escaped_and_one_is_empty() -> None:
    texts = [str(text) for (text,) in keys(KeyForm.TEXT)]
    assert texts.count("") == 1
    assert texts[EMPTY - 1] == ""
    joined = "".join(texts[:40])
    assert [mark for mark in "/%,\t'\"\\{} \u0436\u0301" if mark not in joined] == []


@pytest.mark.parametrize("form", [KeyForm.TEXT, KeyForm.COMPOSITE])
def test_where_spaces_at_the_end_do_not_count_no_keys_differ_by_them_alone(form: KeyForm) -> None:
    cut = {tuple(str(part).rstrip(" ") for part in key) for key in keys(form, space_blind=True)}
    assert len(cut) == len(IDS)
    cut = {tuple(str(part).rstrip(" ") for part in key) for key in keys(form)}
    assert len(cut) < len(IDS)


def test_no_part_of_a_composite_key_is_unique_and_a_mark_is_needed_between_the_two() -> None:
    found = keys(KeyForm.COMPOSITE)
    assert all(len({key[part] for key in found}) < len(found) for part in (0, 1))
    assert len({f"{tenant}{number}" for tenant, number in found}) < len(found)
    assert ("t1", 2) in found[:100]
    assert ("t", 12) in found[:100]
    assert len({tenant.lower() if isinstance(tenant, str) else tenant for tenant, _ in found[:7]}) < 7


@pytest.mark.parametrize("form", [KeyForm.TEXT, KeyForm.COMPOSITE])
@pytest.mark.parametrize("kind", ["standard", "narrow"])
def test_other_columns_are_the_same_whatever_the_key(form: KeyForm, kind: str) -> None:
    plain, keyed = dataset(KeyForm.INTEGER, kind=kind), dataset(form, kind=kind)
    own = set(KEYS[form])
    assert {f.name for f in keyed.schema.fields} == {f.name for f in plain.schema.fields} | own
    for one, other in zip([*plain.before(), *plain.after()], [*keyed.before(), *keyed.after()], strict=True):
        assert repr(other.select(one.schema.names).to_pylist()) == repr(one.to_pylist())
    assert keyed.schema.key == KEYS[form]


def test_the_columns_of_a_composite_key_stand_in_another_order_than_the_key() -> None:
    schema = dataset(KeyForm.COMPOSITE).schema
    assert [name for name in schema.arrow().names if name in schema.key] == list(schema.key[::-1])


@pytest.mark.parametrize("form", list(KeyForm))
def test_a_commit_names_what_it_deletes_by_the_declared_key(form: KeyForm) -> None:
    data = dataset(form)
    gone = [commit.deletes for commit in data.commits()]
    assert {tuple(table.column_names) for table in gone} == {KEYS[form]}
    assert sum(table.num_rows for table in gone) == data.counts.delete + data.counts.reinsert
    one = next(dataset(form, source="minio", sink="postgres").rejections(all_values=True))
    assert one.schema.key == KEYS[form]
    assert one.rows.schema.equals(one.schema.arrow())
    assert one.rows.column("value").to_pylist() == ["a\0b"]


@pytest.mark.parametrize(("source", "sink"), [("mssql", "postgres"), ("postgres", "mssql")])
def test_a_dataset_of_sql_server_has_no_keys_that_differ_by_spaces(source: str, sink: str) -> None:
    codes = pa.chunked_array([b.column("code") for b in dataset(KeyForm.TEXT, source=source, sink=sink).before()])
    assert not pc.any(pc.ends_with(codes, " ")).as_py()
    codes = pa.chunked_array([b.column("code") for b in dataset(KeyForm.TEXT).before()])
    assert pc.any(pc.ends_with(codes, " ")).as_py()


def test_the_key_of_a_case_needs_no_service_and_no_place_but_its_own() -> None:
    smaller = default_registry()
    smaller.exclude(lambda case: "not now" if case.sink == "mssql" else None)
    case = Case("api", "minio", Strategy.INCREMENTAL_APPEND)
    assert smaller.key_form(case) is REGISTRY.key_form(case) is KeyForm.TEXT
