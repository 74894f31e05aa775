"""The commands: each takes the parsed arguments, prints, and returns the exit status."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.model import Case
    from ..services.stack import Stack

Rows = Sequence[Sequence[str]]


def matrix(arguments: argparse.Namespace) -> int:
    """List the cases of the shipped families; families that a conftest adds are known to pytest only."""
    from ..core.registry import default_registry
    from ..run.plan import make_plan

    registry = default_registry()
    registry.staging = "" if arguments.staging == "none" else arguments.staging
    plan = make_plan(
        registry,
        cases=arguments.case,
        sources=arguments.source,
        sinks=arguments.sink,
        strategies=arguments.strategy,
    )
    rows = [(*_ends(case), plan.registry.key_form(case).value, "planned", "") for case in plan.scope]
    if not plan.narrowed:
        rows += [(*_ends(row.case), "", "excluded", row.reason) for row in plan.matrix.excluded]
    _show(("case", "source", "sink", "strategy", "key", "status", "reason"), rows, arguments.format)
    return 0


def _ends(case: Case) -> tuple[str, str, str, str]:
    return case.case_id, case.source, case.end, case.strategy


def contracts(arguments: argparse.Namespace) -> int:
    """List the contracts of the shipped families."""
    from ..core.contracts import default_contracts

    rows = [
        (c.family, c.kind, c.feature, c.how, c.rule or c.error, " or ".join(c.native), c.note)
        for c in default_contracts().rows
    ]
    _show(("family", "kind", "feature", "how", "rule or error", "native types", "note"), rows, arguments.format)
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Say what could run here, by each provider, and what this machine has; starts nothing.

    Status 1 if no service can be had, or if something that is set can't work.
    """
    from pathlib import Path

    from ..services.machine import examine, look_around
    from ..services.survey import find, survey

    try:
        folder = Path.cwd()
    except OSError:  # somebody has removed it
        folder = Path("/")
    found = find(os.environ, folder)
    services = survey(found)
    lines = [*services, *examine(look_around(os.environ, found.around.docker()))]
    rows = [(line.subject, line.way, line.status, line.version, line.fidelity, line.detail) for line in lines]
    _show(("subject", "way", "status", "version", "fidelity", "detail"), rows, arguments.format)
    had = any(line.status == "yes" for line in services)
    return 0 if had and not any(line.status == "wrong" for line in lines) else 1


def engine(_: argparse.Namespace) -> int:
    """Install dpone into an environment of its own, in the user's cache; `--dpone-engine=dpone` finds it there."""
    from ..engines.dpone import Environment

    environment = Environment.of(os.environ)
    version = environment.install()
    print(f"dpone {version} is installed in {environment.folder}")
    return 0


def serve(arguments: argparse.Namespace) -> int:
    """Run an embedded service until Ctrl-C; prints its address, with the password made for this run, on one line."""
    name = "minio" if arguments.service == "s3" else arguments.service.replace("-", "_")
    with _stack("serve", providers={name: "embedded"}) as stack:
        info = stack.ensure([name])[name]
        print(info.url.get_secret_value(), flush=True)
        print(f"{info.record.product} {info.record.version}; stop it with Ctrl-C", file=sys.stderr)
        try:
            while (end := stack.died(name)) is None:
                time.sleep(0.5)
        except KeyboardInterrupt:
            return 0
    print(end, file=sys.stderr)
    return 1


def clean(arguments: argparse.Namespace) -> int:
    """Remove what dead runs left on this machine; with `--run-id` also their namespaces on the user's own servers.

    Status 1 if something could not be removed.
    """
    from ..run.clean import clean_run, remains
    from ..services.stack import reap_dead_runs

    rows = [(f"run {run_id}", "processes, containers and files", "removed") for run_id in reap_dead_runs()]
    if arguments.run_id is not None:
        rows += [(row.where, row.what, row.became) for row in clean_run(arguments.run_id, os.environ)]
    rows += [(row.where, row.what, row.became) for row in remains()]
    _show(("where", "what", "became"), rows, arguments.format)
    return 1 if any(became.startswith("could not") for *_, became in rows) else 0


def lock(arguments: argparse.Namespace) -> int:
    """Let pytest collect what a release run here would run, and write the scope lock; with `--check` compare it.

    Status 1 if it is not up to date, or something can't be collected.
    """
    import subprocess

    way = "check" if arguments.check else "write"
    words = ["--collect-only", "-q", "-p", "no:cacheprovider", "--dpone-profile=real_local", f"--dpone-lock={way}"]
    done = subprocess.run([sys.executable, "-m", "pytest", *words], check=False)
    return done.returncode if done.returncode in (0, 4) else 1


def merge(arguments: argparse.Namespace) -> int:
    """Make one run of shards, and judge it; see `cli.merging`."""
    from .merging import run

    return run(arguments)


def diff(arguments: argparse.Namespace) -> int:
    """Say what changed between two runs. Status 1 if something is worse, 3 if a run can't be believed."""
    from .told import told

    return told(_diff, arguments, folder="another folder")


def _diff(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from ..run.compare import compare, read_run, same

    before, after = read_run(Path(arguments.before)), read_run(Path(arguments.after))
    changes = compare(before, after)
    rows = [(change.kind, change.subject, change.what, change.before, change.after) for change in changes]
    _show(("kind", "subject", "what", "before", "after"), rows, arguments.format)
    kinds = [change.kind for change in changes]
    if arguments.format == "text":
        words = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("worse", "better", "other"))
        print(f"{words}; {same(before, after, changes)} cases are the same")
    return 1 if "worse" in kinds else 0


def keygen(arguments: argparse.Namespace) -> int:
    """Make a key; see `cli.signing`."""
    from .signing import run

    return run(arguments)


def seal(arguments: argparse.Namespace) -> int:
    """Seal a tree; see `cli.signing`."""
    from .signing import run

    return run(arguments)


def verify(arguments: argparse.Namespace) -> int:
    """Verify a sealed tree; see `cli.signing`."""
    from .signing import run

    return run(arguments)


def ops(arguments: argparse.Namespace) -> int:
    """Run a gate; see `cli.ops`."""
    from .ops import run

    return run(arguments)


def _stack(purpose: str, *, providers: Mapping[str, str]) -> Stack:
    from ..services.stack import Stack, StackSettings

    run_id = f"{purpose}{secrets.token_hex(4)}"
    return Stack.launch(StackSettings(run_id=run_id, providers=providers))


def _show(head: Sequence[str], rows: Rows, form: str) -> None:
    if form == "json":
        names = [name.replace(" ", "_") for name in head]
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False, indent=2))
    elif form == "markdown":
        from ..report.escape import markdown

        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for row in rows:
            print(f"| {' | '.join(markdown(cell) for cell in row)} |")
    else:
        from ..report.escape import visible

        cells = [[visible(cell) for cell in row] for row in (head, *rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
        for row in cells:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
