"""The settings of a run, parsed from the table of options and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest

from .options import SELECTION, TABLE, VARIABLES, Origin, Raw, Row
from .values import BadValueError

RELEASES = ("real_local", "vendor_live")
"""Profiles whose runs decide about a release."""


@dataclass(frozen=True, slots=True)
class Options:
    """All settings of a run, parsed. `origins` tells for each field who set it, `declared` what an ini file plans."""

    profile: str
    case: tuple[str, ...]
    source: tuple[str, ...]
    sink: tuple[str, ...]
    strategy: tuple[str, ...]
    staging: str
    rows: int
    seed: int
    change_ratio: float
    delete_ratio: float
    dataset: Literal["standard", "narrow", "empty", "single"]
    batch_rows: int | None
    crash: Literal["off", "quick", "full"]
    engine: str
    engine_command: str
    case_timeout: int | None
    services: tuple[tuple[str, str], ...]
    image: tuple[tuple[str, str], ...]
    compose_file: str
    artifact_dir: str
    matrix_dir: str
    run_mode: str
    release: str
    release_type: str
    check: tuple[tuple[str, bool], ...]
    objectives: str
    baseline: str
    update_baseline: bool
    minimum: str
    maximum: str
    accept_fidelity: tuple[str, ...]
    known_failures: str
    plan: bool
    lock: str
    include_vendor_live: bool
    max_rows: int | None
    max_seconds: int | None
    shard: tuple[int, int] | None
    durations: str
    keep: Literal["never", "failed", "always"]
    allow_slots: bool
    selfcheck: bool
    origins: Mapping[str, Origin]
    declared: Mapping[str, tuple[str, ...]]

    @property
    def simulated(self) -> bool:
        """If rows move between files in memory, and no service is started."""
        return self.run_mode == "mock_local"


def parse(raw: Raw) -> Options:
    """Parse and check every value; raises `pytest.UsageError` that says which one is wrong, and what is right."""
    values: dict[str, object] = {}
    origins: dict[str, Origin] = {}
    declared: dict[str, tuple[str, ...]] = {}
    for row in TABLE:
        value, origin = raw.get(row.field, (row.default, "default"))
        origins[row.field] = origin
        values[row.field] = _checked(row, value, origin)
        if row.field in SELECTION and (told := raw.get(f"declared_{row.field}")):
            declared[row.field] = tuple(map(str, _checked(row, *told)))  # type: ignore[call-overload]
    options = Options(**values, origins=origins, declared=declared)  # type: ignore[arg-type]
    _check_together(options)
    return options


def header(options: Options) -> list[str]:
    """What applies, with its origin, for the header of a run. No setting of the table holds a secret."""
    shown = [f"{row.name} {_shown(getattr(options, row.field))} ({options.origins[row.field]})" for row in TABLE]
    always = ("profile", "rows", "seed", "engine", "artifact_dir")
    pairs = zip(TABLE, shown, strict=True)
    return [text for row, text in pairs if row.field in always or options.origins[row.field] != "default"]


def reference_page() -> str:
    """The text of `docs/reference/options.md`."""
    lines = [
        "# Options",
        "",
        "Every setting can be given as an option, an environment variable or an ini key; the first of these wins.",
        "An ini key sets a value; it never starts a certification by itself.",
        "This page is generated from the table in `pytest_dpone.plugin.options`.",
        "",
        "| option | environment | ini key | default | meaning |",
        "|---|---|---|---|---|",
    ]
    for row in TABLE:
        option = row.option if row.kind == "flag" else f"{row.option}={row.metavar}"
        default = f"`{row.default}`" if row.default else "–"
        meaning = (row.help + (" May be repeated." if row.kind == "many" else "")).replace("|", "\\|")
        lines.append(f"| `{option}` | `{row.env}` | `{row.ini}` | {default} | {meaning} |")
    lines += ["", "## Variables that switch tests on", "", "| variable | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items()]
    return "\n".join(lines) + "\n"


def _checked(row: Row, value: str | list[str], origin: Origin) -> object:
    try:
        if origin != "default" and not "".join(value).strip():
            raise BadValueError("the value is empty", hint="give a value, or leave the setting out")
        return _parsed(row, value)
    except BadValueError as error:
        raise pytest.UsageError(f"{_place(row, origin)}: {error.fact}\nhint: {error.hint}") from None


def _parsed(row: Row, value: str | list[str]) -> object:
    if row.kind != "many":
        return row.parse(str(value).strip())
    texts = [value] if isinstance(value, str) else value
    parts = [part.strip() for text in texts for part in text.split(",")]
    if texts != [""] and not all(parts):
        raise BadValueError("an empty name in the list", hint="remove the comma too many, or the whole setting")
    parsed = [row.parse(part) for part in parts if part]
    if row.field in ("services", "image", "check"):
        _refuse_twice([str(pair[0]) for pair in parsed if isinstance(pair, tuple)])
    return tuple(dict.fromkeys(parsed))


def _refuse_twice(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BadValueError(f"{name} is set more than once", hint="say it once")


def _check_together(options: Options) -> None:
    if options.delete_ratio > options.change_ratio:
        raise pytest.UsageError(
            f"--dpone-delete-ratio {options.delete_ratio} is more than --dpone-change-ratio {options.change_ratio}\n"
            "hint: deletes are a part of the rows that change; raise the one or lower the other"
        )
    if options.profile in RELEASES and not (options.change_ratio > options.delete_ratio > 0):
        raise pytest.UsageError(
            f"--dpone-change-ratio {options.change_ratio} with --dpone-delete-ratio {options.delete_ratio} leaves out "
            f"deletes, or inserts and updates: too little for the profile {options.profile}\n"
            "hint: raise the ratios, such as 0.2 and 0.05, or use the profile local_live"
        )
    if options.profile in RELEASES:
        _check_fates(options)
    if options.dataset != "standard" and options.profile in RELEASES:
        raise pytest.UsageError(
            f"--dpone-dataset={options.dataset} proves too little for the profile {options.profile}\n"
            "hint: use the standard dataset, or the profile local_live"
        )
    if options.engine != "command" and options.origins["engine_command"] == "option":
        raise pytest.UsageError(
            f"--dpone-engine-command is for the engine command, and the engine is {options.engine}\n"
            "hint: add --dpone-engine=command, or leave the command out"
        )
    if options.selfcheck:
        _check_selfcheck(options)
    if options.simulated:
        _check_simulated(options)


def _check_fates(options: Options) -> None:
    """A release needs rows for all that can happen to one: with a few there is no delete, no tie, no return."""
    from dataclasses import asdict

    from ..core.dataset.change import plan_counts

    ratios = {"change_ratio": options.change_ratio, "delete_ratio": options.delete_ratio}
    if nobody := [name for name, count in asdict(plan_counts(options.rows, **ratios)).items() if not count]:
        raise pytest.UsageError(
            f"--dpone-rows {options.rows} with --dpone-change-ratio {options.change_ratio} and --dpone-delete-ratio "
            f"{options.delete_ratio} has no row for: {', '.join(nobody)}; "
            f"too little for the profile {options.profile}\n"
            "hint: raise the rows, such as 200, or the ratios, such as 0.2 and 0.05, or use the profile local_live"
        )


def _check_selfcheck(options: Options) -> None:
    for name in ("case", "source", "sink", "strategy"):
        if getattr(options, name) and options.origins[name] == "option":
            raise _contradiction("--dpone-selfcheck", f"--dpone-{name}", "every mutant has a case of its own")
    if options.profile in RELEASES and options.origins["profile"] == "option":
        profile = f"--dpone-profile={options.profile}"
        raise _contradiction("--dpone-selfcheck", profile, "the selfcheck judges the harness only")
    if options.origins["engine"] == "option":
        raise _contradiction("--dpone-selfcheck", "--dpone-engine", "the mutants are engines themselves")


def _check_simulated(options: Options) -> None:
    mode = "--dpone-run-mode=mock_local"
    if options.profile in RELEASES:
        profile = f"--dpone-profile={options.profile}"
        raise _contradiction(mode, profile, "a simulated run moves no row of a service")
    if options.selfcheck:
        raise _contradiction(mode, "--dpone-selfcheck", "the mutants need services")
    if options.engine not in ("native", "mock"):
        raise pytest.UsageError(
            f"the engine {options.engine!r} can't move the rows of a simulated run, which are in memory\n"
            "hint: add --dpone-engine=native: the engine mock takes its place then"
        )
    for name, why in (
        ("staging", "it has no objects"),
        ("services", "it starts no service"),
        ("image", "it starts no service"),
        ("keep", "its tables end with it"),
    ):
        if options.origins[name] == "option" and getattr(options, name) not in ("never", "none"):
            raise _contradiction(mode, f"--dpone-{name}", why)


def _contradiction(one: str, other: str, why: str) -> pytest.UsageError:
    return pytest.UsageError(f"{one} contradicts {other}: {why}\nhint: give one of them")


def _place(row: Row, origin: Origin) -> str:
    return {"option": row.option, "environment": row.env, "ini": f"ini key {row.ini}", "default": row.option}[origin]


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return (
            ",".join("=".join(map(_shown, part)) if isinstance(part, tuple) else str(part) for part in value) or "all"
        )
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) or "none"
