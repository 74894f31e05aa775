"""Failures of an engine that a project knows of and lives with for a while: which cases, why, whose, until when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UsageError
from .model import Case, KnownFailure

KNOWN_FILE = "dpone-known-failures.toml"

Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]


class Entry(BaseModel):
    """One `[[failure]]` of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    case: Text
    """A case id, or a glob over case ids."""
    reason: Text
    owner: Text
    expires: dt.date
    """The last day on which it counts, in UTC."""
    engine: Text | None = None
    """Only of this engine; None: of any."""

    def covers(self, case_id: str, engine: str) -> bool:
        """If it speaks of this case of this engine."""
        return fnmatchcase(case_id, self.case) and self.engine in (None, engine)


class KnownFailures(BaseModel):
    """The file: `dpone-known-failures.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    failure: tuple[Entry, ...] = Field(default=(), strict=False)

    def of(self, case_id: str, *, engine: str, today: dt.date) -> KnownFailure | None:
        """What is known of a case; None if nothing is, or if it has expired."""
        for entry in self.failure:
            if entry.covers(case_id, engine) and entry.expires >= today:
                return KnownFailure(reason=entry.reason, owner=entry.owner, expires=str(entry.expires))
        return None

    def expired(self, cases: Sequence[Case], *, engine: str, today: dt.date) -> tuple[Entry, ...]:
        """The entries that have expired and speak of one of `cases`."""
        return tuple(
            entry
            for entry in self.failure
            if entry.expires < today and any(entry.covers(case.case_id, engine) for case in cases)
        )


def read_known(data: Mapping[str, object], planned: Sequence[Case], *, name: str) -> KnownFailures:
    """The parsed TOML of the file `name` as a value.

    Raises `UsageError` for what is not as above, for an entry that speaks of no planned case, and for two that speak of
    one: nobody could tell whose it is.
    """
    try:
        known = KnownFailures.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:120]
        raise UsageError(
            f"{name}: {place or 'the file'}: {first['msg']}",
            hint='each [[failure]] has case = "…", reason = "…", owner = "…" and expires = 2030-12-31',
        ) from None
    ids = [case.case_id for case in planned]
    owners: dict[str, Entry] = {}
    for entry in known.failure:
        found = [case_id for case_id in ids if fnmatchcase(case_id, entry.case)]
        if not found:
            near = get_close_matches(entry.case, ids, n=3, cutoff=0.5)
            raise UsageError(
                f"{name}: no planned case has the id {entry.case!r}",
                hint=f"did you mean {' or '.join(near)}?" if near else "remove the entry",
            )
        for case_id in found:
            other = owners.setdefault(case_id, entry)
            if other is not entry and (None in (other.engine, entry.engine) or other.engine == entry.engine):
                raise UsageError(
                    f"{name}: two entries speak of {case_id}: {other.case!r} and {entry.case!r}",
                    hint="leave one of them",
                )
    return known
