"""The service tests of a Schema Registry: it does what a connector with Avro or JSON messages will ask of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.plugin.active import session_or_skip
from pytest_dpone.plugin.fixtures import running_service
from pytest_dpone.plugin.suite.scratch.schema_registry import RegistryScratch, open_scratch

pytestmark = pytest.mark.integration_schema_registry

MANY = 300
LEVELS = (
    *("NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD"),
    *("FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"),
)
PROTOBUF = 'syntax = "proto3";\npackage dpone;\n\nmessage Row {\n  int64 id = 1;\n}\n'


@pytest.fixture
def info(request: pytest.FixtureRequest) -> ServiceInfo:
    """The running service."""
    return running_service(request, "schema_registry")


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """A start of names that no other run and no other test uses."""
    return f"dpone-svc-{session_or_skip(request.config).run_id}-{secrets.token_hex(4)}"


@pytest.fixture
def scratch(info: ServiceInfo, place: str) -> Iterator[RegistryScratch]:
    """Subjects of one's own."""
    with open_scratch(info, place) as opened:
        yield opened


def test_native_client(scratch: RegistryScratch) -> None:
    """The native client is answered: the level that holds for all, and no subject of ours yet."""
    assert scratch.client.get_compatibility() in LEVELS
    assert scratch.subject("nobody") not in scratch.client.get_subjects()


def test_bulk_path(scratch: RegistryScratch) -> None:
    """Many schemas in, side by side, and all of them out."""
    texts = {f"bulk-{number}": _record({"name": f"f{number}", "type": "long"}) for number in range(MANY)}
    with ThreadPoolExecutor(4) as pool:
        ids = dict(zip(texts, pool.map(lambda name: scratch.put(name, texts[name]), texts), strict=True))
        found = dict(zip(texts, pool.map(lambda name: scratch.latest(name), texts), strict=True))
    assert len(set(ids.values())) == MANY
    assert {name: row.schema_id for name, row in found.items()} == ids
    assert all(json.loads(found[name].schema.schema_str) == json.loads(text) for name, text in texts.items())


def test_identity(scratch: RegistryScratch) -> None:
    """One schema has one id, however it is spelled and under whatever subject; a version is made once."""
    field = {"name": "id", "type": "long"}
    first = scratch.put("one", _record(field))
    assert scratch.put("one", json.dumps(json.loads(_record(field)), indent=4)) == first
    assert scratch.put("two", _record(field)) == first
    assert scratch.client.get_versions(scratch.subject("one")) == [1]
    assert scratch.put("one", _record(field, {"name": "at", "type": "long", "default": 0})) != first


def test_refused_write(scratch: RegistryScratch) -> None:
    """A schema that can't read what was written before is refused, and leaves nothing."""
    subject = scratch.subject("guarded")
    scratch.put("guarded", _record({"name": "id", "type": "long"}))
    scratch.client.set_compatibility(subject, "BACKWARD")
    needed = _record({"name": "id", "type": "long"}, {"name": "must", "type": "string"})
    assert not scratch.client.test_compatibility(subject, scratch.schema(needed))
    with pytest.raises(Exception, match=r"(?i)incompatible"):
        scratch.put("guarded", needed)
    assert scratch.client.get_versions(subject) == [1]
    scratch.client.set_compatibility(subject, "NONE")
    scratch.put("guarded", needed)
    assert scratch.client.get_versions(subject) == [1, 2]


def test_types(scratch: RegistryScratch) -> None:
    """Avro with all kinds of types, JSON and Protobuf come back as they were, with their references."""
    kinds = _record(
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 10}},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": None},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "doc": "Привет 🙂 '\\n\""},
        {"name": "more", "type": {"type": "map", "values": ["null", "double"]}},
    )
    scratch.put("inner", kinds)
    user = json.dumps({"type": "record", "name": "User", "fields": [{"name": "row", "type": "dpone.Row"}]})
    uses = (("dpone.Row", scratch.subject("inner"), 1),)
    scratch.put("outer", user, uses=uses)
    scratch.put("json", '{"type": "object", "properties": {"я": {"type": "integer"}}}', "JSON")
    scratch.put("protobuf", PROTOBUF, "PROTOBUF")
    assert json.loads(scratch.latest("inner").schema.schema_str) == json.loads(kinds)
    assert [row.subject for row in scratch.latest("outer").schema.references] == [scratch.subject("inner")]
    found = scratch.latest("json").schema
    assert (found.schema_type, list(json.loads(found.schema_str)["properties"])) == ("JSON", ["я"])
    assert "message Row" in scratch.latest("protobuf").schema.schema_str


def test_error(scratch: RegistryScratch) -> None:
    """A wrong request is told as an error; it names what is wrong."""
    with pytest.raises(Exception, match="no_such_subject"):
        scratch.latest("no_such_subject")
    with pytest.raises(Exception, match=r"(?i)schema"):
        scratch.put("wrong", '{"type": "recrd"}')


def test_two_clients(info: ServiceInfo, place: str, scratch: RegistryScratch) -> None:
    """Two clients at once make one version of the same schema, and each sees what the other made."""
    texts = [_record({"name": f"f{number}", "type": "long", "default": 0}) for number in range(20)]
    with open_scratch(info, place) as other, ThreadPoolExecutor(2) as pool:
        ids = [pool.submit(lambda one: [one.put("both", text) for text in texts], one) for one in (scratch, other)]
        mine, theirs = (done.result(timeout=60) for done in ids)
        assert mine == theirs
        assert len(other.client.get_versions(scratch.subject("both"))) == len(texts)


def _record(*fields: Mapping[str, object]) -> str:
    return json.dumps({"type": "record", "name": "Row", "namespace": "dpone", "fields": list(fields)})
