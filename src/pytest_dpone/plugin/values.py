"""How the values of settings are read: each function takes a text, and refuses what it does not understand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

SERVICES = ("postgres", "mssql", "clickhouse", "kafka", "schema_registry", "minio", "api")

V = TypeVar("V")


class BadValueError(ValueError):
    """A value that a row does not take: a fact about it, and a hint."""

    def __init__(self, fact: str, *, hint: str) -> None:
        super().__init__(fact)
        self.fact = fact
        self.hint = hint


def one_of(*names: str, later: Sequence[str] = ()) -> Callable[[str], str]:
    """One of `names`; `later` are names that are known and not usable yet."""

    def parse_name(text: str) -> str:
        if text in names or not text:
            return text
        if text in later:
            raise BadValueError(f"{text!r} is not implemented yet", hint=f"use {_either(names)}")
        raise _unknown(text, (*names, *later), usable=names)

    return parse_name


def count(minimum: int, maximum: int = 10**18) -> Callable[[str], int]:
    """A whole number."""

    def parse_count(text: str) -> int:
        if re.fullmatch(r"[+-]?[0-9]{1,18}", text) is None or int(text) < minimum:
            raise BadValueError(
                f"{text!r} is not a whole number of {minimum} or more",
                hint=f"give a number such as {max(minimum, 1000)}",
            )
        if int(text) > maximum:
            raise BadValueError(f"{text!r} is more than {maximum}", hint=f"give a number up to {maximum}")
        return int(text)

    return parse_count


def count_or_none(minimum: int, maximum: int) -> Callable[[str], int | None]:
    """A whole number, or nothing."""
    parse_count = count(minimum, maximum)
    return lambda text: parse_count(text) if text else None


def part(text: str) -> tuple[int, int] | None:
    """`I/N`: one of N parts, the first of which is 1; or nothing."""
    if not text:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise BadValueError(f"{text!r} is no part I/N", hint="give such as 1/3, 2/3 and 3/3")
    return int(found[1]), int(found[2])


def ratio(text: str) -> float:
    """A part of the rows."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise BadValueError(f"{text!r} is not a ratio between 0 and 1", hint="give a part of the rows such as 0.2")
    return value


def pattern(text: str) -> str:
    """A name or a glob."""
    if re.fullmatch(r"[\w*?\[\]!-]+", text) is None:
        raise BadValueError(
            f"{text!r} is neither a name nor a glob", hint="names have letters, digits and underscores; globs also *?[]"
        )
    return text


def pair(what: str, check: Callable[[str], str]) -> Callable[[str], tuple[str, str]]:
    """`service=value`."""

    def parse_pair(text: str) -> tuple[str, str]:
        service, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not value:
            raise BadValueError(f"{text!r} is not service={what}", hint=f"write for example postgres={what}")
        if service not in SERVICES:
            raise _unknown(service, SERVICES, usable=SERVICES)
        return service, check(value)

    return parse_pair


def image(text: str) -> str:
    """A reference of an image."""
    if re.fullmatch(r"[A-Za-z0-9][\w.:/@-]*", text) is None:
        raise BadValueError(f"{text!r} is not an image reference", hint="write for example postgres:17.2")
    return text


def plain(text: str) -> str:
    """Any text, such as a path."""
    if "\0" in text:
        raise BadValueError("the value holds a NUL byte", hint="remove it")
    return text


def flag(text: str) -> bool:
    """A yes or no."""
    return switch(text, hint="use 1 or 0")


def named(what: str, check: Callable[[str], V]) -> Callable[[str], tuple[str, V]]:
    """`name=value`, e.g. of a check."""

    def parse_named(text: str) -> tuple[str, V]:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or re.fullmatch(r"[A-Za-z0-9][\w.-]{0,63}", name, re.ASCII) is None:
            raise BadValueError(f"{text!r} is not name={what}", hint=f"write for example documentation={what}")
        return name, check(value)

    return parse_named


def true_or_false(text: str) -> bool:
    """`true` or `false` and nothing like them: a check is somebody's word."""
    if text not in ("true", "false"):
        raise BadValueError(f"{text!r} is neither true nor false", hint="say true or false")
    return text == "true"


def switch(text: str, *, hint: str) -> bool:
    """A yes or no as people write it; raises a `ValueError` with `fact` and `hint` for anything else."""
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("", "0", "false", "no", "off"):
        return False
    raise BadValueError(f"{text!r} is neither yes nor no", hint=hint)


def _unknown(text: str, names: Sequence[str], *, usable: Sequence[str]) -> BadValueError:
    from difflib import get_close_matches

    near = get_close_matches(text, names, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]}? " if near else ""
    return BadValueError(f"unknown value {text!r}", hint=f"{guess}known: {', '.join(usable)}")


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
