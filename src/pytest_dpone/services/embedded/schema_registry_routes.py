"""The paths of the registry's REST API: each answers for the registry, or raises `RegistryError`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .schema_registry_schemas import TYPES, RegistryError, Schema
from .schema_registry_store import GLOBAL, LEVELS, Registry, Version


@dataclass(frozen=True)
class Request:
    """What a path is asked. `names` are the parts of the path in braces."""

    registry: Registry
    names: Mapping[str, str]
    query: Mapping[str, str]
    body: Any

    @property
    def subject(self) -> str:
        """The subject of the path; without one the settings are global."""
        return self.names.get("subject", GLOBAL)

    @property
    def content(self) -> Mapping[str, Any]:
        """The body as an object; empty if there is none."""
        return self.body if isinstance(self.body, Mapping) else {}

    def flag(self, *names: str) -> bool:
        """If one of the parameters is true."""
        return any(self.query.get(name, "").lower() == "true" for name in names)

    def versions(self) -> list[Version]:
        """The versions that the path names, with deleted ones if they are asked for."""
        if not self.flag("deletedOnly", "deleted_only"):
            return self.registry.versions(self.subject, deleted=self.flag("deleted"))
        return [row for row in self.registry.versions(self.subject, deleted=True) if row.deleted]

    def version(self) -> Version:
        """The version that the path names."""
        return self.registry.version(self.subject, self.names["version"], deleted=self.flag("deleted"))

    def schema(self) -> Schema:
        """The schema of the body."""
        return self.registry.read(self.subject, self.body, normalize=self.flag("normalize"))


def answer(registry: Registry, method: str, target: str, body: Any) -> Any:
    """What the registry says, as JSON values."""
    url = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    other = False
    for wanted, pattern, handle in ROUTES:
        if found := re.fullmatch(pattern, url.path):
            if wanted == method:
                names = {name: unquote(value) for name, value in found.groupdict().items()}
                return handle(Request(registry, names, query, body))
            other = True
    raise RegistryError(405, "HTTP 405 Method Not Allowed") if other else RegistryError(404, "HTTP 404 Not Found")


def _subjects(request: Request) -> list[str]:
    prefix = request.query.get("subjectPrefix", "")
    only, also = request.flag("deletedOnly", "deleted_only"), request.flag("deleted")

    def shown(rows: list[Version]) -> bool:
        living = any(not row.deleted for row in rows)
        return not living if only else living or also

    return sorted(name for name, rows in request.registry.subjects.items() if name.startswith(prefix) and shown(rows))


def _schemas(request: Request) -> list[dict[str, Any]]:
    prefix, deleted = request.query.get("subjectPrefix", ""), request.flag("deleted")
    found: list[dict[str, Any]] = []
    for name in sorted(request.registry.subjects):
        rows = [row for row in request.registry.subjects[name] if deleted or not row.deleted]
        if name.startswith(prefix):
            found += [row.facts() for row in (rows[-1:] if request.flag("latestOnly") else rows)]
    return found


def _schema_by_id(request: Request) -> dict[str, Any]:
    return request.registry.schema(request.names["id"]).facts()


def _schema_by_guid(request: Request) -> dict[str, Any]:
    for number, schema in request.registry.schemas.items():
        if schema.guid == request.names["guid"]:
            return {"id": number, **schema.facts()}
    raise RegistryError(40403, f"Schema {request.names['guid']} not found")


def _users(request: Request) -> Iterator[Version]:
    request.registry.schema(request.names["id"])
    yield from request.registry.used_by(int(request.names["id"]), deleted=request.flag("deleted"))


def _bare(schema: Schema) -> Any:
    return schema.text if schema.kind == "PROTOBUF" else json.loads(schema.text)


def _register(request: Request) -> dict[str, Any]:
    normalize = request.flag("normalize")
    if not request.content:
        request.schema()  # raises: there is none
    version = request.registry.register(request.subject, request.content, normalize=normalize)
    return {"id": version.id, "version": version.number, **version.schema.facts()}


def _lookup(request: Request) -> dict[str, Any]:
    deleted = request.flag("deleted")
    request.registry.versions(request.subject, deleted=deleted)
    found = request.registry.find(request.subject, request.schema(), deleted=deleted)
    if found is None:
        raise RegistryError(40403, "Schema not found")
    return found.facts()


def _compatible(request: Request) -> dict[str, Any]:
    return _verdict(request, request.registry.problems(request.subject, request.schema()))


def _compatible_with(request: Request) -> dict[str, Any]:
    schema = request.schema()
    try:
        version = request.version()
    except RegistryError as error:
        if error.code == 40401 and request.names["version"] in ("latest", "-1"):
            return _verdict(request, [])
        raise
    return _verdict(request, request.registry.problems(request.subject, schema, against=version))


def _verdict(request: Request, problems: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"is_compatible": not problems}
    return {**told, "messages": problems} if request.flag("verbose") else told


def _get_config(request: Request) -> dict[str, Any]:
    settings = request.registry.settings
    if request.subject in settings:
        return settings[request.subject]
    if request.flag("defaultToGlobal"):
        return settings[GLOBAL]
    raise RegistryError(40408, f"Subject '{request.subject}' does not have subject-level compatibility configured")


def _put_config(request: Request) -> dict[str, Any]:
    level = request.content.get("compatibility")
    if (level is not None and str(level).upper() not in LEVELS) or not request.content:
        raise RegistryError(42203, f"Invalid compatibility level. Valid values are {', '.join(LEVELS)}")
    told = {**request.content, **({"compatibility": level.upper()} if level is not None else {})}
    kept = {("compatibilityLevel" if name == "compatibility" else name): value for name, value in told.items()}
    request.registry.settings.setdefault(request.subject, {}).update(kept)
    return told


def _delete_config(request: Request) -> dict[str, Any]:
    settings = request.registry.settings
    old = settings.pop(request.subject, None)
    if old is None:
        raise RegistryError(40401, f"Subject '{request.subject}' not found.")
    settings.setdefault(GLOBAL, {"compatibilityLevel": "BACKWARD"})
    return old


def _get_mode(request: Request) -> dict[str, str]:
    modes = request.registry.modes
    if request.subject in modes:
        return {"mode": modes[request.subject]}
    if request.flag("defaultToGlobal"):
        return {"mode": request.registry.mode(request.subject)}
    raise RegistryError(40409, f"Subject '{request.subject}' does not have subject-level mode configured")


def _put_mode(request: Request) -> dict[str, str]:
    mode = str(request.content.get("mode", "")).upper()
    request.registry.set_mode(request.subject, mode, force=request.flag("force"))
    return {"mode": mode}


def _delete_mode(request: Request) -> dict[str, str]:
    old = request.registry.modes.pop(request.subject, None)
    if old is None:
        raise RegistryError(40401, f"Subject '{request.subject}' not found.")
    request.registry.modes.setdefault(GLOBAL, "READWRITE")
    return {"mode": old}


def _path(text: str) -> str:
    """A regular expression for a path in which `{name}` stands for one part."""
    return re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text) + "/?"


_SUBJECT, _VERSION, _ID = "/subjects/{subject}", "/subjects/{subject}/versions/{version}", r"/schemas/ids/(?P<id>\d+)"
_COMPATIBILITY = "/compatibility/subjects/{subject}/versions"

ROUTES: tuple[tuple[str, str, Callable[[Request], Any]], ...] = tuple(
    (method, _path(path), handle)
    for method, path, handle in (
        ("GET", "", lambda _: {}),
        ("GET", "/contexts", lambda _: ["."]),
        ("GET", "/schemas", _schemas),
        ("GET", "/schemas/types", lambda _: list(TYPES)),
        ("GET", _ID, _schema_by_id),
        ("GET", f"{_ID}/schema", lambda request: _bare(request.registry.schema(request.names["id"]))),
        ("GET", f"{_ID}/subjects", lambda request: sorted({row.subject for row in _users(request)})),
        (
            *("GET", f"{_ID}/versions"),
            lambda request: [{"subject": row.subject, "version": row.number} for row in _users(request)],
        ),
        ("GET", "/schemas/guids/{guid}", _schema_by_guid),
        ("GET", "/subjects", _subjects),
        ("POST", _SUBJECT, _lookup),
        (
            *("DELETE", _SUBJECT),
            lambda request: request.registry.delete_subject(request.subject, permanent=request.flag("permanent")),
        ),
        ("GET", f"{_SUBJECT}/versions", lambda request: [row.number for row in request.versions()]),
        ("POST", f"{_SUBJECT}/versions", _register),
        ("GET", _VERSION, lambda request: request.version().facts()),
        (
            *("DELETE", _VERSION),
            lambda request: request.registry.delete_version(
                request.subject, request.names["version"], permanent=request.flag("permanent")
            ),
        ),
        ("GET", f"{_VERSION}/schema", lambda request: _bare(request.version().schema)),
        ("GET", f"{_VERSION}/referencedby", lambda request: request.registry.referenced_by(request.version())),
        ("POST", _COMPATIBILITY, _compatible),
        ("POST", f"{_COMPATIBILITY}/{{version}}", _compatible_with),
        *((("GET", path, _get_config)) for path in ("/config", "/config/{subject}")),
        *((("PUT", path, _put_config)) for path in ("/config", "/config/{subject}")),
        *((("DELETE", path, _delete_config)) for path in ("/config", "/config/{subject}")),
        *((("GET", path, _get_mode)) for path in ("/mode", "/mode/{subject}")),
        *((("PUT", path, _put_mode)) for path in ("/mode", "/mode/{subject}")),
        *((("DELETE", path, _delete_mode)) for path in ("/mode", "/mode/{subject}")),
    )
)
