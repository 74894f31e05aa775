"""Strict JSON: what two readers could read in two ways, or no reader can judge, is an error that names the culprit."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping

from pydantic_core import to_json

MAX_DEPTH = 64
"""Objects and arrays inside of each other."""
LIMIT = 10**18
"""Numbers beyond it are no measurements."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotStrict(ValueError):
    """The text is not strict JSON; the message says what and where, in one line."""


def parse(data: bytes) -> object:
    """The value that `data` holds as UTF-8. Raises `NotStrict`.

    Refused: duplicate keys, NaN, Infinity, numbers that overflow, a byte order mark, bytes that are not UTF-8, lone
    surrogates, more than `MAX_DEPTH` levels.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotStrict(f"byte {error.start} is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise NotStrict("it begins with a byte order mark")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant, parse_float=_finite)
    except RecursionError:
        raise NotStrict(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise NotStrict(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except NotStrict:
        raise
    except ValueError as error:
        # Python refuses whole numbers of thousands of digits.
        raise NotStrict(str(error).split(";")[0]) from None
    _walk(value, escapes=_SURROGATE.search(text) is not None)
    return value


def parse_object(data: bytes) -> dict[str, object]:
    """The object that `data` holds. Raises `NotStrict`, also for any other value."""
    value = parse(data)
    if not isinstance(value, dict):
        raise NotStrict(f"it holds {kind_of(value)}, not an object")
    return value


def indented(data: Mapping[str, object]) -> bytes:
    """`data` as all our documents are written: UTF-8, indented. NaN and Infinity are a `ValueError`."""
    # Python's own encoder takes ten times as long to indent, and knows best what may not be written.
    json.dumps(data, allow_nan=False)
    try:
        return to_json(data, indent=2) + b"\n"
    except (ValueError, TypeError):
        return _indented_slowly(data)


def is_as_written(raw: bytes, data: Mapping[str, object]) -> bool:
    """If `raw` is what writing `data` gives, so that nobody has touched it since."""
    return raw == indented(data) or raw == _indented_slowly(data)


def _indented_slowly(data: Mapping[str, object]) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "backslashreplace")


def number(value: object) -> int | float:
    """`value` if it is a finite number within ±`LIMIT`. Raises `NotStrict`; a boolean or a text is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotStrict(f"is {kind_of(value)}, not a number")
    # Not `>`: that would let NaN pass.
    if not abs(value) <= LIMIT:
        raise NotStrict("is no number that can be measured")
    return value


def kind_of(value: object) -> str:
    """What a JSON value is, in words: `a text`, `a boolean`."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "an array", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise NotStrict(f"the key {name!r} occurs twice")
    return found


def _constant(name: str) -> object:
    raise NotStrict(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotStrict(f"the number {text[:40]} overflows")
    return value


def _walk(value: object, *, escapes: bool) -> None:
    """Refuse depth and, only if `escapes` says that there may be any, lone surrogates."""
    level, depth = [value], 0
    while level:
        below: list[object] = []
        for item in level:
            if isinstance(item, dict | list):
                below += item.values() if isinstance(item, dict) else item
                if depth == MAX_DEPTH:
                    raise NotStrict(f"it is nested deeper than {MAX_DEPTH} levels")
            if escapes:
                _whole(item)
        level, depth = below, depth + 1


def _whole(item: object) -> None:
    texts = [text for text in (item if isinstance(item, dict) else (item,)) if isinstance(text, str)]
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise NotStrict(f"the text {text[:40]!r} holds half of a surrogate pair") from None
