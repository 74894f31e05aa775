"""Tables in memory: the harness's hands on the endpoints of a simulated run, and the folder that it lives in."""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import SecretStr

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import Commit, Dataset, DatasetSpec
from pytest_dpone.core.diff import compare
from pytest_dpone.core.kinds import Field, TableSchema
from pytest_dpone.core.oracle import expect_source
from pytest_dpone.errors import DponeError, ServiceFailed, UsageError
from pytest_dpone.services import lease
from pytest_dpone.services.catalog import Fingerprint, open_catalog
from pytest_dpone.services.catalog.memory import COMMIT, MemoryCatalog
from pytest_dpone.services.memory import MemoryStack

SCHEMA = TableSchema((Field("id", "int64", nullable=False), Field("token", "uuid"), Field("doc", "json")), key=("id",))
TOKEN = "00112233-4455-6677-8899-aabbccddeeff"


def catalog(folder: Path, family: str = "postgres") -> MemoryCatalog:
    made = MemoryCatalog(SecretStr(f"memory://{folder}?family={family}"))
    made.open("space")
    return made


def rows(*ids: int, doc: str = "{}") -> pa.RecordBatch:
    values = [list(ids), [TOKEN] * len(ids), [doc] * len(ids)]
    return pa.record_batch([pa.array(v, f.type) for v, f in zip(values, SCHEMA.arrow(), strict=True)], SCHEMA.arrow())


def commit(deletes: list[int], updates: list[int], inserts: list[int]) -> Commit:
    gone = pa.table([pa.array(deletes, pa.int64())], schema=pa.schema([SCHEMA.arrow().field("id")]))
    return Commit(gone, *(pa.Table.from_batches([rows(*ids, doc="[1]")]) for ids in (updates, inserts)))


def stored(folder: Path, family: str, table: pa.Table) -> MemoryCatalog:
    """A catalog on a table that some engine has written."""
    made = catalog(folder, family)
    table = table.append_column(COMMIT, pa.repeat(pa.scalar(1, pa.int64()), table.num_rows))
    path = folder / "space" / "t.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return made


@pytest.mark.parametrize("source", ["postgres", "clickhouse", "minio"])
def test_a_dataset_comes_back_as_it_was_before_and_after_its_change(tmp_path: Path, source: str) -> None:
    spec = DatasetSpec(seed=3, rows=150, batch_rows=40)
    dataset = Dataset(spec, source=source, sink="minio", contracts=default_contracts())
    made = catalog(tmp_path, source)
    made.create("space", "t", dataset.schema)
    assert made.fingerprint("space", "t", "id") == Fingerprint(0, 0)
    assert made.load("space", "t", dataset.schema, dataset.before()) == 150
    for changed in (False, True):
        if changed:
            made.change("space", "t", dataset.schema, dataset.commits())
        expected = expect_source(dataset, changed=changed)
        found = made.read("space", "t", expected.fields, order_by=expected.identity, batch_rows=32)
        assert compare(expected.batches(), found, fields=expected.fields, identity=expected.identity).equal
    assert list(made.columns("space", "t")) == [f.name for f in dataset.schema.fields]
    for field in dataset.schema.fields:
        # a type of the family's own is kept as its text
        assert default_contracts().accepts(source, field.kind, made.columns("space", "t")[field.name])


def test_a_table_is_named_and_addressed(tmp_path: Path) -> None:
    made = catalog(tmp_path)
    end = made.endpoint("space", "t")
    assert (end.family, end.namespace, end.table) == ("postgres", "space", "t")
    assert end.url.get_secret_value() == f"memory://{tmp_path}?family=postgres"
    assert made.columns("space", "t") == {}
    assert made.fingerprint("space", "t", "id") is None
    with pytest.raises(UsageError, match=r"space\.t has no column 'id'"):
        list(made.read("space", "t", SCHEMA.fields[:1], order_by=["id"]))


@pytest.mark.parametrize("name", ["a/b", "../x", "a b", 'quo"te', "имя"])
def test_any_name_stays_inside_of_the_folder(tmp_path: Path, name: str) -> None:
    made = MemoryCatalog(SecretStr(f"memory://{tmp_path / 'deep' / 'er'}?family=postgres"))
    made.open(name)
    made.create(name, name, SCHEMA)
    (found,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert found.parent.parent == tmp_path / "deep" / "er"
    made.close(name)
    assert list((tmp_path / "deep" / "er").iterdir()) == []
    made.close(name)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="can't be a name in memory"):
        catalog(tmp_path).open(name)


def test_a_commit_that_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    made = catalog(tmp_path)
    made.create("space", "t", SCHEMA)
    made.load("space", "t", SCHEMA, [rows(1, 2)])
    with pytest.raises(DponeError, match="names 2 rows by their keys and 1 of them are in the source"):
        made.change("space", "t", SCHEMA, [commit([1], [7], [])])
    assert made.fingerprint("space", "t", "id") == Fingerprint(2, 3)
    with pytest.raises(UsageError, match="rows to be loaded have the columns"):
        made.load("space", "t", SCHEMA, [rows(3).select(["id", "doc"])])
    assert made.fingerprint("space", "t", "id") == Fingerprint(2, 3)


def test_versions_change_with_each_write_where_the_family_shows_them(tmp_path: Path) -> None:
    made = catalog(tmp_path)
    made.create("space", "t", SCHEMA)
    made.load("space", "t", SCHEMA, [rows(3, 1), rows(2)])
    made.change("space", "t", SCHEMA, [commit([1], [2], [5]), commit([], [], [1])])
    found = made.row_versions("space", "t", "id")
    assert found is not None
    assert found.to_pydict() == {"key": [1, 2, 3, 5], "version": [3, 2, 1, 2]}
    assert catalog(tmp_path, "clickhouse").row_versions("space", "t", "id") is None


def test_a_sum_larger_than_an_int64_is_right(tmp_path: Path) -> None:
    made = stored(tmp_path, "postgres", pa.table({"id": pa.array([2**63 - 1, 2**63 - 1])}))
    assert made.fingerprint("space", "t", "id") == Fingerprint(2, 2**64 - 2)


@pytest.mark.parametrize(
    ("family", "kind", "values", "found"),
    [
        ("postgres", pa.int16(), [1], "smallint"),
        ("postgres", pa.decimal128(20, 0), [Decimal(1)], "numeric(20,0)"),
        ("postgres", pa.uint64(), [1], "no type of postgres (uint64)"),
        ("clickhouse", pa.string(), ["x"], "String"),
        ("clickhouse", pa.time64("us"), [dt.time(1)], "no type of clickhouse (time64[us])"),
        ("clickhouse", pa.timestamp("ns"), [0], "no type of clickhouse (timestamp[ns])"),
        ("minio", pa.uint64(), [1], "uint64"),
        ("kafka", pa.timestamp("ns"), [0], "no type of kafka (timestamp[ns])"),
    ],
)
def test_a_column_is_called_what_the_family_calls_it(
    tmp_path: Path, family: str, kind: pa.DataType, values: list[object], found: str
) -> None:
    made = stored(tmp_path, family, pa.table({"v": pa.array(values, kind)}))
    assert made.columns("space", "t") == {"v": found}
    assert default_contracts().accepts(family, "int64", "no type of kafka (timestamp[ns])") is False


def test_a_value_is_read_back_from_a_wider_type_or_not_at_all(tmp_path: Path) -> None:
    wide = pa.table({"big": pa.array([Decimal(2**64 - 1)], pa.decimal128(20, 0)), "clock": ["01:02:03.000004"]})
    made = stored(tmp_path, "postgres", wide)
    (batch,) = made.read("space", "t", [Field("big", "uint64"), Field("clock", "time")], order_by=["clock"])
    assert batch.to_pylist() == [{"big": 2**64 - 1, "clock": dt.time(1, 2, 3, 4)}]
    with pytest.raises(DponeError, match="can't be read as int16"):
        list(made.read("space", "t", [Field("big", "int16")], order_by=["clock"]))


def test_rows_are_sorted_bytewise_with_null_last(tmp_path: Path) -> None:
    made = stored(tmp_path, "minio", pa.table({"k": ["b", None, "B", "ä", "a"], "v": [1, 2, 3, 4, 5]}))
    found = [
        row["v"]
        for batch in made.read("space", "t", [Field("v", "int64")], order_by=["k"])
        for row in batch.to_pylist()
    ]
    assert found == [3, 5, 1, 4, 2]


def test_a_stack_serves_folders_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "base_directory", lambda: base_of(tmp_path))
    stack = MemoryStack.launch("run-1")
    assert Path(stack.address) == tmp_path / "runs" / "run-1"
    assert {name: choice.provider for name, choice in stack.choose(["postgres", "kafka"]).items()} == {
        "postgres": "memory",
        "kafka": "memory",
    }
    info = MemoryStack.connect(stack.address).ensure(["clickhouse"])["clickhouse"]
    record = info.record
    assert (record.name, record.provider, record.product, record.fidelity) == (
        "clickhouse", "memory", "simulated", "emulated",
    )  # fmt: skip
    made = open_catalog(info, bucket="unused")
    assert isinstance(made, MemoryCatalog)
    assert made.family == "clickhouse"
    made.open("space")
    made.create("space", "t", TableSchema((Field("id", "int64", nullable=False),)))
    assert (stack.died("clickhouse"), stack.scrub("text")) == (None, "text")
    with pytest.raises(UsageError, match="is there already"):
        MemoryStack.launch("run-1")
    stack.close()
    stack.close()
    assert list((tmp_path / "runs").iterdir()) == []
    with pytest.raises(ServiceFailed, match="the folder of the simulated run is gone"):
        MemoryStack.connect(stack.address)


def test_what_a_killed_run_left_goes_with_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "base_directory", lambda: base_of(tmp_path))
    killed = MemoryStack.launch("killed")
    killed.ensure(["postgres"])
    alive = MemoryStack.launch("alive")
    assert killed._lock is not None
    os.close(killed._lock)  # as the kernel does it
    containers = lease.create("containers", base=tmp_path)
    lease.write_owner(containers.path, lease.Owner("containers", "boot", containers=("c1",)))
    os.close(containers.lock_fd)
    following = MemoryStack.launch("following")
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"alive", "following", "containers"}
    for stack in (alive, following):
        stack.close()


def base_of(folder: Path) -> Path:
    (folder / "runs").mkdir(exist_ok=True)
    return folder
