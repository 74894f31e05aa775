"""A run in shards: each plays its part and says no more, and together they are the run that was not cut."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_dpone.cli.main import main
from pytest_dpone.core.gates.documents import SHARD, SHARDS, content_sha256, json_schemas
from pytest_dpone.core.strict import indented

from .conftest import LIGHT, Project
from .test_session_end import ALWAYS, FOR_RELEASE, documents, run_id_of

RELEASE = "--dpone-profile=real_local"
LOCAL = "--dpone-profile=local_live"
SIX = ("full_refresh", "incremental_append", "replace", "snapshot_diff", "scd2", "backfill")
FIRST = "alpha_to_beta__full_refresh"
TIMING = {
    "polls",
    "run_id",
    "generated_at",
    "content_sha256",
    "seconds",
    "engine_seconds",
    "harness_seconds",
    "finished_at",
}


def read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def without_timing(value: object) -> object:
    """What two runs of the same have in common."""
    if isinstance(value, dict):
        return {
            name: without_timing(item)
            for name, item in value.items()
            if name not in TIMING and not name.startswith("seconds.") and "memory" not in name
        }
    return [without_timing(item) for item in value] if isinstance(value, list) else value


def records(matrix: Path) -> dict[str, object]:
    """All documents of a matrix but what differs in every run."""
    return {path.name: without_timing(read(path)) for path in sorted(matrix.glob("*.json"))}


def shards(project: Project, count: int, *arguments: str, status: int = 0) -> list[Path]:
    """Run every shard; returns their folders."""
    for index in range(1, count + 1):
        result = project.run(*arguments, f"--dpone-shard={index}/{count}")
        assert result.ret == status, result.stdout.str() + result.stderr.str()
    return [project.artifacts / "shards" / f"{index}-of-{count}" for index in range(1, count + 1)]


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a document, and give it a digest that fits: by somebody who knows how."""
    data = read(path)
    change(data)
    del data["content_sha256"]
    path.write_bytes(indented({**data, "content_sha256": content_sha256(data)}))


def merged(project: Project) -> dict[str, Any]:
    return read(project.path / "out" / "shards.json")


@pytest.fixture
def merge(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`merge(folders)` → exit status, and what was printed."""

    def run(folders: list[Path], output: str = "out") -> tuple[int, str]:
        monkeypatch.chdir(project.path)
        capsys.readouterr()
        status = main(["merge", *map(str, folders), "--output-dir", output])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


PAIR = (
    "--dpone-source=postgres",
    "--dpone-sink=minio,kafka",
    "--dpone-strategy=full_refresh,replace,cdc",
    "--dpone-rows=20",
    "--dpone-dataset=narrow",
)


@pytest.mark.apart
def test_three_shards_of_a_simulated_run_are_the_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = (*LIGHT, "--dpone-run-mode=mock_local", *PAIR)
    whole = pytester.runpytest_inprocess(*run, "--dpone-artifact-dir=whole")
    assert whole.ret == 0, whole.stdout.str()
    for index, size in ((1, 2), (2, 2), (3, 1)):
        part = pytester.runpytest_inprocess(*run, f"--dpone-shard={index}/3", "--dpone-artifact-dir=parts")
        assert part.ret == 0, part.stdout.str()
        part.stdout.fnmatch_lines([f"SHARD {index} of 3: {size} of {size} cases of this shard behaved; *"])
    monkeypatch.chdir(pytester.path)
    assert main(["merge", "parts", "--output-dir", "out"]) == 0
    told = capsys.readouterr().out.splitlines()
    expected = records(next((pytester.path / "whole").rglob("matrix")))
    assert len(expected) == 6
    assert records(pytester.path / "out" / "matrix") == expected
    headline = [line for line in whole.outlines if line.startswith("SIMULATED (")]
    assert (
        [told[-1]] == headline == ["SIMULATED (5 of 5 selected cases (of 216 planned) behaved; no real row was moved)"]
    )
    assert read(pytester.path / "out/matrix/certification_report.json")["passed"] is False, "it is simulated"
    other = pytester.runpytest_inprocess(*run, "--dpone-shard=3/3", "--dpone-artifact-dir=parts", "--dpone-seed=2")
    assert other.ret == 0
    assert main(["merge", "parts", "--output-dir", "out"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert "  shard_3.other_settings" in told
    assert told[-1].startswith(
        "FAILED: 5 of 5 selected cases (of 216 planned) behaved; no real row was moved; 1 blocker"
    )
    assert "shard_3.other_settings" in read(pytester.path / "out/matrix/certification_report.json")["blockers"]


def test_shards_with_red_and_unplayed_cases_are_the_run(project: Project, merge: Callable[..., Any]) -> None:
    project.behave({"*__replace": "fail", "*__scd2": "todo"}, strategies=SIX)
    whole = project.run(LOCAL)
    assert whole.ret == 1
    expected = records(project.artifacts / "matrix")
    assert sorted(project.run(LOCAL, f"--dpone-shard={index}/3").ret for index in (1, 2, 3)) == [0, 0, 1]
    status, told = merge([project.artifacts / "shards"])
    assert status == 1, told
    assert records(project.path / "out" / "matrix") == expected, told
    assert told.splitlines()[-1] == "FAILED: 4 of 6 planned cases passed; 1 failed; 1 not implemented yet"
    assert whole.outlines[-2] == told.splitlines()[-1]
    assert merged(project)["passed"] is True, "the shards fit; the cases are red"


@pytest.mark.apart
def test_a_shard_with_workers_is_the_shard(project: Project) -> None:
    pytest.importorskip("xdist")
    project.behave({"*__full_refresh": "fail"}, strategies=SIX)
    (project.path / "test_mine.py").write_text("def test_mine(dpone_case): pass\n")
    seconds = {f"alpha_to_beta__{name}": 3.5 if name == "scd2" else 0.5 for name in SIX}
    (project.path / "seconds.json").write_text(json.dumps(seconds))
    found = []
    for words in ([], ["-n2"]):
        run = project.run_apart if words else project.run
        result = run(LOCAL, "--dpone-shard=2/2", "--dpone-durations=seconds.json", *words)
        assert result.ret == 1
        folder = project.artifacts / "shards/2-of-2"
        facts = read(folder / "shard.json")["facts"]
        found.append((records(folder / "matrix"), facts["cases"], facts["frame"], facts["markers"]))
    assert found[0] == found[1]
    assert set(found[0][1]) == {f"alpha_to_beta__{name}" for name in SIX} - {"alpha_to_beta__scd2"}


def test_shards_of_a_release_are_go_together_and_never_alone(release: Project, merge: Callable[..., Any]) -> None:
    folders = shards(release, 2, RELEASE)
    for index, folder in enumerate(folders, 1):
        document = read(folder / "shard.json")
        jsonschema.Draft202012Validator(json_schemas()["shard.schema.json"]).validate(document)
        assert (document["schema"], document["passed"], document["blockers"]) == (SHARD.schema, False, ["scope.shard"])
        report = read(folder / "matrix/certification_report.json")
        assert (report["word"], report["passed"], report["blockers"]) == ("SHARD", False, ["scope.shard"])
        assert documents(folder) == {"shard", "matrix/certification_report"}, "no gate, no pack"
        assert len(report["cases"]) == 1
        assert report["headline"].startswith(f"SHARD {index} of 2: 1 of 1 cases of this shard passed; ")
    status, told = merge(folders)
    assert status == 0, told
    assert told.splitlines()[-1] == "GO (2 of 2 planned cases passed; the ini file plans 2 of 3)"
    out = release.path / "out"
    assert documents(out) == ALWAYS | FOR_RELEASE | {"shards"}
    document = merged(release)
    jsonschema.Draft202012Validator(json_schemas()["shards.schema.json"]).validate(document)
    assert (document["schema"], document["passed"]) == (SHARDS.schema, True)
    run_ids = {run_id_of(read(path)) for path in out.rglob("*.json") if "evidence-chain" not in path.parts}
    assert len(run_ids) == 1
    assert run_ids.isdisjoint(read(folder / "shard.json")["run_id"] for folder in folders)
    assert read(out / "service_markers.json")["facts"]["markers"]["integration_postgres"]["passed"] == 1
    exhibits = read(out / "certification-pack/connector_certification_pack.json")["facts"]["exhibits"]
    assert "shards" in {row["name"] for row in exhibits}
    junit = (out / "junit.xml").read_text()
    assert junit.count("<testcase ") == 3
    assert run_ids.pop() in junit[:4096]
    assert (
        main(
            [
                "ops",
                "release-evidence-pack",
                "--release",
                "v0.7.1",
                "--profile",
                "real_local",
                "--artifact",
                f"evidence_chain={out}/evidence-chain/evidence_chain_index.json",
            ]
        )
        == 1
    ), "only a part"
    again, told = merge(folders)
    assert (again, told.splitlines()[-1][:3]) == (0, "GO ")


def test_metrics_and_plan_are_those_of_the_whole(release: Project, merge: Callable[..., Any]) -> None:
    assert release.run(RELEASE).ret == 0
    assert merge(shards(release, 2, RELEASE))[0] == 0
    out, whole = release.path / "out", release.artifacts
    for name in ("plan/live_certification_plan", "observability/runtime_metrics", "service_markers", "scope_lock",
                 "state_evidence", "pre-release/pre_release_checklist", "benchmark-slo/benchmark_slo_gate"):  # fmt: skip
        mine, theirs = (without_timing(read(folder / f"{name}.json")["facts"]) for folder in (out, whole))
        for facts in (mine, theirs):
            assert isinstance(facts, dict)
            for changing in ("estimated_seconds", "estimated_cases", "estimated_rows"):
                facts.pop(changing, None)
        assert mine == theirs, name


def red(project: Project, merge: Callable[..., Any], folders: list[Path], *blockers: str) -> str:
    """The merge is NO-GO for these reasons, of which its own document names each."""
    status, told = merge(folders)
    assert status == 1, told
    assert told.splitlines()[-1].startswith("NO-GO: ")
    assert set(blockers) <= set(merged(project)["blockers"])
    for blocker in blockers:
        assert blocker in told
    pack = read(project.path / "out/certification-pack/connector_certification_pack.json")
    assert pack["passed"] is False
    assert not any(read(path)["passed"] for path in (project.path / "out").rglob("*release_evidence_pack.json"))
    return str(told)


def test_a_missing_shard_is_red(release: Project, merge: Callable[..., Any]) -> None:
    folders = shards(release, 2, RELEASE)
    told = red(release, merge, folders[:1], "shard_2.missing")
    assert "alpha_to_beta__scd2.not_run" in told
    row = read(release.path / "out/matrix/certification_report.json")["cases"][1]
    assert (row["verdict"], row["reason"], row["detail"]) == (
        "not_run", "skipped", "no shard has left a record of this case",
    )  # fmt: skip


def test_a_doubled_shard_is_red(release: Project, merge: Callable[..., Any]) -> None:
    folders = shards(release, 2, RELEASE)
    shutil.copytree(folders[0], release.path / "copy")
    red(release, merge, [*folders, release.path / "copy"], "shard_1.doubled")
    assert merge([*folders, *folders, release.artifacts / "shards"])[0] == 0, "the same folder is no second shard"


OTHERS = [
    (["--dpone-seed=2"], "shard_2.other_settings", "shard 2 has another settings than shard 1: seed 2, not 1"),
    (["--dpone-rows=999"], "shard_2.other_settings", "rows 999, not 1000"),
    (["--dpone-crash=off"], "shard_2.other_settings", "crash off, not quick"),
    (["--dpone-engine=mine"], "shard_2.other_settings", "engine mine, not native"),
    (["--dpone-release=v0.7.2"], "shard_2.other_inputs", ""),
    (["--dpone-strategy=full_refresh,scd2,replace"], "shard_2.other_scope", ""),
    (["--dpone-check=package=false"], "shard_2.other_inputs", ""),
    (["--dpone-durations=durations.json"], "shard_2.other_durations", ""),
]


@pytest.mark.parametrize(("arguments", "blocker", "text"), OTHERS, ids=lambda value: str(value)[:30])
def test_a_shard_of_another_run_is_red(
    release: Project, merge: Callable[..., Any], arguments: list[str], blocker: str, text: str
) -> None:
    release.behave({"*": "release"}, ("full_refresh", "scd2", "replace"))
    (release.path / "durations.json").write_text('{"alpha_to_beta__scd2": 2.5}')
    folders = shards(release, 2, RELEASE)
    assert release.run(RELEASE, "--dpone-shard=2/2", *arguments).ret == 0
    assert text in red(release, merge, folders, blocker)


def test_a_shard_of_another_number_is_red(release: Project, merge: Callable[..., Any]) -> None:
    folders = shards(release, 2, RELEASE)
    assert release.run(RELEASE, "--dpone-shard=1/1").ret == 0
    red(release, merge, [folders[0], release.artifacts / "shards/1-of-1"], "shard_1.other_count", "shard_2.missing")


def test_a_shard_of_another_source_is_red(release: Project, merge: Callable[..., Any]) -> None:
    assert release.run(RELEASE, "--dpone-shard=1/2").ret == 0
    with (release.path / "conftest.py").open("a") as file:
        file.write("# more\n")
    assert release.run(RELEASE, "--dpone-shard=2/2").ret == 0
    red(release, merge, [release.artifacts / "shards"], "shard_2.other_tree", "shard_2.other_engine")


def test_a_shard_of_another_commit_is_red(release: Project, merge: Callable[..., Any]) -> None:
    git = [
        "git",
        "-C",
        str(release.path),
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "-c",
        "commit.gpgsign=false",
    ]
    (release.path / ".gitignore").write_text("test_artifacts\n__pycache__\nout\n.pytest_cache\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    folders = shards(release, 2, RELEASE)
    assert merge(folders)[0] == 0
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "two"], check=True)
    assert release.run(RELEASE, "--dpone-shard=2/2").ret == 0
    assert "shard 2 ran on another commit: " in red(release, merge, folders, "shard_2.other_commit")


def test_a_source_that_changed_in_any_shard_is_red(release: Project, merge: Callable[..., Any]) -> None:
    folders = shards(release, 2, RELEASE)

    def change(data: dict[str, Any]) -> None:
        data["facts"]["source"]["end"]["tree"]["tracked"]["digest"] = "0" * 64

    rewrite(folders[1] / "shard.json", change)
    status, told = merge(folders)
    assert status == 1
    assert "tracked.changed" in told


def test_the_lock_holds_for_all_shards_together(release: Project, merge: Callable[..., Any]) -> None:
    assert release.run(RELEASE, "--dpone-lock=write").ret == 0
    folders = shards(release, 2, RELEASE)
    assert merge(folders)[0] == 0
    facts = read(release.path / "out/scope_lock.json")["facts"]
    assert (facts["basis"], facts["tests"]) == ("lock", {"test_services.py::test_postgres": "passed"})
    assert release.run(RELEASE, "--dpone-shard=1/2", "-k", "not postgres").ret == 0
    told = merge(folders)[1]
    assert "test_services.py::test_postgres.not_run" in told
    assert told.splitlines()[-1].startswith("NO-GO: 2 of 2 planned cases passed; ")
    (release.path / "dpone-scope.lock.json").unlink()
    assert release.run(RELEASE, "--dpone-shard=1/2").ret == 0
    red(release, merge, folders, "shard_2.other_lock")


def test_a_red_case_makes_its_shard_and_the_run_red(release: Project, merge: Callable[..., Any]) -> None:
    release.behave({"*__scd2": "fail", "*": "release"})
    first = release.run(RELEASE, "--dpone-shard=1/2")
    second = release.run(RELEASE, "--dpone-shard=2/2")
    assert (first.ret, second.ret) == (0, 1)
    second.stdout.fnmatch_lines(["FAILED: shard 2 of 2: 0 of 1 cases of this shard passed; 1 failed"])
    status, told = merge([release.artifacts / "shards"])
    assert (status, told.splitlines()[-1][:36]) == (1, "NO-GO: 1 of 2 planned cases passed; ")


def test_what_was_touched_after_a_shard_is_red(release: Project, merge: Callable[..., Any]) -> None:
    saved = shards(release, 2, RELEASE)
    name = "matrix/alpha_to_beta__full_refresh__behavior.json"

    def passed(data: dict[str, Any]) -> None:
        data["record"]["rows"] = 7

    touches: list[tuple[Callable[[Path], object], str]] = [
        (lambda folder: (folder / name).write_text("{}"), "shard_1.document"),
        (lambda folder: (folder / name).unlink(), "alpha_to_beta__full_refresh.not_run"),
        (lambda folder: (folder / name).write_bytes((folder / name).read_bytes().replace(b"native", b"mine")), "shard_1.document"),
        (lambda folder: shutil.copy(saved[1] / "matrix/alpha_to_beta__scd2__behavior.json", folder / "matrix"), "shard_1.stranger"),
        (lambda folder: shutil.copy(saved[1] / "matrix/certification_report.json", folder / "matrix"), "shard_1.another_run"),
        (lambda folder: rewrite(folder / "matrix/certification_report.json", lambda data: data.update(headline="GO")), "shard_1.report_changed"),
        (lambda folder: rewrite(folder / "shard.json", lambda data: data["facts"].update(index=2)), "shard_1.missing"),
        (lambda folder: rewrite(folder / "shard.json", lambda data: data["facts"].update(unplayed=["{}"])), "shard_1.record"),
        (lambda folder: rewrite(folder / "shard.json", lambda data: data["facts"].update(cases={FIRST: "failed"})), "shard_1.contradicts_itself"),
        (lambda folder: rewrite(folder / "shard.json", lambda data: data["facts"]["cases"].update(x="passed")), "shard_1.other_cases"),
    ]  # fmt: skip
    for number, (touch, blocker) in enumerate(touches):
        folder = release.path / f"copy{number}"
        shutil.copytree(saved[0], folder)
        touch(folder)
        status, told = merge([folder, saved[1]])
        assert status == 1, blocker
        assert blocker in told
        assert told.splitlines()[-1].startswith("NO-GO: "), blocker
    assert merge(saved)[0] == 0


BROKEN: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: path.unlink(), "holds no shard.json: its shard has not come to its end"),
    (lambda path: path.write_text("{"), "is not strict JSON"),
    (lambda path: path.write_text("{}"), "is malformed"),
    (lambda path: path.write_bytes(path.read_bytes().replace(b'"seed": 1', b'"seed": 2')), "was edited"),
    (lambda path: rewrite(path, lambda data: data["facts"]["frame"].pop("parts")), "is malformed"),
    (lambda path: (path.parent / "matrix/certification_report.json").unlink(), "certification_report is missing"),
    (lambda path: rewrite(path, lambda data: data["facts"]["frame"].update(scope=["x"])), "'x' is the id of no case"),
]


@pytest.mark.parametrize(("touch", "told"), BROKEN, ids=[text for _, text in BROKEN])
def test_a_shard_that_can_not_be_read_is_red(
    release: Project, merge: Callable[..., Any], touch: Callable[[Path], object], told: str
) -> None:
    folders = shards(release, 2, RELEASE)
    touch(folders[0] / "shard.json")
    status, printed = merge(folders)
    assert status == 1
    assert told in printed
    assert "\nhint: " in printed
    assert "Traceback" not in printed


def test_a_merge_of_nothing_is_wrong_use(release: Project, merge: Callable[..., Any]) -> None:
    status, told = merge([release.path / "none"])
    assert (status, "is no folder" in told) == (4, True)
    (folder,) = shards(release, 1, RELEASE)
    status, told = merge([folder], str(folder / "out"))
    assert (status, "lies in the folder of a shard" in told) == (4, True)


SERVICES = """
import pytest

@pytest.mark.integration_minio
def test_of_a_service_that_no_case_needs(): pass

@pytest.mark.integration_kafka
def test_kafka(): pass

@pytest.mark.integration_postgres
@pytest.mark.integration_kafka
def test_both(): pass

def test_mine(dpone_case): pass

def test_plain(): pass
"""


def test_each_test_is_run_by_one_shard(release: Project) -> None:
    text = (release.path / "conftest.py").read_text()
    families = 'registry.add(Family("{}", ("{}",), source=False))'
    text = text.replace(
        'registry.add(Family("beta", source=False))',
        "; ".join((families.format("beta", "postgres"), families.format("gamma", "kafka"))),
    )
    (release.path / "conftest.py").write_text(text.replace('FAKE["strategies"]', '["scd2"]'))
    (release.path / "tox.ini").write_text((release.path / "tox.ini").read_text().replace("    full_refresh\n", ""))
    (release.path / "test_services.py").write_text(SERVICES)
    whole = collected(release)
    parts = [collected(release, f"--dpone-shard={index}/2") for index in (1, 2)]
    assert sorted(parts[0] + parts[1]) == sorted(whole)
    mine = [[name for name in part if name.startswith("test_services.py")] for part in parts]
    assert [[name.partition("::")[2] for name in part] for part in mine] == [
        ["test_of_a_service_that_no_case_needs", "test_both", "test_mine[alpha_to_beta__scd2]", "test_plain"],
        ["test_kafka", "test_mine[alpha_to_gamma__scd2]"],
    ]
    packaged = [{name[-10:] for name in part if name.startswith("dpone/test_services.py")} for part in parts]
    assert [{name.partition("[")[2] for name in part} for part in packaged] == [{"postgres]"}, {"kafka]"}]


def collected(project: Project, *arguments: str) -> list[str]:
    """Ids of the tests that a run would run."""
    lines = project.run(RELEASE, "--collect-only", "-q", *arguments).outlines
    return [line for line in lines if "::" in line]


def test_a_test_of_the_project_that_fails_is_told(release: Project, merge: Callable[..., Any]) -> None:
    (release.path / "test_other.py").write_text("def test_red(): assert 0\n")
    assert [release.run(RELEASE, f"--dpone-shard={index}/2").ret for index in (1, 2)] == [1, 0]
    status, told = merge([release.artifacts / "shards"])
    assert "failed beside the cases: test_other.py::test_red" in told
    assert (status, told.splitlines()[-1][:3]) == (1, "GO "), "as in a run that was not cut: GO, and a status of 1"


def test_durations_of_an_earlier_report_balance_the_shards(project: Project) -> None:
    project.behave({}, SIX)
    assert project.run(LOCAL).ret == 0
    report = project.artifacts / "matrix/certification_report.json"

    def slow(data: dict[str, Any]) -> None:
        for row in data["cases"]:
            row["seconds"] = 60.0 if row["case_id"].endswith("__scd2") else 1.0

    rewrite(report, slow)
    (project.path / "earlier.json").write_bytes(report.read_bytes())
    project.run(LOCAL, "--dpone-shard=1/2", "--dpone-durations=earlier.json")
    folder = project.artifacts / "shards/1-of-2"
    assert read(folder / "shard.json")["facts"]["frame"]["parts"][0] == ["alpha_to_beta__scd2"]
    assert project.verdicts(folder / "matrix") == {"scd2": "passed"}


WRONG = [
    (["--dpone-shard=0/2", LOCAL], "--dpone-shard: '0/2' is no part I/N"),
    (["--dpone-shard=3/2", LOCAL], "--dpone-shard: '3/2' is no part I/N"),
    (["--dpone-shard=1", LOCAL], "--dpone-shard: '1' is no part I/N"),
    (["--dpone-shard=1/7", LOCAL], "3 cases can't fill 7 shards: one would certify nothing"),
    (["--dpone-shard=1/2"], "--dpone-shard has no cases to part"),
    (["--dpone-shard=1/2", "--dpone-selfcheck"], "--dpone-shard has no cases to part"),
    (["--dpone-shard=1/2", LOCAL, "-m", "integration_minio"], "--dpone-shard has no cases to part"),
    (["--dpone-shard=1/2", LOCAL, "--dpone-update-baseline", "--dpone-baseline=b.json"], "contradicts --dpone-shard"),
    (["--dpone-durations=d.json", LOCAL], "--dpone-durations is for shards"),
    (["--dpone-shard=1/2", LOCAL, "--dpone-durations=none.json"], "dpone_durations: *none.json is missing"),
    (["--dpone-shard=1/2", LOCAL, "--dpone-durations=bad.json"], "the seconds of 'a' is a text, not a number"),
    (["--dpone-shard=1/2", LOCAL, "--dpone-durations=nan.json"], "is not strict JSON: NaN is no JSON number"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_shards_are_wrong_use(project: Project, arguments: list[str], text: str) -> None:
    (project.path / "bad.json").write_text('{"a": "1"}')
    (project.path / "nan.json").write_text('{"a": NaN}')
    result = project.run(*arguments)
    assert result.ret == 4
    for part in text.split("*"):
        assert part in result.stderr.str()
    assert "hint: " in result.stderr.str()
    assert not project.artifacts.exists()


def test_a_shard_leaves_the_tree_of_a_whole_run_alone(release: Project) -> None:
    assert release.run(RELEASE).ret == 0
    before = {path: path.read_bytes() for path in release.artifacts.rglob("*") if path.is_file()}
    shards(release, 2, RELEASE)
    after = {path: path.read_bytes() for path in release.artifacts.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert release.run(RELEASE).ret == 0, "the folders of shards are no part of the full tree"


def test_the_summary_of_a_github_step(
    release: Project, merge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = shards(release, 2, RELEASE)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(release.path / "summary.md"))
    assert merge(folders)[0] == 0
    assert (release.path / "summary.md").read_text().startswith("## pytest-dpone: GO \\(2 of 2")
