"""One table drives the options, the ini keys, the environment, the help and the reference page."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from pytest_dpone.core.registry import default_registry
from pytest_dpone.plugin import chosen, options, values
from pytest_dpone.run.settings import RunSettings

from .conftest import Project

ROOT = Path(__file__).parents[2]
FULL = "--dpone-profile=local_live"


def test_the_reference_page_is_what_the_table_says() -> None:
    page = ROOT / "docs" / "reference" / "options.md"
    assert page.read_text() == chosen.reference_page(), "write it anew: chosen.reference_page()"


def test_rows_and_fields_agree() -> None:
    others = ("origins", "declared")
    assert [row.field for row in options.TABLE] == [f.name for f in fields(chosen.Options) if f.name not in others]
    assert len({row.env for row in options.TABLE}) == len(options.TABLE)


def test_the_services_are_those_of_the_registry() -> None:
    assert default_registry().services == values.SERVICES


def test_defaults_are_those_of_the_run_settings() -> None:
    parsed = chosen.parse({})
    settings = RunSettings(run_id="x")
    for name in ("seed", "rows", "change_ratio", "delete_ratio", "dataset", "keep"):
        assert getattr(parsed, name) == getattr(settings, name), name
    assert parsed.batch_rows is None, "the run settings then derive it from the rows"


def test_help_names_option_variable_ini_key_and_default(project: Project) -> None:
    result = project.run("--help")
    text = " ".join(result.stdout.str().split())
    assert "--dpone-rows=N" in text
    assert "(env: DPONE_MATRIX_ROW_COUNT; ini: dpone_rows; default: 1000)" in text
    for row in options.TABLE:
        assert row.option in text
        assert f"env: {row.env}" in text


def test_precedence_is_option_then_environment_then_ini_then_default(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(*arguments: str) -> str:
        result = project.run(FULL, "--collect-only", *arguments)
        assert result.ret == 0
        return next(line for line in result.outlines if line.startswith("dpone: profile"))

    assert "rows 1000 (default)" in shown()
    project.pytester.makeini("[pytest]\ndpone_rows = 11\ndpone_strategy =\n  scd2\n  repl*")
    assert "rows 11 (ini)" in shown()
    assert "strategy scd2,repl* (ini)" in shown()
    monkeypatch.setenv("DPONE_MATRIX_ROW_COUNT", "12")
    assert "rows 12 (environment)" in shown()
    assert "rows 13 (option)" in shown("--dpone-rows=13")


def test_the_header_names_run_profile_and_scope(project: Project) -> None:
    result = project.run(FULL, "--collect-only", "--dpone-strategy", "scd2,replace")
    result.stdout.re_match_lines([r"dpone: run [0-9a-f]{18}, local_live, 2 of 3 planned cases"])
    result.stdout.fnmatch_lines(["*strategy scd2,replace (option)*"])


def test_staging_that_stages_nothing_is_wrong_use(project: Project) -> None:
    result = project.run(FULL, "--dpone-staging=minio")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--dpone-staging=minio stages nothing: *no case into clickhouse*"])
    project.pytester.makeini("[pytest]\ndpone_staging = minio\n")
    assert project.run(FULL).ret == 0


def test_staged_cases_are_planned_beside_the_direct_ones(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ndpone_staging = minio\n")
    case = "postgres_to_clickhouse*__full_refresh"
    result = pytester.runpytest_inprocess(f"--dpone-case={case}", "--collect-only", "-q")
    names = [line.partition("[")[2].rstrip("]") for line in result.outlines if "test_case[" in line]
    assert names == ["postgres_to_clickhouse__full_refresh", "postgres_to_clickhouse_via_minio__full_refresh"]
    simulated = pytester.runpytest_inprocess(
        "--dpone-run-mode=mock_local", f"--dpone-case={case}", "--collect-only", "-q"
    )
    assert not any("via_minio" in line for line in simulated.outlines)
    result = pytester.runpytest_inprocess(
        "--dpone-run-mode=mock_local", "--dpone-staging=minio", f"--dpone-case={case}"
    )
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*contradicts --dpone-staging: it has no objects*"])


def test_no_secret_is_shown(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPONE_POSTGRES_URL", "postgresql://user:canary-7f3@127.0.0.1:1/db")
    result = project.run(FULL, "-vv")
    assert result.ret == 0
    everything = result.stdout.str() + result.stderr.str()
    written = "".join(path.read_text() for path in project.artifacts.rglob("*") if path.is_file())
    assert "canary-7f3" not in everything
    assert written
    assert "canary-7f3" not in written


BAD = [
    ("--dpone-rows=0", "--dpone-rows: '0' is not a whole number of 1 or more"),
    ("--dpone-rows=-5", "--dpone-rows: '-5' is not a whole number of 1 or more"),
    ("--dpone-rows=many", "--dpone-rows: 'many' is not a whole number of 1 or more"),
    *(
        (f"--dpone-{name}=", f"--dpone-{name}: the value is empty")
        for name in ("rows", "batch-rows", "dataset", "keep")
    ),
    *((f"--dpone-{name}= ", f"--dpone-{name}: the value is empty") for name in ("case", "services", "artifact-dir")),
    ("--dpone-rows=1000000001", "--dpone-rows: '1000000001' is more than 1000000000"),
    ("--dpone-batch-rows=1000001", "--dpone-batch-rows: '1000001' is more than 1000000"),
    ("--dpone-rows=1e3", "--dpone-rows: '1e3' is not a whole number of 1 or more"),
    ("--dpone-rows=٣", "--dpone-rows: '٣' is not a whole number of 1 or more"),
    ("--dpone-batch-rows=0", "--dpone-batch-rows: '0' is not a whole number of 1 or more"),
    ("--dpone-seed=-1", "--dpone-seed: '-1' is not a whole number of 0 or more"),
    ("--dpone-change-ratio=1.01", "--dpone-change-ratio: '1.01' is not a ratio between 0 and 1"),
    ("--dpone-change-ratio=nan", "--dpone-change-ratio: 'nan' is not a ratio between 0 and 1"),
    ("--dpone-delete-ratio=-0.1", "--dpone-delete-ratio: '-0.1' is not a ratio between 0 and 1"),
    ("--dpone-delete-ratio=0.3", "--dpone-delete-ratio 0.3 is more than --dpone-change-ratio 0.2"),
    (
        "--dpone-profile=local",
        "--dpone-profile: unknown value 'local'\nhint: did you mean",
    ),
    ("--dpone-profile=vendor_live", "the profile vendor_live runs on systems that cost money\nhint: give --dpone-incl"),
    ("--dpone-include-vendor-live", "--dpone-include-vendor-live contradicts the profile local_live"),
    ("--dpone-max-rows=0", "--dpone-max-rows: '0' is not a whole number of 1 or more"),
    ("--dpone-max-seconds=1.5", "--dpone-max-seconds: '1.5' is not a whole number of 1 or more"),
    ("--dpone-run-mode=mock", "--dpone-run-mode: unknown value 'mock'\nhint: did you mean mock_local?"),
    ("--dpone-engine=natif", "no engine 'natif'\nhint: did you mean native?"),
    ("--dpone-dataset=tiny", "--dpone-dataset: unknown value 'tiny'\nhint: known: standard, narrow, empty, single"),
    ("--dpone-keep=sometimes", "--dpone-keep: unknown value 'sometimes'"),
    ("--dpone-services=postgres", "--dpone-services: 'postgres' is not service=docker"),
    ("--dpone-services=postgres=podman", "unknown value 'podman'\nhint: known: auto, docker, embedded, external"),
    ("--dpone-services=postgre=docker", "unknown value 'postgre'\nhint: did you mean postgres?"),
    ("--dpone-services=minio=docker,minio=embedded", "--dpone-services: minio is set more than once"),
    ("--dpone-image=postgres= ;rm -rf", "is not an image reference"),
    (
        "--dpone-case=alpha_to_beta__scd",
        "no planned case has the case 'alpha_to_beta__scd'\nhint: did you mean alpha_to",
    ),
    ("--dpone-case=alpha_to_beta__cdc", "the case 'alpha_to_beta__cdc' is excluded: not in this project"),
    ("--dpone-case=a b", "--dpone-case: 'a b' is neither a name nor a glob"),
    ("--dpone-case=x,,y", "--dpone-case: an empty name in the list"),
    ("--dpone-source=alfa", "no planned case has the source 'alfa'\nhint: did you mean alpha?"),
    ("--dpone-sink=alpha", "no planned case has the sink 'alpha'"),
    ("--dpone-strategy=scd3", "no planned case has the strategy 'scd3'\nhint: did you mean scd2?"),
    ("--dpone-artifact-dir=fake.json/below", "fake.json/below can't be written or read: Not a directory"),
]


@pytest.mark.parametrize(("argument", "text"), BAD, ids=lambda v: v[:40])
def test_wrong_values_are_wrong_use(project: Project, argument: str, text: str) -> None:
    arguments = [argument] if argument.startswith("--dpone-profile") else [FULL, argument]
    result = project.run(*arguments)
    assert result.ret == 4
    assert text in result.stderr.str()
    assert "hint: " in result.stderr.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert not project.artifacts.exists()


def test_a_compose_file_that_is_not_there_is_wrong_use(pytester: pytest.Pytester) -> None:
    case = "--dpone-case=postgres_to_postgres__full_refresh"
    result = pytester.runpytest_inprocess(case, "--dpone-compose-file=none.yml")
    assert result.ret == 4
    assert f"there is no compose file {pytester.path / 'none.yml'}" in result.stderr.str()
    assert "hint: " in result.stderr.str()


@pytest.mark.parametrize(
    ("place", "name", "told"),
    [
        ("environment", "DPONE_MATRIX_ROW_COUNT", "DPONE_MATRIX_ROW_COUNT: 'x' is not"),
        ("ini", "dpone_rows", "ini key dpone_rows: 'x' is not"),
        ("environment", "DPONE_MATRIX_RUN_MODE", "DPONE_MATRIX_RUN_MODE: unknown value 'x'"),
    ],
)
def test_an_error_names_the_place(
    project: Project, monkeypatch: pytest.MonkeyPatch, place: str, name: str, told: str
) -> None:
    if place == "environment":
        monkeypatch.setenv(name, "x")
    else:
        project.pytester.makeini(f"[pytest]\n{name} = x")
    result = project.run(FULL)
    assert result.ret == 4
    assert told in result.stderr.str()


def test_an_empty_selection_is_wrong_use(project: Project) -> None:
    result = project.run("--dpone-case=*__scd2", "--dpone-strategy=replace")
    assert result.ret == 4
    assert "the selection leaves no case" in result.stderr.str()


@pytest.mark.parametrize(
    ("variable", "arguments", "told"),
    [
        ("DPONE_RUN_INTEGRATION=0", ["--dpone-profile=local_live"], "contradicts --dpone-profile"),
        ("DPONE_RUN_INTEGRATION_MATRIX=0", ["--dpone-case=*"], "contradicts --dpone-case"),
        ("DPONE_RUN_INTEGRATION_LIVE=1", ["--dpone-profile=local_live"], "contradicts the profile local_live"),
    ],
)
def test_a_variable_that_contradicts_an_option_is_wrong_use(
    project: Project, monkeypatch: pytest.MonkeyPatch, variable: str, arguments: list[str], told: str
) -> None:
    monkeypatch.setenv(*variable.split("="))
    result = project.run(*arguments)
    assert result.ret == 4
    assert f"ERROR: {variable} {told}" in result.stderr.str()


@pytest.mark.parametrize("dataset", ["empty", "single"])
def test_a_release_profile_refuses_a_dataset_that_proves_too_little(project: Project, dataset: str) -> None:
    result = project.run("--dpone-profile=real_local", f"--dpone-dataset={dataset}")
    assert result.ret == 4
    assert f"--dpone-dataset={dataset} proves too little" in result.stderr.str()
    assert project.run(FULL, f"--dpone-dataset={dataset}").ret == 0


@pytest.mark.parametrize(
    ("little", "nobody"),
    [
        (["--dpone-rows=10"], "reinsert, insert_at_tie, insert_late"),
        (["--dpone-change-ratio=0.000001", "--dpone-delete-ratio=0.0000001"], "delete, reinsert"),
    ],
)
def test_a_release_profile_refuses_rows_too_few_for_all_that_can_happen(
    project: Project, little: list[str], nobody: str
) -> None:
    result = project.run("--dpone-profile=real_local", *little)
    assert result.ret == 4
    assert "has no row for: " in result.stderr.str()
    assert nobody in result.stderr.str()
    assert project.run(FULL, *little).ret == 0


@pytest.mark.parametrize(
    "other", ["--dpone-case=*", "--dpone-source=alpha", "--dpone-engine=native", "--dpone-profile=real_local"]
)
def test_the_selfcheck_goes_with_no_selection(project: Project, other: str) -> None:
    result = project.run("--dpone-selfcheck", other)
    assert result.ret == 4
    assert f"--dpone-selfcheck contradicts {other.partition('=')[0]}" in result.stderr.str()


def test_a_rerun_repeats_providers_and_images_unless_a_file_says_them() -> None:
    from pytest_dpone.plugin.session import _rerun_options

    raw = {"services": ("postgres=docker,minio=embedded", "option"), "image": (["postgres=pg:17"], "ini")}
    parsed = chosen.parse(raw)  # type: ignore[arg-type]
    assert _rerun_options(parsed) == ("--dpone-services=postgres=docker", "--dpone-services=minio=embedded")
    assert _rerun_options(chosen.parse({})) == ()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--dpone-engine=command",),
            "*the engine command needs to know the command*",
        ),
        (
            ("--dpone-engine=command", "--dpone-engine-command=no-such-program x"),
            "*the engine's command 'no-such-program' is not there, or is no program*",
        ),
        (
            ("--dpone-engine-command=cat",),
            "*--dpone-engine-command is for the engine command, and the engine is native*",
        ),
        (("--dpone-case-timeout=0",), "*--dpone-case-timeout: *0*"),
    ],
)
def test_a_command_that_can_not_be_had_is_wrong_use(project: Project, arguments: tuple[str, ...], told: str) -> None:
    result = project.run(FULL, *arguments)
    assert result.ret == 4
    result.stderr.fnmatch_lines([told, "hint: *"])


def test_a_rerun_has_the_command_and_the_time() -> None:
    from pytest_dpone.plugin.session import _rerun_options

    given = {"engine": "command", "engine_command": "node mover.js", "case_timeout": "60"}
    by_option = chosen.parse({name: (value, "option") for name, value in given.items()})
    assert _rerun_options(by_option) == ("--dpone-engine-command=node mover.js", "--dpone-case-timeout=60")
    assert _rerun_options(chosen.parse({name: (value, "ini") for name, value in given.items()})) == ()
