"""The one table of settings: it drives options, ini keys, environment variables, `--help` and the reference page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import pytest

from . import values

PROVIDERS = ("auto", "docker", "embedded", "external", "compose")

_MOST_ROWS = 10**9
_MOST_BATCH_ROWS = 10**6
"""A batch is held in memory several times; a wide one of a million rows takes gigabytes."""

SELECTION = ("case", "source", "sink", "strategy")
"""Settings that choose cases. In an ini file they declare what the project plans; elsewhere they choose from it."""

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
        if row.field in SELECTION and (declared := config.getini(row.ini)):
            found[f"declared_{row.field}"] = (declared, "ini")
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


def _help(row: Row) -> str:
    default = f"; default: {row.default}" if row.default else ""
    return f"{row.help} (env: {row.env}; ini: {row.ini}{default})".replace("%", "%%")


TABLE: tuple[Row, ...] = (
    Row(
        "profile",
        "DPONE_PROFILE",
        values.one_of("local_live", "real_local", "vendor_live"),
        "Certify under this profile: local_live (what is available), real_local (everything, on real services) or "
        "vendor_live (everything, on systems of a vendor).",
        metavar="NAME",
    ),
    Row(
        "case",
        "DPONE_MATRIX_CASE_ID",
        values.pattern,
        "Certify only the cases with this id or glob; other tests are deselected.",
        metavar="ID",
        kind="many",
    ),
    Row("source", "DPONE_MATRIX_SOURCE", values.pattern, "Only cases from this family.", metavar="FAMILY", kind="many"),
    Row("sink", "DPONE_MATRIX_SINK", values.pattern, "Only cases into this family.", metavar="FAMILY", kind="many"),
    Row(
        "strategy",
        "DPONE_MATRIX_STRATEGY",
        values.pattern,
        "Only cases with this load strategy.",
        metavar="STRATEGY",
        kind="many",
    ),
    Row(
        "staging",
        "DPONE_STAGING",
        values.one_of("none", "minio"),
        "Plan the cases, too, whose rows are staged as Parquet objects on their way: minio, for sinks of clickhouse.",
        default="none",
        metavar="FAMILY",
    ),
    Row(
        "rows",
        "DPONE_MATRIX_ROW_COUNT",
        values.count(1, _MOST_ROWS),
        "Rows that the source starts with.",
        default="1000",
        metavar="N",
    ),
    Row(
        "seed",
        "DPONE_SEED",
        values.count(0),
        "Seed of the dataset; equal seeds give equal rows.",
        default="1",
        metavar="N",
    ),
    Row(
        "change-ratio",
        "DPONE_MATRIX_CHANGE_RATIO",
        values.ratio,
        "Part of the rows that changes between the loads.",
        default="0.2",
        metavar="RATIO",
    ),
    Row(
        "delete-ratio",
        "DPONE_MATRIX_DELETE_RATIO",
        values.ratio,
        "Part of the rows that is deleted between the loads; it counts as change.",
        default="0.05",
        metavar="RATIO",
    ),
    Row(
        "dataset",
        "DPONE_DATASET",
        values.one_of("standard", "narrow", "empty", "single"),
        "The table: standard (wide), narrow (few columns), empty (no row) or single (one row).",
        default="standard",
        metavar="NAME",
    ),
    Row(
        "batch-rows",
        "DPONE_BATCH_ROWS",
        values.count_or_none(1, _MOST_BATCH_ROWS),
        "Rows per Arrow batch; without it a quarter of the rows, so that a table has several, at most 16384 "
        "(narrow: 65536).",
        metavar="N",
    ),
    Row(
        "crash",
        "DPONE_CRASH",
        values.one_of("off", "quick", "full"),
        "How often an engine is killed on its way: off, quick (twice a case) or full (at every point).",
        default="quick",
        metavar="MODE",
    ),
    Row(
        "engine",
        "DPONE_ENGINE",
        values.plain,
        "The engine under test: native, command, dlt, dpone, or a name that a hook pytest_dpone_engine knows.",
        default="native",
        metavar="NAME",
    ),
    Row(
        "engine-command",
        "DPONE_ENGINE_COMMAND",
        values.plain,
        "The program of the engine command, which gets a job as JSON; e.g. 'node mover.js'. It must hold no secret.",
        metavar="LINE",
    ),
    Row(
        "case-timeout",
        "DPONE_CASE_TIMEOUT",
        values.count_or_none(1, _MOST_ROWS),
        "Seconds that a case may take; one that takes longer is failed, and the programs that it started are ended.",
        metavar="N",
    ),
    Row(
        "services",
        "DPONE_SERVICES",
        values.pair("docker", values.one_of(*PROVIDERS)),
        "How a service is had: auto, docker, embedded, external or compose; e.g. postgres=docker,minio=embedded.",
        metavar="SERVICE=PROVIDER",
        kind="many",
    ),
    Row(
        "image",
        "DPONE_IMAGE",
        values.pair("postgres:17", values.image),
        "Image for a service that Docker runs; e.g. postgres=postgres:17.",
        metavar="SERVICE=REF",
        kind="many",
    ),
    Row(
        "compose-file",
        "DPONE_COMPOSE_FILE",
        values.plain,
        "File for the provider compose; without it docker/docker-compose.integration.yml of rootdir, or else our own.",
        metavar="FILE",
    ),
    Row(
        "artifact-dir",
        "DPONE_ARTIFACT_DIR",
        values.plain,
        "Folder for everything that a run leaves; relative to the current directory, the default and ini to rootdir.",
        default="test_artifacts/live_certification",
        metavar="DIR",
    ),
    Row(
        "matrix-dir",
        "DPONE_MATRIX_ARTIFACT_DIR",
        values.plain,
        "Folder for the artifacts of the matrix alone, if it is not matrix/ below the artifact folder.",
        metavar="DIR",
    ),
    Row(
        "run-mode",
        "DPONE_MATRIX_RUN_MODE",
        values.one_of("real_local", "mock_local"),
        "How the matrix runs: real_local (real services), or mock_local (simulated in memory: no service is started).",
        default="real_local",
        metavar="MODE",
    ),
    Row(
        "release",
        "DPONE_RELEASE",
        values.plain,
        "The release that the run is for, a version such as v1.2.0; a release profile needs one.",
        metavar="VERSION",
    ),
    Row(
        "release-type",
        "DPONE_RELEASE_TYPE",
        values.one_of("patch", "minor", "major"),
        "Type of the release; not weaker than its number says, which is the default.",
        metavar="TYPE",
    ),
    Row(
        "check",
        "DPONE_CHECK",
        values.named("true", values.true_or_false),
        "A check of the release's checklist that the run can't make itself, e.g. documentation=true.",
        metavar="NAME=VALUE",
        kind="many",
    ),
    Row(
        "objectives",
        "DPONE_OBJECTIVES",
        values.plain,
        "JSON file of objectives by metric, min or max or both; without it the failure rate must be 0.",
        metavar="FILE",
    ),
    Row(
        "baseline",
        "DPONE_BASELINE",
        values.plain,
        "JSON file of what the metrics were; a run that is worse than it allows is red.",
        metavar="FILE",
    ),
    Row(
        "update-baseline",
        "DPONE_UPDATE_BASELINE",
        values.flag,
        "Write what this run measured into the baseline's file, if all its cases are green.",
        kind="flag",
    ),
    Row(
        "minimum",
        "DPONE_MINIMUM",
        values.plain,
        "JSON file of least values by metric, for the performance certification.",
        metavar="FILE",
    ),
    Row(
        "maximum",
        "DPONE_MAXIMUM",
        values.plain,
        "JSON file of greatest values by metric, for the performance certification.",
        metavar="FILE",
    ),
    Row(
        "accept-fidelity",
        "DPONE_ACCEPT_FIDELITY",
        values.one_of("engine", "emulated"),
        "Services that count beside real ones, in a patch release only: engine, emulated. The evidence says so.",
        metavar="FIDELITY",
        kind="many",
    ),
    Row(
        "known-failures",
        "DPONE_KNOWN_FAILURES",
        values.plain,
        "TOML file of cases that are known to fail, which local_live tolerates; without it "
        "dpone-known-failures.toml of rootdir, if there is one.",
        metavar="FILE",
    ),
    Row(
        "plan",
        "DPONE_PLAN",
        values.flag,
        "Print what the run would do, and do nothing.",
        kind="flag",
    ),
    Row(
        "lock",
        "DPONE_LOCK",
        values.one_of("write", "check"),
        "Write the scope lock of the project, or check it, and run nothing: `pytest-dpone lock` does it.",
        metavar="WAY",
    ),
    Row(
        "include-vendor-live",
        "DPONE_INCLUDE_VENDOR_LIVE",
        values.flag,
        "Needed for the profile vendor_live, which reaches systems that cost money.",
        kind="flag",
    ),
    Row(
        "max-rows",
        "DPONE_MAX_ROWS",
        values.count_or_none(1, _MOST_ROWS),
        "Rows that all cases together may load at first; further cases are not run.",
        metavar="N",
    ),
    Row(
        "max-seconds",
        "DPONE_MAX_SECONDS",
        values.count_or_none(1, _MOST_ROWS),
        "Seconds after the start of the run in which a case may begin; later ones are not run.",
        metavar="N",
    ),
    Row(
        "shard",
        "DPONE_SHARD",
        values.part,
        "Play one of N parts of the cases; `pytest-dpone merge` makes one run of all parts, and judges it.",
        metavar="I/N",
    ),
    Row(
        "durations",
        "DPONE_DURATIONS",
        values.plain,
        "A certification report, or a JSON object of seconds by case, to balance shards by; all shards need the same.",
        metavar="FILE",
    ),
    Row(
        "keep",
        "DPONE_KEEP",
        values.one_of("never", "failed", "always"),
        "Whose tables are left for a look: never, failed or always. Services that the run has started stay up, too.",
        default="never",
        metavar="WHEN",
    ),
    Row(
        "allow-slots",
        "DPONE_ALLOW_SLOTS",
        values.flag,
        "Let cdc make replication slots on a Postgres that is external; each is removed when its case is over.",
        kind="flag",
    ),
    Row(
        "selfcheck",
        "DPONE_SELFCHECK",
        values.flag,
        "Run the mutants, engines that are broken in one way each, and nothing else: every one must be found out.",
        kind="flag",
    ),
)
"""The rows in the order of `--help`."""
