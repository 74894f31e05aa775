"""How an engine behaved to a source with faults on purpose: each check, alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_dpone.core.model import ActName
from pytest_dpone.run.act import Act
from pytest_dpone.run.conduct import FAULTS, SEVERAL_PAGES, watched

ALL_MET = dict.fromkeys(FAULTS, 1)


class Server:
    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts

    def witnessed(self, namespace: str) -> dict[str, int]:
        return self.counts


def red(counts: dict[str, int], *, rows: int = SEVERAL_PAGES, act: ActName = ActName.LOAD) -> list[str]:
    spec = SimpleNamespace(rows_before=rows)
    stage = SimpleNamespace(source=Server(counts), source_space="s", dataset=SimpleNamespace(spec=spec))
    played = Act(act)
    with watched(played, stage):  # type: ignore[arg-type]
        pass
    return [check.name for check in played.checks if not check.passed]


def test_who_met_every_fault_and_waited_is_green() -> None:
    assert red(ALL_MET) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_left_out_a_fault_is_red(fault: str) -> None:
    assert red(ALL_MET | {fault: 0}) == ["api.faults_met"]
    assert red(ALL_MET | {fault: 0}, rows=SEVERAL_PAGES - 1) == []
    assert red(ALL_MET | {fault: 0}, act=ActName.REPEAT) == []


def test_who_did_not_wait_is_red() -> None:
    assert red(ALL_MET | {"early": 1}) == ["api.patience"]
    assert red({"early": 1}, act=ActName.PROVISION) == []
