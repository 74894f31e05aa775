"""The arguments of `pytest-dpone ops`. Loads argparse only; values are checked by the commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TypeVar

P = TypeVar("P", bound=argparse.ArgumentParser)

FORMATS = ("text", "json", "markdown")
PROFILES = "local_live, real_local or vendor_live"


def add_ops(commands: argparse._SubParsersAction[P]) -> None:
    """Add `ops` and its commands; the command's name arrives as `gate`."""
    ops = commands.add_parser("ops", help="gates, packs and the evidence chain", allow_abbrev=False)
    gates = ops.add_subparsers(dest="gate", required=True, metavar="GATE")

    plan = _gate(gates, "live-certification-plan", "say what a certification would do; start nothing")
    _profile(plan)
    once(plan, "--row-count", "rows of each case, ≥ 1", required=True)
    plan.add_argument("--include-vendor-live", action="store_true", help="needed for the profile vendor_live")
    once(plan, "--last-run", "matrix folder of an earlier run, to estimate the duration (default: beside the output)")

    gate = _gate(gates, "benchmark-slo-gate", "judge metrics against a baseline and objectives")
    for name in ("metrics", "baseline", "objectives"):
        once(gate, f"--{name}-json", f"{name} as JSON, or @file", required=True)

    performance = _gate(gates, "performance-certification", "judge metrics against minimums and maximums")
    _profile(performance)
    once(performance, "--row-count", "rows that were measured, ≥ 1", required=True)
    once(performance, "--metrics-json", "metrics as JSON, or @file", required=True)
    once(performance, "--minimum-json", "least values by metric as JSON, or @file")
    once(performance, "--maximum-json", "greatest values by metric as JSON, or @file")

    state = _gate(gates, "live-state-reconciliation", "judge state and reconciliation evidence")
    _profile(state)
    _artifacts(state)

    matrix = _gate(gates, "integration-matrix-report", "judge a run's matrix again from its files")
    once(matrix, "--artifact-dir", "the run's matrix folder", required=True)

    metrics = _gate(gates, "metrics-export", "export a run's metrics: JSON, Prometheus text, OTLP lines")
    once(metrics, "--artifact-dir", "the run's matrix folder", required=True)

    pack = _gate(gates, "certification-pack", "bundle the artifacts of a certification")
    _profile(pack)
    once(pack, "--release", "the release")
    once(pack, "--pack-id", "a name of the pack")
    _artifacts(pack)

    index = _gate(gates, "artifact-index", "index every file of a tree")
    once(index, "--root", "the tree", required=True)
    once(index, "--release", "the release", required=True)

    chain = _gate(gates, "evidence-chain", "link an artifact index into the chain", output=False)
    once(chain, "--artifact-index", "artifact_index.json", required=True)
    once(chain, "--chain-dir", "the chain's folder", required=True)
    once(chain, "--release", "the release", required=True)
    once(chain, "--previous-entry", "leaf or file of the entry that must be the last one so far")

    verify = _gate(gates, "evidence-chain-verify", "verify a chain and the tree of its last entry", output=False)
    once(verify, "--chain-dir", "the chain's folder", required=True)
    once(verify, "--pin", "SIZE:ROOT that was kept elsewhere, or @file")
    verify.add_argument("--chain-only", action="store_true", help="leave out the files that the last entry indexes")

    checklist = _gate(gates, "pre-release-checklist", "judge the checks that a release needs")
    once(checklist, "--release", "the release, a version", required=True)
    once(checklist, "--release-type", "patch, minor or major", required=True)
    _many(checklist, "--check", "NAME=VALUE", "a check and true or false; may be repeated")

    release = _gate(gates, "release-evidence-pack", "decide about a release: GO or NO-GO")
    once(release, "--release", "the release", required=True)
    _profile(release)
    _artifacts(release)


def _gate(
    gates: argparse._SubParsersAction[P], name: str, text: str, *, output: bool = True
) -> argparse.ArgumentParser:
    parser = gates.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
    if output:
        once(parser, "--output-dir", "write the JSON document and its Markdown twin there")
    parser.add_argument("--format", choices=FORMATS, default="text", help="of what is printed (default: text)")
    return parser


def _profile(parser: argparse.ArgumentParser) -> None:
    once(parser, "--profile", PROFILES, required=True)


def _artifacts(parser: argparse.ArgumentParser) -> None:
    _many(parser, "--artifact", "NAME=PATH", "an artifact; may be repeated")
    _many(parser, "--require", "NAME", "an artifact that must be there; may be repeated")


def once(parser: argparse.ArgumentParser, flag: str, text: str, *, required: bool = False) -> None:
    """Add an option that is wrong use if it is given twice."""
    parser.add_argument(flag, action=_Once, required=required, help=text)


def _many(parser: argparse.ArgumentParser, flag: str, metavar: str, text: str) -> None:
    parser.add_argument(flag, action="append", default=[], metavar=metavar, help=text)


class _Once(argparse.Action):
    """argparse lets the last one of two values win; here the second one is wrong use."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)
