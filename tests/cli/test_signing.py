"""`keygen`, `seal` and `verify` as a user calls them: status, lines, and what a message must not hold."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_dpone.cli.main import main
from pytest_dpone.core.gates.policy import PACKAGED, PACKAGED_URI

from ..evidence.trees import COMMIT, write_tree


@dataclass
class Desk:
    """A folder with a key and a tree of a run, and what the last command printed."""

    root: Path
    capsys: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    @property
    def tree(self) -> Path:
        return self.root / "tree"

    def run(self, *words: str) -> int:
        self.capsys.readouterr()
        try:
            status = main([*words])
        except SystemExit as end:
            status = int(end.code or 0)
        self.out, self.err = self.capsys.readouterr()
        return status

    def seal(self, *more: str) -> int:
        return self.run("seal", str(self.tree), "--key", str(self.root / "key"), *more)

    def verify(self, *more: str) -> int:
        return self.run("verify", str(self.tree), "--key", str(self.root / "key.pub"), *more)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name in list(os.environ):
        if "TOKEN" in name or "SECRET" in name:
            monkeypatch.delenv(name)
    write_tree(tmp_path / "tree")
    desk = Desk(tmp_path, capsys)
    assert desk.run("keygen", str(tmp_path / "key")) == 0
    return desk


def test_a_key_is_told_but_for_the_secret(desk: Desk) -> None:
    private = (desk.root / "key").read_text().splitlines()[1]
    assert private not in desk.out
    assert stat.S_IMODE((desk.root / "key").stat().st_mode) == 0o600
    assert (desk.root / "key.pub").read_text().startswith("-----BEGIN PUBLIC KEY-----\n")
    assert [line.partition(":")[0] for line in desk.out.splitlines()] == ["private key", "public key", "keyid", "log"]
    assert desk.run("keygen", str(desk.root / "key")) == 4
    assert "exists already" in desk.err


def test_a_sealed_tree_is_verified_from_any_folder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.seal() == 0, desk.err
    assert desk.out.splitlines()[0] == "seal: PASSED"
    monkeypatch.chdir("/")
    assert desk.verify() == 0, desk.out
    lines = desk.out.splitlines()
    assert lines[0] == "verify: GO"
    assert f"release v1.2.3, profile real_local, commit {COMMIT}" in desk.out
    assert lines[-1] == "  not asked for, so not compared: --commit, --release, --profile, --pin"
    pin = desk.root / "pin"
    pin.write_bytes((desk.tree / "seal/checkpoint").read_bytes())
    asked = ("--commit", COMMIT, "--release", "v1.2.3", "--profile", "real_local", "--pin", str(pin))
    assert desk.verify(*asked) == 0
    assert "not asked for" not in desk.out


def test_a_finding_is_a_line_that_names_the_file(desk: Desk) -> None:
    assert desk.seal() == 0
    (desk.tree / "report.html").write_text("x")
    (desk.tree / "more").write_text("x")
    assert desk.verify("--release", "v9.9.9") == 1
    lines = desk.out.splitlines()
    assert lines[0] == "verify: FAILED, 5 findings"
    assert lines[1] == "  report.html: file_changed: report.html was changed since it was sealed"
    assert lines[2] == "  more: file_added: more was added since the tree was sealed"
    assert any(line.startswith("  matrix/certification_report.json: another_release: ") for line in lines)
    assert desk.verify("--format", "json") == 1
    told = json.loads(desk.out)
    assert (told["passed"], told["word"]) == (False, "FAILED")
    assert {"report.html", "more"} <= {row["file"] for row in told["findings"]}


def test_a_name_with_an_escape_sequence_is_inert(desk: Desk) -> None:
    assert desk.seal() == 0
    (desk.tree / "a\x1b[31mb").write_text("x")
    assert desk.verify() == 1
    assert "\x1b" not in desk.out
    assert "a\\x1b[31mb" in desk.out


def test_a_red_run_is_sealed_and_red(desk: Desk) -> None:
    write_tree(desk.tree, failed=True, run_id="r2")
    assert desk.seal() == 1
    assert desk.out.startswith("seal: FAILED, ")
    assert (desk.tree / "seal/checkpoint").exists()
    assert desk.verify() == 1
    assert desk.out.startswith("verify: FAILED, ")


def test_a_secret_of_the_environment_is_refused_and_not_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPONE_POSTGRES_URL", "postgresql://dpone:canary-7f3@127.0.0.1:5432/db")
    (desk.tree / "matrix" / "log.txt").write_text("a\nauth canary-7f3\n")
    assert desk.seal() == 1
    assert "matrix/log.txt, line 2, byte 6: the secret of DPONE_POSTGRES_URL" in desk.err
    assert "canary" not in desk.out + desk.err
    assert not (desk.tree / "SHA256SUMS").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--commit", "abc"), "is no commit"),
        (("--release", "a b"), "is no name for a release"),
        (("--profile", "x"), "is unknown"),
        (("--pin", "none"), "the checkpoint none is missing"),
        (("--policy", "none"), "--policy: none is missing"),
        (("--key", "twice"), "given twice"),
        (("--more",), "unrecognized"),
    ],
)
def test_wrong_use_is_told(words: tuple[str, ...], told: str, desk: Desk) -> None:
    assert desk.seal() == 0
    assert desk.verify(*words) == 4
    assert told in desk.err


def test_what_can_t_be_verified_is_told(desk: Desk) -> None:
    assert desk.verify() == 3
    assert "there is no seal" in desk.err
    assert desk.run("verify", str(desk.root / "none"), "--key", str(desk.root / "key.pub")) == 3
    assert desk.run("seal", str(desk.root / "none"), "--key", str(desk.root / "key")) == 3
    assert desk.run("verify", str(desk.tree), "--key", str(desk.root / "key")) == 4
    assert "is no public key" in desk.err


def test_a_policy_is_part_of_the_seal(desk: Desk) -> None:
    policy = desk.root / "policy.json"
    policy.write_text('{"required_cases": ["postgres_to_postgres__full_refresh"]}')
    assert desk.seal("--policy", str(policy)) == 0
    assert desk.verify("--policy", str(policy)) == 0
    assert desk.verify() == 1
    assert "seal/connector-certification.dsse.json: says_profile" in desk.out
    for text, words in (
        ("{", "is not strict JSON"),
        ('{"x": 1}', "is no policy: x:"),
        ('{"profiles": "a"}', "is no policy"),
    ):
        policy.write_text(text)
        assert desk.seal("--policy", str(policy)) == 4
        assert words in desk.err
    assert PACKAGED.uri == PACKAGED_URI


def test_a_log_is_shared(desk: Desk) -> None:
    log = desk.root / "log"
    assert desk.seal("--log", str(log)) == 0
    assert desk.seal("--log", str(log), "--pin", str(log / "checkpoint")) == 0
    assert "entry 1 of the log" in desk.out
    assert desk.verify("--pin", str(log / "checkpoint")) == 0
    (log / "log.jsonl").write_text("")
    assert desk.seal("--log", str(log)) == 1
    assert "it was cut" in desk.err


def test_without_the_library_the_way_to_it_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.seal() == 0
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    for status in (desk.run("keygen", str(desk.root / "other")), desk.seal(), desk.verify()):
        assert status == 3
        assert desk.err == (
            "the module 'cryptography.hazmat.primitives.asymmetric.ed25519' is needed and not installed\n"
            "hint: pip install 'pytest-dpone[sign]'\n"
        )


def test_what_verifies_loads_no_client_and_no_library_before_it_is_needed() -> None:
    code = (
        "import sys\nimport pytest_dpone.cli.signing, pytest_dpone.run.sealing, pytest_dpone.run.verification\n"
        "print([m for m in ('pyarrow', 'pytest', 'cryptography', 'psycopg', 'htpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
