"""The trial of an account without a server: SQL Server's text and refusals, and what becomes of the journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dpone.errors import MissingExtra, ServiceFailed
from pytest_dpone.services import journal
from pytest_dpone.services.clients import CLIENTS, mssql
from pytest_dpone.services.rights import _DENIED, _NAMESPACES, _STEPS, try_rights
from pytest_dpone.services.table import SERVICES

URL = "mssql://me:canary-1f2e@db.example:1433/work"


class Server:
    """Takes statements; refuses those with `word` by an error of `number`."""

    def __init__(self, word: str = "", number: int = 0, *, always: bool = True) -> None:
        self.word, self.number, self.always = word, number, always
        self.texts: list[str] = []

    def cursor(self) -> Server:
        return self

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def execute(self, query: str, _: object = None) -> None:
        self.texts.append(query)
        if self.word and self.word in query:
            if not self.always:
                self.word = ""
            raise RuntimeError(self.number, b"no: canary-1f2e may not\nDB-Lib error")

    def fetchall(self) -> list[tuple[str, ...]]:
        return []

    def close(self) -> None:
        self.texts.append("-- closed")


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(journal, "base_directory", lambda: tmp_path)
    return tmp_path


def refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> ServiceFailed:
    monkeypatch.setattr(mssql, "connect", lambda _: server)
    with pytest.raises(ServiceFailed) as caught:
        try_rights("mssql", URL, "r1")
    assert "canary" not in str(caught.value)
    assert server.texts[-1] == "-- closed"
    return caught.value


def test_every_service_has_a_trial() -> None:
    had = {name for name, service in SERVICES.items() if service.variables}  # at an address
    assert set(_STEPS) == set(_NAMESPACES) == set(_DENIED) == had == set(CLIENTS)


def test_sql_server_is_tried_with_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr(mssql, "connect", lambda _: server)
    try_rights("mssql", URL, "r1")
    words = [" ".join(text.split()[:2]) for text in server.texts if not text.startswith(("IF", "SELECT name"))]
    assert words == [
        "CREATE SCHEMA", "CREATE TABLE", "INSERT INTO", "SELECT [id]", "DROP TABLE", "DROP SCHEMA", "-- closed",
    ]  # fmt: skip
    assert journal.left("r1") == []


@pytest.mark.parametrize(
    ("word", "number", "doing", "hint"),
    [
        ("CREATE SCHEMA", 2760, "create a schema", "GRANT CREATE SCHEMA"),
        ("CREATE SCHEMA", 3906, "create a schema", "GRANT CREATE SCHEMA"),
        ("CREATE TABLE", 262, "create a table in its schema", "GRANT CREATE TABLE"),
        ("INSERT", 229, "insert rows", "GRANT INSERT"),
        ("DROP TABLE", 3701, "drop a table", "GRANT ALTER ON SCHEMA"),
    ],
)
def test_what_sql_server_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, word: str, number: int, doing: str, hint: str
) -> None:
    server = Server(word, number)
    error = refused(server, monkeypatch)
    assert error.fact.startswith(f"the account lacks a right: it may not {doing}: ")
    assert "*** may not" in error.fact
    assert hint in error.hint
    assert journal.left("r1") == []


def test_what_may_be_there_still_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(Server("DROP SCHEMA", 15151), monkeypatch)
    (made,) = journal.left("r1")
    assert "it may not remove a schema" in error.fact
    assert f"{made.namespace} is left there: `pytest-dpone clean --run-id r1` removes it" in error.hint


def test_an_answer_that_was_lost_is_no_want_of_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(Server("CREATE SCHEMA", 20004), monkeypatch)
    assert error.fact.startswith("the rights of the account can't be tried: to create a schema failed: ")
    assert len(journal.left("r1")) == 1  # it may have been made


def test_a_client_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(_: str) -> None:
        raise ModuleNotFoundError("no", name="pymssql")

    monkeypatch.setattr(mssql, "connect", connect)
    with pytest.raises(MissingExtra, match="pymssql") as caught:
        try_rights("mssql", URL, "r1")
    assert caught.value.hint == "pip install 'pytest-dpone[mssql]'"
