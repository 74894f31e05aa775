"""The native engine on SQL Server without a server: its whole text is T-SQL, and says what it must."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from pydantic import SecretStr
from sqlglot import exp

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.kinds import arrow_type
from pytest_dpone.core.model import Strategy
from pytest_dpone.core.own import OWN, OwnType
from pytest_dpone.core.wire import Endpoint, Job, Window
from pytest_dpone.engines.native import mssql, mssql_log, mssql_rows, mssql_sink
from pytest_dpone.engines.native.changes import Emptied, Gone, Put
from pytest_dpone.engines.native.ports import ALL, Extract
from pytest_dpone.engines.native.state import State
from pytest_dpone.errors import EngineFailed, UsageError, ValueRejected

Answer = tuple[str, list[tuple[Any, ...]]]
COLUMNS = [
    ("id", "bigint", 8, 19, 0, False),
    ("from", "nvarchar", -1, 0, 0, True),
    ("a]b", "float", 8, 53, 0, True),
    ("blob", "varbinary", -1, 0, 0, True),
    ("updated_at", "datetimeoffset", 10, 33, 6, True),
    ("business_date", "date", 3, 10, 0, True),
]
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("from", pa.string()),
        pa.field("a]b", pa.float64()),
        pa.field("blob", pa.binary()),
        pa.field("updated_at", pa.timestamp("us", tz="UTC")),
        pa.field("business_date", pa.date32()),
    ]
)
ROW = (7, "x", 0.5, b"\x00", "2024-01-02 03:04:05.000006", "2024-01-02")


class Server:
    """Answers by what is in a query, the first that fits; remembers every text."""

    def __init__(self, *answers: Answer) -> None:
        self.texts: list[str] = []
        self.answers = [*answers, ("sp_getapplock", [(0,)]), ("snapshot_isolation_state", [(1,)])]
        self.closed = False
        self._found: list[tuple[Any, ...]] = []
        self.rowcount = 0

    def cursor(self) -> Server:
        return self

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def execute(self, text: str) -> None:
        self.texts.append(text)
        self._found = next((list(rows) for part, rows in self.answers if part in text), [])
        self.rowcount = 1

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.fetchmany(len(self._found))

    def fetchmany(self, count: int) -> list[tuple[Any, ...]]:
        some, self._found = self._found[:count], self._found[count:]
        return some


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Gives a server to whoever connects; at the end every text that it got is held against the grammar."""
    servers: list[Server] = []

    def make(*answers: Answer) -> Server:
        server = Server(*answers)
        servers.append(server)
        for module in (mssql, mssql_sink):
            monkeypatch.setattr(module, "connect", lambda _endpoint: server)
        return server

    yield make
    texts = [text for server in servers for text in server.texts]
    assert texts
    for text in texts:
        check_grammar(text)


def check_grammar(text: str) -> None:
    """Raise if `text` is no T-SQL. Of a call of sp_executesql the inner statement is checked, too."""
    if "CHANGETABLE(CHANGES " in text:  # the parser knows no such table: it stands for a function of two arguments
        text = text.replace("CHANGETABLE(CHANGES ", "dbo.changetable(N'', ")
    if text.startswith("EXEC sp_executesql N'"):
        check_grammar(text.split("N'", 1)[1].split("', N'@rows", 1)[0].replace("''", "'"))
    if text.endswith((" LEVEL SNAPSHOT", " ENABLE CHANGE_TRACKING")):  # nor does it know these
        return
    for tree in sqlglot.parse(text, dialect="tsql"):
        assert tree is not None
        free = text.split()[0] in ("EXEC", "SET", "BEGIN", "COMMIT", "IF", "DECLARE")
        assert free or not isinstance(tree, exp.Command), text


def job(strategy: Strategy = Strategy.INCREMENTAL_MERGE, **fields: object) -> Job:
    sides = {
        side: Endpoint(family="mssql", url=SecretStr("mssql://sa:p@h/work"), namespace=f"s p_{side}", table="o'rders")
        for side in ("source", "sink")
    }
    values: dict[str, object] = {
        "case_id": "mssql_to_mssql__x",
        "run_id": "r",
        "strategy": strategy,
        "key": ("id",),
        "cursor": "updated_at",
        "partition": "business_date",
        "state_table": "dpone_state",
        "batch_rows": 100,
        **sides,
        **fields,
    }
    return Job.model_validate(values)


def batch(*rows: tuple[Any, ...]) -> pa.RecordBatch:
    moment, day = dt.datetime(2024, 1, 2, tzinfo=dt.UTC), dt.date(2024, 1, 2)
    return pa.RecordBatch.from_pylist(
        [dict(zip(SCHEMA.names, (*row, moment, day), strict=True)) for row in rows], schema=SCHEMA
    )


def sink(connected: Any, *, strategy: Strategy = Strategy.INCREMENTAL_MERGE, exists: bool = True) -> Any:
    more = [
        (name, native.partition("(")[0], 32 if "char" in native else 0, 0, 6, False)
        for name, (native, _) in (mssql_sink._HISTORY.items() if strategy is Strategy.SCD2 else ())
    ]
    columns = [*COLUMNS, *more] if exists else []
    server = connected(
        ("COUNT_BIG", [(2,)]),
        ("sys.columns", columns),
        ("SYSUTCDATETIME() AS", [("2024-05-06 07:08:09.000001",)]),
        ("OBJECT_ID", [(None,)]),
    )
    made = mssql_sink.MssqlSink(job(strategy), lambda name: server.texts.append(f"SELECT '{name}' AS moment"))
    assert made.prepare(SCHEMA) is exists
    made.stage(iter([batch((1, "a", -0.0, b""), (2, None, 1.5, None))]))
    server.texts.append("SELECT 'mark' AS moment")
    return server, made


def after_mark(server: Server) -> list[str]:
    return server.texts[server.texts.index("SELECT 'mark' AS moment") + 1 :]


def test_what_is_not_a_decimal_of_sql_server_is_refused() -> None:
    with pytest.raises(EngineFailed, match="no decimal of 39 digits"):
        mssql.column_type(pa.decimal256(39, 0))


def test_text_in_a_key_has_a_length() -> None:
    assert mssql.column_type(pa.string(), key=True) == "nvarchar(450)"
    assert mssql.column_type(pa.int64(), key=True) == "bigint"


@pytest.mark.parametrize(
    ("found", "spelled"),
    [
        (("nvarchar", -1, 0, 0), "nvarchar(max)"),
        (("nvarchar", 900, 0, 0), "nvarchar(450)"),
        (("varchar", 32, 0, 0), "varchar(32)"),
        (("numeric", 9, 20, 0), "decimal(20,0)"),
        (("datetime2", 8, 26, 6), "datetime2(6)"),
        (("float", 8, 53, 0), "float"),
    ],
)
def test_types_as_a_declaration_spells_them(found: tuple[str, int, int, int], spelled: str) -> None:
    assert mssql.spelled(*found) == spelled


def test_names_and_texts_are_quoted() -> None:
    assert mssql.ident("a]b") == "[a]]b]"
    assert mssql.literal("it's") == "N'it''s'"
    for name in ("", "x" * 129, "a\0b"):
        with pytest.raises(UsageError):
            mssql.ident(name)
    for text in ("a\0b", "a\\\nb", "a\\\r\nb"):
        with pytest.raises(UsageError):
            mssql.literal(text)


def packed(kind: pa.DataType, *values: object) -> list[object]:
    array = pa.array(values, kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind)
    if isinstance(kind, pa.BaseExtensionType):
        array = pa.ExtensionArray.from_storage(kind, array)
    (text,) = mssql_rows.packed(pa.RecordBatch.from_arrays([array], names=["c"]))
    return [row.get("c0") for row in json.loads(text)]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.bool_(), True, "1"),
        (pa.int64(), -(2**63), "-9223372036854775808"),
        (pa.uint64(), 2**64 - 1, "18446744073709551615"),
        (pa.float64(), 0.1, "1.0000000000000001e-01"),
        (pa.float64(), -0.0, "-0.0"),
        (pa.float64(), 0.0, "0"),
        (pa.float32(), 3.4028234663852886e38, "3.4028234663852886e+38"),
        (pa.decimal128(38, 10), Decimal("0E-10"), "0.0000000000"),
        (pa.decimal128(38, 10), Decimal("1E-10"), "0.0000000001"),
        (pa.string(), "", ""),
        (pa.string(), "a\0\\N'\n\"", "a\0\\N'\n\""),
        (pa.binary(), b"", ""),
        (pa.binary(), b"\x00\xff", "00ff"),
        (pa.date32(), dt.date(1, 1, 1), "0001-01-01"),
        (pa.time64("us"), dt.time(23, 59, 59, 999999), "23:59:59.999999"),
        (pa.timestamp("us"), dt.datetime(9999, 12, 31, 23, 59, 59, 999999), "9999-12-31 23:59:59.999999"),
        (
            pa.timestamp("us", tz="UTC"),
            dt.datetime(1, 1, 1, tzinfo=dt.UTC),
            "0001-01-01 00:00:00.000000 +00:00",
        ),
        (pa.uuid(), bytes(range(16)), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (pa.list_(pa.int64()), [1, None, 2**63 - 1], "[1, null, 9223372036854775807]"),
        (pa.list_(pa.string()), ["a", None, ""], '["a", null, ""]'),
    ],
)
def test_each_value_goes_as_a_text(kind: pa.DataType, value: object, text: str) -> None:
    assert packed(kind, value, None) == [text, None]


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (pa.float64(), math.nan, "not_finite"),
        (pa.float32(), -math.inf, "not_finite"),
        (pa.float64(), 5e-324, "subnormal"),
        (pa.float32(), 1.401298464324817e-45, "subnormal"),
    ],
)
def test_what_the_contracts_reject_is_refused_in_their_words(kind: pa.DataType, value: float, told: str) -> None:
    contract = default_contracts().find("mssql", "float64", told)
    assert contract is not None
    with pytest.raises(ValueRejected, match=contract.error):
        packed(kind, value)


def test_days_that_sql_server_has_not_are_refused() -> None:
    with pytest.raises(ValueRejected, match="years 1 to 9999"):
        packed(pa.date32(), 2932897)
    with pytest.raises(ValueRejected, match="24:00"):
        packed(pa.time64("us"), 86_400_000_000)


def test_rows_are_cut_into_parts() -> None:
    rows = pa.RecordBatch.from_arrays([pa.array(range(2500), pa.int64())], names=["id"])
    assert [len(json.loads(text)) for text in mssql_rows.packed(rows)] == [1000, 1000, 500]
    long = pa.RecordBatch.from_arrays([pa.array(["x" * (3 << 20)] * 3)], names=["t"])
    assert [len(json.loads(text)) for text in mssql_rows.packed(long)] == [2, 1]


def test_a_full_refresh_is_a_rename_in_a_transaction(connected: Any) -> None:
    server, made = sink(connected, strategy=Strategy.FULL_REFRESH)
    made.replace()
    begin, *steps = [text for text in after_mark(server) if not text.startswith("SET")]
    assert begin == "BEGIN TRANSACTION"
    assert steps[0] == "DROP TABLE IF EXISTS [s p_sink].[o'rders]"
    assert steps[1].startswith("EXEC sp_rename N'[s p_sink].[dpone_stage_")
    assert steps[1].endswith("]', N'o''rders', N'OBJECT'")
    assert steps[2:] == ["SELECT 'committing' AS moment", "COMMIT TRANSACTION"]


def test_a_merge_needs_no_merge(connected: Any) -> None:
    server, made = sink(connected)
    state = State("incremental_merge", "updated_at", "2024")
    gone = pa.table({"id": pa.array([5, 6], pa.int64())})
    counts = made.merge(state, delete=True, gone=gone)
    assert (counts.inserted, counts.updated, counts.deleted, counts.unchanged) == (1, 1, 2, 0)
    texts = after_mark(server)
    assert not [text for text in texts if "MERGE" in text]
    begin, commit = texts.index("BEGIN TRANSACTION"), texts.index("COMMIT TRANSACTION")
    inside = [text.split()[0] for text in texts[begin + 1 : commit] if "moment" not in text]
    assert [word for word in inside if word in ("UPDATE", "INSERT", "DELETE")] == [
        "DELETE",
        "UPDATE",
        "INSERT",
        "DELETE",
        "UPDATE",  # the state
        "INSERT",
    ]
    (update,) = [text for text in texts if text.startswith("UPDATE t")]
    assert "EXISTS (SELECT t.[from] COLLATE Latin1_General_100_BIN2, DATALENGTH(t.[from])" in update
    assert "CAST(t.[a]]b] AS binary(8))" in update
    assert "t.[blob], DATALENGTH(t.[blob])" in update


def test_what_fails_is_rolled_back(connected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, made = sink(connected)
    right = server.execute

    def execute(text: str) -> None:
        right(text)
        if text.startswith("DELETE"):
            raise RuntimeError("no room")

    monkeypatch.setattr(server, "execute", execute)
    with pytest.raises(EngineFailed, match="no room"):
        made.rewrite((Window(start=dt.date(2024, 1, 1), stop=dt.date(2024, 1, 2)),), None)
    assert server.texts[-1] == "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
    assert "COMMIT TRANSACTION" not in server.texts


def test_every_other_way_to_apply(connected: Any) -> None:
    days = (Window(start=dt.date(2024, 1, 1), stop=dt.date(2024, 1, 2)),)
    for exists in (True, False):
        _, made = sink(connected, exists=exists)
        made.append(State("incremental_append", "updated_at"))
        _, made = sink(connected, exists=exists)
        made.rewrite(days, State("backfill", "business_date"))
        _, made = sink(connected, exists=exists)
        made.rewrite((), None)
        server, made = sink(connected, strategy=Strategy.SCD2, exists=exists)
        made.history()
        made.close()
        made.close()
        assert server.closed


def test_a_history_has_a_hash_of_each_row(connected: Any) -> None:
    server, _ = sink(connected, strategy=Strategy.SCD2)
    (call,) = [text for text in server.texts if text.startswith("EXEC sp_executesql")]
    rows = json.loads(call.split("@rows = N'", 1)[1].rstrip("'").replace("''", "'"))
    hashes = [row["c6"] for row in rows]
    assert len({*hashes}) == 2
    assert all(len(value) == 32 for value in hashes)


def test_a_second_run_is_refused_after_a_while(connected: Any) -> None:
    server = connected(("sp_getapplock", [(-1,)]))
    with pytest.raises(EngineFailed, match="another run writes"):
        mssql_sink.MssqlSink(job(), lambda _name: None)
    assert server.closed


def test_another_table_is_refused_and_a_new_column_is_followed(connected: Any) -> None:
    server = connected(("sys.columns", COLUMNS))
    made = mssql_sink.MssqlSink(job(), lambda _name: None)
    with pytest.raises(EngineFailed, match="the source now needs"):
        made.prepare(SCHEMA.set(1, pa.field("from", pa.int64())))
    assert made.prepare(SCHEMA.append(pa.field("new", pa.bool_())))
    assert server.texts[-1] == "ALTER TABLE [s p_sink].[o'rders] ADD [new] bit NULL"


def test_a_damaged_state_is_refused(connected: Any) -> None:
    connected(("[state] FROM", [("{",)]), ("OBJECT_ID", [(1,)]))
    made = mssql_sink.MssqlSink(job(), lambda _name: None)
    with pytest.raises(EngineFailed, match="state"):
        made.state()


def source(connected: Any, *answers: Answer, kind: Any = mssql.MssqlSource) -> tuple[Server, Any]:
    server = connected(*answers, ("sys.columns", COLUMNS), ("FROM [s p_source]", [ROW]))
    return server, kind(job(Strategy.CDC))


def test_a_source_is_read_in_a_snapshot(connected: Any) -> None:
    server, made = source(connected)
    assert made.schema == SCHEMA
    assert server.texts[-2:] == ["SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRANSACTION"]
    (found,) = made.read(ALL)
    assert found.to_pylist() == [
        {
            "id": 7,
            "from": "x",
            "a]b": 0.5,
            "blob": b"\0",
            "updated_at": dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
            "business_date": dt.date(2024, 1, 2),
        }
    ]
    assert "SWITCHOFFSET([updated_at], '+00:00')" in server.texts[-1]


def test_without_snapshots_the_table_is_locked(connected: Any) -> None:
    server, made = source(connected, ("snapshot_isolation_state", [(0,)]))
    assert server.texts[-2] == "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"
    list(made.read(ALL))
    assert server.texts[-1].endswith("FROM [s p_source].[o'rders] WITH (TABLOCK, HOLDLOCK)")


def test_what_is_extracted(connected: Any) -> None:
    server, made = source(connected)
    days = (Window(start=dt.date(2024, 1, 1), stop=dt.date(2024, 1, 2)),)
    keys = pa.table({"id": pa.array([1, 2], pa.int64())})
    list(made.read(Extract(since="2024-03-31 12:00:00.000000Z", days=days, keys=keys)))
    condition = server.texts[-1].split(" WHERE ", 1)[1]
    assert "[updated_at] >= CAST(N'2024-03-31 12:00:00.000000 +00:00' AS datetimeoffset(6))" in condition
    assert "[business_date] >= CAST('2024-01-01' AS date)" in condition
    assert "(VALUES (CAST(N'1' AS bigint)), (CAST(N'2' AS bigint))) AS k (k0) WHERE [id] = k.k0" in condition
    list(made.read(Extract(days=(), keys=keys.slice(0, 0))))
    assert server.texts[-1].endswith("WHERE 1 = 0 AND 1 = 0")


def test_a_text_is_a_cursor_by_its_bytes(connected: Any) -> None:
    connected(("sys.columns", COLUMNS))
    made = mssql.MssqlSource(job(cursor="from"))
    list(made.read(Extract(since="ä")))
    assert "_BIN2_UTF8 AS varchar(max)) >= CAST(N'ä'" in made._connection.texts[-1]


@pytest.mark.parametrize("native", ["json", "vector"])
def test_types_that_can_not_be_carried_are_refused(connected: Any, native: str) -> None:
    connected(("sys.columns", [("odd", native, -1, 0, 0, True)]))
    with pytest.raises(EngineFailed, match="can't carry exactly"):
        mssql.MssqlSource(job())


OWN_TYPES = [own for own in OWN.values() if own.family == "mssql"]
_SIZES = {"datetime2(7)": (8, 27, 7), "datetimeoffset(7)": (10, 34, 7), "time(7)": (5, 16, 7), "nchar(12)": (24, 0, 0)}


def described_as(native: str) -> tuple[object, ...]:
    """What `sys.columns` says of a column of the type."""
    length, precision, scale = _SIZES.get(native, (8, 0, 0))
    return ("odd", native.partition("(")[0], length, precision, scale, True)


@pytest.mark.parametrize("own", OWN_TYPES, ids=lambda own: own.name)
def test_types_of_its_own_travel_as_the_servers_text(connected: Any, own: OwnType) -> None:
    made = connected(("sys.columns", [described_as(own.native)]), ("FROM [s p_source]", [(own.edges[0],), (None,)]))
    (batch,) = mssql.MssqlSource(job(cursor="x")).read(ALL)
    assert batch.column(0).to_pylist() == [own.edges[0], None]
    assert batch.schema.field("odd").type == pa.string()
    asked = made.texts[-1].removeprefix("SELECT ").partition(" FROM ")[0]
    style = {"money": ", 2)", "smallmoney": ", 2)", "datetime2 7": ", 121)", "datetimeoffset 7": ", 121)"}
    style |= {"time 7": ", 121)", "hierarchyid": ".ToString()", "geometry": ".ToString()", "geography": ".ToString()"}
    assert asked.endswith(style.get(own.name, " AS nvarchar(max))" if own.name in ("xml", "char") else "")), asked


@pytest.mark.parametrize("native", ["datetime2(7)", "datetimeoffset(7)"])
def test_a_cursor_travels_as_a_moment(connected: Any, native: str) -> None:
    server = connected(("sys.columns", [described_as(native)]))
    made = mssql.MssqlSource(job(cursor="odd"))
    assert pa.types.is_timestamp(made.schema.field("odd").type)
    zone = "Z" if native.startswith("datetimeoffset") else ""
    list(made.read(Extract(since=f"2024-01-01 00:00:00.000000{zone}")))
    assert "[odd] >= CAST(N'2024-01-01 00:00:00.000000" in server.texts[-1]


@pytest.mark.parametrize(
    ("native", "wanted"),
    [
        ("datetime", "CAST(CAST(N'2024-01-01 00:00:00.187000' AS datetime2(6)) AS datetime)"),
        ("smalldatetime", "CAST(N'2024-01-01 00:00:00.187000' AS datetime2(6))"),
        ("datetime2", "CAST(N'2024-01-01 00:00:00.187000' AS datetime2(6))"),
    ],
)
def test_a_watermark_is_compared_as_the_column_counts(connected: Any, native: str, wanted: str) -> None:
    """A datetime that is read as .187 is .1866667 on the server, and a datetime2 of .187 is greater."""
    server = connected(("sys.columns", [("odd", native, 8, 23, 3, True)]))
    made = mssql.MssqlSource(job(cursor="odd"))
    list(made.read(Extract(since="2024-01-01 00:00:00.187000")))
    assert server.texts[-1].endswith(f" WHERE [odd] >= {wanted}")


@pytest.mark.parametrize("native", ["money", "sql_variant", "hierarchyid", "xml"])
def test_a_text_that_does_not_sort_is_no_cursor(connected: Any, native: str) -> None:
    connected(("sys.columns", [described_as(native)]))
    made = mssql.MssqlSource(job(cursor="odd"))
    with pytest.raises(EngineFailed, match="can't be a cursor: its text does not sort"):
        list(made.read(Extract(since="1")))


def test_a_rowversion_travels_as_its_bytes(connected: Any) -> None:
    connected(("sys.columns", [described_as("timestamp")]), ("FROM [s p_source]", [(b"\0" * 7 + b"\x01",)]))
    (batch,) = mssql.MssqlSource(job(cursor="x")).read(ALL)
    assert batch.column(0).to_pylist() == [b"\0" * 7 + b"\x01"]


def test_no_table_is_told(connected: Any) -> None:
    connected()
    with pytest.raises(EngineFailed, match="there is no table"):
        mssql.MssqlSource(job())


def test_a_seventh_digit_is_refused_unless_it_is_zero() -> None:
    kind = pa.timestamp("us")
    (moment,) = mssql.incoming(["2024-01-02 03:04:05.1234560"], kind).to_pylist()
    assert moment == dt.datetime(2024, 1, 2, 3, 4, 5, 123456)
    with pytest.raises(pa.ArrowInvalid):
        mssql.incoming(["2024-01-02 03:04:05.1234567"], kind)


def log(
    connected: Any, *, version: int | None = 12, oldest: int = 3, began: int | None = 3, changes: Sequence[object] = ()
) -> tuple[Server, Any]:
    return source(
        connected,
        ("change_tracking_databases", [(1,)]),
        ("CHANGE_TRACKING_CURRENT_VERSION", [(version, oldest)]),
        ("change_tracking_tables", [] if began is None else [(began,)]),
        ("CHANGETABLE", list(changes)),  # type: ignore[arg-type]
        kind=mssql_log.MssqlLog,
    )


def test_a_log_begins_with_the_snapshot(connected: Any) -> None:
    server, made = log(connected)
    assert made.log == "change tracking"
    assert made.begin() == "12/3"
    texts = [text for text in server.texts if "TRANSACTION" in text or "VERSION" in text]
    assert texts[:4] == [
        "SET TRANSACTION ISOLATION LEVEL SNAPSHOT",
        "BEGIN TRANSACTION",
        "COMMIT TRANSACTION",
        "BEGIN TRANSACTION",
    ]
    assert "CHANGE_TRACKING_CURRENT_VERSION()" in texts[4]
    assert not [text for text in server.texts if "ENABLE" in text]


def test_tracking_is_switched_on_before_the_snapshot(connected: Any) -> None:
    server, made = log(connected, began=None)
    with pytest.raises(EngineFailed, match="is off"):  # the scripted server never says that it is on
        made.begin()
    texts = server.texts
    enable = texts.index("ALTER TABLE [s p_source].[o'rders] ENABLE CHANGE_TRACKING")
    assert texts.index("COMMIT TRANSACTION") < enable < len(texts) - 1 - texts[::-1].index("BEGIN TRANSACTION")


def test_changes_are_the_net_of_each_key(connected: Any) -> None:
    server, made = log(connected, changes=[("I", *ROW), ("U", 8, None, -0.0, b"", None, None), ("D", 9, *[None] * 5)])
    assert made.end("5/3") == "12/3"
    put, update, gone = made.changes("5/3", "12/3")
    assert isinstance(put, Put)
    assert put.row == ("7", "x", "0.5", "00", "2024-01-02 03:04:05.000006", "2024-01-02")
    assert isinstance(update, Put)
    assert gone == Gone(("9",))
    rows = made.decode([put.row, update.row], SCHEMA)
    assert rows.schema == SCHEMA
    assert rows.column("blob").to_pylist() == [b"\0", b""]
    assert math.copysign(1, rows.column("a]b")[1].as_py()) == -1
    query = server.texts[-1]
    assert "CHANGETABLE(CHANGES [s p_source].[o'rders], 5) AS ct LEFT JOIN" in query
    assert "SELECT ct.SYS_CHANGE_OPERATION, ct.[id], t.[from]" in query
    made.release("12/3")


@pytest.mark.parametrize(("oldest", "began"), [(6, 3), (3, 7)])
def test_a_log_that_is_not_whole_begins_anew(connected: Any, oldest: int, began: int) -> None:
    """The clean-up went past the state; the table was truncated."""
    server, made = log(connected, oldest=oldest, began=began)
    until = made.end("5/3")
    first, *rows = made.changes("5/3", until)
    assert isinstance(first, Emptied)
    assert len(rows) == 1
    assert not [text for text in server.texts if "CHANGETABLE" in text]


def test_logs_that_can_not_be_used_are_told(connected: Any) -> None:
    _, made = log(connected, version=4)
    with pytest.raises(EngineFailed, match="is at version 4, and the state is of 5/3"):
        made.end("5/3")
    with pytest.raises(EngineFailed, match="no position"):
        made.end("0/16B3748")
    _, made = log(connected, version=None)
    with pytest.raises(EngineFailed, match="off"):
        made.end("5/3")
    _, made = source(connected, kind=mssql_log.MssqlLog)
    with pytest.raises(EngineFailed, match="keeps no track of changes"):
        made.begin()
    _, made = source(connected, ("snapshot_isolation_state", [(0,)]), kind=mssql_log.MssqlLog)
    with pytest.raises(EngineFailed, match="SNAPSHOT"):
        made.end("5/3")


def test_every_kind_comes_back_from_a_log() -> None:
    given = {
        pa.bool_(): True,
        pa.int64(): -5,
        pa.float64(): 0.1,
        pa.float32(): 1.5,
        pa.binary(): b"\xff",
        pa.string(): "a",
        pa.decimal128(20, 4): "1.5000",
        arrow_type("time"): "01:02:03.000004",
    }
    for kind, value in given.items():
        text = mssql_log._text(value)
        back = mssql.incoming([mssql_log._value(text, kind), mssql_log._value(None, kind)], kind)
        assert back.type == kind
        assert back.to_pylist() == mssql.incoming([value, None], kind).to_pylist()
