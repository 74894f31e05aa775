"""What the commands of `ops` are given, as values: JSON, paths, names, checks. Each raises `UsageError`."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from ..core.gates.ruling import valid_name
from ..core.strict import NotStrict, parse
from ..errors import UsageError
from ..evidence.files import Unreadable, read_bytes


def json_of(text: str, flag: str) -> object:
    """The value of strict JSON, or of the file after an `@`."""
    try:
        return parse(_bytes(text, flag))
    except NotStrict as error:
        raise UsageError(f"{flag} is not strict JSON: {error}", hint="give a JSON object, or @file") from None


def text_of(text: str, flag: str) -> str:
    """The text itself, or that of the file after an `@`."""
    return _bytes(text, flag).decode("utf-8", "replace")


def path_of(text: str, flag: str) -> Path:
    """A path that a file can have."""
    if not text or "\0" in text:
        raise UsageError(f"{flag} {text[:40]!r} is no path", hint="name a file or a folder")
    try:
        text.encode("utf-8")
        Path(text).stat()
    except UnicodeEncodeError:
        raise UsageError(f"{flag} {text[:80]!r} is not UTF-8", hint="rename the file or folder") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(f"{flag} {text[:40]!r}… is too long for a path", hint="choose a shorter one") from None
    return Path(text)


def artifacts_of(words: Sequence[str]) -> dict[str, Path]:
    """`name=path` words by name; no name twice, no file twice."""
    found: dict[str, Path] = {}
    for word in words:
        name, path = _pair(word, "--artifact", "name=path")
        valid_name(name, what="an artifact")
        if name in found:
            raise UsageError(f"the artifact {name} is given twice", hint="give each name once")
        found[name] = path_of(path, f"the path of the artifact {name}")
    seen: dict[str, str] = {}
    for name, target in found.items():
        other = seen.setdefault(os.path.realpath(target), name)
        if other != name:
            raise UsageError(f"one file is given for {other} and for {name}", hint="give each artifact its own file")
    return found


def names_of(words: Sequence[str]) -> tuple[str, ...]:
    """Names of required artifacts, each once."""
    for name in words:
        valid_name(name, what="an artifact")
        if words.count(name) > 1:
            raise UsageError(f"--require {name} is given twice", hint="give each name once")
    return tuple(words)


def checks_of(words: Sequence[str]) -> dict[str, bool]:
    """`name=true` and `name=false` words by name."""
    found: dict[str, bool] = {}
    for word in words:
        name, value = _pair(word, "--check", "name=true")
        valid_name(name, what="a check")
        if name in found:
            raise UsageError(f"the check {name} is given twice", hint="give each name once")
        if value not in ("true", "false"):
            raise UsageError(f"the check {name} is {value[:40]!r}, neither true nor false", hint=f"--check {name}=true")
        found[name] = value == "true"
    return found


def is_same(path: str, other: Path) -> bool:
    """If both are one file."""
    return "\0" not in path and os.path.realpath(path) == os.path.realpath(other)


def _bytes(text: str, flag: str) -> bytes:
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    path = path_of(text[1:], flag)
    try:
        return read_bytes(path)
    except Unreadable as error:
        raise UsageError(f"{flag}: {path} {error}", hint="name a file that can be read after the @") from None


def _pair(word: str, flag: str, form: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    if not sign:
        raise UsageError(f"{flag} {word[:60]!r} has no value", hint=f"write it as {form}")
    return name, value
