"""SQL Server without a server: the text that reaches it, written by the real pymssql, and what its errors say."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
import sqlglot
from pydantic import SecretStr
from sqlglot import exp

import pytest_dpone
from pytest_dpone.core.model import ServiceRecord
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.errors import ServiceFailed
from pytest_dpone.plugin.suite.scratch import SAMPLE, TESTED, mssql, sample
from pytest_dpone.services.ask import Answer, ask
from pytest_dpone.services.mssql import login, quoted, told

client = pytest.importorskip("pymssql._mssql")
REAL = "Microsoft SQL Server 2022 (RTM-CU26) (KB0) - 16.0.4225.2 (X64) \n\tCopyright"
URL = "mssql://sa:p%40ss-Word%2F1@db.example:1444/work"


class FakeCursor:
    """Writes parameters into the text as pymssql does, and notes the text."""

    def __init__(self, texts: list[str], answers: dict[str, list[tuple[Any, ...]]]) -> None:
        self.texts, self.answers = texts, answers
        self.found: list[tuple[Any, ...]] = []

    def __enter__(self) -> FakeCursor:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def execute(self, query: str, parameters: tuple[object, ...] | None = None) -> None:
        if parameters is not None:
            query = client.substitute_params(query, parameters, True, "UTF-8").decode()
        self.texts.append(query)
        if "fail_here" in query:
            raise RuntimeError("no")
        self.found = next((rows for sign, rows in self.answers.items() if sign in query), [])

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.found

    def fetchone(self) -> tuple[Any, ...]:
        return self.found[0]


class FakeConnection:
    def __init__(self, **answers: list[tuple[Any, ...]]) -> None:
        self.texts: list[str] = []
        self.answers = answers

    def __enter__(self) -> FakeConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.texts.append("-- closed")

    def close(self) -> None:
        self.texts.append("-- closed")

    def cursor(self) -> FakeCursor:
        return FakeCursor(self.texts, self.answers)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeConnection:
    connection = FakeConnection()
    connection.arguments = {}  # type: ignore[attr-defined]

    def connect(**arguments: object) -> FakeConnection:
        connection.arguments = arguments  # type: ignore[attr-defined]
        return connection

    monkeypatch.setitem(sys.modules, "pymssql", SimpleNamespace(connect=connect, Error=client.MSSQLException))
    return connection


@contextmanager
def scratch(server: FakeConnection, name: str = "dpone-svc-x") -> Iterator[mssql.MssqlScratch]:
    record = ServiceRecord(name="mssql", provider="external", product="SQL Server", version="16", fidelity="real")
    with mssql.open_scratch(ServiceInfo(record=record, url=SecretStr(URL)), name) as opened:
        yield opened


def parsed(text: str) -> list[exp.Expression]:
    found = [tree for tree in sqlglot.parse(text, dialect="tsql") if tree is not None]
    assert found
    return found


def literals(text: str) -> list[str]:
    return [cast.this.sql(dialect="tsql") for tree in parsed(text) for cast in tree.find_all(exp.Cast)]


def inserted(rows: pa.Table) -> str:
    server = FakeConnection()
    mssql.MssqlScratch(server, "s").put("t", rows)
    (text,) = [text for text in server.texts if text.startswith("INSERT")]
    return text


def test_the_service_tests_know_it() -> None:
    assert "mssql" in TESTED
    assert sample("postgres") is SAMPLE
    assert sample("mssql").schema == SAMPLE.schema
    assert sample("mssql").drop_columns("ratio") == SAMPLE.drop_columns("ratio")


def test_an_address_becomes_a_login() -> None:
    arguments = login(URL, timeout=4.4)
    assert arguments["server"] == "db.example"
    assert arguments["port"] == "1444"
    assert (arguments["user"], arguments["password"], arguments["database"]) == ("sa", "p@ss-Word/1", "work")
    assert arguments["encryption"] == "request"
    assert arguments["login_timeout"] == 4
    assert login("mssqls://u:p@h", timeout=0.1) == {
        **arguments,
        "server": "h",
        "port": "1433",
        "user": "u",
        "password": "p",
        "database": "",
        "encryption": "require",
        "login_timeout": 1,
    }


def test_microseconds_are_asked_for() -> None:
    assert login(URL, timeout=1)["use_datetime2"] is True


def test_names_are_quoted_for_good() -> None:
    assert quoted("s", "a]b") == "[s].[a]]b]"
    (tree,) = parsed(f"SELECT 1 AS {quoted('a]b')}")
    assert tree.find(exp.Alias).alias == "a]b"  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="percent"):
        quoted("a%sb")


def test_the_whole_text_is_tsql(server: FakeConnection) -> None:
    server.answers = {
        "sys.objects": [("live", "U "), ("seen", "V ")],
        "[state] FROM": [("x",)],
        "ProductVersion": [("16.0.1", REAL)],
    }
    with scratch(server) as place:
        assert place.version() == "16.0.1"
        place.put("live", sample("mssql"))
        place.put("staged", sample("mssql"))
        place.publish("staged", "live")
        place.save_state("it's")
        assert place.load_state() == "x"
        place.abandon("left", sample("mssql"))
        assert place.get("live").num_rows == 0
    for text in server.texts:
        assert parsed(text) if text != "-- closed" else True, text
    assert server.texts[0] == "SELECT name FROM sys.schemas WHERE name = N'dpone-svc-x'"
    assert server.texts[1] == "CREATE SCHEMA [dpone-svc-x]"
    assert server.texts[-4:] == [
        "DROP VIEW IF EXISTS [dpone-svc-x].[seen]",
        "DROP TABLE IF EXISTS [dpone-svc-x].[live]",
        "DROP SCHEMA IF EXISTS [dpone-svc-x]",
        "-- closed",
    ]


def test_who_did_not_create_a_schema_leaves_it(server: FakeConnection) -> None:
    server.answers = {"sys.schemas": [("dpone-svc-x",)]}
    with scratch(server):
        pass
    assert not [text for text in server.texts if "DROP" in text or "CREATE" in text]


def test_a_table_is_published_by_a_rename_in_a_transaction() -> None:
    server = FakeConnection()
    mssql.MssqlScratch(server, "s").publish("staged", "live")
    assert server.texts == [
        "BEGIN TRANSACTION",
        "DROP TABLE [s].[live]",
        "EXEC sp_rename @objname = N'[s].[staged]', @newname = N'live', @objtype = N'OBJECT'",
        "COMMIT TRANSACTION",
    ]


def test_what_fails_is_rolled_back() -> None:
    server = FakeConnection()
    with pytest.raises(RuntimeError):
        mssql.MssqlScratch(server, "s").put("fail_here", SAMPLE)
    assert server.texts[0] == "BEGIN TRANSACTION"
    assert server.texts[-1] == "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
    assert "COMMIT TRANSACTION" not in server.texts


def test_what_is_given_up_is_rolled_back() -> None:
    server = FakeConnection()
    mssql.MssqlScratch(server, "s").abandon("t", SAMPLE)
    assert (server.texts[0], server.texts[-1]) == ("BEGIN TRANSACTION", "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
    assert any(text.startswith("INSERT") for text in server.texts)


TRAPS = {
    "bulk_copy turns empty text and empty binary into NULL": "test_empty_text_and_empty_binary_are_not_null",
    "bulk_copy sends raw UTF-8 into varchar": "test_text_is_sent_as_unicode",
    "bulk_copy takes a column's id for its position": "test_columns_are_named",
    "bulk_copy keeps milliseconds only": "test_an_instant_keeps_microseconds_zone_and_year",
    "bulk_copy makes 2001 of the year 1": "test_an_instant_keeps_microseconds_zone_and_year",
    "bulk_copy loses offsets": "test_an_instant_keeps_microseconds_zone_and_year",
    "bulk_copy refuses date, time and UUID": "test_what_is_no_text_goes_as_text",
    "bulk_copy refuses decimals of more than 33 digits": "test_a_decimal_has_no_exponent",
    "bulk_copy refuses decimals with an exponent": "test_a_decimal_has_no_exponent",
    "bulk_copy raises on no rows": "test_no_rows_are_no_insert",
    "bulk_copy raises what is no pymssql.Error": "test_errors_of_other_forms_are_told_too",
    "bulk_copy, for all of the above": "test_bulk_copy_is_used_nowhere",
    "bytes of ASCII go out as text": "test_ascii_bytes_are_binary",
    "datetime2 comes in milliseconds unless it is asked for": "test_microseconds_are_asked_for",
    "the year of an instant is lost on the way back": "test_an_instant_is_read_as_text",
    "a sql_variant can't be read": "test_a_sql_variant_is_cast",
    "a float is read as a decimal number": "test_a_float_is_a_float",
    "a percent sign in a name is taken for a parameter": "test_names_are_quoted_for_good",
}
"""Trap of pymssql → the test that holds us off it."""


def test_every_trap_has_its_test() -> None:
    assert [trap for trap, test in TRAPS.items() if not callable(globals().get(test))] == []


def test_bulk_copy_is_used_nowhere() -> None:
    source = Path(pytest_dpone.__file__).parent
    modules = [path for path in source.rglob("*.py") if "pymssql" in path.read_text() or "mssql" in path.name]
    assert len(modules) >= 4
    used = [
        f"{path.name}:{node.lineno}"
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "bulk_copy"
    ]
    assert used == []


def test_columns_are_named() -> None:
    (tree,) = parsed(inserted(SAMPLE.slice(0, 1)))
    target = tree.this
    assert isinstance(target, exp.Schema)
    assert [column.name for column in target.expressions] == SAMPLE.schema.names


def test_what_is_no_text_goes_as_text() -> None:
    assert mssql.parameter(date(1, 1, 1)) == "0001-01-01"
    assert mssql.parameter(time(23, 59, 59, 999999)) == "23:59:59.999999"
    assert mssql.parameter(UUID(int=1)) == "00000000-0000-0000-0000-000000000001"
    assert mssql.parameter(2**63 - 1) == "9223372036854775807"


def test_rows_go_in_parts_that_the_server_takes() -> None:
    server = FakeConnection()
    rows = pa.concat_tables([SAMPLE] * 201)
    mssql.MssqlScratch(server, "s").put("t", rows)
    counts = [len(parsed(text)[0].expression.expressions) for text in server.texts if text.startswith("INSERT")]
    assert counts == [500, 500, 5]


def test_no_rows_are_no_insert() -> None:
    server = FakeConnection()
    mssql.MssqlScratch(server, "s").put("t", SAMPLE.slice(0, 0))
    assert [text.split()[0] for text in server.texts] == ["BEGIN", "CREATE", "COMMIT"]


def test_empty_text_and_empty_binary_are_not_null() -> None:
    found = literals(inserted(SAMPLE.slice(0, 1)))
    assert found[2] == "N''"
    assert "CAST(0x AS varbinary(max))" in inserted(SAMPLE.slice(0, 1))


def test_text_is_sent_as_unicode() -> None:
    found = literals(inserted(SAMPLE.slice(3, 1)))
    assert found[2] == "N'Привет 🙂 e\u0301'"


def test_a_quote_ends_no_literal() -> None:
    rows = SAMPLE.slice(0, 1).set_column(2, "text", pa.array(["'); DROP TABLE x; --"]))
    assert len(parsed(inserted(rows))) == 1
    assert literals(inserted(rows))[2] == "N'''); DROP TABLE x; --'"


def test_a_percent_sign_in_a_value_takes_no_other_value() -> None:
    rows = SAMPLE.slice(0, 1).set_column(2, "text", pa.array(["100 %s %d %(x)s"]))
    assert literals(inserted(rows))[2] == "N'100 %s %d %(x)s'"


def test_ascii_bytes_are_binary() -> None:
    assert mssql.parameter(b"abc") == bytearray(b"abc")
    assert "CAST(0x5c783431 AS varbinary(max))" in inserted(SAMPLE.slice(2, 1))


def test_null_has_a_type() -> None:
    assert inserted(SAMPLE.slice(4, 1)).endswith(
        "VALUES (CAST(N'9223372036854775807' AS bigint), CAST(NULL AS float(53)), CAST(NULL AS nvarchar(max)), "
        "CAST(NULL AS varbinary(max)), CAST(NULL AS decimal(20, 4)), CAST(NULL AS datetime2(6)))"
    )


def test_a_decimal_has_no_exponent() -> None:
    assert str(Decimal("0E-10")) == "0E-10"  # what SELECT gives for zero
    assert mssql.parameter(Decimal("0E-10")) == "0.0000000000"
    assert mssql.parameter(Decimal("-9999999999999999.9999")) == "-9999999999999999.9999"
    assert mssql.parameter(Decimal("1E+5")) == "100000"
    longest = "9" * 28 + "." + "9" * 10
    assert mssql.parameter(Decimal(longest)) == longest


def test_a_float_is_a_float() -> None:
    for value in (0.1, 1 / 7, -1.7976931348623157e308, 2.2250738585072014e-308, 5e-324, 1.0):
        text = mssql.parameter(value)
        assert "e" in str(text)
        assert float(str(text)) == value


def test_an_instant_keeps_microseconds_zone_and_year() -> None:
    found = [mssql.parameter(value) for value in SAMPLE["at"].to_pylist()]
    assert found == [
        "1900-01-01T00:00:00.000000",
        "1969-12-31T23:59:59.999999",
        "1970-01-01T00:00:00.000000",
        "2262-04-11T23:47:16.854775",
        None,
    ]
    early = pa.array([-62135596800000000], pa.timestamp("us", tz="UTC")).to_pylist()
    east = pa.array([0], pa.timestamp("us", tz="+05:30")).to_pylist()
    assert [mssql.parameter(value) for value in (*early, *east)] == [
        "0001-01-01T00:00:00.000000",
        "1970-01-01T00:00:00.000000",
    ]


def test_an_instant_is_read_as_text() -> None:
    text = mssql.select("[t]", SAMPLE.schema)
    assert "CONVERT(varchar(33), [at], 126) AS [at]" in text
    row = (1, 0.5, "", b"", Decimal("1.5"))
    server = FakeConnection(**{"FROM [s].[t]": [(*row, "1969-12-31T23:59:59.999999"), (*row, "0001-01-01T00:00:00")]})
    found = mssql.MssqlScratch(server, "s").get("t")
    assert found.schema == SAMPLE.schema
    assert [value.isoformat() for value in found["at"].to_pylist()] == [
        "1969-12-31T23:59:59.999999+00:00",
        "0001-01-01T00:00:00+00:00",
    ]


def test_a_sql_variant_is_cast(server: FakeConnection) -> None:
    server.answers = {"ProductVersion": [("16.0.4225.2", REAL)]}
    assert ask("mssql", URL) == Answer("SQL Server", "16.0.4225.2", "real", "")
    (tree,) = parsed(server.texts[0])
    assert [cast.to.sql(dialect="tsql") for cast in tree.find_all(exp.Cast)] == ["NVARCHAR(128)", "NVARCHAR(300)"]


@pytest.mark.parametrize(
    "told",
    [REAL, "Microsoft SQL Azure (RTM) - 12.0.2000.8 \n\tSep 18 2024", "Microsoft Azure SQL Edge Developer (RTM)"],
)
def test_what_microsoft_makes_is_real(server: FakeConnection, told: str) -> None:
    server.answers = {"ProductVersion": [("12.0.2000.8", told)]}
    assert (ask("mssql", URL).product, ask("mssql", URL).fidelity) == ("SQL Server", "real")


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ("Another with SQL Server Compatibility - 12.0.2000.8\nOct 22", "Another with SQL Server Compatibility"),
        ("other 1.2 (not Microsoft SQL Server) - 16.0", "other 1.2"),
        ("Microsofter - 16.0.1", "Microsofter"),
        ("x" * 200, "x" * 80),
        ("", "a server that does not say what it is"),
        (None, "a server that does not say what it is"),
    ],
)
def test_what_only_speaks_its_protocol_is_not_real(server: FakeConnection, told: str | None, named: str) -> None:
    """A number of a version that SQL Server has had proves nothing: others take it over for their clients."""
    server.answers = {"ProductVersion": [("16.0.4225.2", told)]}
    answer = ask("mssql", URL)
    assert (answer.product, answer.version, answer.fidelity) == (named, "16.0.4225.2", "emulated")
    assert "another product" in answer.emulated


@pytest.mark.parametrize(
    ("number", "text", "hint"),
    [
        (18456, "Login failed for user 'sa'.", "user name and the password"),
        (4060, 'Cannot open database "work" requested by the login.', "the database in the address"),
        (20009, "Unable to connect: TDS server is unavailable or does not exist (db.example)", "host and port"),
        (50000, "something else", "check the address"),
    ],
)
def test_an_error_says_what_to_do_and_no_password(
    monkeypatch: pytest.MonkeyPatch, number: int, text: str, hint: str
) -> None:
    def connect(**_: object) -> None:
        # FreeTDS says things twice, as here; nothing says that a server never repeats a password.
        line = f"{text} p@ss-Word/1\n".encode()
        raise client.MSSQLDatabaseException((number, line + line))

    monkeypatch.setitem(sys.modules, "pymssql", SimpleNamespace(connect=connect, Error=client.MSSQLException))
    with pytest.raises(ServiceFailed) as caught:
        ask("mssql", URL)
    assert caught.value.fact == f"error {number}: {text} ***"
    assert hint in caught.value.hint
    assert "p@ss" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_port_where_nobody_listens() -> None:
    pytest.importorskip("pymssql")
    with pytest.raises(ServiceFailed, match="error 20009: ") as caught:
        ask("mssql", "mssql://sa:Secret-99@127.0.0.1:1/master", timeout=2)
    assert "host and port" in caught.value.hint
    assert "Secret-99" not in str(caught.value)


def test_errors_of_other_forms_are_told_too() -> None:
    assert told(RuntimeError(), URL) == ("RuntimeError", "")
    assert told(RuntimeError("plain"), URL) == ("plain", "")
    assert told(RuntimeError(18456, b"Login failed"), URL)[0] == "error 18456: Login failed"
