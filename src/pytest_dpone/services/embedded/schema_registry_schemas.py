"""Schemas of the registry: how they are read, when two are the same, and whether one can read what another wrote."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import require

TYPES = ("JSON", "PROTOBUF", "AVRO")
INVALID_SCHEMA = 42201


class RegistryError(Exception):
    """A refusal as the registry's clients get it. The first three digits of `code` are the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = int(str(code)[:3])


@dataclass(frozen=True)
class Reference:
    """A schema that another one uses by `name`."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True)
class Schema:
    """A schema. Two schemas with the same `key` are one to the registry, under one id."""

    kind: str
    text: str
    references: tuple[Reference, ...]
    key: str
    extras: str
    """`metadata` and `ruleSet` as JSON: kept and given back."""

    @property
    def guid(self) -> str:
        """The key in the form in which clients ask for it."""
        return str(uuid.UUID(self.key[:32]))

    def facts(self) -> dict[str, Any]:
        """What every answer says about the schema; a field that has its default is left out, as Confluent does."""
        told: dict[str, Any] = {"guid": self.guid, "schema": self.text}
        if self.kind != "AVRO":
            told["schemaType"] = self.kind
        if self.references:
            told["references"] = [vars(reference) for reference in self.references]
        return {**told, **json.loads(self.extras)}


Resolve = Callable[[Reference], Schema]
"""The schema that a reference names; raises `RegistryError` if there is none."""


def read_schema(body: object, resolve: Resolve, *, normalize: bool = False) -> Schema:
    """The schema of a request; raises `RegistryError` for one that its own language does not allow."""
    if not isinstance(body, Mapping) or not isinstance(text := body.get("schema"), str) or not text.strip():
        raise RegistryError(INVALID_SCHEMA, "Empty schema")
    kind = body.get("schemaType") or "AVRO"
    if kind not in TYPES:
        raise RegistryError(INVALID_SCHEMA, f"Invalid schema type {kind}")
    references = _references(body)
    read = {"AVRO": _read_avro, "JSON": _read_json, "PROTOBUF": _read_protobuf}[kind]
    try:
        stored, identity = read(text, references, resolve, normalize)
    except RegistryError:
        raise
    except Exception as error:  # the parsers raise all kinds of errors for what they don't understand
        raise RegistryError(INVALID_SCHEMA, f"Invalid schema of type {kind}, details: {error}") from None
    extras = json.dumps({name: body[name] for name in ("metadata", "ruleSet") if body.get(name)}, sort_keys=True)
    whole = json.dumps([kind, identity, [vars(reference) for reference in references], extras])
    return Schema(kind, stored, references, hashlib.sha256(whole.encode()).hexdigest(), extras)


def unreadable(reader: Schema, writer: Schema, resolve: Resolve) -> list[str]:
    """Why `reader` can't read what was written with `writer`; empty: it can."""
    if reader.kind != writer.kind:
        return [_problem("SCHEMA_TYPE_CHANGED", f"from {writer.kind} to {reader.kind}", "/")]
    if reader.kind == "AVRO":
        return _unreadable_avro(reader, writer, resolve)
    if reader.kind == "JSON":
        return _unreadable_json(reader, writer, resolve)
    if reader.key == writer.key:
        return []
    return [_problem("PROTOBUF_NOT_CHECKED", "this registry can't compare Protobuf schemas: set the level NONE", "/")]


def load_parsers() -> None:
    """Import the libraries that parse and compare, with all that they read from files later on."""
    for module in ("fastavro.schema", "avro.schema", "avro.compatibility", "jsoncompat", "jsonschema.validators"):
        require(module, extra="embedded")
    _read_json('{"type": "object"}', (), _no_reference, False)


def _references(body: Mapping[str, Any]) -> tuple[Reference, ...]:
    try:
        rows = body.get("references") or ()
        return tuple(Reference(str(row["name"]), str(row["subject"]), int(row["version"])) for row in rows)
    except (KeyError, TypeError, ValueError):
        raise RegistryError(INVALID_SCHEMA, "Invalid schema: a reference needs name, subject and version") from None


def _read_avro(text: str, references: tuple[Reference, ...], resolve: Resolve, normalize: bool) -> tuple[str, str]:
    fastavro: Any = require("fastavro.schema", extra="embedded")
    named: dict[str, Any] = {}
    for used in _used(references, resolve):
        fastavro.parse_schema(_avro_json(used.text), named, _write_hint=False)
    raw = _avro_json(text)
    identity = json.dumps(fastavro.parse_schema(raw, named, _write_hint=False), sort_keys=True, ensure_ascii=False)
    stored = identity if normalize else _compact(raw)
    _avro_schema(stored, references, resolve)  # it must be valid to the library that compares, too
    return stored, identity


def _read_json(text: str, references: tuple[Reference, ...], resolve: Resolve, normalize: bool) -> tuple[str, str]:
    validators: Any = require("jsonschema.validators", extra="embedded")
    for _ in _used(references, resolve):
        pass  # they must be there
    raw = json.loads(text)
    validators.validator_for(raw, default=validators.Draft7Validator).check_schema(raw)
    stored = json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=False) if normalize else _compact(raw)
    return stored, stored


def _read_protobuf(text: str, references: tuple[Reference, ...], resolve: Resolve, _: bool) -> tuple[str, str]:
    for _used_schema in _used(references, resolve):
        pass
    return text, text.strip()


def _unreadable_avro(reader: Schema, writer: Schema, resolve: Resolve) -> list[str]:
    avro: Any = require("avro.compatibility", extra="embedded")
    found = avro.ReaderWriterCompatibilityChecker().get_compatibility(
        _avro_schema(reader.text, reader.references, resolve), _avro_schema(writer.text, writer.references, resolve)
    )
    if found.compatibility is avro.SchemaCompatibilityType.compatible:
        return []
    # The library gives kinds, messages and places as three collections without an order of their own.
    kinds = sorted({kind.value.upper() for kind in found.incompatibilities}) or ["INCOMPATIBLE"]
    return [_problem(", ".join(kinds), "; ".join(sorted(found.messages)), ", ".join(sorted(found.locations)))]


def _unreadable_json(reader: Schema, writer: Schema, resolve: Resolve) -> list[str]:
    jsoncompat: Any = require("jsoncompat", extra="embedded")
    try:
        old, new = _plain_json(writer, resolve), _plain_json(reader, resolve)
        if jsoncompat.check_compat(old, new, "deserializer"):
            return []
    except ValueError as error:
        return [_problem("JSON_SCHEMA_UNDECIDED", f"this registry can't compare these schemas: {error}", "#/")]
    return [_problem("JSON_SCHEMA_CHANGED", "what the old schema allows is not all allowed by the new one", "#/")]


def _plain_json(schema: Schema, resolve: Resolve) -> str:
    """The schema without references and without the name of its dialect, which the comparison insists on."""
    used = {reference.name: _plain_json(resolve(reference), resolve) for reference in schema.references}

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        if isinstance(name := node.get("$ref"), str) and name in used:
            return json.loads(used[name])
        return {key: plain(value) for key, value in node.items()}

    raw = plain(json.loads(schema.text))
    if isinstance(raw, dict):
        raw = {key: value for key, value in raw.items() if key not in ("$schema", "$id")}
    return json.dumps(raw)


def _avro_schema(text: str, references: tuple[Reference, ...], resolve: Resolve) -> Any:
    avro: Any = require("avro.schema", extra="embedded")
    names = avro.Names(validate_names=False)
    for used in _used(references, resolve):
        avro.make_avsc_object(_avro_json(used.text), names)
    return avro.make_avsc_object(_avro_json(text), names)


def _used(references: tuple[Reference, ...], resolve: Resolve) -> Iterator[Schema]:
    """All schemas that are needed to understand one with these references, each once, what is used first."""
    seen: set[Reference] = set()

    def walk(rows: tuple[Reference, ...]) -> Iterator[Schema]:
        for row in rows:
            where = Reference("", row.subject, row.version)
            if where not in seen:
                seen.add(where)
                schema = resolve(row)
                yield from walk(schema.references)
                yield schema

    return walk(references)


def _avro_json(text: str) -> Any:
    """Avro allows the bare name of a type, which is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        if text.strip().isidentifier():
            return text.strip()
        raise


def _compact(raw: Any) -> str:
    return json.dumps(raw, separators=(",", ":"), ensure_ascii=False)


def _problem(kind: str, description: str, place: str) -> str:
    return f"{{errorType:'{kind}', description:'{description}', additionalInfo:'{place}'}}"


def _no_reference(reference: Reference) -> Schema:
    raise RegistryError(INVALID_SCHEMA, f"no schema reference found for subject {reference.subject!r}")
