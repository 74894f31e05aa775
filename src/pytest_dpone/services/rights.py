"""What an account must be allowed to do on a server that somebody else runs: tried before any case starts.

The trial does once, in a namespace of the run's own, what cases do all the time. It takes the namespace away again;
what it can't take away is in the run's journal, so that `pytest-dpone clean` finds it.
"""

# ruff: noqa: S608 - every name in a statement goes through `quoted`

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.secrets import Scrubber
from ..errors import DponeError, MissingExtra, ServiceFailed
from . import journal, mssql
from .clients import Clients, clients_of
from .journal import Made
from .table import SERVICES

_LONGEST = 300
"""Characters of a server's words."""


@dataclass(frozen=True)
class Step:
    """One right: what it is to do, how it is granted, and the trial."""

    doing: str
    grant: str
    act: Callable[[], object]


class _LackError(ServiceFailed):
    """The server says that the account may not do this."""


def try_rights(service: str, url: str, run_id: str) -> None:
    """Raise `ServiceFailed`, with the first right that is missing and how to grant it; the text holds no secret."""
    clients = clients_of(service)
    name = _name(run_id)
    made = Made(service, name, name if service == "minio" else "")
    client = _done(
        service, url, Step("log in with its usual client", "check the address", lambda: clients.connect(url))
    )
    try:
        journal.note(run_id, made)
        left = _play(service, url, clients, client, name)
        if left is None:
            journal.forget(run_id, made)
            return
        lack, nothing_is_left = left
        if nothing_is_left:
            journal.forget(run_id, made)
            raise lack
        hint = f"{lack.hint}; {name} is left there: `pytest-dpone clean --run-id {run_id}` removes it"
        raise type(lack)(lack.fact, hint=hint)
    finally:
        clients.close(client)


def _play(service: str, url: str, clients: Clients, client: Any, name: str) -> tuple[ServiceFailed, bool] | None:
    """None if all went well; else what went wrong, and if nothing is left."""
    what, grant = _NAMESPACES[service]
    drop = Step(f"remove {what}", "let it drop what it has created", lambda: clients.drop(client, name))
    try:
        _done(service, url, Step(f"create {what}", grant, lambda: clients.create(client, name)))
    except _LackError as lack:
        return lack, True
    except ServiceFailed as failure:
        return failure, False  # the answer may be what was lost
    try:
        for step in (*_STEPS[service](client, name), drop):
            _done(service, url, step)
    except ServiceFailed as failure:
        with contextlib.suppress(Exception):
            clients.drop(client, name)
            return failure, True
        return failure, False
    except BaseException:
        with contextlib.suppress(Exception):
            clients.drop(client, name)
        raise
    return None


def _done(service: str, url: str, step: Step) -> Any:
    try:
        return step.act()
    except DponeError:
        raise
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), extra=SERVICES[service].extra) from None
    except Exception as error:
        words = _words(service, url, error)[:_LONGEST]
        if _DENIED[service].search(_code(error)):
            raise _LackError(f"the account lacks a right: it may not {step.doing}: {words}", hint=step.grant) from None
        fact = f"the rights of the account can't be tried: to {step.doing} failed: {words}"
        raise ServiceFailed(fact, hint="the words above are the server's or the client's own") from None


def _words(service: str, url: str, error: Exception) -> str:
    """What the client says, on one line and without secrets."""
    if service == "mssql":
        return mssql.told(error, url)[0]
    return " ".join(Scrubber([url])(str(error) or type(error).__name__).split())


def _code(error: Exception) -> str:
    """What the error is called by its server, as far as the client tells: each has its own way."""
    first = error.args[0] if error.args else None
    answer = getattr(error, "response", None)
    parts = (
        getattr(error, "sqlstate", None),
        getattr(error, "http_status_code", None),
        answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None,
        first.name() if first is not None and hasattr(first, "name") else None,
        first[0] if isinstance(first, tuple) and first else first,
    )
    return " ".join(str(part) for part in parts if part is not None)


_DENIED: Mapping[str, re.Pattern[str]] = {
    "postgres": re.compile(r"^(42501|25006)\b"),
    "clickhouse": re.compile(r"\b[Cc]ode:? (164|497)\b"),
    "minio": re.compile(r"\b(AccessDenied|AllAccessDisabled|MethodNotAllowed|403)\b"),
    "mssql": re.compile(r"^\(?(229|230|262|297|300|916|1088|2760|3701|3906|15151|15247)\b"),
    "kafka": re.compile(r"AUTHORIZATION_FAILED"),
    "schema_registry": re.compile(r"^(401|403|405|42205)\b"),
}
"""Service → how a refusal for want of rights, or of a server that is read-only, is called."""

_NAMESPACES: Mapping[str, tuple[str, str]] = {
    "postgres": ("a schema", "GRANT CREATE ON DATABASE … TO the account; a replica can't be written to at all"),
    "clickhouse": ("a database", "GRANT CREATE DATABASE, DROP DATABASE ON *.* TO the account, with readonly = 0"),
    "minio": ("a bucket", "allow s3:CreateBucket, s3:DeleteBucket, s3:ListBucket on arn:aws:s3:::dpone-*"),
    "mssql": ("a schema", "GRANT CREATE SCHEMA, CREATE TABLE TO the account in the database of the address"),
    "kafka": (
        "a topic",
        "kafka-acls --add --operation Create --operation Delete --topic dpone --resource-pattern-type prefixed",
    ),
    "schema_registry": ("a list of subjects", "let it read the list of subjects"),
}
"""Service → its namespace, and how the right to make one is given."""


def _postgres(client: Any, name: str) -> Sequence[Step]:
    from psycopg import sql

    table = sql.Identifier(name, "trial")
    own = "the account owns what it creates: see whether something revokes that"

    def run(text: str) -> Callable[[], object]:
        return lambda: client.execute(sql.SQL(text).format(table))

    return (
        Step("create a table in its schema", own, run("create table {} (id bigint primary key)")),
        Step("insert rows", own, run("insert into {} values (1)")),
        Step("read rows", own, run("select * from {}")),
        Step(
            "create a temporary table",
            "GRANT TEMPORARY ON DATABASE … TO the account",
            run("create temporary table dpone_trial as select * from {}"),
        ),
        Step("drop a table", own, run("drop table {}")),
    )


def _clickhouse(client: Any, name: str) -> Sequence[Step]:
    from .clients.clickhouse import quoted

    table, other = f"{quoted(name)}.trial", f"{quoted(name)}.renamed"
    rights = "CREATE TABLE, DROP TABLE, SELECT, INSERT, ALTER"

    def step(doing: str, text: str) -> Step:
        return Step(doing, f"GRANT {rights} ON *.* TO the account", lambda: client.command(text))

    return (
        step("create a table", f"create table {table} (id Int64) engine = MergeTree order by id"),
        step("insert rows", f"insert into {table} values (1)"),
        step("read rows", f"select count() from {table}"),
        step("delete rows", f"delete from {table} where id = 1"),
        step("rename a table", f"rename table {table} to {other}"),
        step("drop a table", f"drop table {other} sync"),
    )


def _minio(client: Any, name: str) -> Sequence[Step]:
    key = f"{name}/trial"

    def step(doing: str, action: str, act: Callable[[], object]) -> Step:
        return Step(doing, f"allow {action} on arn:aws:s3:::dpone-*", act)

    return (
        step("put an object", "s3:PutObject", lambda: client.put_object(Bucket=name, Key=key, Body=b"1")),
        step("get an object", "s3:GetObject", lambda: client.get_object(Bucket=name, Key=key)["Body"].read()),
        step("list objects", "s3:ListBucket", lambda: client.list_objects_v2(Bucket=name, Prefix=f"{name}/")),
        step("delete an object", "s3:DeleteObject", lambda: client.delete_object(Bucket=name, Key=key)),
    )


def _mssql(client: Any, name: str) -> Sequence[Step]:
    table = mssql.quoted(name, "trial")

    def step(doing: str, right: str, text: str) -> Step:
        def act() -> None:
            with client.cursor() as cursor:
                cursor.execute(text)

        return Step(doing, f"GRANT {right} TO the account in the database of the address", act)

    return (
        step("create a table in its schema", "CREATE TABLE", f"CREATE TABLE {table} ([id] bigint PRIMARY KEY)"),
        step("insert rows", "INSERT", f"INSERT INTO {table} ([id]) VALUES (1)"),
        step("read rows", "SELECT", f"SELECT [id] FROM {table}"),
        step("drop a table", "ALTER ON SCHEMA", f"DROP TABLE {table}"),
    )


def _kafka(client: Any, name: str) -> Sequence[Step]:
    from .kafka_ask import receive, send

    def consume() -> None:
        consumer = client.consumer(f"{name}.group")
        try:
            consumer.subscribe([name])
            receive(consumer, name, _KAFKA_TIMEOUT)
            consumer.commit(asynchronous=False)
        finally:
            consumer.close()

    def transact() -> None:
        producer = client.producer(transactional_id=f"{name}.writer")
        producer.init_transactions(_KAFKA_TIMEOUT)
        producer.begin_transaction()
        send(producer, name, _KAFKA_TIMEOUT)
        producer.commit_transaction(_KAFKA_TIMEOUT)

    def step(doing: str, operations: str, resource: str, act: Callable[[], object]) -> Step:
        words = " ".join(f"--operation {operation}" for operation in operations.split())
        return Step(doing, f"kafka-acls --add {words} --{resource} dpone --resource-pattern-type prefixed", act)

    return (
        step("produce", "Write", "topic", lambda: send(client.producer(), name, _KAFKA_TIMEOUT)),
        step("consume in a group", "Read", "group dpone --topic", consume),
        step("produce in a transaction", "Write Describe", "transactional-id", transact),
    )


def _schema_registry(client: Any, name: str) -> Sequence[Step]:
    from confluent_kafka.schema_registry import Schema

    from .clients.schema_registry import remove

    def register() -> None:
        client.register_schema(f"{name}-value", Schema('"string"', "AVRO"))

    return (
        Step("register a schema", "let it write subjects that begin with dpone; the mode must be READWRITE", register),
        Step(
            "delete a subject", "let it delete subjects that begin with dpone", lambda: remove(client, f"{name}-value")
        ),
    )


_KAFKA_TIMEOUT = 15.0
"""Seconds for one answer; a refusal comes at once."""
_STEPS: Mapping[str, Callable[[Any, str], Sequence[Step]]] = {
    "postgres": _postgres,
    "clickhouse": _clickhouse,
    "minio": _minio,
    "mssql": _mssql,
    "kafka": _kafka,
    "schema_registry": _schema_registry,
}


def _name(run_id: str) -> str:
    """A namespace's name that every service takes; it begins as all names of a run do."""
    return f"dpone-{re.sub('[^a-z0-9-]', '-', run_id.lower())[:40]}-{os.urandom(4).hex()}"
