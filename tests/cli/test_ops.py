"""Every gate's command on good evidence: status, files, output, and what breaking one file does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_dpone.core.gates.documents import BY_SCHEMA, json_schemas

A = "test_artifacts/live_certification"

FILES = [
    "plan/live_certification_plan.json",
    "observability/runtime_metrics.json",
    "benchmark-slo/benchmark_slo_gate.json",
    "benchmark-slo/benchmark/benchmark_baseline.json",
    "performance-certification/performance_certification.json",
    "live-state-reconciliation/live_state_reconciliation.json",
    "certification-pack/connector_certification_pack.json",
    "artifact-index/artifact_index.json",
    "evidence-chain/evidence_chain_index.json",
    "pre-release/pre_release_checklist.json",
    "release-evidence/release_evidence_pack.json",
]
HEAD = {"schema", "passed", "blockers", "generated_at", "run_id", "profile", "run_mode", "release", "source"}


def test_every_gate_is_green_on_good_evidence(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    for argv in ops_argv.values():
        result = tree.ops(*argv)
        assert (result.status, result.err) == (0, ""), argv


@pytest.mark.parametrize("name", FILES)
def test_a_document_has_the_common_fields_and_fits_its_schema(name: str, tree) -> None:  # type: ignore[no-untyped-def]
    import jsonschema

    document = tree.json(name)
    assert set(document) >= HEAD
    assert document["passed"] is True
    assert document["blockers"] == []
    assert tree.path(name).with_suffix(".md").read_text().startswith("# ")
    schema = json_schemas()[f"{BY_SCHEMA[document['schema']].name}.schema.json"]
    jsonschema.Draft202012Validator(schema).validate(document)


def test_the_release_pack_says_go_and_what_is_from_elsewhere(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    assert tree.ops(*ops_argv["release_pack"]).out == (
        "release_evidence_pack: GO\n"
        "  taken from elsewhere: service_markers\n"
        "  self-asserted: cli_commands, run_cli, run_python_api, hierarchical_lineage, source_sink_matrix, "
        "contracts_guardrails, documentation, package\n"
    )


def test_the_forms_say_the_same(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    document = json.loads(tree.ops(*ops_argv["performance"], "--format", "json").out)
    assert document == tree.json("performance-certification/performance_certification.json")
    markdown = tree.ops(*ops_argv["performance"], "--format", "markdown").out
    assert markdown == tree.path("performance-certification/performance_certification.md").read_text()
    assert "| `duration_seconds` | maximum | passed | 120 | 60 |" in markdown


def test_without_an_output_folder_nothing_is_written(tree) -> None:  # type: ignore[no-untyped-def]
    before = sorted(tree.root.rglob("*"))
    result = tree.ops("performance-certification", "--profile=local_live", "--row-count=1",
                      "--metrics-json", '{"a": 1}', "--minimum-json", '{"a": 1}')  # fmt: skip
    assert result.status == 0
    assert sorted(tree.root.rglob("*")) == before


def test_json_may_come_from_a_file(tree) -> None:  # type: ignore[no-untyped-def]
    (tree.root / "metrics.json").write_text('{"a": 2}')
    (tree.root / "least.json").write_text('{"a": 3}')
    result = tree.ops("performance-certification", "--profile=local_live", "--row-count=1",
                      "--metrics-json=@metrics.json", "--minimum-json=@least.json")  # fmt: skip
    assert result.status == 1
    assert "a.below_minimum: a is 2, below the minimum 3" in result.out


def test_exported_metrics_are_metrics(tree) -> None:  # type: ignore[no-untyped-def]
    totals = tree.json("observability/runtime_metrics.json")["facts"]["totals"]
    assert totals == {
        "duration_seconds": 3.0,
        "failure_rate": 0.0,
        "throughput_rows_per_second": 2000.0,
        "rows": 2000,
        "memory_peak_mb": 120,
        "freshness_lag_seconds": 0.5,
    }
    result = tree.ops("performance-certification", "--profile=real_local", "--row-count=1000",
                      f"--metrics-json=@{A}/observability/runtime_metrics.json",
                      "--minimum-json", '{"throughput_rows_per_second": 2000}')  # fmt: skip
    assert result.status == 0
    tree.edit("observability/runtime_metrics.json", lambda data: data["facts"]["totals"].update(rows=2))
    result = tree.ops("performance-certification", "--profile=real_local", "--row-count=1000",
                      f"--metrics-json=@{A}/observability/runtime_metrics.json",
                      "--minimum-json", '{"throughput_rows_per_second": 2000}')  # fmt: skip
    assert result.status == 4
    assert "was edited" in result.err


def test_the_gates_run_again_after_the_chain_and_stay_green(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    for name in ("plan", "benchmark", "performance", "live_state", "checklist", "release_pack"):
        result = tree.ops(*ops_argv[name])
        assert result.status == 0, result.out
    drifted = tree.ops(*ops_argv["verify"])
    assert drifted.status == 1
    assert "performance-certification/performance_certification.json was changed since it was indexed" in drifted.out


def test_a_red_gate_that_is_green_after_indexing_is_seen(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    red = [word.replace('"duration_seconds": 60', '"duration_seconds": 600') for word in ops_argv["performance"]]
    assert tree.ops(*red).status == 1
    assert tree.ops(*ops_argv["index"]).status == 0
    assert tree.ops(*ops_argv["chain"]).status == 0
    assert tree.ops(*ops_argv["performance"]).status == 0
    result = tree.ops(*ops_argv["release_pack"])
    assert result.status == 1
    assert "performance_certification.json was red when it was indexed and is green now" in result.out


def test_an_older_green_one_does_not_stand_for_the_indexed_one(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    name = "performance-certification/performance_certification"
    old = {ending: tree.path(name + ending).read_bytes() for ending in (".json", ".md")}
    for gate in ("performance", "index", "chain"):
        assert tree.ops(*ops_argv[gate]).status == 0
    assert tree.ops(*ops_argv["release_pack"]).status == 0
    for ending, data in old.items():
        tree.write(name + ending, data)
    result = tree.ops(*ops_argv["release_pack"])
    assert result.status == 1
    assert f"{name}.json was changed since it was indexed" in result.out


def evidence_files(tree) -> list[str]:  # type: ignore[no-untyped-def]
    left_out = ("release-evidence/", "pre-release/pre_release_checklist.md")
    found = [str(path.relative_to(tree.root / A)) for path in sorted((tree.root / A).rglob("*")) if path.is_file()]
    return [name for name in found if not name.startswith(left_out) and not name.endswith(".lock")]


@pytest.mark.parametrize("how", ["delete", "edit", "swap"])
def test_any_file_that_is_touched_makes_the_pack_red(how: str, ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    names = evidence_files(tree)
    assert len(names) > 25
    for number, name in enumerate(names):
        path = tree.path(name)
        before = path.read_bytes()
        if how == "delete":
            path.unlink()
        elif how == "edit":
            path.write_bytes(before.replace(b"1", b"2", 1) if b"1" in before else before + b" ")
        else:
            path.write_bytes(tree.path(names[number - 1]).read_bytes())
        results = [tree.ops(*ops_argv["release_pack"]), tree.ops(*ops_argv["verify"])]
        path.write_bytes(before)
        told = "".join(result.text for result in results)
        red = [result.status for result in results]
        assert max(red) in (1, 3), (how, name, red, told)
        assert is_named(name, told), (how, name, told)
    assert tree.ops(*ops_argv["release_pack"]).status == 0
    assert tree.ops(*ops_argv["verify"]).status == 0


def is_named(name: str, told: str) -> bool:
    """By its path, or by the name that it has in a pack or in the chain."""
    stem = Path(name).stem.removeprefix("connector_").removesuffix("_index")
    entry = re.fullmatch(r"(?:entries|indexes)/(.*)", name.removeprefix("evidence-chain/"))
    return (
        Path(name).name in told or f"{stem}." in told or f"{stem} " in told or (entry is not None and entry[0] in told)
    )


def test_a_chain_grows_over_releases_whatever_their_names(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    pins = []
    for release in ("v0.9.0", "v0.10.0", "v0.9.1"):
        tree.write("note.txt", release)
        index = [release if word == "v0.7.1" else word for word in ops_argv["index"]]
        chain = [release if word == "v0.7.1" else word for word in ops_argv["chain"]]
        assert tree.ops(*index).status == 0
        # Between indexing and chaining the index is a newer one: not red by itself, but the tree has changed.
        assert "note.txt" not in tree.ops(*ops_argv["verify"], "--chain-only").out
        result = tree.ops(*chain)
        assert result.status == 0, result.out
        pins.append(re.search(r"pin (\d+:\w{64})", result.out)[1])  # type: ignore[index]
        for pin in pins:
            assert tree.ops(*ops_argv["verify"], "--pin", pin).status == 0
    facts = tree.json("evidence-chain/evidence_chain_index.json")["facts"]
    assert [entry["release"] for entry in facts["entries"]] == ["v0.7.1", "v0.9.0", "v0.10.0", "v0.9.1"]


def test_chaining_again_adds_nothing(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    before = tree.path("evidence-chain/evidence_chain_index.json").read_bytes()
    assert tree.ops(*ops_argv["chain"]).status == 0
    assert tree.path("evidence-chain/evidence_chain_index.json").read_bytes() == before


def test_the_previous_entry_may_be_named(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    entry = tree.json("evidence-chain/evidence_chain_index.json")["facts"]["entries"][0]
    for previous in (entry["leaf"], f"{A}/evidence-chain/entries/000000.json"):
        tree.write("note.txt", previous)
        assert tree.ops(*ops_argv["index"]).status == 0
        assert tree.ops(*ops_argv["chain"], "--previous-entry", previous).status == (
            0 if previous == entry["leaf"] else 4
        )


def test_verification_works_from_another_place(ops_argv, tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    elsewhere = tmp_path / "elsewhere"
    tree.root.rename(elsewhere)
    monkeypatch.chdir("/")
    assert tree.ops("evidence-chain-verify", "--chain-dir", str(elsewhere / A / "evidence-chain")).status == 0
    words = [word.replace(A, str(elsewhere / A)) for word in ops_argv["release_pack"]]
    assert tree.ops(*words).status == 0


def test_a_chain_alone_says_so(ops_argv, tree, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tree.root / A / "evidence-chain").rename(tmp_path / "chain")
    result = tree.ops("evidence-chain-verify", "--chain-dir", str(tmp_path / "chain"))
    assert result.status == 3
    assert "the tree that the last entry indexes is not there" in result.err
    assert tree.ops("evidence-chain-verify", "--chain-dir", str(tmp_path / "chain"), "--chain-only").status == 0


def test_two_writers_at_once_both_get_their_place(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    """Each thread chains an index of its own; the lock is the kernel's, so that it also holds between processes."""
    from pytest_dpone.evidence import chain
    from pytest_dpone.report.gates import document_markdown
    from pytest_dpone.run.gate_files import new_stamp

    folder = tree.path("evidence-chain")
    for number in range(4):
        words = [
            word.replace("artifact-index", f"index-{number}") if "/" in word else word for word in ops_argv["index"]
        ]
        tree.write(f"index-{number}/seed.txt", str(number))
        assert tree.ops(*words).status == 0
    reports = []

    def write(number: int) -> None:
        stamp = new_stamp(run_id=f"r{number}", release="v0.7.1")
        file = tree.path(f"index-{number}/artifact_index.json")
        reports.append(chain.append(folder, file, release="v0.7.1", stamp=stamp, render=document_markdown))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.red for report in reports] == [()] * 4
    facts = tree.json("evidence-chain/evidence_chain_index.json")["facts"]
    assert [entry["index"] for entry in facts["entries"]] == [0, 1, 2, 3, 4]
    assert tree.ops(*ops_argv["verify"], "--chain-only").status == 0


def test_an_entry_of_a_writer_that_died_is_written_over(ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    tree.write("evidence-chain/entries/000001.json", "{")
    assert tree.ops(*ops_argv["verify"]).status == 1
    tree.write("note.txt", "new")
    assert tree.ops(*ops_argv["index"]).status == 0
    assert tree.ops(*ops_argv["chain"]).status == 0
    assert tree.ops(*ops_argv["verify"]).status == 0


@pytest.mark.apart
def test_help_costs_nothing_and_gates_load_no_client(golden: Path, ops_argv) -> None:  # type: ignore[no-untyped-def]
    code = (
        "import sys\nfrom pytest_dpone.cli.main import main\n"
        "try:\n    status = main(sys.argv[1:])\nexcept SystemExit as end:\n    status = end.code\n"
        "heavy = ['pyarrow', 'numpy', 'pytest', 'psycopg', 'clickhouse_connect', 'boto3', 'moto', 'chdb', 'docker',"
        " 'testcontainers', 'adbc_driver_manager', 'fastavro']\n"
        "print('LOADED', *[name for name in (*heavy, 'pydantic') if name in sys.modules], file=sys.stderr)\n"
        "sys.exit(status)\n"
    )
    for name, argv in {"help": ("--help",), **ops_argv}.items():
        if name in ("index", "chain"):
            continue
        done = subprocess.run(
            [sys.executable, "-c", code, "ops", *_without_output(argv)],
            cwd=golden, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == ("LOADED" if name == "help" else "LOADED pydantic")


def _without_output(argv: tuple[str, ...]) -> list[str]:
    words = list(argv)
    if "--output-dir" in words:
        place = words.index("--output-dir")
        del words[place : place + 2]
    return words
