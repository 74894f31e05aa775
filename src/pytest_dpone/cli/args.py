"""The arguments of `pytest-dpone`."""

from __future__ import annotations

import argparse
from functools import cache

from .ops_args import FORMATS, add_ops
from .signing_args import add_signing

SERVED = ("postgres", "clickhouse", "kafka", "s3", "schema-registry", "schema_registry", "api")


@cache
def build_parser() -> argparse.ArgumentParser:
    """The parser, made once, which takes longer than most commands.

    `command` names what was asked for. Wrong use ends with exit status 4.
    """
    parser = _Parser(prog="pytest-dpone", description="Look at the matrix, the contracts and the services.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    matrix = commands.add_parser("matrix", help="list the planned and the excluded cases")
    _add_format(matrix)
    for name in ("case", "source", "sink", "strategy"):
        matrix.add_argument(f"--{name}", action="append", default=[], metavar="GLOB", help=f"only this {name}")
    matrix.add_argument("--staging", choices=("none", "minio"), default="none", help="also the cases that are staged")
    _add_format(commands.add_parser("contracts", help="list what each family may do to a value"))
    _add_format(commands.add_parser("doctor", help="say which services could run here, and what is missing"))
    serve = commands.add_parser("serve", help="run an embedded service until Ctrl-C, and print its address")
    serve.add_argument("service", choices=SERVED)
    clean = commands.add_parser("clean", help="remove what dead runs left, and only that")
    clean.add_argument("--run-id", metavar="ID", help="also what this run made on servers of yours, by recorded names")
    _add_format(clean)
    lock = commands.add_parser("lock", help="write the scope lock of the project here: what a release must pass")
    lock.add_argument("--check", action="store_true", help="only say if it is up to date")
    merge = commands.add_parser("merge", help="make one run of the shards of a run, and judge it")
    merge.add_argument("folders", nargs="+", metavar="DIR", help="what shards have left, one or more of them in each")
    merge.add_argument("--output-dir", required=True, metavar="DIR", help="folder of the artifacts of the whole run")
    engine = commands.add_parser("engine", help="install an engine that needs an environment of its own")
    engine.add_argument("action", choices=("install",))
    engine.add_argument("name", choices=("dpone",))
    diff = commands.add_parser("diff", help="say what changed between two runs")
    diff.add_argument("before", metavar="RUN_A", help="folder that a run has left")
    diff.add_argument("after", metavar="RUN_B", help="folder that another one has left")
    _add_format(diff)
    add_signing(commands)
    add_ops(commands)
    return parser


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")


class _Parser(argparse.ArgumentParser):
    """argparse says 2 for wrong use; here 2 means inconclusive."""

    def exit(self, status: int = 0, message: str | None = None) -> None:  # type: ignore[override]
        super().exit(4 if status == 2 else status, message)
