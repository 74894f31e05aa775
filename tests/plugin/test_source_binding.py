"""The source of a run: a change while it is under way, or beside the commit, is red for a release and told else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping

import pytest

from .conftest import Project

RELEASE = "--dpone-profile=real_local"
LOCAL = "--dpone-profile=local_live"
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
IGNORED = "__pycache__\n.pytest_cache\ntest_artifacts\ncommands*\n"
CHANGE = """
def test_change():
    from pathlib import Path

    with (Path(__file__).parent / {name!r}).open("a") as file:
        file.write("# more\\n")
"""


def git(project: Project, *words: str) -> str:
    done = subprocess.run([*GIT, "-C", str(project.path), *words], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def committed(release: Project) -> Project:
    """A project whose release run is GO, as a repository."""
    (release.path / ".gitignore").write_text(IGNORED)
    git(release, "init", "-q")
    git(release, "add", ".")
    git(release, "commit", "-q", "-m", "one")
    return release


def binding(project: Project) -> Mapping[str, object]:
    data: dict[str, object] = json.loads((project.artifacts / "source_binding.json").read_text())
    return data


def test_a_run_of_a_commit_is_go_and_every_artifact_names_it(committed: Project) -> None:
    result = committed.run(RELEASE)
    assert result.ret == 0, result.stdout.str()
    document = binding(committed)
    facts = document["facts"]
    assert isinstance(facts, Mapping)
    assert facts["start"]["tree"] == facts["end"]["tree"]
    assert facts["start"]["tree"]["commit"] == git(committed, "rev-parse", "HEAD").strip()
    assert [engine["name"] for engine in facts["start"]["engines"]] == ["conftest.Mover"]
    assert facts["end"]["seconds"] < 5
    source = committed.report()["source"]
    assert source == document["source"]
    assert source == {
        "commit": facts["start"]["tree"]["commit"], "tree": facts["start"]["tree"]["tracked"]["digest"], "dirty": False,
    }  # fmt: skip


CHANGES = [
    ("tox.ini", "tracked.changed", "tracked files were changed during the run: tox.ini"),
    ("test_services.py", "tracked.changed", "tracked files were changed during the run: test_services.py"),
    ("new.py", "untracked.changed", "untracked files were changed during the run: new.py"),
    ("commands.py", "ignored.changed", "ignored files were changed during the run: commands.py"),
    ("conftest.py", "engine.changed", "the engine conftest.Mover was changed during the run"),
]


@pytest.mark.parametrize(("name", "blocker", "text"), CHANGES)
def test_a_change_during_a_run_is_red_for_a_release_and_told_else(
    committed: Project, name: str, blocker: str, text: str
) -> None:
    (committed.path / "test_change.py").write_text(CHANGE.format(name=name))
    git(committed, "add", ".")
    git(committed, "commit", "-q", "-m", "change")
    result = committed.run(RELEASE)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"  {blocker}: {text}*", "NO-GO: 2 of 2 planned cases passed; *"])
    git(committed, "checkout", "-q", ".")
    git(committed, "clean", "-q", "-f", "-x", "-e", "test_artifacts")
    result = committed.run(LOCAL)
    assert result.ret == 0
    assert blocker.partition(".")[0] in [row["subject"] for row in binding(committed)["results"] if row["text"]]  # type: ignore[union-attr,index]
    assert text.split(":")[0] in result.stdout.str()


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_that_git_is_told_to_overlook_is_red_for_a_release(committed: Project, flag: str) -> None:
    git(committed, "update-index", flag, "fake.json")
    committed.behave({"*": "release", "nothing": "fail"})
    assert git(committed, "status", "--porcelain") == ""
    result = committed.run(RELEASE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["  tracked.differs_from_commit: 1 files are not as the commit has them: fake.json; *"])
    assert binding(committed)["source"]["dirty"] is True  # type: ignore[index]
    assert committed.run(LOCAL).ret == 0


def test_a_module_of_no_commit_is_red_for_a_release(committed: Project) -> None:
    (committed.path / "test_new.py").write_text("def test_new(): pass\n")
    result = committed.run(RELEASE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["  untracked.in_no_commit: 1 files that can decide *: test_new.py; *"])
    git(committed, "add", ".")
    git(committed, "commit", "-q", "-m", "new")
    assert committed.run(RELEASE).ret == 0


def test_a_repository_that_does_not_answer_is_red_for_a_release(committed: Project) -> None:
    (committed.path / ".git" / "HEAD").write_text("rubbish")
    result = committed.run(RELEASE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["  tree.not_bound: the tree can't be bound: there is a repository, and git *"])
    assert committed.run(LOCAL).ret == 0


FIXTURE = """
import pytest

class Mine(Mover): ...

@pytest.fixture(scope="session")
def dpone_engine():
    return Mine("mine")
"""


@pytest.mark.apart
@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_an_engine_of_a_fixture_is_bound(committed: Project, workers: list[str]) -> None:
    with (committed.path / "conftest.py").open("a") as file:
        file.write(FIXTURE)
    assert committed.run_apart(LOCAL, *workers).ret == 0
    facts = binding(committed)["facts"]
    assert isinstance(facts, Mapping)
    assert [engine["name"] for engine in facts["end"]["engines"]] == ["conftest.Mine", "conftest.Mover"]


LOADED = """
import sys

def pytest_unconfigure():
    names = [name for name in sys.modules if name.startswith("pytest_dpone.evidence.")]
    print("\\nlooked:", "pytest_dpone.evidence.binding" in names)
"""


@pytest.mark.apart
@pytest.mark.parametrize(("arguments", "looked"), [([], False), ([LOCAL], True)])
def test_an_inactive_run_looks_at_nothing(project: Project, arguments: list[str], looked: bool) -> None:
    project.pytester.makeconftest((project.path / "conftest.py").read_text() + LOADED)
    project.pytester.makepyfile("def test_mine(): pass")
    result = project.run_apart(*arguments)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"looked: {looked}"])
