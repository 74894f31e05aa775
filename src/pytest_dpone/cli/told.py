"""The exit statuses of the commands, and how what goes wrong is told: one line and a hint on stderr, no traceback."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from ..errors import ArtifactError, DponeError, MissingExtra, UsageError
from ..evidence.chain import Unverifiable
from ..report.escape import visible

GREEN, RED, UNVERIFIABLE, WRONG_USE = 0, 1, 3, 4


def told(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace, *, folder: str) -> int:
    """Run `command`; returns its exit status, or that of what went wrong. Hints name `folder` for the artifacts'."""
    try:
        return command(arguments)
    except UsageError as error:
        return _tell(error, WRONG_USE, folder)
    except (Unverifiable, MissingExtra) as error:
        return _tell(error, UNVERIFIABLE, folder)
    except DponeError as error:
        return _tell(error, RED, folder)
    except BrokenPipeError:
        raise
    except OSError as error:
        fact = f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}"
        return _tell(ArtifactError(fact, hint="look at the file and its folder"), RED, folder)


def _tell(error: DponeError, status: int, folder: str) -> int:
    hint = error.hint.replace("--dpone-artifact-dir", folder)
    print(f"{visible(error.fact)}\nhint: {visible(hint)}", file=sys.stderr)
    return status
