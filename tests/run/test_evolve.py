"""The act `evolve` holds a mover to its promise: by the columns' names and types, and by values that need the change."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import Dataset, DatasetSpec
from pytest_dpone.core.dataset.evolved import WIDENED, Evolved
from pytest_dpone.core.diff import compare
from pytest_dpone.core.kinds import TableSchema, arrow_type
from pytest_dpone.core.model import ActName, Case, DiffReport, Evolution, Strategy
from pytest_dpone.core.oracle import Expectation, expect
from pytest_dpone.core.wire import Support
from pytest_dpone.run.act import Act
from pytest_dpone.run.evolve import _judge
from pytest_dpone.run.stage import Stage

CONTRACTS = default_contracts()
INT32 = (-(2**31), 2**31 - 1)


def dataset(seed: int = 1) -> Dataset:
    spec = DatasetSpec(seed=seed, rows=240, kind="narrow", batch_rows=60)
    return Dataset(spec, source="postgres", sink="postgres", contracts=CONTRACTS)


def natives(schema: TableSchema, **other: str) -> dict[str, str]:
    """The columns of a Postgres sink that holds `schema`."""
    return {field.name: CONTRACTS.native_type("postgres", field.kind) for field in schema.fields} | other


def stage(columns: dict[str, str], *, own: tuple[str, ...] = (), wide: bool = True) -> Stage:
    """A sink with these columns, whose rows are right; or whose wide values are cut to 32 bits."""
    data = dataset()

    def rows(expectation: Expectation) -> Iterator[pa.RecordBatch]:
        for batch in expectation.batches():
            place = batch.schema.get_field_index(WIDENED.name)
            cut = pc.max_element_wise(pc.min_element_wise(batch.column(place), INT32[1]), INT32[0])
            yield batch if wide else batch.set_column(place, batch.schema.field(place), cut)

    def compare_sink(expectation: Expectation) -> DiffReport:
        told = expectation
        return compare(told.batches(), rows(told), fields=told.fields, identity=told.identity, order=told.order)

    found = SimpleNamespace(
        case=Case("postgres", "postgres", Strategy.INCREMENTAL_MERGE),
        sink=SimpleNamespace(columns=lambda *_: columns),
        sink_space="s",
        table="t",
        dataset=data,
        support=Support(status="supported", own_columns=own),
        expect=lambda act: expect(data, Strategy.INCREMENTAL_MERGE, act),
        compare_sink=compare_sink,
    )
    found.unexpected = lambda *args: Stage.unexpected(cast("Stage", found), *args)
    return cast("Stage", found)


def judged(
    native: str, *, frozen: str = "", wide: bool = True, extra: tuple[str, ...] = (), own: tuple[str, ...] = ()
) -> list[Any]:
    """(check, green, what is told) with a column `medium` of the type `native`, which was `frozen` before."""
    before = dataset().schema
    columns = natives(before, medium=native, **dict.fromkeys(extra, "text"))
    loaded = natives(before, medium=frozen) if frozen else None
    act = Act(ActName.EVOLVE)
    evolved = Evolved(Evolution.WIDEN, before, wide=not frozen or frozen == "bigint")
    _judge(act, stage(columns, own=own, wide=wide), evolved, frozen=loaded)
    return [(check.name.removeprefix("evolve.widen."), check.passed, check.actual) for check in act.checks]


@pytest.mark.parametrize("native", ["integer", "smallint", "text", "double precision"])
def test_a_column_that_is_not_widened_is_no_following(native: str) -> None:
    assert judged(native) == [("columns", False, f"medium is {native}, not accepted for int64")]


def test_a_column_that_is_widened_is_following_if_its_values_are_there() -> None:
    assert [(name, green) for name, green, _ in judged("bigint")] == [("columns", True), ("rows", True)]
    assert [(name, green) for name, green, _ in judged("bigint", wide=False)] == [("columns", True), ("rows", False)]


def test_a_frozen_column_has_the_type_that_it_had() -> None:
    assert [(name, green) for name, green, _ in judged("integer", frozen="integer")] == [
        ("columns", True),
        ("rows", True),
    ]
    assert judged("bigint", frozen="integer") == [("columns", False, "medium is bigint, and was integer")]
    assert judged("text", frozen="text") == [("columns", False, "medium is text, not accepted for int32")]


def test_a_frozen_column_that_was_wide_from_the_first_load_on_has_the_wide_values() -> None:
    assert all(green for _, green, _ in judged("bigint", frozen="bigint"))
    assert [green for _, green, _ in judged("bigint", frozen="bigint", wide=False)] == [True, False]


def test_columns_of_the_engines_own_are_no_surplus() -> None:
    extra = ("_dlt_id", "_dlt_load_id")
    assert all(green for _, green, _ in judged("bigint", extra=extra, own=("_dlt_*",)))
    told = "_dlt_id is not expected; _dlt_load_id is not expected"
    assert judged("bigint", extra=extra) == [("columns", False, told)]


@pytest.mark.parametrize("seed", [1, 2, 77])
def test_every_row_that_is_written_after_a_widening_needs_it(seed: int) -> None:
    data = dataset(seed)
    evolved = Evolved(Evolution.WIDEN, data.schema)
    commits = [evolved.commit(commit) for commit in data.commits()]
    written = pa.concat_tables([rows for commit in commits for rows in (commit.updates, commit.inserts)])
    values = written.column("medium").to_pylist()
    assert written.schema == evolved.schema.arrow()
    assert values and not any(INT32[0] <= value <= INT32[1] for value in values)
    assert min(values) < 0 < max(values)
    assert commits == [evolved.commit(commit) for commit in dataset(seed).commits()]
    assert commits != [evolved.commit(commit) for commit in dataset(seed + 1).commits()]


def test_rows_that_were_there_before_a_widening_keep_their_values() -> None:
    data = dataset()
    before = pa.Table.from_batches(data.before())
    after = pa.Table.from_batches(Evolved(Evolution.WIDEN, data.schema).rows(data.before))
    assert after["medium"].type == arrow_type("int64")
    assert after["medium"].to_pylist() == before["medium"].to_pylist()


def test_where_a_column_is_frozen_every_value_fits_but_the_last() -> None:
    data = dataset()
    evolved = Evolved(Evolution.WIDEN, data.schema, wide=False)
    commits = [evolved.commit(commit) for commit in data.commits()]
    written = pa.concat_tables([rows for commit in commits for rows in (commit.updates, commit.inserts)])
    assert all(INT32[0] <= value <= INT32[1] for value in written["medium"].to_pylist())
    last = evolved.unfit(commits)
    assert (last.deletes.num_rows, last.updates.num_rows, last.inserts.num_rows) == (0, 1, 0)
    (row,) = last.updates.to_pylist()
    assert not INT32[0] <= row["medium"] <= INT32[1]
    assert row["updated_at"] > pc.max(written["updated_at"]).as_py(), "a run that goes by the cursor sees it"
    assert row["id"] in written["id"].to_pylist()
