"""Values of Postgres from their text to the types in which batches travel, exactly.

The texts are those of a session with `SESSION`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pyarrow as pa

from ...errors import EngineFailed
from .arrow import is_json, is_uuid
from .changes import KEPT, Value

SESSION = (
    "DateStyle = ISO",
    "IntervalStyle = postgres",
    "TimeZone = UTC",
    "bytea_output = hex",
    "extra_float_digits = 3",
    "lc_monetary = 'C'",
)
"""Settings on which the texts of values depend."""

_DATE = re.compile(r"(\d{4,})-(\d\d)-(\d\d)( BC)?")
_CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_TIMESTAMP = re.compile(r"(\d{4,}-\d\d-\d\d) ([\d:.]+)(?:\+00)?( BC)?")
_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",{}\\]+)', re.DOTALL)
_DAY = 86_400_000_000


def from_text(values: list[Value], kind: pa.DataType) -> pa.Array:
    """The values as an array of the travel type `kind`; `KEPT` gives NULL. Raises if one does not fit."""
    texts = [None if value is KEPT else value for value in values]
    if pa.types.is_list(kind):
        return _lists(texts, kind)
    if parse := _parser(kind):
        plain = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
        array = pa.array([None if text is None else parse(text) for text in texts], _whole_numbers(plain)).cast(plain)
    else:
        array = pa.array(texts, pa.string())
        if is_json(kind):
            plain = kind.storage_type
            return pa.ExtensionArray.from_storage(kind, array.cast(plain))
        array = array.cast(kind)
    return pa.ExtensionArray.from_storage(kind, array) if isinstance(kind, pa.BaseExtensionType) else array


def _parser(kind: pa.DataType) -> Callable[[str], object] | None:
    """How a text becomes a value of `kind`, where Arrow's own cast of texts does not do it exactly."""
    if pa.types.is_boolean(kind):
        return "t".__eq__
    if pa.types.is_binary(kind):
        return _bytes
    if is_uuid(kind):
        return lambda text: uuid.UUID(text).bytes
    if pa.types.is_date(kind):
        return _day
    if pa.types.is_time(kind):
        return _clock
    return _instant if pa.types.is_timestamp(kind) else None


def _whole_numbers(kind: pa.DataType) -> pa.DataType:
    """Days and microseconds are numbers first: Python's own dates end with the year 9999."""
    if pa.types.is_date(kind):
        return pa.int32()
    return pa.int64() if pa.types.is_time(kind) or pa.types.is_timestamp(kind) else kind


def _bytes(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise _odd(text, "bytes")
    return bytes.fromhex(text[2:])


def _day(text: str) -> int:
    """Days since 1970 in the proleptic Gregorian calendar, as Postgres counts them."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise _odd(text, "a date")
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    if found[4]:
        year = 1 - year
    # years begin in March here, so that a leap day is a year's last one
    year -= month < 3
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719_468


def _clock(text: str) -> int:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise _odd(text, "a time")
    seconds = (int(found[1]) * 60 + int(found[2])) * 60 + int(found[3])
    return seconds * 1_000_000 + int((found[4] or "").ljust(6, "0"))


def _instant(text: str) -> int:
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise _odd(text, "a timestamp")
    return _day(found[1] + (found[3] or "")) * _DAY + _clock(found[2])


def _lists(texts: list[str | None], kind: pa.ListType) -> pa.Array:
    """Array literals such as `{1,NULL}` and `{"a\\"b",""}`; plain lists only, as the snapshot is read."""
    offsets: list[int | None] = []
    items: list[Value] = []
    for text in texts:
        offsets.append(None if text is None else len(items))
        if text is not None:
            items += _items(text)
    offsets.append(len(items))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), from_text(items, kind.value_type), type=kind)


def _items(text: str) -> list[Value]:
    inner = text[1:-1]
    if text[:1] != "{" or text[-1:] != "}" or inner.startswith("{"):
        raise _odd(text, "a plain list")
    items: list[Value] = []
    at = 0
    while at < len(inner):
        found = _ITEM.match(inner, at)
        if found is None or inner[found.end() : found.end() + 1] not in ("", ","):
            raise _odd(text, "a plain list")
        quoted, plain = found[1], found[2]
        items.append(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if plain is None else _null(plain))
        at = found.end() + 1
    return items


def _null(plain: str) -> str | None:
    return None if plain == "NULL" else plain


def _odd(text: str, what: str) -> EngineFailed:
    return EngineFailed(
        f"{text[:40]!r} in the log is not {what} that can be carried",
        hint="infinity and arrays of several dimensions are refused, in a snapshot, too",
    )
