"""Whatever is done to a sealed tree is red, and names the file; a tree that nobody touched is green."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_dpone.core.gates.policy import PACKAGED, VerificationPolicy
from pytest_dpone.run.verification import Wanted, verify

from .sabotage import ASKED, CHECKPOINT, INTEGRITY, JUDGEMENT, OURS, Broken, Sabotage, seal_it
from .trees import COMMIT, RELEASE, write_tree


def test_a_tree_that_nobody_touched_is_green_wherever_it_is(golden: tuple[Path, Path], broken: Broken) -> None:
    from pytest_dpone.evidence.tlog import read_pin

    pins = [read_pin(root / CHECKPOINT, OURS.verifier) for root in golden]
    for root in (*golden[:1], broken.root):
        for pin in (None, *pins):
            wanted = Wanted(commit=COMMIT, release=RELEASE, profile="real_local", pin=pin)
            found = verify(root, OURS.verifier, wanted)
            assert found.rulings == ()
            assert found.certification is not None
            assert (found.certification.decision, found.certification.verdict) == ("GO", "PASSED")
            assert found.log.size == 2
    assert broken.again() == ()


def test_the_earlier_tree_is_green_by_itself(golden: tuple[Path, Path]) -> None:
    """Only what one has kept elsewhere, or asks for, tells it from the newest one."""
    assert verify(golden[1], OURS.verifier).rulings == ()


@pytest.mark.parametrize("sabotage", INTEGRITY, ids=lambda s: s.name)
def test_sabotage_of_a_sealed_tree_is_seen(sabotage: Sabotage, broken: Broken) -> None:
    sabotage.do(broken)
    rulings = broken.verify()
    assert sabotage.found(rulings), [(r.subject, r.code, r.text) for r in rulings]


@pytest.mark.parametrize("sabotage", JUDGEMENT, ids=lambda s: s.name)
def test_sabotage_of_the_records_is_seen_whoever_signs_it(sabotage: Sabotage, broken: Broken) -> None:
    sabotage.do(broken)
    rulings = broken.again()
    assert sabotage.found(rulings), [(r.subject, r.code, r.text) for r in rulings]


@pytest.mark.parametrize(("what", "do", "policy", "file", "code"), ASKED, ids=lambda v: v if isinstance(v, str) else "")
def test_a_policy_asks_for_more(  # type: ignore[no-untyped-def]
    what: str, do, policy: VerificationPolicy, file: str, code: str, broken: Broken
) -> None:
    do(broken)
    before = {(r.subject, r.code) for r in broken.again(PACKAGED)}
    assert {(r.subject, r.code) for r in broken.again(policy)} - before == {(file, code)}


def test_a_policy_may_refuse_what_a_patch_release_accepts(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", accept=("emulated",), fidelity="emulated", emulated="all of it")
    broken = Broken(root, root)
    assert broken.again() == ()
    assert [r.code for r in broken.again(VerificationPolicy(accept_fidelity=("engine",)))] == ["fidelity_refused"]


def test_what_was_measured_elsewhere_counts_if_the_policy_says_so(broken: Broken) -> None:
    broken.path("live-state-reconciliation/x.json").write_text("{}")
    broken.edit("state_evidence.json", lambda d: d.update(origin="command"))
    accepted = VerificationPolicy(measured_elsewhere=("state",))
    assert ("state_evidence.json", "measured_elsewhere") not in [(r.subject, r.code) for r in broken.again(accepted)]


@pytest.mark.parametrize(
    "facts", [{"failed": True}, {"dirty": True}, {"commit": None, "dirty": None}, {"run_mode": "mock_local"}]
)
def test_a_red_run_can_be_sealed_and_stays_red(facts: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    root = write_tree(tmp_path / "tree", **facts)
    sealed = seal_it(root)
    assert sealed.judgement.word == "FAILED"
    found = verify(root, OURS.verifier)
    assert found.rulings == sealed.judgement.rulings
    assert found.certification is not None
    assert found.certification.decision == "NO-GO"


@pytest.mark.parametrize("unavailable", [False, True])
def test_a_feature_branch_s_run_is_sealed_too(unavailable: bool, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", profile="local_live", release=None, unavailable=unavailable)
    seal_it(root)
    found = verify(root, OURS.verifier)
    assert found.rulings == ()
    assert found.certification is not None
    assert (found.certification.decision, found.certification.release) == ("PASSED", "unreleased")


def test_a_seal_of_a_tree_that_was_sealed_before_follows_it(broken: Broken) -> None:
    seal_it(broken.root)
    found = verify(broken.root, OURS.verifier)
    assert (found.rulings, found.log.size) == ((), 3)


def test_a_run_in_a_sealed_folder_breaks_the_seal(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree")
    seal_it(root)
    shutil.copytree(root, tmp_path / "kept")
    write_tree(root, run_id="r2")
    assert verify(root, OURS.verifier).rulings
    seal_it(root)
    assert verify(root, OURS.verifier).rulings == ()
    assert verify(tmp_path / "kept", OURS.verifier).rulings == ()


def test_a_verifier_holds_a_run_to_his_own_scope_lock(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree")
    locked = Broken(root, root)

    def lock(data: dict) -> None:  # type: ignore[type-arg]
        facts = data["facts"]
        facts |= {
            "basis": "lock",
            "lock": "a" * 64,
            "locked_dataset": facts["dataset"],
            "locked_contracts": facts["contracts"],
        }

    locked.edit("scope_lock.json", lock)
    policies = {digit: VerificationPolicy(scope_lock=digit * 64) for digit in "ab"}
    codes = {digit: {r.code for r in locked.again(policy)} for digit, policy in policies.items()}
    assert "another_scope" not in codes["a"]
    assert "another_scope" in codes["b"]
    assert seal_it(root).judgement.evidence.lock == "a" * 64
    found = verify(root, OURS.verifier, Wanted(policy=policies["b"]))
    assert found.certification is not None
    assert found.certification.scope.lock == "a" * 64
