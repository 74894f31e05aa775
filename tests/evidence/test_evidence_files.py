"""Files as evidence: what can't be read says why, pins are read, a lock that is held is waited for and then told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_dpone.core.gates.chain import IndexFacts
from pytest_dpone.core.gates.documents import INDEX, Stamp, compose
from pytest_dpone.errors import ArtifactError, UsageError
from pytest_dpone.evidence import chain
from pytest_dpone.evidence.artifacts import hold, write_json
from pytest_dpone.evidence.files import Unreadable, digest, read_bytes
from pytest_dpone.evidence.index import drift, index_tree

STAMP = Stamp(generated_at="2026-01-01T00:00:00.000Z", run_id="r", release="v1")


def test_only_whole_regular_files_are_read(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_bytes(b"abc")
    os.mkfifo(pipe)
    assert read_bytes(file) == b"abc"
    assert digest(file) == ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)
    for path, words in (
        (tmp_path / "none", "is missing"),
        (tmp_path, "is no regular file"),
        (pipe, "is no regular file"),
        (Path("/dev/zero"), "is no regular file"),
        (file / "below", "can't be opened: Not a directory"),
        (tmp_path / ("a" * 300), "can't be opened: File name too long"),
        (Path("a\0b"), "has a name that no file can have"),
    ):
        with pytest.raises(Unreadable, match=words):
            read_bytes(path)
    with pytest.raises(Unreadable, match="is larger than 0 MiB"):
        read_bytes(file, limit=2)


def index(root: Path) -> IndexFacts:
    return index_tree(root, release="v1", index_file=root / "artifact-index" / INDEX.file)


def test_an_index_has_every_type_of_file_and_never_itself(tmp_path: Path) -> None:
    for name in (
        "a.json",
        "b.txt",
        ".hidden",
        "noending",
        "x.tar.gz",
        "deep/er/c.bin",
        "artifact-index/seed",
        "é \n.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    (tmp_path / "link").symlink_to("b.txt")
    (tmp_path / "folder").symlink_to("deep")
    facts = index(tmp_path)
    assert [file.path for file in facts.files] == sorted(
        ["a.json", "b.txt", ".hidden", "noending", "x.tar.gz", "deep/er/c.bin", "artifact-index/seed", "é \n.md",
         "link", "folder"]
    )  # fmt: skip
    assert facts.problems == ()
    assert facts.root == ".."
    write_json(tmp_path / "artifact-index" / INDEX.file, compose(INDEX, facts, STAMP))
    (tmp_path / "artifact-index" / INDEX.file).with_suffix(".md").write_text("twin")
    assert index(tmp_path) == facts
    assert drift(facts, tmp_path) == []


def test_an_index_has_nothing_of_a_seal_and_all_else(tmp_path: Path) -> None:
    for name in ("a.json", "SHA256SUMS", "seal/checkpoint", "seal/mine"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    assert [file.path for file in index(tmp_path).files] == ["SHA256SUMS", "a.json", "seal/checkpoint", "seal/mine"]
    (tmp_path / "seal" / "log.jsonl").write_text("")
    assert [file.path for file in index(tmp_path).files] == ["a.json", "seal/mine"]


def test_what_only_claims_to_be_an_index_is_listed(tmp_path: Path) -> None:
    (tmp_path / "evil.json").write_text('{"schema": "pytest-dpone/artifact-index/v1", "passed": true}')
    assert [file.path for file in index(tmp_path).files] == ["evil.json"]


def test_drift_names_the_file(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "way").symlink_to("folder")
    facts = index(tmp_path)
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").unlink()
    (tmp_path / "c").unlink()
    (tmp_path / "c").symlink_to("/etc/hostname")
    (tmp_path / "way").unlink()
    (tmp_path / "way").symlink_to(".")
    (tmp_path / "new").write_text("new")
    assert [ruling.blocker for ruling in drift(facts, tmp_path)] == [
        "a.changed", "b.missing", "c.unreadable", "link.changed", "way.changed",
    ]  # fmt: skip


def test_pins(tmp_path: Path) -> None:
    root = "ab" * 32
    assert chain.read_pin(f"3:{root}\n") == chain.Pin(3, root)
    assert chain.read_pin(f'{{"facts": {{"root": "{root}", "entries": [{{}}, {{}}]}}}}') == chain.Pin(2, root)
    with pytest.raises(UsageError, match="is no pin"):
        chain.read_pin('{"facts": {"root": "x", "entries": [1]}}')


def chained(tmp_path: Path) -> tuple[Path, Path]:
    """A tree with an index that can be chained; returns the chain's folder and the index."""
    (tmp_path / "a").write_text("a")
    file = tmp_path / "artifact-index" / INDEX.file
    write_json(file, compose(INDEX, index(tmp_path), STAMP))
    return tmp_path / "chain", file


def test_a_lock_that_is_held_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, file = chained(tmp_path)
    folder.mkdir()
    monkeypatch.setattr(chain, "LOCK_SECONDS", 0.1)
    handle = hold(folder)
    assert handle is not None
    with pytest.raises(ArtifactError, match="another process has been writing"):
        chain.append(folder, file, release="v1", stamp=STAMP, render=lambda _: "x")
    os.close(handle)
    report = chain.append(folder, file, release="v1", stamp=STAMP, render=lambda _: "x")
    assert report.red == ()


def test_entries_without_their_chain_s_index_are_not_built_upon(tmp_path: Path) -> None:
    folder, file = chained(tmp_path)
    (folder / "entries").mkdir(parents=True)
    for name in ("000000.json", "000001.json"):
        (folder / "entries" / name).write_text("{}")
    report = chain.append(folder, file, release="v1", stamp=STAMP, render=lambda _: "x")
    assert [ruling.blocker for ruling in report.red] == ["chain.index_missing"]
    assert not (folder / "evidence_chain_index.json").exists()
