"""Apache Kafka with ACLs: each right that an account lacks is told by its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pytest_dpone.errors import ServiceFailed
from pytest_dpone.services import journal
from pytest_dpone.services.ask import prove
from pytest_dpone.services.embedded import kafka, kafka_real
from pytest_dpone.services.keeper import Spec, wait_until
from pytest_dpone.services.rights import try_rights

from .folders import hand_over, passable
from .kafka_client import home_or_skip

pytestmark = pytest.mark.real
PASSWORD = "canary-91fe"
Grant = Callable[..., None]


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[str, str]]:
    """(the super user's address, that of an account without ACLs)."""
    home = kafka_real.locate({**os.environ, "DPONE_KAFKA_HOME": home_or_skip()})
    assert home is not None
    with passable() as around:
        yield from served(home, hand_over(around / "kafka"))


def served(home: kafka_real.Home, folder: Path) -> Iterator[tuple[str, str]]:
    spec = Spec("kafka", "t", str(folder), str(folder / "log"), user="dpone", password="owner-3c1d", timeout=60)
    jaas = kafka_real._JAAS[:-1] + f' user_reader="{PASSWORD}";'
    settings = {
        **kafka_real._SETTINGS,
        "listener.name.client.plain.sasl.jaas.config": jaas,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:{user}",
    }
    libraries = os.open(home.folder / "libs", os.O_PATH | os.O_DIRECTORY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka_real, "_SETTINGS", MappingProxyType(settings))
        port = kafka_real._prepare(home, libraries, spec, 0)
    server = kafka_real._launch(home, libraries, spec, 0)
    try:
        url = kafka.address(spec, port)
        wait_until(lambda: prove("kafka", url), timeout=60, what="Kafka")
        yield url, f"kafka://reader:{PASSWORD}@127.0.0.1:{port}"
    finally:
        kafka_real._stop(server)
        os.close(libraries)


@pytest.fixture
def grant(node: tuple[str, str]) -> Iterator[Grant]:
    """Gives the account operations on what begins with dpone."""
    from pytest_dpone.services.clients import clients_of

    client = clients_of("kafka").connect(node[0])
    api: Any = client.admin_api
    given: list[Any] = []

    def give(resource: str, *operations: str) -> None:
        rules = [
            api.AclBinding(
                api.ResourceType[resource], "dpone", api.ResourcePatternType.PREFIXED,
                "User:reader", "*", api.AclOperation[operation], api.AclPermissionType.ALLOW,
            )
            for operation in operations
        ]  # fmt: skip
        for done in client.admin.create_acls(rules).values():
            done.result(10)
        given.extend(rules)

    yield give
    everything = api.AclBindingFilter(
        api.ResourceType.ANY, None, api.ResourcePatternType.ANY, None, None,
        api.AclOperation.ANY, api.AclPermissionType.ANY,
    )  # fmt: skip
    for done in client.admin.delete_acls([everything]).values():
        done.result(10)


TOPIC = ("Create", "Delete", "Describe", "Write", "Read")
GROUP = ("Read", "Describe", "Delete")
STEPS: list[tuple[dict[str, tuple[str, ...]], str, str]] = [
    ({}, "create a topic", "--operation Create"),
    ({"TOPIC": ("Create", "Describe", "Delete")}, "produce", "--operation Write"),
    ({"TOPIC": TOPIC}, "consume in a group", "--group dpone"),
    ({"TOPIC": TOPIC, "GROUP": GROUP}, "produce in a transaction", "--transactional-id dpone"),
]


@pytest.mark.parametrize(("given", "doing", "hint"), STEPS)
def test_the_right_that_is_missing_is_named(
    node: tuple[str, str],
    grant: Grant,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, tuple[str, ...]],
    doing: str,
    hint: str,
) -> None:
    monkeypatch.setattr(journal, "base_directory", lambda: tmp_path)
    for resource, operations in given.items():
        grant(resource, *(operation.upper() for operation in operations))
    with pytest.raises(ServiceFailed) as caught:
        try_rights("kafka", node[1], "r1")
    assert f"the account lacks a right: it may not {doing}: " in caught.value.fact
    assert hint in caught.value.hint
    assert PASSWORD not in str(caught.value)
    assert journal.left("r1") == []


def test_an_account_with_all_rights_passes(
    node: tuple[str, str], grant: Grant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "base_directory", lambda: tmp_path)
    grant("TOPIC", *(operation.upper() for operation in TOPIC))
    grant("GROUP", *(operation.upper() for operation in GROUP))
    grant("TRANSACTIONAL_ID", "WRITE", "DESCRIBE")
    try_rights("kafka", node[1], "r1")
    assert journal.left("r1") == []


def test_an_account_that_may_not_delete_is_told_what_it_leaves(
    node: tuple[str, str], grant: Grant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "base_directory", lambda: tmp_path)
    grant("TOPIC", "CREATE", "DESCRIBE", "WRITE", "READ")
    grant("GROUP", *(operation.upper() for operation in GROUP))
    grant("TRANSACTIONAL_ID", "WRITE", "DESCRIBE")
    with pytest.raises(ServiceFailed, match="it may not remove a topic") as caught:
        try_rights("kafka", node[1], "r1")
    (made,) = journal.left("r1")
    assert f"{made.namespace} is left there" in caught.value.hint
