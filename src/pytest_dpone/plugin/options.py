"""The one table of settings: it drives options, ini keys, environment variables, `--help` and the reference page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import pytest

SERVICES = ("postgres", "mssql", "clickhouse", "kafka", "schema_registry", "minio")
PROVIDERS = ("auto", "docker", "embedded", "external")

_MOST_ROWS = 10**9
_MOST_BATCH_ROWS = 10**6
"""A batch is held in memory several times; a wide one of a million rows takes gigabytes."""

Origin = Literal["default", "ini", "environment", "option"]
Raw = Mapping[str, tuple[str | list[str], Origin]]
"""Field → what somebody set, still as text, and where it was set. JSON-able, so that workers get the same."""


class Row(NamedTuple):
    """One setting. `kind`: `one` value, `many` (repeatable, commas split), `flag` (present or not)."""

    name: str
    env: str
    parse: Callable[[str], object]
    help: str
    default: str = ""
    metavar: str = ""
    kind: Literal["one", "many", "flag"] = "one"

    @property
    def field(self) -> str:
        """Name of the attribute of `Options`."""
        return self.name.replace("-", "_")

    @property
    def option(self) -> str:
        """The command line option."""
        return f"--dpone-{self.name}"

    @property
    def ini(self) -> str:
        """The ini key."""
        return f"dpone_{self.field}"


def add_options(parser: pytest.Parser) -> None:
    """Register every row as an option and an ini key."""
    group = parser.getgroup("dpone", "certification of data connectors (pytest-dpone)")
    for row in TABLE:
        text = _help(row)
        if row.kind == "flag":
            group.addoption(row.option, action="store_true", default=None, help=text)
        else:
            action = "append" if row.kind == "many" else "store"
            group.addoption(row.option, action=action, default=None, metavar=row.metavar, help=text)
        kind: Literal["linelist", "string"] = "linelist" if row.kind == "many" else "string"
        parser.addini(row.ini, row.help, type=kind, default=None)


def gather(config: pytest.Config, environ: Mapping[str, str]) -> dict[str, tuple[str | list[str], Origin]]:
    """What was set, by field: option before environment before ini. Nothing is parsed yet."""
    found: dict[str, tuple[str | list[str], Origin]] = {}
    for row in TABLE:
        option = config.getoption(f"dpone_{row.field}", None)
        if option is not None:
            found[row.field] = ("1" if option is True else option, "option")
        elif environ.get(row.env, "") != "":
            found[row.field] = (environ[row.env], "environment")
        elif (value := config.getini(row.ini)) not in (None, "", []):
            found[row.field] = (value, "ini")
    return found


def is_asked(raw: Raw, environ: Mapping[str, str]) -> bool:
    """If anybody may want something from the plugin; `activity.find_activity` looks closely then."""
    given = any(origin == "option" for _, origin in raw.values())
    return given or raw.get("profile", ("", ""))[1] == "environment" or any(environ.get(name) for name in VARIABLES)


VARIABLES = {
    "DPONE_RUN_INTEGRATION": "`1` runs tests that are marked with a service's marker, such as `integration_postgres`.",
    "DPONE_RUN_INTEGRATION_MATRIX": "`1` runs tests marked `integration_matrix`, and collects the packaged matrix.",
    "DPONE_RUN_INTEGRATION_LIVE": "`1` runs tests marked `integration_live`, which need systems of a vendor.",
}
"""The variables of the documentation that choose what runs; `0` forbids it, and contradicting an option is an error."""


class BadValueError(ValueError):
    """A value that a row does not take: a fact about it, and a hint."""

    def __init__(self, fact: str, *, hint: str) -> None:
        super().__init__(fact)
        self.fact = fact
        self.hint = hint


def _one_of(*names: str, later: Sequence[str] = ()) -> Callable[[str], str]:
    def parse_name(text: str) -> str:
        if text in names or not text:
            return text
        if text in later:
            raise BadValueError(f"{text!r} is not implemented yet", hint=f"use {_either(names)}")
        raise _unknown(text, (*names, *later), usable=names)

    return parse_name


def _count(minimum: int, maximum: int = 10**18) -> Callable[[str], int]:
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


def _count_or_none(minimum: int, maximum: int) -> Callable[[str], int | None]:
    parse_count = _count(minimum, maximum)
    return lambda text: parse_count(text) if text else None


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise BadValueError(f"{text!r} is not a ratio between 0 and 1", hint="give a part of the rows such as 0.2")
    return value


def _pattern(text: str) -> str:
    if re.fullmatch(r"[\w*?\[\]!-]+", text) is None:
        raise BadValueError(
            f"{text!r} is neither a name nor a glob", hint="names have letters, digits and underscores; globs also *?[]"
        )
    return text


def _pair(what: str, check: Callable[[str], str]) -> Callable[[str], tuple[str, str]]:
    def parse_pair(text: str) -> tuple[str, str]:
        service, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not value:
            raise BadValueError(f"{text!r} is not service={what}", hint=f"write for example postgres={what}")
        if service not in SERVICES:
            raise _unknown(service, SERVICES, usable=SERVICES)
        return service, check(value)

    return parse_pair


def _image(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][\w.:/@-]*", text) is None:
        raise BadValueError(f"{text!r} is not an image reference", hint="write for example postgres:17.2")
    return text


def _text(text: str) -> str:
    if "\0" in text:
        raise BadValueError("the value holds a NUL byte", hint="remove it")
    return text


def _flag(text: str) -> bool:
    return switch(text, hint="use 1 or 0")


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


def _help(row: Row) -> str:
    default = f"; default: {row.default}" if row.default else ""
    return f"{row.help} (env: {row.env}; ini: {row.ini}{default})".replace("%", "%%")


TABLE: tuple[Row, ...] = (
    Row(
        "profile",
        "DPONE_PROFILE",
        _one_of("local_live", "real_local", later=("vendor_live",)),
        "Certify under this profile: local_live (what is available) or real_local (everything, on real services).",
        metavar="NAME",
    ),
    Row(
        "case",
        "DPONE_MATRIX_CASE_ID",
        _pattern,
        "Certify only the cases with this id or glob; other tests are deselected.",
        metavar="ID",
        kind="many",
    ),
    Row("source", "DPONE_MATRIX_SOURCE", _pattern, "Only cases from this family.", metavar="FAMILY", kind="many"),
    Row("sink", "DPONE_MATRIX_SINK", _pattern, "Only cases into this family.", metavar="FAMILY", kind="many"),
    Row(
        "strategy",
        "DPONE_MATRIX_STRATEGY",
        _pattern,
        "Only cases with this load strategy.",
        metavar="STRATEGY",
        kind="many",
    ),
    Row(
        "rows",
        "DPONE_MATRIX_ROW_COUNT",
        _count(1, _MOST_ROWS),
        "Rows that the source starts with.",
        default="1000",
        metavar="N",
    ),
    Row("seed", "DPONE_SEED", _count(0), "Seed of the dataset; equal seeds give equal rows.", default="1", metavar="N"),
    Row(
        "change-ratio",
        "DPONE_MATRIX_CHANGE_RATIO",
        _ratio,
        "Part of the rows that changes between the loads.",
        default="0.2",
        metavar="RATIO",
    ),
    Row(
        "delete-ratio",
        "DPONE_MATRIX_DELETE_RATIO",
        _ratio,
        "Part of the rows that is deleted between the loads; it counts as change.",
        default="0.05",
        metavar="RATIO",
    ),
    Row(
        "dataset",
        "DPONE_DATASET",
        _one_of("standard", "narrow", "empty", "single"),
        "The table: standard (wide), narrow (few columns), empty (no row) or single (one row).",
        default="standard",
        metavar="NAME",
    ),
    Row(
        "batch-rows",
        "DPONE_BATCH_ROWS",
        _count_or_none(1, _MOST_BATCH_ROWS),
        "Rows per Arrow batch; without it a quarter of the rows, at most 65536, so that a table has several batches.",
        metavar="N",
    ),
    Row(
        "engine",
        "DPONE_ENGINE",
        _text,
        "The engine under test: native, or a name that a hook pytest_dpone_engine knows.",
        default="native",
        metavar="NAME",
    ),
    Row(
        "services",
        "DPONE_SERVICES",
        _pair("docker", _one_of(*PROVIDERS, later=("compose",))),
        "How a service is had: auto, docker, embedded or external; e.g. postgres=docker,minio=embedded.",
        metavar="SERVICE=PROVIDER",
        kind="many",
    ),
    Row(
        "image",
        "DPONE_IMAGE",
        _pair("postgres:17", _image),
        "Image for a service that Docker runs; e.g. postgres=postgres:17.",
        metavar="SERVICE=REF",
        kind="many",
    ),
    Row(
        "artifact-dir",
        "DPONE_ARTIFACT_DIR",
        _text,
        "Folder for everything that a run leaves; relative to the current directory, the default and ini to rootdir.",
        default="test_artifacts/live_certification",
        metavar="DIR",
    ),
    Row(
        "matrix-dir",
        "DPONE_MATRIX_ARTIFACT_DIR",
        _text,
        "Folder for the artifacts of the matrix alone, if it is not matrix/ below the artifact folder.",
        metavar="DIR",
    ),
    Row(
        "run-mode",
        "DPONE_MATRIX_RUN_MODE",
        _one_of("real_local", "mock_local"),
        "How the matrix runs: real_local (real services), or mock_local (simulated in memory: no service is started).",
        default="real_local",
        metavar="MODE",
    ),
    Row(
        "keep",
        "DPONE_KEEP",
        _one_of("never", "failed", "always"),
        "Whose tables are left in the services for a look: never, failed or always.",
        default="never",
        metavar="WHEN",
    ),
    Row(
        "selfcheck",
        "DPONE_SELFCHECK",
        _flag,
        "Run the mutants, engines that are broken in one way each, and nothing else: every one must be found out.",
        kind="flag",
    ),
)
"""The rows in the order of `--help`."""
