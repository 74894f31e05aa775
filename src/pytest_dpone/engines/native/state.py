"""What an incremental load remembers between two runs, as canonical text that notices damage."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import cast

from ...errors import EngineFailed

_VERSION = 2
"""1 had hashes over all columns in their order."""


@dataclass(frozen=True, slots=True)
class State:
    """How far a load has come.

    `watermark` is the greatest cursor that was loaded, as exact text; None while no row with a cursor was seen.
    `hashes` are the row hashes of the rows at the watermark, sorted; equal rows repeat. Only appends need them.
    """

    strategy: str
    cursor: str
    watermark: str | None = None
    hashes: tuple[str, ...] = ()
    load: str = ""
    """Of a backfill its id; `watermark` is then the first day that it has not finished."""

    def to_text(self) -> str:
        """Canonical JSON: equal states give equal texts. Ends with a digest of the rest."""
        body = {
            "cursor": self.cursor,
            "hashes": sorted(self.hashes),
            "load": self.load,
            "strategy": self.strategy,
            "version": _VERSION,
            "watermark": self.watermark,
        }
        return _canonical({**body, "digest": _digest(body)})

    @classmethod
    def from_text(cls, text: object, *, where: str) -> State:
        """The state in `text`, which was found at `where`. Raises `EngineFailed` for anything but an intact state."""
        body = _parsed(text, where=where)
        digest = body.pop("digest", None)
        if body.get("version") != _VERSION or digest != _digest(body):
            raise _broken(where, "its version or digest is not what it must be")
        try:
            return cls(
                strategy=_text(body["strategy"]),
                cursor=_text(body["cursor"]),
                watermark=None if body["watermark"] is None else _text(body["watermark"]),
                hashes=tuple(_text(item) for item in cast("list[object]", body["hashes"])),
                load=_text(body["load"]),
            )
        except (KeyError, TypeError) as error:
            raise _broken(where, f"a part is missing or of the wrong type: {error}") from None


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _digest(body: dict[str, object]) -> str:
    return hashlib.sha256(_canonical(body).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _parsed(text: object, *, where: str) -> dict[str, object]:
    if not isinstance(text, str):
        raise _broken(where, f"it is no text but {type(text).__name__}")
    try:
        body = json.loads(text)
    except ValueError as error:
        raise _broken(where, str(error)) from None
    if not isinstance(body, dict):
        raise _broken(where, "it is no JSON object")
    return body


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _broken(where: str, why: str) -> EngineFailed:
    return EngineFailed(
        f"the engine's state in {where} can't be read: {why}",
        hint="a load without its state could lose or repeat rows; restore the state, or remove it and the table",
    )
