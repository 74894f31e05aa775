"""The command `pytest-dpone merge`: shards in, a tree and a verdict out."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..core.gates.documents import SHARDS
from ..report.escape import visible, visible_lines
from ..report.gates import blocker_lines, gate_lines
from ..report.terminal import summary_lines
from ..run.merge import Merged, merge
from ..run.step_summary import GITHUB_SUMMARY, tell_github
from .ops_values import path_of
from .told import GREEN, RED, told


def run(arguments: argparse.Namespace) -> int:
    """Merge; status 1 if the whole run is red, or a test of the project failed in a shard."""
    return told(_merge, arguments, folder="--output-dir")


def _merge(arguments: argparse.Namespace) -> int:
    folders = [path_of(text, "DIR") for text in arguments.folders]
    merged = merge(folders, path_of(arguments.output_dir, "--output-dir").absolute())
    for line in _lines(merged):
        print(line)
    if path := os.environ.get(GITHUB_SUMMARY):
        for problem in tell_github(merged.outcome, Path(path)):
            print(visible(problem))
    print(merged.outcome.decision.headline)
    return GREEN if merged.outcome.decision.passed and not merged.failed else RED


def _lines(merged: Merged) -> Iterator[str]:
    """What a run says at its end, but for the last line."""
    outcome, width = merged.outcome, min(100, shutil.get_terminal_size().columns)
    lines = summary_lines(outcome.records, width=width, short=False)
    lines += gate_lines(outcome.gates, width=width) if outcome.gates else []
    yield from (line.text for line in lines)
    if kills := outcome.kills.line():
        yield kills
    yield from (line.text for line in blocker_lines(outcome.decision.blockers, outcome.gates))
    for text in (*outcome.problems, *merged.told):
        yield from visible_lines(text)
    for name in merged.failed:
        yield f"failed beside the cases: {visible(name)}"
    yield f"shards: {merged.tree.file(SHARDS)}"
    yield f"artifacts: {merged.tree.root}"
