"""What the registry holds, in memory: subjects with their versions, ids, compatibility levels and modes."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .schema_registry_schemas import INVALID_SCHEMA, Reference, RegistryError, Schema, read_schema, unreadable

LEVELS = (
    *("NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD"),
    *("FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"),
)
MODES = ("READWRITE", "READONLY", "READONLY_OVERRIDE", "IMPORT")
GLOBAL = ""
"""The subject whose settings hold for all that have none."""
_LAST_VERSION = 2**31 - 1


@dataclass(eq=False)
class Version:
    """A schema under a subject. One that is deleted softly is still there for those who ask for it."""

    subject: str
    number: int
    id: int
    schema: Schema
    deleted: bool = False
    made: int = field(default_factory=lambda: int(time.time() * 1000))

    def facts(self) -> dict[str, Any]:
        """What answers say about the version."""
        facts = {"subject": self.subject, "version": self.number, "id": self.id, "ts": self.made}
        return {**facts, "deleted": self.deleted, **self.schema.facts()}


class Registry:
    """The whole state. Not safe for threads: its server lets in one request at a time."""

    def __init__(self) -> None:
        self.subjects: dict[str, list[Version]] = {}
        self.schemas: dict[int, Schema] = {}
        self.settings: dict[str, dict[str, Any]] = {GLOBAL: {"compatibilityLevel": "BACKWARD"}}
        self.modes: dict[str, str] = {GLOBAL: "READWRITE"}
        self._ids: dict[str, int] = {}
        self._next = 1

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """The versions of a subject, the oldest first; raises if there are none."""
        found = [row for row in self.subjects.get(subject, ()) if deleted or not row.deleted]
        if not found:
            raise RegistryError(40401, f"Subject '{subject}' not found.")
        return found

    def version(self, subject: str, number: str, *, deleted: bool = False) -> Version:
        """One version; `number` may be `latest` or -1."""
        wanted = version_number(number)
        rows = self.versions(subject, deleted=deleted)
        if wanted is None:
            return rows[-1]
        for row in rows:
            if row.number == wanted:
                return row
        raise RegistryError(40402, f"Version {wanted} not found.")

    def schema(self, number: str) -> Schema:
        """The schema with this id."""
        try:
            return self.schemas[int(number)]
        except (KeyError, ValueError):
            raise RegistryError(40403, f"Schema {number} not found") from None

    def used_by(self, number: int, *, deleted: bool) -> list[Version]:
        """The versions that have this id, by subject."""
        rows = [row for subject in sorted(self.subjects) for row in self.subjects[subject]]
        return [row for row in rows if row.id == number and (deleted or not row.deleted)]

    def read(self, subject: str, body: object, *, normalize: bool) -> Schema:
        """The schema of a request, normalized if the request or the subject's settings ask for it."""
        normalize = normalize or self._setting(subject, "normalize") is True
        return read_schema(body, self._resolve, normalize=normalize)

    def find(self, subject: str, schema: Schema, *, deleted: bool) -> Version | None:
        """The latest version that has this schema."""
        rows = reversed(self.subjects.get(subject, []))
        return next((row for row in rows if row.schema.key == schema.key and (deleted or not row.deleted)), None)

    def register(self, subject: str, body: Mapping[str, Any], *, normalize: bool) -> Version:
        """The version that holds the schema: one that is there, or a new one, if it is allowed."""
        imported = self.mode(subject) == "IMPORT"
        self.check_writable(subject)
        schema = self.read(subject, body, normalize=normalize)
        if (there := self.find(subject, schema, deleted=False)) is not None:
            return there
        if not imported and (problems := self.problems(subject, schema)):
            told = ", ".join(problems)
            raise RegistryError(
                409,
                f"Schema being registered is incompatible with an earlier schema for subject "
                f'"{subject}", details: [{told}]',
            )
        return self._add(subject, schema, body, imported)

    def problems(self, subject: str, schema: Schema, *, against: Version | None = None) -> list[str]:
        """Why the subject's level does not allow `schema`; empty: it does. `against` names the only old version."""
        level = str(self._setting(subject, "compatibilityLevel"))
        old = [row for row in self.subjects.get(subject, ()) if not row.deleted]
        if against is not None:
            old = [against]
        elif not level.endswith("_TRANSITIVE"):
            old = old[-1:]
        for row in reversed(old):
            found: list[str] = []
            if level.startswith(("BACKWARD", "FULL")):
                found += unreadable(schema, row.schema, self._resolve)
            if level.startswith(("FORWARD", "FULL")):
                found += unreadable(row.schema, schema, self._resolve)
            if found:
                return [*found, f"{{oldSchemaVersion: {row.number}}}", f"{{compatibility: '{level}'}}"]
        return []

    def delete_subject(self, subject: str, *, permanent: bool) -> list[int]:
        """Delete all versions, first softly, then for good; gives their numbers."""
        self.check_writable(subject)
        rows = self.versions(subject, deleted=True)
        living = [row for row in rows if not row.deleted]
        if permanent and living:
            raise RegistryError(40405, f"Subject '{subject}' was not deleted first before being permanently deleted")
        if not permanent and not living:
            raise RegistryError(
                40404, f"Subject '{subject}' was soft deleted. Set permanent=true to delete permanently"
            )
        rows = rows if permanent else living
        for row in rows:
            self._check_unreferenced(row, permanent)
        for row in rows:
            self._delete(row, permanent)
        self.settings.pop(subject, None)
        self.modes.pop(subject, None)
        return [row.number for row in rows]

    def delete_version(self, subject: str, number: str, *, permanent: bool) -> int:
        """Delete one version, first softly, then for good; gives its number."""
        self.check_writable(subject)
        wanted = version_number(number)
        for row in self.subjects.get(subject, ()):
            if row.number == wanted and row.deleted and not permanent:
                raise RegistryError(
                    40406,
                    f"Subject '{subject}' Version {wanted} was soft deleted. Set permanent=true to delete permanently",
                )
        row = self.version(subject, number, deleted=permanent)
        if permanent and not row.deleted:
            raise RegistryError(
                40407,
                f"Subject '{subject}' Version {row.number} was not deleted first before being permanently deleted",
            )
        self._check_unreferenced(row, permanent)
        self._delete(row, permanent)
        return row.number

    def referenced_by(self, version: Version) -> list[int]:
        """The ids of living schemas that use this one."""
        wanted = (version.subject, version.number)
        return sorted(
            {
                row.id
                for rows in self.subjects.values()
                for row in rows
                if not row.deleted and any((used.subject, used.version) == wanted for used in row.schema.references)
            }
        )

    def mode(self, subject: str) -> str:
        """The mode that holds for a subject."""
        if self.modes[GLOBAL] == "READONLY_OVERRIDE":
            return self.modes[GLOBAL]
        return self.modes.get(subject, self.modes[GLOBAL])

    def set_mode(self, subject: str, mode: str, *, force: bool) -> None:
        """Set a mode; IMPORT is for what is empty, unless it is forced."""
        if mode not in MODES:
            raise RegistryError(42204, f"Invalid mode. Valid values are {', '.join(MODES)}")
        there = self.subjects.get(subject) if subject else self.subjects
        if mode == "IMPORT" and there and not force and self.modes.get(subject) != "IMPORT":
            raise RegistryError(42205, f"Cannot import since found existing subjects: {subject or 'all'}")
        self.modes[subject] = mode

    def check_writable(self, subject: str) -> None:
        """Raise if the subject's mode allows reading only."""
        if self.mode(subject) in ("READONLY", "READONLY_OVERRIDE"):
            raise RegistryError(42205, f"Subject {subject} is in read-only mode")

    def _add(self, subject: str, schema: Schema, body: Mapping[str, Any], imported: bool) -> Version:
        given = body.get("id")
        number = given if isinstance(given, int) and given > 0 else 0
        if number and not imported:
            raise RegistryError(42205, f"Subject {subject} is not in import mode")
        if number and self.schemas.get(number, schema).key != schema.key:
            raise RegistryError(42207, f"Overwrite new schema with id {number} is not permitted.")
        number = number or self._ids.get(schema.key) or self._next
        self._next = max(self._next, number + 1)
        self.schemas[number] = schema
        self._ids.setdefault(schema.key, number)
        rows = self.subjects.setdefault(subject, [])
        version = Version(subject, rows[-1].number + 1 if rows else 1, number, schema)
        rows.append(version)
        return version

    def _delete(self, version: Version, permanent: bool) -> None:
        if not permanent:
            version.deleted = True
            return
        self.subjects[version.subject].remove(version)
        if not self.subjects[version.subject]:
            del self.subjects[version.subject]
        if not self.used_by(version.id, deleted=True):
            del self.schemas[version.id]
            self._ids = {key: number for key, number in self._ids.items() if number != version.id}

    def _check_unreferenced(self, version: Version, permanent: bool) -> None:
        if not permanent and self.referenced_by(version):
            where = f"{{subject={version.subject},version={version.number}}}"
            raise RegistryError(42206, f"One or more references exist to the schema {where}.")

    def _resolve(self, reference: Reference) -> Schema:
        # A schema that was deleted softly still has to be understood by those that use it.
        for row in self.subjects.get(reference.subject, ()):
            if row.number == reference.version:
                return row.schema
        raise RegistryError(
            INVALID_SCHEMA,
            f"Invalid schema: no schema reference found for subject "
            f'"{reference.subject}" and version {reference.version}',
        )

    def _setting(self, subject: str, name: str) -> object:
        own = self.settings.get(subject, {})
        return own[name] if name in own else self.settings[GLOBAL].get(name)


def version_number(text: str) -> int | None:
    """The number of a version; None: the latest one."""
    if text in ("latest", "-1"):
        return None
    if not re.fullmatch(r"0*[1-9][0-9]{0,9}", text, re.ASCII) or int(text) > _LAST_VERSION:
        raise RegistryError(
            42202,
            f"The specified version '{text}' is not a valid version id. "
            'Allowed values are between [1, 2^31-1] and the string "latest"',
        )
    return int(text)
