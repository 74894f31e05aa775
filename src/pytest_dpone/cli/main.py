"""The console script `pytest-dpone`. Exit: 0 green, 1 red, 2 inconclusive, 3 unverifiable evidence, 4 wrong use."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..errors import DponeError, UsageError
from .args import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, or raises `SystemExit` as argparse does for --help and wrong use."""
    arguments = build_parser().parse_args(argv)
    from . import commands

    try:
        status: int = getattr(commands, arguments.command)(arguments)
        sys.stdout.flush()
    except UsageError as error:
        print(error, file=sys.stderr)
        return 4
    except DponeError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader has seen enough, e.g. `| head`; nothing may be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


if __name__ == "__main__":
    sys.exit(main())
