"""The guard of the release workflow: its scripts as they stand in the file, run by bash against a pretended GitHub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.apart

ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
SCRIPTS = {step["name"]: step["run"] for step in WORKFLOW["jobs"]["guard"]["steps"] if "run" in step}
JUDGING = ("Fetch the evidence", "Decide")
A = "test_artifacts/live_certification"
TAG = "v0.7.1"

GH = """
import argparse, json, os, pathlib, shutil, sys

assert os.environ["GH_TOKEN"] and os.environ["GH_REPO"]
hub = pathlib.Path(os.environ["HUB"])
parser = argparse.ArgumentParser(allow_abbrev=False)
run = parser.add_subparsers(required=True).add_parser("run").add_subparsers(dest="verb", required=True)
listing = run.add_parser("list")
for flag in ("--workflow", "--commit", "--limit", "--json"):
    listing.add_argument(flag, required=True)
download = run.add_parser("download")
download.add_argument("id")
for flag in ("--name", "--dir"):
    download.add_argument(flag, required=True)
asked = parser.parse_args()
if asked.verb == "list":
    assert asked.workflow == "live-certification.yml"
    fields = asked.json.split(",")
    # As the server does it; this one forgets to look at the commit where a test wants that.
    rows = [row for row in json.loads((hub / "runs.json").read_text()) if row["headSha"] == asked.commit or "lax" in row]
    print(json.dumps([{name: row[name] for name in fields} for row in rows]))
else:
    found = hub / asked.id / asked.name
    if not found.is_dir():
        sys.exit("no artifact matches any of the names or patterns provided")
    shutil.copytree(found, asked.dir)
"""


@dataclass
class Guard:
    """A repository with a commit, and the runs that GitHub knows of it."""

    folder: Path
    commit: str
    runs: list[dict[str, Any]] = field(default_factory=list)

    def add(self, number: int, tree: Path | None, **facts: object) -> None:
        """A run of the certification; `tree` is what it kept."""
        run = {
            "databaseId": number,
            "attempt": 1,
            "status": "completed",
            "conclusion": "success",
            "displayTitle": f"real_local {TAG}",
            "headSha": self.commit,
            **facts,
        }
        self.runs.append(run)
        if tree is not None:
            shutil.copytree(tree, self.folder / "hub" / str(number) / f"live-certification-real_local-{run['attempt']}")

    def decide(self, *names: str, tag: str = TAG) -> tuple[bool, str]:
        """Run the steps up to the first red one, as a runner does: if they were green, and what they printed."""
        (self.folder / "hub").mkdir(exist_ok=True)
        (self.folder / "hub" / "runs.json").write_text(json.dumps(self.runs))
        (self.folder / "temp").mkdir(exist_ok=True)
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "GIT_"))},
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HUB": str(self.folder / "hub"),
            "RUNNER_TEMP": str(self.folder / "temp"),
            "GH_TOKEN": "t",
            "GH_REPO": "owner/name",
            "GITHUB_REF_NAME": tag,
        }
        out = ""
        for name in names or JUDGING:
            # What `shell: bash` means on a runner.
            words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", SCRIPTS[name]]
            done = subprocess.run(
                words,
                cwd=self.folder / "repository",
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            out += done.stdout
            if done.returncode != 0:
                return False, out
        return True, out


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    for program in ("bash", "git", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; a runner has it")
    folder = tmp_path / "guard"
    repository = folder / "repository"
    repository.mkdir(parents=True)
    git = ["git", "-C", str(repository), "-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message=m"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    programs = {
        "gh": GH,
        "pytest-dpone": "import sys\nfrom pytest_dpone.cli.main import main\nsys.exit(main())\n",
        "python": "import sys\nexec(sys.argv[2])\n",
    }
    (folder / "bin").mkdir()
    for name, text in programs.items():
        path = folder / "bin" / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(0o755)
    return Guard(folder, commit)


def test_green_evidence_of_this_commit_and_release_passes(guard: Guard, tree) -> None:  # type: ignore[no-untyped-def]
    guard.add(1, tree.root / A)
    passed, out = guard.decide()
    assert passed, out
    assert "evidence_chain: PASSED" in out
    assert "release_evidence_pack: GO" in out


def test_no_run_is_red(guard: Guard) -> None:
    passed, out = guard.decide()
    assert not passed
    assert out.startswith(f"::error::no live certification 'real_local {TAG}' of the commit {guard.commit}")


@pytest.mark.parametrize(
    "facts",
    [
        {"displayTitle": "real_local v0.7.0"},
        {"displayTitle": f"local_live {TAG}"},
        {"displayTitle": f"vendor_live {TAG}"},
        {"headSha": "0" * 40},
        {"headSha": "0" * 40, "lax": True},
    ],
)
def test_a_run_of_something_else_is_none(facts: dict[str, object], guard: Guard, tree) -> None:  # type: ignore[no-untyped-def]
    guard.add(1, tree.root / A, **facts)
    passed, out = guard.decide()
    assert not passed
    assert out.startswith("::error::no live certification")


@pytest.mark.parametrize(
    ("status", "conclusion"),
    [
        ("completed", "failure"),
        ("completed", "cancelled"),
        ("in_progress", ""),
        ("queued", ""),
        ("completed", "skipped"),
    ],
)
def test_a_run_that_is_not_green_is_red_whatever_it_kept(status: str, conclusion: str, guard: Guard, tree) -> None:  # type: ignore[no-untyped-def]
    guard.add(1, tree.root / A, status=status, conclusion=conclusion)
    passed, out = guard.decide()
    assert not passed
    assert f"is not green: {status} {conclusion}" in out


def test_an_older_green_run_does_not_stand_for_a_red_one(guard: Guard, tree) -> None:  # type: ignore[no-untyped-def]
    guard.add(1, tree.root / A)
    guard.add(2, tree.root / A, conclusion="failure")
    assert not guard.decide()[0]
    guard.add(3, tree.root / A)
    assert guard.decide()[0]


def test_a_run_without_evidence_is_red(guard: Guard) -> None:
    guard.add(1, None)
    passed, out = guard.decide()
    assert not passed
    assert "::error::the live certification 1 has no evidence that can be downloaded" in out


def test_the_evidence_of_the_last_attempt_counts(guard: Guard, tree) -> None:  # type: ignore[no-untyped-def]
    guard.add(1, tree.root / A)
    guard.runs[0]["attempt"] = 2
    assert not guard.decide()[0]


def test_evidence_of_another_release_is_red(guard: Guard, tree) -> None:  # type: ignore[no-untyped-def]
    """Its name alone says that it is of this one."""
    guard.add(1, tree.root / A, displayTitle="real_local v0.8.0")
    passed, out = guard.decide(tag="v0.8.0")
    assert not passed
    assert "::error::the run's own release evidence pack is not a GO for v0.8.0" in out
    again, out = guard.decide("Decide", tag=TAG)
    assert again, out
    pack = guard.folder / "temp" / "evidence" / "release-evidence" / "release_evidence_pack.json"
    pack.write_text(pack.read_text().replace(TAG, "v0.8.0"))
    passed, out = guard.decide("Decide", tag="v0.8.0")
    assert not passed
    assert "release_evidence_pack: NO-GO" in out
    assert f"is of the release {TAG}, not v0.8.0" in out


def test_a_red_pack_is_red(guard: Guard, tree, ops_argv) -> None:  # type: ignore[no-untyped-def]
    """The gates as they end when performance was red: nothing was edited, so the chain is whole."""
    slow = [word.replace('"duration_seconds": 60', '"duration_seconds": 600') for word in ops_argv["performance"]]
    assert tree.ops(*slow).status == 1
    assert [tree.ops(*ops_argv[name]).status for name in ("index", "chain", "release_pack")] == [0, 0, 1]
    guard.add(1, tree.root / A)
    passed, out = guard.decide()
    assert not passed
    assert "::error::the run's own release evidence pack is not a GO" in out
    tree.edit("release-evidence/release_evidence_pack.json", lambda data: data.update(passed=True, blockers=[]))
    guard.add(2, tree.root / A)
    shutil.rmtree(guard.folder / "temp")
    passed, out = guard.decide()
    assert not passed
    assert "evidence_chain: PASSED" in out
    assert "release_evidence_pack: NO-GO" in out
    assert "performance_certification.red" in out


@pytest.mark.parametrize(
    "name",
    [
        "service_markers.json",
        "matrix/certification_report.json",
        "certification-pack/connector_certification_pack.json",
        "performance-certification/performance_certification.json",
        "evidence-chain/evidence_chain_index.json",
        "pre-release/pre_release_checklist.json",
        "release-evidence/release_evidence_pack.json",
    ],
)
def test_a_file_that_is_missing_is_red(name: str, guard: Guard, tree) -> None:  # type: ignore[no-untyped-def]
    tree.path(name).unlink()
    guard.add(1, tree.root / A)
    assert not guard.decide()[0]


def test_an_edited_file_is_red(guard: Guard, tree) -> None:  # type: ignore[no-untyped-def]
    tree.edit("service_markers.json", lambda data: data["counts"].update(passed=13))
    guard.add(1, tree.root / A)
    passed, out = guard.decide()
    assert not passed
    assert "service_markers.json was changed since it was indexed" in out
    assert "release_evidence_pack: " not in out


def test_a_gate_that_was_run_again_after_the_chain_is_red(guard: Guard, tree, ops_argv) -> None:  # type: ignore[no-untyped-def]
    """The pack alone accepts it; what is published is the tree that was chained."""
    assert [tree.ops(*ops_argv[name]).status for name in ("performance", "release_pack")] == [0, 0]
    guard.add(1, tree.root / A)
    passed, out = guard.decide()
    assert not passed
    assert "performance_certification.json was changed since it was indexed" in out


def test_a_tag_is_the_version_of_the_package(guard: Guard) -> None:
    from importlib.metadata import version

    assert guard.decide("The tag is the version of the package", tag=f"v{version('pytest-dpone')}")[0]
    passed, out = guard.decide("The tag is the version of the package", tag="v99.0.0")
    assert not passed
    assert out.startswith("::error::the tag is v99.0.0 and the version of the package is ")
