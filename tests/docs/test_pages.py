"""What the pages show is so: code, commands, names, tables and links."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from pytest_dpone.cli.args import build_parser
from pytest_dpone.core.gates.tallies import tally
from pytest_dpone.core.known import KNOWN_FILE, read_known
from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import (
    ActName,
    ActRecord,
    Case,
    CaseRecord,
    Check,
    DiffReport,
    NotRun,
    RowDifference,
    ServiceRecord,
    Strategy,
    Verdict,
)
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import Job, RunFacts
from pytest_dpone.engines.command import Answer
from pytest_dpone.engines.mutants import MUTANTS
from pytest_dpone.engines.native import NativeEngine
from pytest_dpone.plugin.options import TABLE, VARIABLES
from pytest_dpone.plugin.suite.scratch import LACKS, SUITES
from pytest_dpone.report.terminal import count_line, summary_lines
from pytest_dpone.run.publication import Identity, Publication
from pytest_dpone.run.verdict import decide
from pytest_dpone.services import addresses
from pytest_dpone.services.embedded import clickhouse_http, kafka_real, postgres, s3
from pytest_dpone.services.project import PACKAGED
from pytest_dpone.services.table import SERVICES


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


pages = load(Path(__file__).with_name("pages.py"), "dpone_pages")
generate = load(pages.ROOT / "docs" / "generate.py", "dpone_docs_generate")

PAGES = pages.page_names()
BLOCKS = [block for page in PAGES for block in pages.blocks(page)]

NOT_RUN = {
    "make certify": "installs into .venv; what it prints is compared with the report's own text below",
    "make bench": "takes minutes of a quiet machine",
    "python3 -m venv .venv": "the tests have an environment already",
    ". .venv/bin/activate": "the tests have an environment already",
    "pip install 'pytest-dpone[embedded,xdist]'": "the tests have an environment already",
    "pytest --dpone-profile=local_live -n 2": "`make certify` does it",
    "pytest --dpone-profile=real_local -n auto": "docs/release.md goes this way, for a project that needs less",
    "ls test_artifacts/live_certification/matrix": "shows what the run before it left, which `make certify` makes",
    "pytest --dpone-selfcheck -n 2": "`make selfcheck` does it",
    "pytest --dpone-profile=local_live --dpone-services=postgres=embedded,clickhouse=embedded,minio=embedded": (
        "`make certify` does it"
    ),
    "pytest --dpone-profile=local_live --dpone-services=postgres=docker --dpone-image=postgres=postgres:16": (
        "needs Docker and a registry; tests/real/test_stack_docker.py has the provider"
    ),
    "pytest --dpone-profile=local_live --dpone-services=postgres=compose,clickhouse=compose,minio=compose": (
        "needs Docker and a registry; tests/real/test_container_runs.py has the provider"
    ),
    "docker compose -f docker/docker-compose.integration.yml up -d "
    "postgres mssql clickhouse kafka schema-registry minio": (
        "needs a registry; tests/services/test_compose_file.py reads the file, tests/real/test_container_runs.py uses it"
    ),
    "docker compose -f docker/docker-compose.integration.yml down --volumes": "tests/real/test_container_runs.py does it",
    "gh workflow run live-certification.yml --ref main -f profile=real_local -f release=v1.2.0 -f release_type=minor": (
        "needs GitHub; tests/rules/test_workflows.py has the inputs"
    ),
    "pytest-dpone serve postgres": "runs until Ctrl-C; tests/real/test_docs_stories.py serves for the commands after it",
    "pytest-dpone serve api": "runs until Ctrl-C; tests/docs/test_api_page.py serves for the commands after it",
    "gh attestation verify SHA256SUMS --repo pytest-dpone/pytest-dpone": "needs GitHub, and an attestation there",
    **dict.fromkeys(
        (command.text for command in pages.all_commands() if command.block.page == "docs/api.md"),
        "tests/docs/test_api_page.py plays the page against a server",
    ),
}
"""Commands that are not run by tests/real/test_docs_stories.py, and why."""


OWN_FILES = ("docs/release.md", "docs/evidence.md")
"""Pages whose files are their own, and no part of the example."""


def where(item: object) -> str:
    block = getattr(item, "block", item)
    return f"{block.page}:{block.line}"


def test_there_is_something_to_check() -> None:
    assert "README.md" in PAGES
    assert {"docs/quick-start.md", "docs/read-a-failure.md", "examples/own_engine/README.md"} <= set(PAGES)
    assert len(pages.all_commands()) > 20
    assert sum(block.language == "python" for block in BLOCKS) > 3


def test_every_fence_is_found() -> None:
    for page in PAGES:
        fences = sum(line.startswith("```") for line in pages.read(page).splitlines())
        assert fences == 2 * len(list(pages.blocks(page))), page


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    for block in BLOCKS:
        if block.page == "docs/architecture.md":
            assert block.language == ""
        elif block.language in ("ini", "json", "toml"):
            assert block.title, where(block)
        else:
            assert block.language in ("console", "python", "yaml"), where(block)


@pytest.mark.parametrize("page", sorted(generate.pages()))
def test_a_generated_page_is_what_the_code_says(page: str) -> None:
    assert (pages.ROOT / "docs" / page).read_text() == generate.pages()[page], "run: python docs/generate.py"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "toml"], ids=where)
def test_a_file_of_known_failures_is_read(block: object) -> None:
    title, text = getattr(block, "title", ""), getattr(block, "text", "")
    assert title == KNOWN_FILE, "another file needs a check of its own"
    planned = build_matrix(default_registry()).planned
    assert read_known(tomllib.loads(text), planned, name=title).failure


def test_the_readme_tells_the_number_of_mutants_once() -> None:
    numbers = re.findall(r"It runs (\d+) engines that are broken", pages.read("README.md"))
    assert numbers == [str(len(MUTANTS))], "the number is that of docs/mutants.md"
    assert f"## The {len(MUTANTS)} mutants" in pages.read("docs/mutants.md")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python" and not b.title], ids=where)
def test_code_without_a_file_runs(block: object) -> None:
    space = run_code(block.text)  # type: ignore[attr-defined]
    assert any(name.startswith("pytest_dpone_") for name in space)


def run_code(text: str) -> dict[str, object]:
    space: dict[str, object] = {"__name__": "page"}
    exec(compile(text, "<page>", "exec", dont_inherit=True), space)
    return space


def test_the_engine_of_the_readme_is_an_engine() -> None:
    (block,) = [b for b in BLOCKS if b.page == "README.md" and b.language == "python"]
    engine = run_code(block.text)["pytest_dpone_engine"]("mine")  # type: ignore[operator]
    assert f"--dpone-engine={engine.name}" in pages.read("README.md")
    known = [case for case in build_matrix(default_registry()).planned if engine.supports(case).status == "supported"]
    assert [case.case_id for case in known] == ["postgres_to_clickhouse__full_refresh"]


def test_the_rule_that_leaves_cases_out_does_so() -> None:
    (block,) = [b for b in BLOCKS if b.page.endswith("plug-in-your-engine.md") and "exclude" in b.text]
    registry = default_registry()
    run_code(block.text)["pytest_dpone_register"](registry)  # type: ignore[operator]
    matrix = build_matrix(registry)
    assert not any("minio" in case.case_id for case in matrix.planned)
    assert any(row.reason == "we have no S3" for row in matrix.excluded)


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.title and b.title != KNOWN_FILE and b.page not in OWN_FILES], ids=where
)
def test_a_shown_file_is_the_example(block: object) -> None:
    path = pages.EXAMPLE / block.title  # type: ignore[attr-defined]
    if path.exists():
        assert block.text == path.read_text()  # type: ignore[attr-defined]
    else:
        assert block.title in ("test_copy.py", "supports.json"), "a file that is no part of the example"  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES)
def test_options_and_variables_exist(page: str) -> None:
    text = pages.read(page)
    options = {row.option for row in TABLE} | {"--dpone-"}
    assert set(re.findall(r"--dpone-[a-z-]*", text)) <= options
    parts = {f"DPONE_POSTGRES_{part}" for part in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")}
    parts |= {f"DPONE_KAFKA_{part}" for part in ("BOOTSTRAP", "USER", "PASSWORD", "SASL", "TLS", "CA")}
    variables = {name for service in SERVICES.values() for name in service.variables}
    composed = set(re.findall(r"DPONE_[A-Z_]+", PACKAGED.read_text()))
    known = {row.env for row in TABLE} | set(VARIABLES) | parts | variables | composed
    known |= {postgres.BIN_VARIABLE, "DPONE_"}
    known |= {kafka_real.OUR_VARIABLE, addresses.SESSION_VARIABLE}
    assert set(re.findall(r"\bDPONE_[A-Z_]*", text)) <= known


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page: str) -> None:
    for link in pages.links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (pages.ROOT / page).parent / path if path else pages.ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in pages.anchors(target.read_text()), f"{page}: {link}"


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[str] = set()
    todo = ["README.md"]
    while todo:
        page = todo.pop()
        seen.add(page)
        targets = [link.partition("#")[0] for link in pages.links(page) if not link.startswith("https://")]
        found = [
            ((pages.ROOT / page).parent / t).resolve().relative_to(pages.ROOT) for t in targets if t.endswith(".md")
        ]
        todo += [str(path) for path in found if str(path) not in seen]
    assert set(PAGES) - seen <= {"docs/index.md", "examples/own_engine/README.md", "examples/own_family/README.md"}


def test_the_answer_that_is_shown_is_one() -> None:
    (block,) = [b for b in BLOCKS if b.title == "supports.json"]
    answer = Answer.model_validate_json(block.text)
    assert [rule.status for rule in answer.supports] == ["supported", "not implemented yet"]


def test_what_is_not_run_is_there() -> None:
    assert set(NOT_RUN) <= {command.text for command in pages.all_commands()}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (pages.ROOT / "Makefile").read_text(), re.M))
    named = {
        word
        for page in PAGES
        for match in re.findall(r"`?make ((?:[a-z-]+ ?)+)`", pages.read(page))
        for word in match.split()
    }
    named |= {c.text.split()[1] for c in pages.all_commands() if c.text.startswith("make ")}
    assert {"certify", "test", "bench"} <= named
    assert named <= targets


def test_extras_that_are_installed_exist() -> None:
    project = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())["project"]
    named = {
        e
        for page in PAGES
        for found in re.findall(r"pytest-dpone\[([a-z,]+)\]", pages.read(page))
        for e in found.split(",")
    }
    assert {"embedded", "xdist", "docker"} <= named <= set(project["optional-dependencies"])


COLLECTED = [command for command in NOT_RUN if command.startswith("pytest --dpone")]


@pytest.mark.parametrize("command", COLLECTED)
def test_a_command_that_is_not_run_is_understood(command: str, pytester: pytest.Pytester) -> None:
    program, *words = command.split()
    assert program == "pytest"
    light = ("-p", "no:hypothesispytest", "-p", "no:anyio")  # else each run loads them anew
    done = pytester.runpytest_inprocess(*light, *words, "--collect-only", "-q")
    assert done.ret == 0, done.stdout.str() + done.stderr.str()
    assert "dpone/test_" in done.stdout.str()


def test_the_readme_shows_what_a_certification_prints() -> None:
    (command,) = [c for c in pages.all_commands() if c.text == "make certify"]
    engine, registry = NativeEngine(), default_registry()
    matrix = build_matrix(registry)
    records = [record_of(case, engine) for case in matrix.planned]
    decision = decide(records, profile="local_live", matrix_size=len(records))
    counts = count_line(records, planned=len(matrix.planned), excluded=len(matrix.excluded))
    text = "\n".join([*(line.text for line in summary_lines(records, width=80)), counts, decision.headline])
    assert decision.passed
    assert pages.shows(command.output, text), text
    numbers = [int(n) for n in re.findall(r"That makes (\d+)\s+cases", pages.read("README.md"))]
    passed = sum(record.verdict is Verdict.PASSED for record in records)
    assert numbers == [passed, len(records) - passed]
    assert decision.headline in pages.read("docs/quick-start.md")
    registry.staging = "minio"
    both = [record_of(case, engine) for case in build_matrix(registry).planned]
    staged = sum(record.verdict is Verdict.PASSED for record in both) - passed
    assert f"{staged} cases more of these services" in pages.read("README.md")


def record_of(case: Case, engine: NativeEngine) -> CaseRecord:
    if "mssql" in (case.source, case.sink):
        return CaseRecord.of(case, Verdict.NOT_RUN, reason=NotRun.UNAVAILABLE, detail="no SQL Server")
    support = engine.supports(case)
    if support.status != "supported":
        return CaseRecord.of(case, Verdict.NOT_RUN, reason=NotRun.NOT_IMPLEMENTED, detail=support.reason)
    check = Check(name="rows", passed=True)
    act = ActRecord(name=ActName.LOAD, passed=True, checks=(check,), diff=DiffReport(expected_rows=1, actual_rows=1))
    services = {
        "postgres": ("PostgreSQL", "18.6", "real", ""),
        "clickhouse": ("ClickHouse", "26.9.2.1", "engine", clickhouse_http.EMULATED),
        "minio": ("moto", "5.2.5", "emulated", s3.EMULATED),
    }
    used = tuple(
        ServiceRecord(
            name=name, provider="embedded", product=product, version=version, fidelity=fidelity, emulated=emulated
        )  # type: ignore[arg-type]
        for name, (product, version, fidelity, emulated) in services.items()
        if name in (case.source, case.sink, case.via)
    )
    return CaseRecord.of(case, Verdict.PASSED, acts=(act,), services=used)


def test_the_artifacts_page_names_every_field(tmp_path: Path) -> None:
    case = Case("postgres", "postgres", Strategy.FULL_REFRESH)
    record = CaseRecord.of(case, Verdict.NOT_RUN, reason=NotRun.CRASHED)
    publication = Publication(tmp_path, Identity(run_id="r", profile="local_live", run_mode="real_local"))
    decision = decide([record], profile="local_live", matrix_size=1)
    behavior = json_of(publication.case(record))
    report = json_of(publication.report([record], [tally(record)], decision, excluded=(), matrix_size=1))
    page = "docs/artifacts.md"
    common = pages.fields(page, "## Fields of the two matrix files")
    assert pages.fields(page, "## certification_report.json") | common == set(report)
    assert {"case_id", "record"} | common == set(behavior)
    assert pages.fields(page, "`case_id`, and `record`:") == set(behavior["record"])
    row = report["cases"][0]
    (told,) = [line for line in pages.read(page).splitlines() if line.startswith("| `cases` |")]
    assert set(re.findall(r"`(\w+)`", told)) - {"cases", "null"} == set(row)
    for heading, model in {
        "Each of `acts`:": ActRecord,
        "Each of `checks`:": Check,
        "`diff`:": DiffReport,
        "Each of `samples`:": RowDifference,
        "Each of `services`:": ServiceRecord,
    }.items():
        assert pages.fields(page, heading) == set(model.model_fields), heading


def json_of(path: Path) -> dict:  # type: ignore[type-arg]
    from pytest_dpone.evidence.artifacts import read_json

    return read_json(path)


def test_jobs_and_facts_are_told_whole() -> None:
    page = "docs/plug-in-your-engine.md"
    assert pages.fields(page, "## What a job holds") == set(Job.model_fields)
    assert pages.fields(page, "## What the facts hold") == set(RunFacts.model_fields)


def test_reasons_for_not_running_are_told() -> None:
    told = pages.fields("docs/read-a-failure.md", "## What did not run")
    assert told == {str(reason) for reason in NotRun} - {"budget"}


def test_images_are_those_of_the_services() -> None:
    told = re.findall(r"^\| (\w+) \| `([^`]+)` \|$", pages.read("docs/services.md"), re.M)
    assert dict(told) == {name: row.image.reference for name, row in SERVICES.items() if row.image is not None}


def test_the_service_tests_are_told() -> None:
    text = pages.read("docs/services.md").split("## What the service tests check", 1)[1]
    rows = [
        (found[1], *(cell.strip() for cell in found[2].split("|")))
        for found in re.finditer(r"^\| `(\w+)` \|(.+)\|$", text, re.M)
    ]
    services, registry, api = (
        {
            name.removeprefix("test_")
            for name in vars(importlib.import_module(f"pytest_dpone.plugin.suite.test_{suite}"))
            if name.startswith("test_")
        }
        for suite in SUITES
    )
    assert {name for name, cell, _ in rows if cell} == services
    assert {name for name, _, cell in rows if cell and not cell.startswith("– ")} == registry
    lacking = {name: cell.removeprefix("– ").rstrip(".") for name, _, cell in rows if cell.startswith("– ")}
    assert {name: cell[0].lower() + cell[1:] for name, cell in lacking.items()} == LACKS["schema_registry"]
    assert services - registry == set(lacking)
    (told,) = re.findall(r"^The API has (.+?):", text, re.M | re.S)
    assert set(re.findall(r"`(\w+)`", told)) == api


def test_the_commands_page_has_every_command() -> None:
    told = {name.split()[1] for name in pages.fields("docs/reference/commands.md", "# Commands")}
    (actions,) = [action for action in build_parser()._actions if action.dest == "command"]
    assert told == set(actions.choices or ())


def test_the_threats_are_tested() -> None:
    table = pages.read("docs/evidence.md").split("## Threats", 1)[1].split("\n\n", 2)[1]
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert len(rows) > 12
    source = "\n".join(path.read_text() for path in sorted((pages.ROOT / "tests").rglob("test_*.py")))
    for row in rows:
        names = re.findall(r"`(test_\w+)`", row[2])
        assert names, row
        for name in names:
            assert f"def {name}(" in source, name


def test_the_policy_is_told_whole() -> None:
    from pytest_dpone.core.gates.policy import VerificationPolicy

    text = pages.read("docs/evidence.md").split("| field | meaning |\n|---|---|\n", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) == set(VerificationPolicy.model_fields) - {"schema_"}


def test_the_architecture_names_what_there_is() -> None:
    rows = re.findall(r"^\| (`[a-z].*?`) \| (`.+?) \| .+ \|$", pages.read("docs/architecture.md"), re.M)
    assert len(rows) > 20
    for places, names in rows:
        modules = [importlib.import_module(f"pytest_dpone.{place}") for place in re.findall(r"`([\w.]+)`", places)]
        for name in re.findall(r"`(\w+)`", names):
            assert any(has(module, name) for module in modules), f"{places}: {name}"


def has(module: ModuleType, name: str) -> bool:
    """If `name` is in the module, or is a module of the package."""
    if hasattr(module, name):
        return True
    return hasattr(module, "__path__") and importlib.util.find_spec(f"{module.__name__}.{name}") is not None


def test_benchmarks_are_told_whole() -> None:
    bench = load(pages.ROOT / "benchmarks" / "run.py", "dpone_benchmarks")
    assert pages.fields("docs/benchmarks.md", "# Benchmarks") == set(bench.BENCHMARKS)


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        (("a  b",), "a b\n", True),
        (("took 1.2 s",), "took 34.5 s", True),
        (("passed in 3.80s",), "== passed in 80.31s (0:01:20) ==", True),
        (("PostgreSQL 18.6 (x)",), "PostgreSQL 17.1.2 (x)", True),
        (("…", "b"), "x\ny\nb", True),
        (("a … c",), "a b b c", True),
        (("a",), "a\nb", False),
        (("b",), "a\nb", False),
        (("29 changed",), "30 changed", False),
        (("a … c",), "a b\nc", False),
        (("…", "b", "…"), "a\nc", False),
        ((), "something", False),
    ],
)
def test_shown_output_is_compared(expected: tuple[str, ...], actual: str, same: bool) -> None:
    assert pages.shows(expected, actual) is same
