"""The engine of simulated runs: what it makes of values, what it remembers, what it refuses."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import SecretStr

from pytest_dpone.core.contracts import Contract, Contracts, default_contracts
from pytest_dpone.core.model import Case, Strategy
from pytest_dpone.core.wire import Endpoint, Job
from pytest_dpone.engines import load_engine
from pytest_dpone.engines.mock import STRATEGIES, MockEngine, contract
from pytest_dpone.engines.mock.contract import obeyed, unknown_to
from pytest_dpone.engines.mock.merge import merge
from pytest_dpone.engines.mock.state import State
from pytest_dpone.engines.mock.tables import Content, TableFile
from pytest_dpone.errors import EngineFailed, UsageError, ValueRejected

UTC = pa.timestamp("us", tz="UTC")
FAMILIES = sorted({row.family for row in default_contracts().rows})


def column(values: list[object], kind: pa.DataType) -> pa.Table:
    return pa.table({"value": pa.array(values, kind)})


def job(folder: Path, strategy: Strategy, *, mode: str = "load", **changes: object) -> Job:
    def end(family: str, namespace: str) -> Endpoint:
        return Endpoint(
            family=family, url=SecretStr(f"memory://{folder}?family={family}"), namespace=namespace, table="t"
        )

    facts = {
        "case_id": "x",
        "run_id": "x",
        "strategy": strategy,
        "mode": mode,
        "source": end("postgres", "src"),
        "sink": end("postgres", "dst"),
        "key": ("id",),
        "cursor": "at",
        "partition": "day",
        "state_table": "state",
        "batch_rows": 2,
    }
    return Job.model_validate({**facts, **changes})


def seed(job: Job, rows: list[tuple[int, int, str]]) -> None:
    ids, at, text = zip(*rows, strict=True) if rows else ((), (), ())
    table = pa.table(
        {"id": pa.array(ids, pa.int64()), "at": pa.array(at, pa.int64()), "text": pa.array(text, pa.string())}
    )
    file = TableFile(job.source, state=job.state_table)
    file.path.parent.mkdir(exist_ok=True)
    TableFile(job.sink, state=job.state_table).path.parent.mkdir(exist_ok=True)
    file.put(Content(table, pa.chunked_array([pa.repeat(1, len(rows))]).cast(pa.int64()), 1), batch_rows=2)


def held(job: Job) -> list[tuple[object, ...]]:
    content = TableFile(job.sink, state=job.state_table).content()
    assert content is not None
    return sorted(tuple(row.values()) for row in content.rows.to_pylist())


def test_it_loads_by_every_strategy_that_the_oracle_can_judge() -> None:
    assert set(STRATEGIES) == set(Strategy)
    assert isinstance(load_engine("mock"), MockEngine)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_keeps_to_the_contracts_of_every_family_that_has_any(family: str) -> None:
    assert unknown_to(family) == "", "teach engines/mock/contract.py the new contract"
    for other in FAMILIES:
        assert MockEngine().supports(Case(family, other, Strategy.FULL_REFRESH)).status == "supported"


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("postgres", "alpha", Strategy.FULL_REFRESH), "there are no contracts for alpha"),
        (Case("alpha", "postgres", Strategy.FULL_REFRESH), "there are no contracts for alpha"),
    ],
)
def test_it_says_what_it_can_not_move(case: Case, reason: str) -> None:
    support = MockEngine().supports(case)
    assert (support.status, support.reason) == ("not implemented yet", reason)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (Contract("odd", "text", "rejected", feature="vowels", error="x"), "does not know the values vowels of odd"),
        (Contract("odd", "text", "lossy", feature="nul", rule="upper"), "does not know the rule upper of odd"),
        (Contract("odd", "time", "widened", ("CLOB",)), "does not know how odd stores time"),
        (Contract("odd", "array<text>", "widened", ("CLOB",)), "does not know how odd stores array<text>"),
    ],
)
def test_a_contract_that_it_does_not_know_is_not_guessed(
    monkeypatch: pytest.MonkeyPatch, row: Contract, reason: str
) -> None:
    table = Contracts((Contract("odd", "text", native=("VARCHAR",)), row))
    monkeypatch.setattr(contract, "default_contracts", lambda: table)
    assert unknown_to("odd").endswith(reason)


def test_whole_kinds_may_be_lossy_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lossy = Contract("odd", "array<text>", "lossy", ("LIST",), rule="null_array_as_empty")
    table = Contracts((lossy, Contract("odd", "bool", "rejected", error="bool")))
    monkeypatch.setattr(contract, "default_contracts", lambda: table)
    kept = obeyed(column([None, ["a"]], pa.list_(pa.string())), "odd")
    assert kept["value"].to_pylist() == [[], ["a"]]
    with pytest.raises(ValueRejected, match="a value of the kind bool: odd refuses it"):
        obeyed(column([None, True], pa.bool_()), "odd")
    assert obeyed(column([None], pa.bool_()), "odd").num_rows == 1
    with pytest.raises(EngineFailed, match="odd has no contract for the column 'value', which is int64"):
        obeyed(column([1], pa.int64()), "odd")


REFUSED = [
    ("postgres", "text", "nul", ["a", "a\0b"], pa.string()),
    ("kafka", "text", "one_megabyte", ["a", "x" * 2**20], pa.string()),
    ("kafka", "binary", "one_megabyte", [b"x" * 2**20], pa.binary()),
    ("mssql", "float32", "not_finite", [1.5, math.inf], pa.float32()),
    ("mssql", "float32", "subnormal", [1.401298464324817e-45], pa.float32()),
    ("mssql", "float64", "not_finite", [-math.inf], pa.float64()),
    ("mssql", "float64", "subnormal", [None, -5e-324], pa.float64()),
    ("clickhouse", "date", "before_1900", [dt.date(1899, 12, 31)], pa.date32()),
    ("clickhouse", "date", "after_2299", [dt.date(2300, 1, 1)], pa.date32()),
    ("clickhouse", "timestamp", "before_1900", [dt.datetime(1899, 12, 31, 23, 59, 59, 999999)], pa.timestamp("us")),
    ("clickhouse", "timestamp", "after_2299", [dt.datetime(2300, 1, 1)], pa.timestamp("us")),
    ("clickhouse", "timestamptz", "before_1900", [dt.datetime(1, 1, 1, tzinfo=dt.UTC)], UTC),
    ("clickhouse", "timestamptz", "after_2299", [None, dt.datetime(9999, 12, 31, tzinfo=dt.UTC)], UTC),
]


@pytest.mark.parametrize(("family", "kind", "feature", "values", "arrow"), REFUSED, ids=lambda v: str(v)[:20])
def test_a_value_that_the_sink_must_refuse_is_refused_by_the_declared_error(
    family: str, kind: str, feature: str, values: list[object], arrow: pa.DataType
) -> None:
    declared = default_contracts().find(family, kind, feature)
    assert declared is not None
    rows = column(values, arrow).rename_columns(["x"])
    with pytest.raises(ValueRejected) as raised:
        obeyed(rows, family)
    assert re.search(declared.error, raised.value.fact), raised.value.fact
    assert obeyed(rows, "minio").equals(rows), "a Parquet file holds them all"


def test_every_declared_refusal_is_tried() -> None:
    declared = {(row.family, row.kind, row.feature) for row in default_contracts().rows if row.how == "rejected"}
    assert declared == {(family, kind, feature) for family, kind, feature, _, _ in REFUSED}


def test_values_at_the_edge_of_a_refusal_are_kept() -> None:
    days = [dt.date(1900, 1, 1), dt.date(2299, 12, 31), None]
    moments = [dt.datetime(1900, 1, 1, tzinfo=dt.UTC), dt.datetime(2299, 12, 31, 23, 59, 59, 999999, dt.UTC), None]
    for rows in (column(days, pa.date32()), column(moments, UTC)):
        assert obeyed(rows, "clickhouse").equals(rows)
    for kind, least in ((pa.float32(), 1.1754943508222875e-38), (pa.float64(), 2.2250738585072014e-308)):
        numbers = column([0.0, -0.0, least, -least, None], kind)
        assert obeyed(numbers, "mssql").equals(numbers)
    texts = column(["", "\\0", "NUL", None], pa.string())
    assert obeyed(texts, "postgres").equals(texts)


def test_lossy_rules_apply_to_the_sinks_that_declare_them() -> None:
    arrays = column([None, [], [None, 1]], pa.list_(pa.int64()))
    assert obeyed(arrays, "clickhouse")["value"].to_pylist() == [[], [], [None, 1]]
    assert obeyed(arrays, "postgres").equals(arrays)


@pytest.mark.parametrize(
    ("family", "values", "kind", "stored", "wider"),
    [
        ("postgres", [2**64 - 1, None], pa.uint64(), [Decimal(2**64 - 1), None], pa.decimal128(20, 0)),
        ("clickhouse", [dt.time(1, 2, 3, 4), None], pa.time64("us"), ["01:02:03.000004", None], pa.string()),
        ("minio", [2**64 - 1], pa.uint64(), [2**64 - 1], pa.uint64()),
    ],
)
def test_what_is_widened_is_stored_in_the_wider_type(
    family: str, values: list[object], kind: pa.DataType, stored: list[object], wider: pa.DataType
) -> None:
    kept = obeyed(column(values, kind), family)["value"]
    assert (kept.to_pylist(), kept.type) == (stored, wider)


def test_json_is_text_where_the_family_has_no_json() -> None:
    docs = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None]))
    rows = pa.table({"value": docs})
    assert obeyed(rows, "clickhouse")["value"].type == pa.string()
    assert obeyed(rows, "postgres")["value"].type == pa.json_()


def test_an_append_takes_ties_once_and_remembers_them(tmp_path: Path) -> None:
    append = job(tmp_path, Strategy.INCREMENTAL_APPEND)
    seed(append, [(1, 10, "a"), (2, 20, "b"), (3, 20, "c")])
    first = MockEngine().run(append)
    assert (first.read, first.written, first.state_before) == (3, 3, "")
    seed(append, [(1, 10, "late"), (2, 20, "b"), (3, 20, "C"), (4, 20, "d"), (5, 30, "e")])
    second = MockEngine().run(append)
    assert (second.read, second.written, second.state_before) == (4, 3, first.state_after)
    assert held(append) == [(1, 10, "a"), (2, 20, "b"), (3, 20, "C"), (3, 20, "c"), (4, 20, "d"), (5, 30, "e")]
    third = MockEngine().run(append)
    assert (third.written, third.state_after) == (0, second.state_after)


def test_equal_rows_at_the_watermark_are_counted(tmp_path: Path) -> None:
    append = job(tmp_path, Strategy.INCREMENTAL_APPEND)
    seed(append, [(1, 10, "a")])
    MockEngine().run(append)
    seed(append, [(1, 10, "a"), (1, 10, "a")])
    assert MockEngine().run(append).written == 1


def test_a_watermark_never_goes_back(tmp_path: Path) -> None:
    merging = job(tmp_path, Strategy.INCREMENTAL_MERGE)
    seed(merging, [(1, 10, "a"), (2, 20, "b")])
    state = MockEngine().run(merging).state_after
    seed(merging, [(1, 5, "A")])
    facts = MockEngine().run(merging)
    assert (facts.read, facts.state_after) == (0, state)
    facts = MockEngine().run(job(tmp_path, Strategy.INCREMENTAL_MERGE, mode="reconcile"))
    assert (facts.updated, facts.deleted, facts.inserted, facts.state_after) == (1, 1, 0, state)
    assert held(merging) == [(1, 5, "A")]


def test_a_load_of_nothing_leaves_a_state(tmp_path: Path) -> None:
    append = job(tmp_path, Strategy.INCREMENTAL_APPEND)
    seed(append, [])
    facts = MockEngine().run(append)
    assert (facts.read, held(append)) == (0, [])
    assert facts.state_after
    seed(append, [(1, 1, "a")])
    assert MockEngine().run(append).written == 1


def test_a_snapshot_is_compared_and_counted(tmp_path: Path) -> None:
    diff = job(tmp_path, Strategy.SNAPSHOT_DIFF)
    seed(diff, [(1, 1, "a"), (2, 1, "b"), (3, 1, "c")])
    MockEngine().run(diff)
    seed(diff, [(1, 1, "a"), (2, 1, "B"), (4, 1, "d")])
    facts = MockEngine().run(diff)
    assert (facts.inserted, facts.updated, facts.deleted, facts.unchanged, facts.written) == (1, 1, 1, 1, 2)
    content = TableFile(diff.sink, state="state").content()
    assert content is not None
    written = dict(zip(content.rows["id"].to_pylist(), content.commits.to_pylist(), strict=True))
    assert written == {1: 1, 2: 2, 4: 2}, "only what differs was written again"


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    merging = job(tmp_path, Strategy.INCREMENTAL_MERGE)
    seed(merging, [(1, 1, "a"), (1, 2, "b")])
    with pytest.raises(EngineFailed, match="a key occurs twice among 2 rows"):
        MockEngine().run(merging)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (pa.array([float("nan")]), pa.array([float("nan")]), True),
        (pa.array([0.0]), pa.array([-0.0]), False),
        (pa.array([None], pa.string()), pa.array([None], pa.string()), True),
        (pa.array([None], pa.string()), pa.array([""]), False),
        (pa.array([[1, None]]), pa.array([[1, None]]), True),
        (pa.array([[]], pa.list_(pa.int64())), pa.array([None], pa.list_(pa.int64())), False),
        (pa.array([Decimal("1.10")]), pa.array([Decimal("1.11")]), False),
        (pa.array([b"\0"]), pa.array([b""]), False),
    ],
)
def test_rows_are_compared_to_the_bit(old: pa.Array, new: pa.Array, same: bool) -> None:
    key = pa.array([1])
    content = Content(pa.table({"id": key, "v": old}), pa.chunked_array([pa.array([1])]), 1)
    merged = merge(content, pa.table({"id": key, "v": new}), ["id"], delete=False)
    assert merged.unchanged == int(same)


def test_composite_and_text_keys(tmp_path: Path) -> None:
    diff = job(tmp_path, Strategy.SNAPSHOT_DIFF, key=("text", "id"))
    seed(diff, [(1, 1, "a"), (1, 2, "b")])
    MockEngine().run(diff)
    seed(diff, [(1, 1, "a"), (2, 2, "b")])
    facts = MockEngine().run(diff)
    assert (facts.inserted, facts.deleted, facts.unchanged) == (1, 1, 1)


def test_a_state_of_another_load_is_refused(tmp_path: Path) -> None:
    append = job(tmp_path, Strategy.INCREMENTAL_APPEND)
    seed(append, [(1, 1, "a")])
    MockEngine().run(append)
    with pytest.raises(EngineFailed, match="the state is of incremental_append"):
        MockEngine().run(job(tmp_path, Strategy.INCREMENTAL_MERGE))
    with pytest.raises(EngineFailed, match="the sink holds rows and no state"):
        MockEngine().run(job(tmp_path, Strategy.INCREMENTAL_APPEND, state_table="another"))
    with pytest.raises(EngineFailed, match="the state can't be read"):
        State.from_text("{")


def test_what_is_not_there_or_has_other_columns_is_told(tmp_path: Path) -> None:
    diff = job(tmp_path, Strategy.SNAPSHOT_DIFF)
    with pytest.raises(EngineFailed, match="there is no table 't' to read"):
        MockEngine().run(diff)
    seed(diff, [(1, 1, "a")])
    file = TableFile(diff.sink, state="state")
    file.put(Content(pa.table({"id": [1]}), pa.chunked_array([[1]]), 1), batch_rows=1)
    with pytest.raises(EngineFailed, match=r"the sink's columns are not those of the source: \['id'\]"):
        MockEngine().run(diff)
    with pa.OSFile(str(file.path), "wb") as sink, pa.ipc.new_file(sink, pa.schema([("id", pa.int64())])):
        pass
    with pytest.raises(EngineFailed, match="is no table in memory"):
        MockEngine().run(diff)


def test_it_moves_nothing_but_memory(tmp_path: Path) -> None:
    real = Endpoint(family="postgres", url=SecretStr("postgresql://u:s3cret@127.0.0.1/x"), namespace="a", table="b")
    with pytest.raises(UsageError, match="--dpone-run-mode=mock_local") as raised:
        MockEngine().run(job(tmp_path, Strategy.FULL_REFRESH, source=real))
    assert "s3cret" not in str(raised.value)
    with pytest.raises(UsageError, match="has no cdc"):
        MockEngine(strategies={}).run(job(tmp_path, Strategy.CDC))


def test_a_failure_before_the_swap_leaves_the_sink_as_it_was(tmp_path: Path) -> None:
    full = job(tmp_path, Strategy.FULL_REFRESH)
    seed(full, [(1, 1, "a")])
    MockEngine().run(full)

    def broken(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield next(batches)
        raise OSError("gone")

    seed(full, [(1, 1, "b"), (2, 2, "c"), (3, 3, "d")])
    with pytest.raises(OSError, match="gone"):
        MockEngine(broken).run(full)
    assert held(full) == [(1, 1, "a")]
