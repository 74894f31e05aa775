"""Our Schema Registry without its server: identity, compatibility, deleting, settings, and what it refuses."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any

import pytest

pytest.importorskip("fastavro")
pytest.importorskip("avro")
pytest.importorskip("jsoncompat")

from pytest_dpone.services.embedded.schema_registry_http import CONTENT_TYPES, Front, content_type, http_server
from pytest_dpone.services.embedded.schema_registry_routes import answer
from pytest_dpone.services.embedded.schema_registry_schemas import RegistryError
from pytest_dpone.services.embedded.schema_registry_store import LEVELS, Registry

A: dict[str, Any] = {"name": "a", "type": "int"}
B: dict[str, Any] = {"name": "b", "type": "string"}
B_DEFAULT = {**B, "default": "x"}
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def record(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"schema": json.dumps({"type": "record", "name": "R", "fields": list(fields), **more})}


def json_schema(**more: Any) -> dict[str, Any]:
    return {"schemaType": "JSON", "schema": json.dumps({"type": "object", **more})}


def protobuf(text: str) -> dict[str, Any]:
    return {"schemaType": "PROTOBUF", "schema": text}


class Asked:
    """A registry, asked as by HTTP."""

    def __init__(self) -> None:
        self.registry = Registry()

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        return answer(self.registry, method, path, body)

    def put(self, body: dict[str, Any], subject: str = "s", *, query: str = "") -> int:
        return int(self("POST", f"/subjects/{subject}/versions{query}", body)["id"])

    def code(self, method: str, path: str, body: Any = None) -> int:
        with pytest.raises(RegistryError) as caught:
            self(method, path, body)
        assert str(caught.value.code).startswith(str(caught.value.status))
        assert str(caught.value)
        return caught.value.code


@pytest.fixture
def ask() -> Asked:
    return Asked()


def test_defaults_docs_and_aliases_make_another_schema(ask: Asked) -> None:
    ask("PUT", "/config", {"compatibility": "NONE"})
    bodies = [record(A), record({**A, "default": 0}), record({**A, "doc": "d"}), record(A, aliases=["Q"])]
    assert len({ask.put(body) for body in bodies}) == 4


def test_a_full_name_may_be_written_in_two_ways(ask: Asked) -> None:
    assert ask.put(record(A, namespace="n")) == ask.put(record(A, name="n.R"))


def test_the_order_of_keys_makes_no_difference(ask: Asked) -> None:
    kind = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
    turned = {"fields": [{"type": dict(reversed(kind.items())), "name": "a"}], "name": "R", "type": "record"}
    assert ask.put(record({**A, "type": kind})) == ask.put({"schema": json.dumps(turned)})


def test_what_belongs_to_the_identity(ask: Asked) -> None:
    plain = ask.put(record(A))
    tagged = ask.put({**record(A), "metadata": {"properties": {"owner": "me"}}})
    assert plain != tagged
    assert ask("GET", f"/schemas/ids/{tagged}")["metadata"] == {"properties": {"owner": "me"}}


def test_normalize_makes_one_of_two_spellings(ask: Asked) -> None:
    one = json_schema(title="t", description="d")
    other = {"schemaType": "JSON", "schema": '{"description": "d", "title": "t", "type": "object"}'}
    assert ask.put(one, "plain") != ask.put(other, "plain")
    assert ask.put(one, "sorted", query="?normalize=true") == ask.put(other, "sorted", query="?normalize=true")
    ask("PUT", "/config/told", {"normalize": True})
    assert ask.put(one, "told") == ask.put(other, "told")
    assert ask("POST", "/subjects/told", other)["version"] == 1


def test_the_bare_name_of_a_type(ask: Asked) -> None:
    assert ask.put({"schema": "string"}) == ask.put({"schema": ' "string" '})
    assert ask.code("POST", "/subjects/s/versions", {"schema": "strin g"}) == 42201


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"schema": ""},
        {"schema": 1},
        {"schema": '"string"', "schemaType": "XML"},
        {"schema": '{"type": "enum", "name": "E", "symbols": ["a b"]}'},
        {"schema": '"string"', "references": [{"name": "n"}]},
        {"schema": '"string"', "references": [{"name": "n", "subject": "no", "version": 1}]},
        {"schemaType": "JSON", "schema": "{"},
        {"schemaType": "PROTOBUF", "schema": "x", "references": [{"name": "n", "subject": "no", "version": 1}]},
    ],
)
def test_what_is_no_schema(ask: Asked, body: Any) -> None:
    for path in ("/subjects/s/versions", "/compatibility/subjects/s/versions"):
        assert ask.code("POST", path, body) == 42201
    assert ask("GET", "/subjects") == []


OLD_AND_NEW = {
    "same": (record(A), record(A), True, True),
    "default added": (record(A), record(A, B_DEFAULT), True, True),
    "added": (record(A), record(A, B), False, True),
    "dropped": (record(A, B), record(A), True, False),
    "widened": ({"schema": '"int"'}, {"schema": '"long"'}, True, False),
    "json closed, added": (
        json_schema(properties={"a": {}}, additionalProperties=False),
        json_schema(properties={"a": {}, "b": {}}, additionalProperties=False),
        True,
        False,
    ),
    "json with a dialect": (
        json_schema(**{"$schema": DRAFT_7}, properties={"a": {"type": "integer"}}),
        json_schema(**{"$schema": DRAFT_7}, properties={"a": {"type": "number"}}),
        True,
        False,
    ),
    "json undecided": (json_schema(**{"$ref": "elsewhere.json"}), json_schema(title="x"), False, False),
    "protobuf changed": (protobuf("message A {}"), protobuf("message B {}"), False, False),
    "protobuf spaced": (protobuf("message A {}"), protobuf("message A {}\n"), True, True),
    "another language": (record(A), json_schema(), False, False),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", OLD_AND_NEW)
def test_levels(ask: Asked, level: str, name: str) -> None:
    old, new, backward, forward = OLD_AND_NEW[name]
    ask.put(old)
    ask("PUT", "/config/s", {"compatibility": level.lower()})
    told = ask("POST", "/compatibility/subjects/s/versions/latest?verbose=true", new)
    kind = level.removesuffix("_TRANSITIVE")
    allowed = {"NONE": True, "BACKWARD": backward, "FORWARD": forward, "FULL": backward and forward}[kind]
    assert told["is_compatible"] is allowed
    assert bool(told["messages"]) is not allowed
    if allowed:
        ask.put(new)
    else:
        assert ask.code("POST", "/subjects/s/versions", new) == 409
        assert told["messages"][-2:] == ["{oldSchemaVersion: 1}", f"{{compatibility: '{level}'}}"]


@pytest.mark.parametrize("level", ["BACKWARD", "FORWARD", "FULL"])
def test_transitive_levels_look_at_every_version(ask: Asked, level: str) -> None:
    bodies = {"BACKWARD": [record(A), record(A, B_DEFAULT), record(A, B)]}
    bodies["FORWARD"] = [record(A, B), record(A, B_DEFAULT), record(A)]
    bodies["FULL"] = bodies["BACKWARD"]
    ask("PUT", "/config", {"compatibility": "NONE"})
    *old, new = bodies[level]
    for body in old:
        ask.put(body)
    path = "/compatibility/subjects/s/versions"
    ask("PUT", "/config", {"compatibility": level})
    assert ask("POST", path, new) == {"is_compatible": True}
    ask("PUT", "/config", {"compatibility": f"{level}_TRANSITIVE"})
    assert ask("POST", path, new) == {"is_compatible": False}
    assert ask("POST", f"{path}/2", new) == {"is_compatible": True}
    assert ask("POST", f"{path}/1", new) == {"is_compatible": False}


def test_a_deleted_version_is_not_compared_with(ask: Asked) -> None:
    ask.put(record(A))
    ask("DELETE", "/subjects/s/versions/1")
    assert ask.put({"schema": '"string"'}) == 2


def test_messages_tell_what_and_where(ask: Asked) -> None:
    ask.put(record(A))
    messages = ask("POST", "/compatibility/subjects/s/versions?verbose=true", record(A, B))["messages"]
    assert "READER_FIELD_MISSING_DEFAULT_VALUE" in messages[0]
    assert "/fields/1" in messages[0]


def test_compatibility_with_what_is_not_there(ask: Asked) -> None:
    path = "/compatibility/subjects/s/versions"
    assert ask("POST", path, record(A)) == {"is_compatible": True}
    assert ask("POST", f"{path}/latest", record(A)) == {"is_compatible": True}
    assert ask.code("POST", f"{path}/1", record(A)) == 40401
    ask.put(record(A))
    assert ask.code("POST", f"{path}/9", record(A)) == 40402


def test_references_of_references(ask: Asked) -> None:
    ask.put({"schema": '{"type": "enum", "name": "E", "symbols": ["x"]}'}, "e")
    inner = {"type": "record", "name": "I", "fields": [{"name": "e", "type": "E"}]}
    to_e = [{"name": "E", "subject": "e", "version": 1}]
    ask.put({"schema": json.dumps(inner), "references": to_e}, "i")
    outer = {"type": "record", "name": "O", "fields": [{"name": "i", "type": "I"}, {"name": "e", "type": "E"}]}
    to_both = [{"name": "I", "subject": "i", "version": 1}, *to_e]
    number = ask.put({"schema": json.dumps(outer), "references": to_both}, "o")
    assert ask("GET", f"/schemas/ids/{number}")["references"] == to_both
    assert ask("GET", "/subjects/e/versions/1/referencedby") == [number - 1, number]
    for subject in ("e", "i"):
        assert ask.code("DELETE", f"/subjects/{subject}") == 42206
    for subject in ("o", "i", "e"):
        assert ask("DELETE", f"/subjects/{subject}") == [1]


def test_json_references_are_part_of_the_comparison(ask: Asked) -> None:
    ask("PUT", "/config/part", {"compatibility": "NONE"})
    for kind in ("integer", "string"):
        ask.put({"schemaType": "JSON", "schema": json.dumps({"type": kind})}, "part")

    def whole(version: int) -> dict[str, Any]:
        uses = [{"name": "part.json", "subject": "part", "version": version}]
        return {**json_schema(properties={"p": {"$ref": "part.json"}}), "references": uses}

    ask.put(whole(1))
    told = {**whole(1), "schema": json.dumps({**json.loads(whole(1)["schema"]), "description": "the same"})}
    assert ask("POST", "/compatibility/subjects/s/versions", told) == {"is_compatible": True}
    assert ask("POST", "/compatibility/subjects/s/versions", whole(2)) == {"is_compatible": False}


def test_what_is_deleted_for_good_frees_its_id(ask: Asked) -> None:
    number = ask.put(record(A))
    ask.put(record(A), "other")
    assert ask("GET", f"/schemas/ids/{number}/subjects") == ["other", "s"]
    ask("DELETE", "/subjects/s")
    assert ask("GET", f"/schemas/ids/{number}/versions") == [{"subject": "other", "version": 1}]
    assert len(ask("GET", f"/schemas/ids/{number}/versions?deleted=true")) == 2
    ask("DELETE", "/subjects/s?permanent=true")
    assert ask.put(record(A)) == number
    for subject in ("s", "other"):
        ask("DELETE", f"/subjects/{subject}")
        ask("DELETE", f"/subjects/{subject}?permanent=true")
    assert ask.code("GET", f"/schemas/ids/{number}") == 40403
    assert ask.put(record(A)) == number + 1


def test_lists_with_what_is_deleted(ask: Asked) -> None:
    for subject in ("a-1", "a-2", "b"):
        ask.put(record(A), subject)
    ask.put(record(A, B_DEFAULT), "b")
    ask("DELETE", "/subjects/a-1")
    ask("DELETE", "/subjects/b/versions/1")
    assert ask("GET", "/subjects") == ["a-2", "b"]
    assert ask("GET", "/subjects?deleted=true") == ["a-1", "a-2", "b"]
    assert ask("GET", "/subjects?deletedOnly=true") == ask("GET", "/subjects?deleted_only=true") == ["a-1"]
    assert ask("GET", "/subjects?subjectPrefix=a") == ["a-2"]
    assert ask("GET", "/subjects/b/versions?deleted=true") == [1, 2]
    assert ask("GET", "/subjects/b/versions?deletedOnly=true") == [1]
    assert ask("GET", "/subjects/b/versions/1?deleted=true")["deleted"] is True
    assert [(row["subject"], row["version"]) for row in ask("GET", "/schemas?latestOnly=true")] == [
        ("a-2", 1),
        ("b", 2),
    ]
    assert len(ask("GET", "/schemas?deleted=true")) == 4


@pytest.mark.parametrize("number", ["0", "-2", "abc", "2147483648", "1" * 5000, "%D9%A1", "1.0"])
def test_what_is_no_version(ask: Asked, number: str) -> None:
    ask.put(record(A))
    assert ask.code("GET", f"/subjects/s/versions/{number}") == 42202
    assert ask.code("DELETE", f"/subjects/s/versions/{number}") == 42202


def test_the_latest_version_has_two_names(ask: Asked) -> None:
    ask.put(record(A))
    assert ask("GET", "/subjects/s/versions/latest") == ask("GET", "/subjects/s/versions/-1")
    assert ask("GET", "/subjects/s/versions/latest/schema") == json.loads(record(A)["schema"])


def test_schemas_by_id_and_by_guid(ask: Asked) -> None:
    number = ask.put(protobuf("message A {}"))
    told = ask("GET", f"/schemas/ids/{number}")
    assert (told["schemaType"], told["schema"]) == ("PROTOBUF", "message A {}")
    assert ask("GET", f"/schemas/guids/{told['guid']}")["id"] == number
    assert ask("GET", f"/schemas/ids/{number}/schema") == "message A {}"
    assert ask.code("GET", "/schemas/guids/none") == 40403
    assert ask.code("GET", "/schemas/ids/9") == 40403
    assert ask.code("GET", "/schemas/ids/x") == 404
    assert ask("GET", "/schemas/types") == ["JSON", "PROTOBUF", "AVRO"]


def test_settings_of_all_and_of_one(ask: Asked) -> None:
    assert ask("GET", "/config") == {"compatibilityLevel": "BACKWARD"}
    assert ask.code("GET", "/config/s") == 40408
    assert ask("GET", "/config/s?defaultToGlobal=true") == {"compatibilityLevel": "BACKWARD"}
    assert ask("PUT", "/config/s", {"compatibility": "full"}) == {"compatibility": "FULL"}
    assert ask("GET", "/config/s") == {"compatibilityLevel": "FULL"}
    assert ask("DELETE", "/config/s") == {"compatibilityLevel": "FULL"}
    assert ask.code("DELETE", "/config/s") == 40401
    assert ask("PUT", "/config", {"compatibility": "NONE"}) == {"compatibility": "NONE"}
    assert ask("DELETE", "/config") == {"compatibilityLevel": "NONE"}
    assert ask("GET", "/config") == {"compatibilityLevel": "BACKWARD"}
    for wrong in (None, {}, {"compatibility": "SIDEWARD"}, {"compatibility": 1}):
        assert ask.code("PUT", "/config", wrong) == 42203


def test_modes(ask: Asked) -> None:
    assert ask("GET", "/mode") == {"mode": "READWRITE"}
    assert ask.code("GET", "/mode/s") == 40409
    assert ask("GET", "/mode/s?defaultToGlobal=true") == {"mode": "READWRITE"}
    assert ask.code("PUT", "/mode", {"mode": "SLEEP"}) == 42204
    ask.put(record(A))
    ask("PUT", "/mode", {"mode": "READONLY"})
    for method, path, body in (
        ("POST", "/subjects/s/versions", record(A)),
        ("DELETE", "/subjects/s", None),
        ("DELETE", "/subjects/s/versions/1", None),
    ):
        assert ask.code(method, path, body) == 42205
    ask("PUT", "/mode/s", {"mode": "READWRITE"})
    assert ask.put(record(A)) == 1
    ask("PUT", "/mode", {"mode": "READONLY_OVERRIDE"})
    assert ask.code("POST", "/subjects/s/versions", record(A)) == 42205
    assert ask("DELETE", "/mode") == {"mode": "READONLY_OVERRIDE"}
    assert ask("DELETE", "/mode/s") == {"mode": "READWRITE"}
    assert ask.code("DELETE", "/mode/s") == 40401


def test_import_brings_its_own_ids(ask: Asked) -> None:
    assert ask.code("POST", "/subjects/s/versions", {**record(A), "id": 100}) == 42205
    ask("PUT", "/mode/s", {"mode": "IMPORT"})
    assert ask.put({**record(A), "id": 100}) == 100
    assert ask.put({**record(B), "id": 7}) == 7
    assert ask.code("POST", "/subjects/s/versions", {**record(A, B), "id": 100}) == 42207
    assert ask.put({"schema": '"string"'}, "other") == 101
    assert ask.code("PUT", "/mode/other", {"mode": "IMPORT"}) == 42205
    assert ask("PUT", "/mode/other?force=true", {"mode": "IMPORT"}) == {"mode": "IMPORT"}


def test_names_are_decoded(ask: Asked) -> None:
    ask.put(record(A), "a%2Fb%20%D1%8F")
    assert ask("GET", "/subjects") == ["a/b я"]
    assert ask("GET", "/subjects/a%2Fb%20%D1%8F/versions") == [1]


def test_paths_that_there_are_not(ask: Asked) -> None:
    assert ask("GET", "/") == {}
    assert ask.code("GET", "/associations/resources/-/topic?resourceType=topic") == 404
    assert ask.code("GET", "/nothing") == 404
    assert ask.code("DELETE", "/schemas/types") == 405


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", CONTENT_TYPES[0]),
        ("*/*", CONTENT_TYPES[0]),
        ("text/html", CONTENT_TYPES[0]),
        ("application/json", "application/json"),
        ("text/html, application/vnd.schemaregistry+json; q=0.9, */*", "application/vnd.schemaregistry+json"),
    ],
)
def test_the_content_type_of_answers(accept: str, kind: str) -> None:
    assert content_type(accept) == kind


def test_one_request_at_a_time_touches_the_registry() -> None:
    front = Front("u", "p", "1")
    server = http_server(front, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=0.3)
    headers = {"Authorization": "Basic dTpw"}
    try:
        with front.lock:
            connection.request("GET", "/subjects", headers=headers)
            with pytest.raises(TimeoutError):
                connection.getresponse()
        connection.close()
        connection.timeout = 10
        connection.request("GET", "/subjects", headers=headers)
        assert connection.getresponse().read() == b"[]"
    finally:
        connection.close()
        server.shutdown()
        server.server_close()
