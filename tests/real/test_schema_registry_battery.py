"""The unmodified confluent-kafka against a Schema Registry: 66 checks of what a client may expect.

`DPONE_TEST_SCHEMA_REGISTRY_URL` names a registry that is up already; without it the embedded one is started.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from pytest_dpone.core.model import ServiceRecord
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.services.clients.schema_registry import settings as client_config
from pytest_dpone.services.stack import Stack, StackSettings

confluent = pytest.importorskip("confluent_kafka.schema_registry")

pytestmark = pytest.mark.real

A = {"name": "a", "type": "int"}
B = {"name": "b", "type": "string"}
B_DEFAULT = {**B, "default": "x"}
B_NULLABLE = {"name": "b", "type": ["null", "string"], "default": None}
INCOMPATIBLE = {(409, 409), (409, 40901)}
"""Confluent's registry had the first one for years, and has the second one now."""

Rows = dict[str, Any]


class Bench:
    """Clients for the registry, and a subject of its own for each test."""

    def __init__(self, url: str) -> None:
        self.url = client_config(url)["url"]
        self.config = client_config(url)
        self.name = f"battery-{secrets.token_hex(6)}"
        self.other = f"{self.name}-other"
        self._clients: list[Any] = []

    def fresh(self) -> Any:
        """A client that has nothing in its cache."""
        self._clients.append(confluent.SchemaRegistryClient(self.config))
        return self._clients[-1]

    def put(self, schema: Any, subject: str = "") -> int:
        return int(self.fresh().register_schema(subject or self.name, schema))

    def versions(self, subject: str = "") -> list[int]:
        return list(self.fresh().get_versions(subject or self.name))

    def refused(self, action: Callable[[Any], object]) -> tuple[int, int]:
        """(HTTP status, error code) of what a fresh client is told."""
        with pytest.raises(confluent.error.SchemaRegistryError) as caught:
            action(self.fresh())
        return caught.value.http_status_code, caught.value.error_code

    def refused_put(self, schema: Any, subject: str = "") -> tuple[int, int]:
        return self.refused(lambda client: client.register_schema(subject or self.name, schema))

    def send(self, method: str, path: str) -> tuple[int, Any]:
        """(status, JSON) of a request that the client has no method for."""
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        if login := self.config.get("basic.auth.user.info"):
            request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or "{}")

    def close(self) -> None:
        try:
            for subject in (f"{self.name}-user", self.name, self.other):
                for path in (f"/mode/{subject}", f"/config/{subject}", f"/subjects/{subject}"):
                    self.send("DELETE", path)
                self.send("DELETE", f"/subjects/{subject}?permanent=true")
        finally:
            for client in self._clients:
                client.__exit__()


@pytest.fixture(scope="module")
def registry() -> Iterator[ServiceInfo]:
    given = os.environ.get("DPONE_TEST_SCHEMA_REGISTRY_URL")
    if given:
        record = ServiceRecord(
            name="schema_registry", provider="external", product="registry", version="", fidelity="real"
        )
        yield ServiceInfo(record=record, url=SecretStr(given))
        return
    settings = StackSettings(run_id=f"test-{secrets.token_hex(4)}", providers={"schema_registry": "embedded"})
    with Stack.launch(settings) as stack:
        yield stack.ensure(["schema_registry"])["schema_registry"]


@pytest.fixture
def bench(registry: ServiceInfo) -> Iterator[Bench]:
    made = Bench(registry.url.get_secret_value())
    yield made
    made.close()


@pytest.fixture
def two(bench: Bench) -> Bench:
    """With two versions."""
    bench.put(avro(A))
    bench.put(avro(A, B_DEFAULT))
    return bench


def avro(*fields: Rows, name: str = "R") -> Any:
    return confluent.Schema(
        json.dumps({"type": "record", "name": name, "namespace": "n", "fields": list(fields)}), "AVRO"
    )


def plain(text: str) -> Any:
    return confluent.Schema(text, "AVRO")


def obj(*required: str, closed: bool = False, **properties: str) -> Any:
    """A JSON schema of an object: property → type."""
    raw: Rows = {"type": "object", "properties": {name: {"type": kind} for name, kind in properties.items()}}
    raw |= {"required": list(required)} if required else {}
    raw |= {"additionalProperties": False} if closed else {}
    return confluent.Schema(json.dumps(raw), "JSON")


# Identity


def test_the_same_schema_has_the_same_id(bench: Bench) -> None:
    assert bench.put(avro(A)) == bench.put(avro(A))


def test_the_same_schema_has_the_same_id_under_another_subject(bench: Bench) -> None:
    assert bench.put(avro(A)) == bench.put(avro(A), bench.other)


def test_white_space_and_order_make_no_difference(bench: Bench) -> None:
    spelled = '{"type" : "record","namespace":"n","name":"R","fields":[{"type":"int","name":"a"}]}'
    assert bench.put(avro(A)) == bench.put(plain(spelled))


def test_another_schema_has_another_id(bench: Bench) -> None:
    assert bench.put(avro(A)) != bench.put(avro(A, B_DEFAULT))


# Reading


def test_versions_are_counted(two: Bench) -> None:
    assert two.versions() == [1, 2]


def test_the_latest_version(two: Bench) -> None:
    latest = two.fresh().get_latest_version(two.name)
    assert (latest.version, latest.schema_id) == (2, two.put(avro(A, B_DEFAULT)))


def test_a_version_by_number(two: Bench) -> None:
    assert two.fresh().get_version(two.name, 1).schema_id == two.put(avro(A))


def test_a_schema_by_id(bench: Bench) -> None:
    number = bench.put(avro(A, B_DEFAULT))
    assert json.loads(bench.fresh().get_schema(number).schema_str)["fields"][1]["default"] == "x"


def test_a_schema_is_looked_up(two: Bench) -> None:
    assert two.fresh().lookup_schema(two.name, avro(A)).version == 1


def test_a_schema_that_is_not_there(two: Bench) -> None:
    assert two.refused(lambda client: client.lookup_schema(two.name, avro(B))) == (404, 40403)


def test_a_subject_that_is_not_there(bench: Bench) -> None:
    assert bench.refused(lambda client: client.lookup_schema(bench.name, avro(B))) == (404, 40401)


def test_a_version_that_is_no_number(two: Bench) -> None:
    assert two.refused(lambda client: client.get_version(two.name, "abc")) == (422, 42202)


def test_a_version_that_is_not_there(two: Bench) -> None:
    assert two.refused(lambda client: client.get_version(two.name, 99)) == (404, 40402)


def test_an_id_that_is_not_there(bench: Bench) -> None:
    assert bench.refused(lambda client: client.get_schema(99999999)) == (404, 40403)


# What is no schema


def test_a_type_that_avro_does_not_have(bench: Bench) -> None:
    assert bench.refused_put(plain('{"type":"recrd"}')) == (422, 42201)


def test_avro_that_is_no_json(bench: Bench) -> None:
    assert bench.refused_put(plain('{"type":')) == (422, 42201)


# Levels


def test_backward_refuses_a_new_field_without_default(bench: Bench) -> None:
    bench.put(avro(A))
    assert bench.refused_put(avro(A, B)) in INCOMPATIBLE


def test_compatibility_is_told_without_registering(two: Bench) -> None:
    assert two.fresh().test_compatibility(two.name, avro(A, B_DEFAULT))
    assert not two.fresh().test_compatibility(two.name, avro(A, B, {"name": "c", "type": "int"}))


def test_the_level_of_all_is_backward(bench: Bench) -> None:
    assert bench.fresh().get_compatibility() == "BACKWARD"


def test_a_subject_has_no_level_of_its_own(two: Bench) -> None:
    assert two.refused(lambda client: client.get_compatibility(two.name)) == (404, 40408)


def test_a_level_is_kept(two: Bench) -> None:
    two.fresh().set_compatibility(two.name, "FORWARD")
    assert two.fresh().get_compatibility(two.name) == "FORWARD"


def test_a_level_that_there_is_not(two: Bench) -> None:
    assert two.refused(lambda client: client.set_compatibility(two.name, "WAT")) == (422, 42203)


@pytest.fixture
def level(bench: Bench) -> Callable[..., Bench]:
    """The first schemas under the level NONE, then the level that is asked for."""

    def set_up(level: str, first: Any, *more: Any) -> Bench:
        bench.put(first)
        bench.fresh().set_compatibility(bench.name, "NONE")
        for schema in more:
            bench.put(schema)
        bench.fresh().set_compatibility(bench.name, level)
        return bench

    return set_up


def test_forward_allows_a_new_field_without_default(level: Callable[..., Bench]) -> None:
    assert level("FORWARD", avro(A)).put(avro(A, B))


def test_forward_refuses_to_drop_a_field_without_default(level: Callable[..., Bench]) -> None:
    assert level("FORWARD", avro(A, B)).refused_put(avro(B)) in INCOMPATIBLE


def test_full_allows_a_field_with_default(level: Callable[..., Bench]) -> None:
    assert level("FULL", avro(A)).put(avro(A, B_DEFAULT))


def test_full_refuses_a_field_without_default(level: Callable[..., Bench]) -> None:
    assert level("FULL", avro(A)).refused_put(avro(A, B)) in INCOMPATIBLE


def test_none_allows_everything(level: Callable[..., Bench]) -> None:
    assert level("NONE", avro(A)).put(plain('"string"'))


def test_transitive_looks_at_all_versions(level: Callable[..., Bench]) -> None:
    bench = level("BACKWARD_TRANSITIVE", avro(A), avro(A, B_DEFAULT))
    assert bench.refused_put(avro(A, B)) in INCOMPATIBLE


def test_not_transitive_looks_at_the_latest_version(level: Callable[..., Bench]) -> None:
    assert level("BACKWARD", avro(A), avro(A, B_DEFAULT)).put(avro(A, B))


def test_int_becomes_long(bench: Bench) -> None:
    assert bench.put(plain('"int"'))
    assert bench.put(plain('"long"'))


def test_long_does_not_become_int(bench: Bench) -> None:
    bench.put(plain('"long"'))
    assert bench.refused_put(plain('"int"')) in INCOMPATIBLE


# Deleting a version


def test_a_version_is_deleted(two: Bench) -> None:
    assert two.fresh().delete_version(two.name, 1) == 1


def test_a_deleted_version_is_not_found(two: Bench) -> None:
    two.fresh().delete_version(two.name, 1)
    assert two.refused(lambda client: client.get_version(two.name, 1)) == (404, 40402)


def test_a_deleted_version_is_there_by_id(two: Bench) -> None:
    number = two.put(avro(A))
    two.fresh().delete_version(two.name, 1)
    assert two.fresh().get_schema(number) is not None


def test_a_deleted_version_is_not_listed(two: Bench) -> None:
    two.fresh().delete_version(two.name, 1)
    assert two.versions() == [2]


def test_a_version_is_not_deleted_twice(two: Bench) -> None:
    two.fresh().delete_version(two.name, 1)
    assert two.refused(lambda client: client.delete_version(two.name, 1)) == (404, 40406)


def test_a_deleted_schema_comes_back_as_a_new_version_with_its_id(two: Bench) -> None:
    number = two.put(avro(A))
    two.fresh().delete_version(two.name, 1)
    assert two.put(avro(A)) == number
    assert two.versions() == [2, 3]


def test_a_version_is_not_deleted_for_good_at_once(two: Bench) -> None:
    status, told = two.send("DELETE", f"/subjects/{two.name}/versions/1?permanent=true")
    assert (status, told["error_code"]) == (404, 40407)


# Deleting a subject


def test_a_subject_is_not_deleted_for_good_at_once(two: Bench) -> None:
    status, told = two.send("DELETE", f"/subjects/{two.name}?permanent=true")
    assert (status, told["error_code"]) == (404, 40405)


def test_a_subject_is_deleted(two: Bench) -> None:
    assert two.fresh().delete_subject(two.name) == [1, 2]


def test_a_deleted_subject_is_not_listed(two: Bench) -> None:
    assert two.name in two.fresh().get_subjects()
    two.fresh().delete_subject(two.name)
    assert two.name not in two.fresh().get_subjects()


def test_a_deleted_subject_is_listed_for_who_asks(two: Bench) -> None:
    two.fresh().delete_subject(two.name)
    assert two.name in two.fresh().get_subjects(deleted=True)


def test_a_subject_is_not_deleted_twice(two: Bench) -> None:
    two.fresh().delete_subject(two.name)
    status, told = two.send("DELETE", f"/subjects/{two.name}")
    assert (status, told["error_code"]) == (404, 40404)


def test_a_deleted_subject_is_deleted_for_good(two: Bench) -> None:
    two.fresh().delete_subject(two.name)
    assert two.send("DELETE", f"/subjects/{two.name}?permanent=true") == (200, [1, 2])


def test_what_is_deleted_for_good_was_never_there(two: Bench) -> None:
    two.fresh().delete_subject(two.name)
    assert two.send("DELETE", f"/subjects/{two.name}?permanent=true")[0] == 200
    status, told = two.send("DELETE", f"/subjects/{two.name}")
    assert (status, told["error_code"]) == (404, 40401)


# References

ADDRESS = {"type": "record", "name": "Addr", "namespace": "n", "fields": [{"name": "z", "type": "int"}]}
PERSON = {"type": "record", "name": "P", "namespace": "n", "fields": [{"name": "addr", "type": "n.Addr"}]}


def person(bench: Bench, *more: Rows, subject: str = "") -> Any:
    raw = {**PERSON, "fields": [*PERSON["fields"], *more]}
    uses = [confluent.SchemaReference("n.Addr", subject or bench.name, 1)]
    return confluent.Schema(json.dumps(raw), "AVRO", uses)


@pytest.fixture
def used(bench: Bench) -> Bench:
    """A schema that another subject uses."""
    bench.put(plain(json.dumps(ADDRESS)))
    bench.put(person(bench), f"{bench.name}-user")
    return bench


def test_references_come_back(used: Bench) -> None:
    number = used.put(person(used), f"{used.name}-user")
    assert used.fresh().get_schema(number).references[0].subject == used.name


def test_what_is_used_is_not_deleted(used: Bench) -> None:
    assert used.refused(lambda client: client.delete_version(used.name, 1)) == (422, 42206)


def test_a_reference_to_nothing(bench: Bench) -> None:
    assert bench.refused_put(person(bench, subject=f"{bench.name}-nope")) == (422, 42201)


def test_compatibility_with_references(used: Bench) -> None:
    first = used.put(person(used), f"{used.name}-user")
    more = {"name": "q", "type": "int", "default": 1}
    assert used.put(person(used, more), f"{used.name}-user") != first


# Modes


def test_a_subject_that_is_read_only(two: Bench) -> None:
    two.fresh().update_mode(two.name, "READONLY")
    assert two.refused_put(avro(A, B_NULLABLE)) == (422, 42205)


def test_a_mode_is_kept(two: Bench) -> None:
    two.fresh().update_mode(two.name, "READWRITE")
    assert two.fresh().get_mode(two.name) == "READWRITE"


# JSON


def test_json_closed_takes_a_new_property(bench: Bench) -> None:
    assert bench.put(obj("a", closed=True, a="integer")) != bench.put(obj("a", closed=True, a="integer", b="string"))


def test_json_refuses_a_new_required_property(bench: Bench) -> None:
    bench.put(obj("a", closed=True, a="integer"))
    assert bench.refused_put(obj("a", "b", closed=True, a="integer", b="string")) in INCOMPATIBLE


def test_json_refuses_another_type(bench: Bench) -> None:
    bench.put(obj("a", closed=True, a="integer"))
    assert bench.refused_put(obj("a", closed=True, a="string")) in INCOMPATIBLE


def test_json_integer_becomes_number(bench: Bench) -> None:
    bench.put(obj("a", closed=True, a="integer"))
    assert bench.fresh().test_compatibility(bench.name, obj("a", closed=True, a="number"))


def test_json_open_refuses_a_new_property(bench: Bench) -> None:
    bench.put(obj(a="integer"))
    assert bench.refused_put(obj(a="integer", b="string")) in INCOMPATIBLE


def test_json_open_drops_a_property(bench: Bench) -> None:
    bench.put(obj(a="integer"))
    assert bench.fresh().test_compatibility(bench.name, obj())


def test_json_that_is_no_schema(bench: Bench) -> None:
    assert bench.refused_put(confluent.Schema('{"type":"objekt"}', "JSON")) == (422, 42201)


def test_json_does_not_become_avro(bench: Bench) -> None:
    bench.put(obj(a="integer"))
    assert bench.refused_put(avro(A)) in INCOMPATIBLE


def test_the_type_of_a_schema_is_told(bench: Bench) -> None:
    bench.put(obj(a="integer"))
    assert bench.fresh().get_latest_version(bench.name).schema.schema_type == "JSON"


# Serializers


@pytest.fixture
def context(bench: Bench) -> Any:
    """Where a message goes: the subject is the topic's name with an ending, so the topic is made of it."""
    from confluent_kafka.serialization import MessageField, SerializationContext

    bench.name = f"{bench.name}-value"
    return SerializationContext(bench.name.removesuffix("-value"), MessageField.VALUE)


def serializer(client: Any, *fields: Rows, **config: Any) -> Any:
    from confluent_kafka.schema_registry.avro import AvroSerializer

    return AvroSerializer(client, avro(*fields).schema_str, conf=config or None)


def test_a_message_starts_with_its_schema(bench: Bench, context: Any) -> None:
    data = serializer(bench.fresh(), A, B_NULLABLE)({"a": 1, "b": None}, context)
    assert data[:1] == b"\0"
    assert int.from_bytes(data[1:5], "big") == bench.put(avro(A, B_NULLABLE))


def test_avro_there_and_back(bench: Bench, context: Any) -> None:
    from confluent_kafka.schema_registry.avro import AvroDeserializer

    data = serializer(bench.fresh(), A, B_NULLABLE)({"a": 1, "b": None}, context)
    assert AvroDeserializer(bench.fresh())(data, context) == {"a": 1, "b": None}


def test_json_there_and_back(bench: Bench, context: Any) -> None:
    from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer

    dialect = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "X"}
    text = json.dumps({**dialect, **json.loads(obj("a", a="integer").schema_str)})
    data = JSONSerializer(text, bench.fresh())({"a": 5}, context)
    assert JSONDeserializer(text, schema_registry_client=bench.fresh())(data, context) == {"a": 5}


def test_a_serializer_takes_the_latest_version(bench: Bench, context: Any) -> None:
    number = bench.put(avro(A, B_NULLABLE))
    config = {"auto.register.schemas": False, "use.latest.version": True}
    data = serializer(bench.fresh(), A, B_NULLABLE, **config)({"a": 2, "b": "q"}, context)
    assert int.from_bytes(data[1:5], "big") == number


def test_a_serializer_looks_its_schema_up(bench: Bench, context: Any) -> None:
    number = bench.put(avro(A, B_NULLABLE))
    data = serializer(bench.fresh(), A, B_NULLABLE, **{"auto.register.schemas": False})({"a": 2, "b": "q"}, context)
    assert int.from_bytes(data[1:5], "big") == number


def test_a_serializer_is_refused(bench: Bench, context: Any) -> None:
    bench.put(avro(A))
    with pytest.raises(Exception) as caught:
        serializer(bench.fresh(), A, B)({"a": 1, "b": "x"}, context)
    assert getattr(caught.value, "http_status_code", caught.value) == 409
