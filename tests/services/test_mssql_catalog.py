"""The harness's hands on SQL Server without a server: statements are T-SQL that holds each value exactly."""

from __future__ import annotations

import datetime as dt
import math
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from pydantic import SecretStr
from sqlglot import exp

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import Dataset, DatasetSpec
from pytest_dpone.core.kinds import Field, TableSchema, arrow_type
from pytest_dpone.core.model import KeyForm
from pytest_dpone.core.own import OWN, OwnType
from pytest_dpone.errors import DponeError, UsageError, ValueRejected
from pytest_dpone.services.ask import prove
from pytest_dpone.services.catalog.convert import UnreadableColumnError
from pytest_dpone.services.catalog.mssql import MssqlCatalog
from pytest_dpone.services.catalog.protocol import LOCKED, Fingerprint
from pytest_dpone.services.catalog.tsql import column_type, decoded, inserts, literal, quoted, reading, spelled
from pytest_dpone.services.mssql import creation

LONG = "CAST(N'' AS nvarchar(max)) + "
URL = SecretStr("mssql://sa:Secret-1@db.example:1433/work")


class ServerError(Exception):
    pass


class Server:
    """Stands for pymssql: answers by what is in a query, the first that fits; an answer may be an error."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.arguments: list[dict[str, Any]] = []
        self.answers: list[tuple[str, Any]] = []
        self.rowcount = 1
        self._found: list[tuple[Any, ...]] = []

    def connect(self, **arguments: Any) -> Server:
        self.arguments.append(arguments)
        return self

    def cursor(self) -> Server:
        return self

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def execute(self, text: str) -> None:
        self.texts.append(text)
        answer: Any = next((answer for part, answer in self.answers if part in text), [])
        if isinstance(answer, list) and answer and isinstance(answer[0], list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        self._found = list(answer)
        self.rowcount = text.count("), (") + 1

    def fetchone(self) -> tuple[Any, ...]:
        return self._found[0]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.fetchmany(len(self._found))

    def fetchmany(self, count: int) -> list[tuple[Any, ...]]:
        some, self._found = self._found[:count], self._found[count:]
        return some


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """At the end every text that it got is held against the grammar."""
    made = Server()
    monkeypatch.setitem(sys.modules, "pymssql", SimpleNamespace(connect=made.connect, Error=ServerError))
    yield made
    assert made.texts
    for text in made.texts:
        check_grammar(text)


def check_grammar(text: str) -> None:
    for tree in sqlglot.parse(text, dialect="tsql"):
        free = text.split()[0] in ("EXEC", "SET", "BEGIN", "COMMIT", "IF", "DROP") or " SET " in text
        assert free or (tree is not None and not isinstance(tree, exp.Command)), text


@pytest.mark.parametrize(
    "text", ["", "it's", "a\0b", "\0", "a\\\nb", "a\\\r\nb", "\\", "'; DROP TABLE x; --", "🦆", "\n"]
)
def test_texts_are_literals(text: str) -> None:
    found = literal(text)
    assert "\0" not in found
    assert "\\\n" not in found
    assert "\\\r\n" not in found
    whole = found.removeprefix(LONG)
    pieces = [piece for piece in whole.replace("NCHAR(0)", "N'\0'").split("N'") if piece]
    assert "".join(piece.removesuffix(" + ").removesuffix("'") for piece in pieces).replace("''", "'") == text


def test_texts_of_pieces_are_as_long_as_they_are() -> None:
    """Of `N'…' + N'…'` SQL Server keeps 4000 characters, unless one of the two is `nvarchar(max)`."""
    for text in ("a" * 3000 + "\0" + "b" * 3000, "a\\\n" * 2000):
        assert literal(text).startswith(LONG)
    assert literal("a" * 5000) == f"N'{'a' * 5000}'", "one piece has no end"


def test_names() -> None:
    assert quoted("s", "a]b") == "[s].[a]]b]"
    for name in ("", "a\0b", "x" * 129):
        with pytest.raises(UsageError):
            quoted(name)


def dataset(sink: str = "mssql", *, key: KeyForm = KeyForm.INTEGER) -> Dataset:
    return Dataset(DatasetSpec(seed=3, rows=150), source="mssql", sink=sink, contracts=default_contracts(), key=key)


def test_names_that_differ_by_case_alone_do_not_meet() -> None:
    for source, sink in (("mssql", "postgres"), ("postgres", "mssql")):
        made = Dataset(DatasetSpec(seed=3, rows=1), source=source, sink=sink, contracts=default_contracts())
        names = [field.name for field in made.schema.fields]
        assert "Order" in names
        assert len({name.casefold() for name in names}) == len(names)
    plain = Dataset(DatasetSpec(seed=3, rows=1), source="postgres", sink="clickhouse", contracts=default_contracts())
    assert {"Order", "order"} <= {field.name for field in plain.schema.fields}


@pytest.mark.parametrize("key", list(KeyForm))
def test_every_kind_of_the_dataset_goes_in_as_a_literal_of_its_type(key: KeyForm) -> None:
    made = dataset(key=key)
    schema = made.schema
    texts = [column_type(schema.field(name), schema.key) for name in schema.key if schema.field(name).kind == "text"]
    assert texts == ["nvarchar(450)"] * (key is not KeyForm.INTEGER)
    natives = [column_type(field, schema.key) for field in schema.fields]
    rows = pa.Table.from_batches(list(made.before()))
    statements = list(inserts("[s].[t]", rows, natives))
    assert sum(count for _, count in statements) == 150
    assert [count for _, count in statements] == [1, 100, 49], "the row with a megabyte goes alone"
    for text, count in statements:
        tree = sqlglot.parse_one(text, dialect="tsql")
        tuples = tree.find(exp.Values).expressions  # type: ignore[union-attr]
        assert len(tuples) == count
        assert {len(row.expressions) for row in tuples} == {len(schema.fields)}


def cast_of(kind: str, value: object) -> str:
    field = Field("c", kind)
    rows = pa.table({"c": pa.array([value], arrow_type(kind))})
    ((text, _),) = inserts("[t]", rows, [column_type(field, ())])
    return text.split(" VALUES ", 1)[1][1:-1]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("bool", True, "CAST(N'1' AS bit)"),
        ("int64", -(2**63), "CAST(N'-9223372036854775808' AS bigint)"),
        ("float64", 0.1, "CAST(N'1.0000000000000001e-01' AS float)"),
        ("float64", -0.0, "CAST(0 AS float) * CAST(-1 AS float)"),
        ("float32", 0.0, "CAST(N'0.0' AS real)"),
        ("decimal(38,10)", Decimal("0E-10"), "CAST(N'0.0000000000' AS decimal(38,10))"),
        ("text", "", "CAST(N'' AS nvarchar(max))"),
        ("text", "a\0b", f"CAST({LONG}N'a' + NCHAR(0) + N'b' AS nvarchar(max))"),
        ("binary", b"", "CAST(0x AS varbinary(max))"),
        ("binary", b"\0\xff", "CAST(0x00ff AS varbinary(max))"),
        ("date", dt.date(1, 1, 1), "CAST(N'0001-01-01' AS date)"),
        ("time", dt.time(1, 2, 3, 4), "CAST(N'01:02:03.000004' AS time(6))"),
        ("timestamp", dt.datetime(9999, 12, 31, 1), "CAST(N'9999-12-31 01:00:00.000000' AS datetime2(6))"),
        (
            "timestamptz",
            dt.datetime(1, 1, 1, tzinfo=dt.UTC),
            "CAST(N'0001-01-01 00:00:00.000000 +00:00' AS datetimeoffset(6))",
        ),
        (
            "uuid",
            "0" * 8 + "-0000-0000-0000-" + "0" * 12,
            f"CAST(N'{'0' * 8}-0000-0000-0000-{'0' * 12}' AS uniqueidentifier)",
        ),
        ("text", None, "CAST(NULL AS nvarchar(max))"),
    ],
)
def test_values_are_literals(kind: str, value: object, text: str) -> None:
    assert cast_of(kind, value) == text


def test_numbers_that_sql_server_lacks_are_refused() -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(ValueRejected):
            cast_of("float64", value)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (("nvarchar", -1, 0, 0), "nvarchar(max)"),
        (("nchar", 20, 0, 0), "nchar(10)"),
        (("varbinary", 900, 0, 0), "varbinary(900)"),
        (("decimal", 17, 38, 10), "decimal(38,10)"),
        (("time", 5, 15, 6), "time(6)"),
        (("bit", 1, 1, 0), "bit"),
    ],
)
def test_types_are_spelled_as_the_contracts_do(found: tuple[str, int, int, int], text: str) -> None:
    assert spelled(*found) == text


def test_text_in_a_key_has_a_length() -> None:
    assert column_type(Field("k", "text"), ("k",)) == "nvarchar(450)"
    assert column_type(Field("k", "binary"), ("k",)) == "varbinary(900)"
    assert column_type(Field("k", "text"), ()) == "nvarchar(max)"


def back(kind: str, native: str, *values: object) -> list[object]:
    batch = decoded([(value,) for value in values], [reading(Field("c", kind), native)])
    assert batch.column("c").type == arrow_type(kind)
    found: list[object] = batch.column("c").to_pylist()
    return found


@pytest.mark.parametrize(
    ("kind", "native", "given", "value"),
    [
        ("bool", "bit", True, True),
        ("uint64", "decimal(20,0)", "18446744073709551615", 2**64 - 1),
        ("float32", "real", 3.4028234663852886e38, 3.4028234663852886e38),
        ("float32", "float", 1.5, 1.5),
        ("decimal(18,4)", "decimal(38,10)", "1.5000000000", Decimal("1.5000")),
        ("text", "nvarchar(max)", "||", ""),
        ("text", "nvarchar(max)", "|a |", "a "),
        ("json", "nvarchar(max)", "|{}|", "{}"),
        ("array<int64>", "nvarchar(max)", "|[1,null]|", [1, None]),
        ("array<text>", "nvarchar(max)", '|["|"]|', ["|"]),
        ("binary", "varbinary(max)", b"", b""),
        ("date", "date", "9999-12-31", dt.date(9999, 12, 31)),
        ("time", "time(7)", "23:59:59.9999990", dt.time(23, 59, 59, 999999)),
        ("timestamp", "datetime2(6)", "0001-01-01 00:00:00.000001", dt.datetime(1, 1, 1, 0, 0, 0, 1)),
        ("timestamptz", "datetimeoffset(6)", "2024-01-01 00:00:00.0000000", dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        (
            "uuid",
            "uniqueidentifier",
            "0f" * 4 + "-0000-0000-0000-" + "0" * 12,
            "0f" * 4 + "-0000-0000-0000-" + "0" * 12,
        ),
    ],
)
def test_answers_are_read(kind: str, native: str, given: object, value: object) -> None:
    assert back(kind, native, given, None) == [value, None]


@pytest.mark.parametrize(
    ("kind", "native", "given"),
    [
        ("text", "nvarchar(max)", "without bars"),
        ("timestamp", "datetime2(7)", "2024-01-01 00:00:00.0000001"),
        ("decimal(18,4)", "decimal(38,10)", "1.50001"),
        ("float32", "float", 0.1),
        ("int16", "bigint", 2**40),
    ],
)
def test_what_would_change_is_not_read(kind: str, native: str, given: object) -> None:
    with pytest.raises(UnreadableColumnError):
        back(kind, native, given)


def test_a_type_that_holds_no_such_kind_is_told() -> None:
    with pytest.raises(UnreadableColumnError, match="is int and can't be read as uuid"):
        reading(Field("c", "uuid"), "int")


SCHEMA = TableSchema(
    (Field("id", "int64", nullable=False), Field("from", "text"), Field("blob", "binary", steady=True))
)
ROWS = pa.table({"id": [1], "from": ["a"], "blob": [b"x"]}, schema=SCHEMA.arrow())
TYPES = [("id", "bigint", 8, 19, 0), ("from", "nvarchar", -1, 0, 0), ("blob", "varbinary", -1, 0, 0)]


def test_a_table_has_types_key_and_collation(server: Server) -> None:
    text_key = TableSchema((Field("k", "text", nullable=False), Field("n", "int32")), key=("k",))
    MssqlCatalog(URL).create("s", "t", text_key)
    assert server.texts[-1] == (
        "CREATE TABLE [s].[t] ([k] nvarchar(450) COLLATE Latin1_General_100_BIN2 NOT NULL, [n] int NULL, PRIMARY KEY ([k]))"
    )


def test_a_commit_is_one_transaction_of_set_statements(server: Server) -> None:
    from pytest_dpone.services.catalog.protocol import Commit

    catalog = MssqlCatalog(URL)
    commit = Commit(deletes=ROWS.select(["id"]), updates=ROWS, inserts=ROWS)
    catalog.change("s", "t", SCHEMA, [commit])
    words = [text.split(" (")[0] for text in server.texts[1:]]
    assert words == [
        "BEGIN TRANSACTION",
        "CREATE TABLE [s].[pytest_dpone_changes]",
        "INSERT INTO [s].[pytest_dpone_changes]",
        "DELETE t FROM [s].[t] AS t JOIN [s].[pytest_dpone_changes] AS c ON t.[id] = c.[id]",
        "DROP TABLE [s].[pytest_dpone_changes]",
        "CREATE TABLE [s].[pytest_dpone_changes]",
        "INSERT INTO [s].[pytest_dpone_changes]",
        "UPDATE t SET [from] = c.[from] FROM [s].[t] AS t JOIN [s].[pytest_dpone_changes] AS c ON t.[id] = c.[id]",
        "DROP TABLE [s].[pytest_dpone_changes]",
        "INSERT INTO [s].[t]",
        "COMMIT TRANSACTION",
    ]


def test_a_change_that_misses_a_row_is_rolled_back(server: Server) -> None:
    with pytest.raises(DponeError, match="2 keys were to change and 1 are there"):
        MssqlCatalog(URL).rekey("s", "t", "id", [1, 2], offset=10)
    assert server.texts[-1] == "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"


def test_a_held_commit_has_a_connection_of_its_own(server: Server) -> None:
    from pytest_dpone.services.catalog.protocol import Commit

    finish = MssqlCatalog(URL).hold("s", "t", SCHEMA, Commit(ROWS.select(["id"]), ROWS.slice(0, 0), ROWS.slice(0, 0)))
    assert "COMMIT TRANSACTION" not in server.texts
    finish()
    assert server.texts[-1] == "COMMIT TRANSACTION"


def test_rows_are_read_and_sorted_here(server: Server) -> None:
    server.answers = [("sys.columns", TYPES), ("FROM [s].[t]", [(2, "|b|", b""), (1, None, None)])]
    batches = list(MssqlCatalog(URL).read("s", "t", SCHEMA.fields[:2], order_by=("id", "blob")))
    assert pa.Table.from_batches(batches).to_pylist() == [{"id": 1, "from": None}, {"id": 2, "from": "b"}]


def test_columns_can_change(server: Server) -> None:
    catalog = MssqlCatalog(URL)
    catalog.add_column("s", "t", Field("new", "bool"))
    catalog.widen_column("s", "t", Field("n", "int64"))
    catalog.drop_column("s", "t", "old")
    catalog.rename_column("s", "t", "a", "b'c")
    catalog.truncate("s", "t")
    assert server.texts[1:] == [
        "ALTER TABLE [s].[t] ADD [new] bit NULL",
        "ALTER TABLE [s].[t] ALTER COLUMN [n] bigint NULL",
        "ALTER TABLE [s].[t] DROP COLUMN [old]",
        "EXEC sp_rename N'[s].[t].[a]', N'b''c', N'COLUMN'",
        "TRUNCATE TABLE [s].[t]",
    ]


@pytest.mark.parametrize(
    "error", [ServerError((208, b"Invalid object name")), ServerError(208, b"Invalid object name")]
)
def test_no_table_has_no_fingerprint(server: Server, error: Exception) -> None:
    server.answers = [("COUNT_BIG", error)]
    assert MssqlCatalog(URL).fingerprint("s", "t", "id") is None
    server.answers = [("COUNT_BIG", [(3, "6")])]
    assert MssqlCatalog(URL).fingerprint("s", "t", "id") == Fingerprint(3, 6)
    server.answers = [("COUNT_BIG", ServerError(33557097, b"no such relation"))]
    assert MssqlCatalog(URL).fingerprint("s", "t", "id") is None, "another number, and the table is not there"
    server.answers = [("COUNT_BIG", ServerError(1205, b"deadlock")), ("sys.columns", TYPES)]
    with pytest.raises(ServerError):
        MssqlCatalog(URL).fingerprint("s", "t", "id")


def test_a_table_that_is_locked_is_told(server: Server) -> None:
    server.answers = [("sys.objects", [("t", "U"), ("v", "V")]), ("COUNT_BIG", ServerError(1222, b"lock time-out"))]
    assert MssqlCatalog(URL).contents("s") == {"t": LOCKED}
    assert server.texts[-1] == "SET LOCK_TIMEOUT 60000"


def test_a_schema_is_emptied_by_name(server: Server) -> None:
    server.answers = [("sys.objects", [[("t", "U"), ("v", "V")], []]), ("SCHEMA_ID", [(5,)])]
    MssqlCatalog(URL).close("s")
    drops = [text for text in server.texts if text.startswith("DROP")]
    assert drops == ["DROP TABLE IF EXISTS [s].[t]", "DROP VIEW IF EXISTS [s].[v]", "DROP SCHEMA [s]"]


def test_what_others_hold_is_told(server: Server) -> None:
    server.answers = [("sys.objects", [("t", "U")]), ("DROP", ServerError(3726, b"referenced"))]
    with pytest.raises(DponeError, match="something outside depends on t"):
        MssqlCatalog(URL).close("s")


def test_texts_are_damaged_but_no_key(server: Server) -> None:
    server.answers = [("sys.columns", [("state",)])]
    assert MssqlCatalog(URL).damage("s", "t")
    assert server.texts[-1] == "UPDATE [s].[t] SET [state] = LEFT([state], LEN([state]) / 2)"


def test_a_server_of_ours_gets_a_database_for_change_tracking(server: Server) -> None:
    server.answers = [("ProductVersion", [("16.0", "Microsoft SQL Server 2022")])]
    assert prove("mssql", URL.get_secret_value()).version == "16.0"
    assert server.texts[:3] == list(creation("work"))
    assert [arguments["database"] for arguments in server.arguments] == ["master", "work"]
    assert "ALLOW_SNAPSHOT_ISOLATION ON" in server.texts[1]
    assert "SET CHANGE_TRACKING = ON" in server.texts[2]


@pytest.mark.parametrize(
    ("native", "kind", "literals"),
    [
        ("tinyint", "int16", r"CAST\(N'(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])' AS tinyint\)"),
        ("smalldatetime", "timestamp", r"CAST\(N'(19|20)\d\d-\d\d-\d\dT\d\d:\d\d:00' AS smalldatetime\)"),
        ("datetime", "timestamp", r"CAST\(N'(1[789]|[2-9]\d)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d' AS datetime\)"),
    ],
)
def test_a_narrow_type_gets_values_that_it_holds(native: str, kind: str, literals: str) -> None:
    made = dataset("postgres")
    (field,) = [f for f in made.schema.fields if f.native == native]
    assert (field.kind, column_type(field, ())) == (kind, native)
    rows = pa.Table.from_batches([batch.select([field.name]) for batch in made.before()])
    texts = [
        text for statement, _ in inserts("[t]", rows, [native]) for text in re.findall(r"CAST\(N'.*?\)", statement)
    ]
    assert len(set(texts)) > 20
    assert [text for text in texts if not re.fullmatch(literals, text)] == []
    how = reading(field, native)
    check_grammar(f"SELECT {how.sql} FROM [s].[t]")
    given = 255 if native == "tinyint" else "2024-01-02 03:04:00.000"
    value = 255 if native == "tinyint" else dt.datetime(2024, 1, 2, 3, 4)
    assert decoded([(given,), (None,)], [how]).column(0).to_pylist() == [value, None]


FORMS = {
    "money": r"-?\d+\.\d{4}",
    "smallmoney": r"-?\d+\.\d{4}",
    "datetime2 7": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{7}",
    "datetimeoffset 7": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{7} [+-]\d\d:\d\d",
    "time 7": r"\d\d:\d\d:\d\d\.\d{7}",
    "sql_variant": ".*",
    "hierarchyid": r"/|(/-?\d+(\.-?\d+)*)+/",
    "xml": r"|x|<(\w+).*?(/>|</\1>)",
    "nchar": ".{12}",
    "char": "[ -~]{8}",
    "geometry": r"(POINT|LINESTRING) \(.*\)",
    "geography": r"(POINT|LINESTRING) \(.*\)",
}
"""How the server prints a value of each type: the dataset's texts must be such ones, or they would not come back."""


@pytest.mark.parametrize("own", [own for own in OWN.values() if own.family == "mssql"], ids=lambda own: own.name)
def test_types_of_its_own_go_in_as_text_and_come_back_as_the_servers(own: OwnType) -> None:
    (field,) = [f for f in dataset().schema.fields if f.kind == own.kind and not f.name.endswith(" 2")]
    place = dataset().schema.fields.index(field)
    drawn = {text for batch in dataset().before() for text in batch.column(place).to_pylist() if text is not None}
    assert set(own.edges) & drawn
    assert drawn - set(own.edges)
    assert [text for text in sorted({*drawn, *own.edges}) if not re.fullmatch(FORMS[own.name], text)] == []
    native = column_type(field, ())
    assert native == own.native
    assert default_contracts().accepts("mssql", own.kind, native)
    assert default_contracts().accepts("postgres", own.kind, "text")
    assert cast_of(own.kind, "it's") == f"CAST(N'it''s' AS {native})"
    assert cast_of(own.kind, None) == f"CAST(NULL AS {native})"
    how = reading(field, native)
    check_grammar(f"SELECT {how.sql} FROM [s].[t]")
    assert how.sql.startswith("N'|' + ")
    assert decoded([("||",), ("|a |",), (None,)], [how]).column(0).to_pylist() == ["", "a ", None]


def test_what_is_no_text_of_a_type_of_its_own_is_told() -> None:
    with pytest.raises(UnreadableColumnError, match="is int and can't be read as mssql:money"):
        reading(Field("c", "mssql:money"), "int")
