"""The commands of the reference page of `ops`, and those of the runbook that the flags come from, in order."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RUNBOOK = """
pytest-dpone ops live-certification-plan \
--profile local_live \
--row-count 25000 \
--output-dir test_artifacts/live_certification/plan \
--format json

pytest-dpone ops live-certification-plan \
--profile vendor_live \
--include-vendor-live \
--row-count 10000 \
--output-dir test_artifacts/live_certification_vendor/plan \
--format json

pytest-dpone ops benchmark-slo-gate \
--metrics-json '{"throughput_rows_per_second":120000,"duration_seconds":40,"freshness_lag_seconds":120,"failure_rate":0}' \
--baseline-json '{"throughput_rows_per_second":{"value":100000,"direction":"higher"},"duration_seconds":{"value":60,"direction":"lower"}}' \
--objectives-json '{"throughput_rows_per_second":{"min":100000},"freshness_lag_seconds":{"max":300},"failure_rate":{"max":0}}' \
--output-dir test_artifacts/live_certification/benchmark-slo \
--format json

pytest-dpone ops performance-certification \
--profile real_local \
--row-count 25000 \
--metrics-json '{"throughput_rows_per_second":1000,"duration_seconds":60,"memory_peak_mb":1024,"failure_rate":0}' \
--minimum-json '{"throughput_rows_per_second":500,"failure_rate":0}' \
--maximum-json '{"duration_seconds":120,"memory_peak_mb":2048}' \
--output-dir test_artifacts/live_certification/performance-certification \
--format json

pytest-dpone ops live-state-reconciliation \
--profile real_local \
--artifact state=test_artifacts/live_certification/state_evidence.json \
--artifact reconciliation=test_artifacts/live_certification/reconciliation_evidence.json \
--require state \
--require reconciliation \
--output-dir test_artifacts/live_certification/live-state-reconciliation \
--format json

pytest-dpone ops pre-release-checklist \
--release v0.7.1 \
--release-type minor \
--check cli_commands=true \
--check run_cli=true \
--check run_python_api=true \
--check hierarchical_lineage=true \
--check source_sink_matrix=true \
--check contracts_guardrails=true \
--check documentation=true \
--check package=true \
--output-dir test_artifacts/live_certification/pre-release \
--format json

pytest-dpone ops release-evidence-pack \
--release v0.7.1 \
--profile real_local \
--artifact service_markers=test_artifacts/live_certification/service_markers.json \
--artifact certification_pack=test_artifacts/live_certification/certification-pack/connector_certification_pack.json \
--artifact performance_certification=test_artifacts/live_certification/performance-certification/performance_certification.json \
--artifact live_state_reconciliation=test_artifacts/live_certification/live-state-reconciliation/live_state_reconciliation.json \
--artifact evidence_chain=test_artifacts/live_certification/evidence-chain/evidence_chain_index.json \
--artifact pre_release_checklist=test_artifacts/live_certification/pre-release/pre_release_checklist.json \
--require service_markers \
--require certification_pack \
--require performance_certification \
--require live_state_reconciliation \
--require evidence_chain \
--require pre_release_checklist \
--output-dir test_artifacts/live_certification/release-evidence \
--format json
"""


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_runbook_is_green_from_top_to_bottom(rounds: int, tree) -> None:  # type: ignore[no-untyped-def]
    commands = [shlex.split(text) for text in RUNBOOK.strip().split("\n\n")]
    assert len(commands) == 7
    for words in commands * rounds:
        result = tree.ops(*words[2:])
        assert (result.status, result.err) == (0, ""), result.text
        output = Path(words[words.index("--output-dir") + 1])
        assert [path for path in output.glob("*.json") if path.with_suffix(".md").exists()]


def load_pages():  # type: ignore[no-untyped-def]
    path = ROOT / "tests" / "docs" / "pages.py"
    spec = importlib.util.spec_from_file_location("dpone_pages_of_ops", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dpone_pages_of_ops"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_what_the_commands_print(tree) -> None:  # type: ignore[no-untyped-def]
    pages = load_pages()
    told = [c for block in pages.blocks("docs/reference/ops.md") for c in pages.commands(block)]
    played = set()
    for command in told:
        if command.text.startswith("echo '"):
            data, _, name = command.text.removeprefix("echo ").partition(" > ")
            Path(name).write_text(shlex.split(data)[0] + "\n")
        elif command.text.startswith("mkdir "):
            Path(command.text.removeprefix("mkdir ")).mkdir()
        elif command.text.startswith("pytest-dpone ops ") and "*" not in command.text:
            words = shlex.split(command.text)[2:]
            result = tree.ops(*words)
            played.add(words[0])
            assert result.status == command.status, command.text
            assert pages.shows(command.output, result.text), f"{command.text}\n{result.text}"
    assert len(played) == 10


def test_the_page_has_every_gate_and_every_flag() -> None:
    import argparse

    from pytest_dpone.cli.args import build_parser

    text = (ROOT / "docs" / "reference" / "ops.md").read_text()
    (commands,) = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    (gates,) = [a for a in commands.choices["ops"]._actions if isinstance(a, argparse._SubParsersAction)]
    assert len(gates.choices) == 12
    for name, parser in gates.choices.items():
        section = text.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
        for action in parser._actions:
            flag = action.option_strings[-1]
            assert flag in section or flag in ("--help", "--format", "--output-dir"), (name, flag)
