"""Sealing: what is refused, what `sha256sum` says, the log and its pins, and the order in which files are written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_dpone.errors import ArtifactError, UsageError
from pytest_dpone.evidence import tlog
from pytest_dpone.evidence.artifacts import hold
from pytest_dpone.evidence.chain import Unverifiable
from pytest_dpone.evidence.note import BadNote
from pytest_dpone.run import again, sealing, verification
from pytest_dpone.run.sealing import Refused
from pytest_dpone.run.verification import verify

from .sabotage import CHECKPOINT, LOG, OURS, SUMS, THEIRS, Broken, seal_it
from .trees import write_tree


@pytest.fixture
def root(golden: tuple[Path, Path], tmp_path: Path) -> Path:
    """A tree that was not sealed yet."""
    folder = tmp_path / "open"
    shutil.copytree(golden[0], folder)
    shutil.rmtree(folder / "seal")
    (folder / SUMS).unlink()
    return folder


def untouched(root: Path) -> None:
    assert not (root / SUMS).exists()
    assert not (root / CHECKPOINT).exists()


def test_sha256sum_agrees_from_any_copy(root: Path, tmp_path: Path) -> None:
    seal_it(root)
    copy = tmp_path / "a copy"
    shutil.copytree(root, copy)
    words = ["sha256sum", "--check", "--strict", "--quiet", SUMS]
    assert subprocess.run(words, cwd=copy, check=False).returncode == 0
    listed = {line.split("  ", 1)[1] for line in (root / SUMS).read_text().splitlines()}
    files = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and p.name != ".lock"}
    assert listed == {name for name in files if name != SUMS and not name.startswith("seal/")}
    (copy / "report.html").write_text("x")
    assert subprocess.run(words, cwd=copy, check=False, capture_output=True).returncode == 1


def test_a_run_that_did_not_end_is_not_sealed(tmp_path: Path) -> None:
    crashed = write_tree(tmp_path / "crashed", crash=True)
    with pytest.raises(Refused, match=r"did not come to its end: service_markers\.json"):
        seal_it(crashed)
    untouched(crashed)
    (crashed / "matrix" / "certification_report.json").unlink()
    with pytest.raises(Unverifiable, match="there is no evidence"):
        seal_it(crashed)
    with pytest.raises(Unverifiable, match="is no folder"):
        seal_it(tmp_path / "none")


def test_a_chain_that_does_not_reach_to_the_run_is_not_sealed(root: Path) -> None:
    """As if the run had been killed after its index, and before its entry in the chain."""
    broken = Broken(root, root)
    index = "artifact-index/artifact_index.json"
    broken.edit(index, lambda d: d.update(generated_at="2099-01-01T00:00:00.000Z"))
    with pytest.raises(Refused, match="does not reach to this run"):
        seal_it(root)
    untouched(root)


@pytest.mark.parametrize("folder", ["", "matrix"])
def test_a_tree_that_a_run_still_writes_is_not_sealed(folder: str, root: Path) -> None:
    handle = hold(root / folder)
    assert handle is not None
    with pytest.raises(Refused, match="another process is writing"):
        seal_it(root)
    os.close(handle)
    untouched(root)
    seal_it(root)


@pytest.mark.parametrize("name", [".a.json-ab12_cd9", "matrix/.x__behavior.json-abcdefgh", ".try-abcdefgh"])
def test_a_file_that_was_half_written_is_not_sealed(name: str, root: Path) -> None:
    (root / name).write_text("{")
    with pytest.raises(Refused, match="was being written when its writer died"):
        seal_it(root)
    untouched(root)


def test_what_is_no_file_is_not_sealed(root: Path) -> None:
    (root / "link").symlink_to("report.html")
    with pytest.raises(Refused, match="link is a link, a pipe or a device"):
        seal_it(root)
    (root / "link").unlink()
    (root / "seal").mkdir()
    (root / "seal" / "mine.txt").write_text("")
    with pytest.raises(Refused, match=r"mine\.txt is in the way"):
        seal_it(root)
    untouched(root)


def test_what_a_killed_seal_left_is_no_hindrance(root: Path) -> None:
    (root / f".{SUMS}-abcdefgh").write_text("")
    (root / "seal").mkdir()
    (root / "seal" / ".checkpoint-abcdefgh").write_text("")
    seal_it(root)
    assert verify(root, OURS.verifier).rulings == ()


def test_nothing_is_verified_where_nothing_is(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Unverifiable, match="there is no seal"):
        verify(root, OURS.verifier)
    with pytest.raises(Unverifiable, match="there is no tree"):
        verify(tmp_path / "none", OURS.verifier)


def test_another_key_verifies_nothing(root: Path) -> None:
    seal_it(root)
    assert {r.code for r in verify(root, THEIRS.verifier).rulings} >= {"checkpoint", "signature"}


def test_a_log_outside_links_trees_and_is_never_built_upon_if_it_was_touched(root: Path, tmp_path: Path) -> None:
    log, second = tmp_path / "log", tmp_path / "second"
    shutil.copytree(root, second)
    seal_it(root, log=log)
    one = (log / "checkpoint").read_bytes()
    seal_it(second, log=log)
    assert (log / "checkpoint").read_bytes() == (second / CHECKPOINT).read_bytes() != one
    assert (log / "log.jsonl").read_bytes() == (second / LOG).read_bytes()
    assert [verify(tree, OURS.verifier).log.size for tree in (root, second)] == [1, 2]
    good = (log / "log.jsonl").read_bytes()
    for content, words in (
        (good[:-1], "it was cut"),
        (good.replace(b'"index":0', b'"index":9'), "it is another log"),
        (good.splitlines(keepends=True)[0], "it was cut"),
    ):
        (log / "log.jsonl").write_bytes(content)
        with pytest.raises(ArtifactError, match=words):
            seal_it(root, log=log)
    (log / "log.jsonl").write_bytes(good)
    with pytest.raises(ArtifactError, match="is not signed by the given key"):
        seal_it(root, log=log, signer=THEIRS)
    (log / "checkpoint").unlink()
    with pytest.raises(ArtifactError, match="checkpoint is missing"):
        seal_it(root, log=log)
    assert verify(root, OURS.verifier).rulings == ()


def test_a_line_that_no_checkpoint_covers_is_of_a_dead_writer(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    seal_it(root, log=log)
    with (log / "log.jsonl").open("ab") as file:
        file.write(b"{}\n")
    seal_it(root, log=log)
    found = verify(root, OURS.verifier)
    assert (found.rulings, found.log.size) == ((), 2)


def test_a_pin_holds_the_writer_too(root: Path, tmp_path: Path) -> None:
    log, other = tmp_path / "log", tmp_path / "other"
    seal_it(root, log=log)
    seal_it(root, log=log)
    pin = tlog.read_pin(log / "checkpoint", OURS.verifier)
    seal_it(root, log=log, pin=pin)
    with pytest.raises(ArtifactError, match="has 0 entries, and had 2: it was cut"):
        seal_it(root, log=other, pin=pin)
    for second in range(3):
        seal_it(root, log=other, time=f"2026-01-01T00:00:0{second + 1}Z")
    with pytest.raises(ArtifactError, match="it is another log"):
        seal_it(root, log=other, pin=pin)
    with pytest.raises(UsageError, match="is not signed by the given key"):
        tlog.read_pin(log / "checkpoint", THEIRS.verifier)
    with pytest.raises(UsageError, match="is missing"):
        tlog.read_pin(log / "none", OURS.verifier)


def test_a_log_inside_of_the_tree_is_wrong_use(root: Path) -> None:
    with pytest.raises(UsageError, match="lies in the tree"):
        seal_it(root, log=root / "log")
    untouched(root)
    seal_it(root, log=root / "seal")


@pytest.mark.parametrize("outside", [False, True])
def test_a_seal_that_stops_after_any_file_does_not_verify(
    outside: bool, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last file that is written makes a tree that verifies, and that one is whole."""
    log = tmp_path / "log" if outside else None
    written: list[str] = []
    state: list[bool] = []

    def verifies() -> bool:
        try:
            return verify(root, OURS.verifier).rulings == ()
        except Unverifiable:
            return False

    for module in (sealing, tlog):
        original = module.write_text

        def watched(path: Path, text: str, original=original) -> None:  # type: ignore[no-untyped-def]
            state.append(verifies())
            original(path, text)
            written.append(path.name)

        monkeypatch.setattr(module, "write_text", watched)
    seal_it(root, log=log)
    assert written[-1] == "checkpoint"
    assert len(written) == (8 if outside else 6)
    assert state == [False] * len(written)
    assert verifies()


def test_both_ask_every_check(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_dpone.core.gates.ruling import green, red

    def check(evidence, policy):  # type: ignore[no-untyped-def]
        assert evidence.root == root
        return [green("a.json", "fits"), red("a.json", "unfit", "a.json does not fit")]

    monkeypatch.setattr(again, "CHECKS", (*again.CHECKS, check))
    assert [r.code for r in seal_it(root).judgement.rulings] == ["unfit"]
    assert [r.code for r in verify(root, OURS.verifier).rulings] == ["unfit"]


def test_files_that_bind_a_run_are_in_the_predicate(root: Path) -> None:
    seal_it(root)
    found = verify(root, OURS.verifier)
    assert found.rulings == ()
    assert found.certification is not None
    assert list(found.certification.bound) == ["scope_lock.json", "source_binding.json"]


def test_a_summary_tells_its_inputs(root: Path) -> None:
    import base64
    import hashlib

    seal_it(root)
    envelope = json.loads((root / "seal/verification-summary.dsse.json").read_text())
    predicate = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    assert predicate["verificationResult"] == "PASSED"
    assert predicate["verifiedLevels"] == ["DPONE_REAL_LOCAL"]
    for row in predicate["inputAttestations"]:
        assert hashlib.sha256((root / "seal" / row["uri"]).read_bytes()).hexdigest() == row["digest"]["sha256"]
    assert verification.STATEMENT == "https://in-toto.io/Statement/v1"


def test_a_note_that_is_no_checkpoint_is_refused() -> None:
    from pytest_dpone.evidence.note import open_checkpoint

    with pytest.raises(BadNote):
        open_checkpoint(b"", OURS.verifier)
