from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import VERSION, Dataset, DatasetSpec
from pytest_dpone.core.dataset.change import plan_counts
from pytest_dpone.core.dataset.dataset import WATERMARK
from pytest_dpone.core.dataset.values import LARGE, edges_of, mix, plain_values
from pytest_dpone.core.kinds import arrow_type
from pytest_dpone.core.own import OWN, OwnType

SOURCES = ("postgres", "clickhouse", "minio", "kafka", "api")
ROUTES = [(a, b) for a in ("postgres", "clickhouse", "minio") for b in ("postgres", "clickhouse", "minio")]


def dataset(source: str = "postgres", sink: str = "clickhouse", **spec: object) -> Dataset:
    values = {"seed": 7, "rows": 500, "batch_rows": 128, **spec}
    return Dataset(DatasetSpec(**values), source=source, sink=sink, contracts=default_contracts())  # type: ignore[arg-type]


def table(batches) -> pa.Table:  # type: ignore[no-untyped-def]
    return pa.Table.from_batches(list(batches))


def digest(rows: pa.Table) -> str:
    return hashlib.sha256("\n".join(map(repr, rows.to_pylist())).encode()).hexdigest()


def applied(data: Dataset) -> dict[int, dict[str, object]]:
    """S1 by replaying the commits on S0 in plain Python."""
    rows = {row["id"]: row for batch in data.before() for row in batch.to_pylist()}
    for commit in data.commits():
        for row in commit.deletes.to_pylist():
            del rows[row["id"]]
        for row in commit.updates.to_pylist():
            assert row["id"] in rows, "an update must find its row"
            rows[row["id"]] = row
        for row in commit.inserts.to_pylist():
            assert row["id"] not in rows, "an insert must not find a row"
            rows[row["id"]] = row
    return rows


@pytest.mark.parametrize(("source", "sink"), ROUTES)
def test_the_commits_lead_from_s0_to_s1(source: str, sink: str) -> None:
    data = dataset(source, sink)
    after = table(data.after())
    assert repr(sorted(applied(data).values(), key=lambda row: row["id"])) == repr(after.to_pylist())  # NaN, so repr
    assert after.num_rows == data.rows_after
    assert len(data.commits()) > 1


@given(
    route=st.sampled_from([*ROUTES, ("kafka", "postgres"), ("api", "kafka"), ("mssql", "minio")]),
    kind=st.sampled_from(["narrow", "standard", "empty", "single"]),
    rows=st.integers(1, 400),
    change=st.floats(0, 1),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**63 - 1),
    batches=st.integers(1, 8),
)
def test_any_spec_is_consistent(
    route: tuple[str, str], kind: str, rows: int, change: float, share: float, seed: int, batches: int
) -> None:
    if kind == "standard":
        rows = rows // 8 + 1  # a wide row is worth many
    per_batch = -(-rows // batches)
    data = dataset(
        *route, rows=rows, seed=seed, change_ratio=change, delete_ratio=change * share, batch_rows=per_batch, kind=kind
    )
    before, after = list(data.before()), list(data.after())
    assert sum(b.num_rows for b in before) == data.spec.rows_before
    assert sum(b.num_rows for b in after) == data.rows_after
    assert max((b.num_rows for b in (*before, *after)), default=0) <= per_batch
    keys = [k for b in after for k in b.column("id").to_pylist()]
    assert keys == sorted(set(keys))
    replayed = applied(data)
    assert sorted(replayed) == keys
    found = [row for b in after for row in b.to_pylist()]
    assert repr([replayed[key] for key in keys]) == repr(found)  # NaN, so repr


@given(rows=st.integers(0, 10**6), change=st.floats(0, 1), share=st.floats(0, 1))
def test_the_counts_never_go_below_zero_or_above_the_rows(rows: int, change: float, share: float) -> None:
    counts = plan_counts(rows, change_ratio=change, delete_ratio=change * share)
    assert min(counts.update, counts.update_at_tie, counts.update_late, counts.delete, counts.reinsert) >= 0
    assert min(counts.insert, counts.insert_at_tie, counts.insert_late) >= 0
    assert counts.touched <= rows
    if change:
        assert counts.inserted >= 1


def test_the_default_change_is_a_fifth_of_which_a_quarter_are_deletes_and_a_quarter_inserts() -> None:
    counts = plan_counts(10_000, change_ratio=0.2, delete_ratio=0.05)
    assert counts.delete + counts.reinsert == 500
    assert counts.inserted == 500
    assert counts.update + counts.update_at_tie + counts.update_late == 1000
    assert counts.reinsert == 1
    assert min(counts.update_at_tie, counts.update_late, counts.insert_at_tie, counts.insert_late) > 0


def test_no_change_is_no_change() -> None:
    data = dataset(change_ratio=0, delete_ratio=0)
    assert digest(table(data.before())) == digest(table(data.after()))


def test_cursors_tie_at_the_watermark_and_late_rows_lie_below() -> None:
    data = dataset()
    before = table(data.before())
    assert pc.max(before["updated_at"]).as_py() == WATERMARK
    ties = before.filter(pc.equal(before["updated_at"], pa.scalar(WATERMARK, before["updated_at"].type)))
    assert 3 <= ties.num_rows < 50
    first, second, third = data.commits()
    assert pc.max(third.updates["updated_at"]).as_py() < WATERMARK
    assert pc.max(third.inserts["updated_at"]).as_py() < WATERMARK
    assert WATERMARK in second.updates["updated_at"].to_pylist()
    assert WATERMARK in second.inserts["updated_at"].to_pylist()
    assert pc.min(first.updates["updated_at"]).as_py() > WATERMARK
    again = set(first.deletes["id"].to_pylist()) & set(second.inserts["id"].to_pylist())
    assert len(again) == 1, "one key is deleted and inserted again"


@pytest.mark.parametrize(("source", "sink"), ROUTES)
def test_a_dataset_holds_every_edge_value_that_both_ends_hold_and_no_other(source: str, sink: str) -> None:
    data = dataset(source, sink, rows=2500)
    rows, contracts = table(data.before()), default_contracts()
    for field in data.schema.fields[4:]:
        if not field.name.endswith("_25"):
            continue
        found = Counter(map(repr, rows[field.name].to_pylist()))
        for edge in edges_of(field.kind):
            text = repr(pa.array([edge.value], arrow_type(field.kind)).to_pylist()[0])
            if edge.value is None or edge.feature == LARGE:
                continue
            feature = edge.feature
            usable = not feature or (
                contracts.holds(source, field.kind, feature) and contracts.holds(sink, field.kind, feature)
            )
            assert bool(found[text]) == usable, (field.name, text)


def test_null_arrays_come_only_from_sources_that_have_them() -> None:
    assert table(dataset("postgres").before())["numbers_25"].null_count > 0
    assert table(dataset("clickhouse").before())["numbers_25"].null_count == 0
    assert not dataset("clickhouse").schema.field("numbers_25").nullable


def test_a_megabyte_is_in_the_first_row_only_and_stays_there() -> None:
    for name in ("one_megabyte", "one_megabyte_blob"):
        for rows in (table(dataset().before()), table(dataset().after())):
            assert [rows["id"][i].as_py() for i, v in enumerate(rows[name]) if v.is_valid] == [1]
            assert len(rows[name][0].as_py()) == 2**20
        assert table(dataset("postgres", "kafka").before())[name].null_count == 500


def test_a_source_has_the_types_of_its_own_and_of_no_other_family() -> None:
    names = {source: {f.kind for f in dataset(source).schema.fields if ":" in f.kind} for source in SOURCES}
    assert names == {source: {own.kind for own in OWN.values() if own.family == source} for source in SOURCES}
    assert len(dataset("postgres").schema.fields) >= 120
    assert len(dataset("clickhouse").schema.fields) >= 90
    assert {f.native for f in dataset("clickhouse").schema.fields} >= {"LowCardinality(String)"}
    assert "LowCardinality(String)" not in {f.native for f in dataset("postgres").schema.fields}


@pytest.mark.parametrize("own", OWN.values(), ids=lambda own: own.kind)
def test_plain_values_of_own_types_follow_their_pattern(own: OwnType) -> None:
    found = plain_values(own.kind, pa.array([1, 2, 2**64 - 1], pa.uint64()))
    pattern = r"\d+".join(map(re.escape, re.split(r"<\d+-\d+>", own.plain)))
    assert found.type == pa.string()
    assert all(re.fullmatch(pattern, text) for text in found.to_pylist()), (pattern, found.to_pylist())


def test_nulls_are_as_sparse_as_declared() -> None:
    rows = table(dataset(rows=4000).before())
    assert 0.2 < rows["note_25"].null_count / 4000 < 0.3
    assert 0.87 < rows["note_90"].null_count / 4000 < 0.93
    assert rows["order"].null_count == 0


def test_values_do_not_depend_on_batches() -> None:
    whole = digest(table(dataset(rows=40, batch_rows=10_000).after()))
    assert {digest(table(dataset(rows=40, batch_rows=n).after())) for n in (1, 7, 39, 40)} == {whole}


@pytest.mark.apart
def test_values_depend_on_the_seed_and_nothing_else() -> None:
    assert digest(table(dataset(seed=1).before())) != digest(table(dataset(seed=2).before()))
    code = (
        "import sys; sys.path[:0] = ['tests/core', 'src']\n"
        "import hashlib, pyarrow as pa\n"
        "from pytest_dpone.core.contracts import default_contracts\n"
        "from pytest_dpone.core.dataset import Dataset, DatasetSpec\n"
        "d = Dataset(DatasetSpec(seed=7, rows=300), source='minio', sink='postgres', contracts=default_contracts())\n"
        "print(hashlib.sha256(repr(pa.Table.from_batches(list(d.after())).to_pylist()).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}, check=True,
            capture_output=True, text=True,
        ).stdout
        for seed, zone in (("0", "UTC"), ("1", "Asia/Tokyo"), ("4242", "America/St_Johns"))
    }  # fmt: skip
    assert len(seen) == 1


def test_the_dataset_of_a_seed_never_changes() -> None:
    # A change here is a new version of the dataset: release notes must say so.
    found = digest(table(dataset("minio", "minio", seed=1, rows=50).after()))[:16]
    assert (VERSION, found) == ("3", "4904fbcb8be963d9")


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.integers(0, 2**64 - 1))
def test_mix_is_splitmix64(numbers: list[int], key: int) -> None:
    def finaliser(number: int) -> int:
        mask = 2**64 - 1
        bits = (number * 0x9E3779B97F4A7C15 + key) & mask
        bits = ((bits ^ bits >> 30) * 0xBF58476D1CE4E5B9) & mask
        bits = ((bits ^ bits >> 27) * 0x94D049BB133111EB) & mask
        return bits ^ bits >> 31

    assert mix(pa.array(numbers, pa.uint64()), key).to_pylist() == [finaliser(n) for n in numbers]


def test_empty_and_single() -> None:
    empty = dataset(kind="empty")
    assert list(empty.before()) == []
    assert table(empty.after()).num_rows == empty.rows_after == empty.counts.inserted >= 1
    single = dataset(kind="single")
    assert table(single.before()).num_rows == 1
    assert sorted(applied(single)) == table(single.after())["id"].to_pylist()


def test_everything_deleted() -> None:
    data = dataset(change_ratio=1.0, delete_ratio=1.0)
    assert data.rows_after == data.counts.inserted + data.counts.reinsert
    assert sorted(applied(data)) == table(data.after())["id"].to_pylist()


def test_rejections_are_what_the_source_holds_and_the_sink_refuses() -> None:
    def features(source: str, sink: str, *, every: bool) -> Counter[str]:
        return Counter(f"{r.kind}.{r.feature}" for r in dataset(source, sink).rejections(all_values=every))

    assert features("postgres", "clickhouse", every=False) == Counter(
        f"{kind}.{feature}"
        for kind in ("date", "timestamp", "timestamptz")
        for feature in ("before_1900", "after_2299")
    )
    assert features("postgres", "clickhouse", every=True)["date.before_1900"] == 3
    assert features("minio", "postgres", every=True) == Counter({"text.nul": 1})
    assert features("minio", "kafka", every=True) == Counter({"text.one_megabyte": 1, "binary.one_megabyte": 1})
    assert not features("postgres", "postgres", every=True)
    one = next(dataset("minio", "postgres").rejections(all_values=True))
    assert one.rows.num_rows == 1
    assert one.rows.column("value").to_pylist() == ["a\0b"]
    assert one.rows.schema.equals(one.schema.arrow())
