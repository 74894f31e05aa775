"""An engine in a process of its own, that can be stopped on its way: `python -m pytest_dpone.engines.child`.

The first line of standard input is a JSON object with `engine`, `job` and `stop`: null, or the moment at which the
process waits to be killed, and how often it must have come. Each line of standard output is a JSON object: `moment` as
one is reached, and at last `facts` or `error`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from ..core.wire import Engine, Job
from ..errors import described


def main() -> int:
    """Do the job; 0 if it is done, 1 if the engine failed."""
    order = json.loads(sys.stdin.readline())
    watch = _Watch(*(order["stop"] or ("", 0)))
    try:
        facts = _engine(order["engine"], watch).run(Job.model_validate(order["job"]))
    except Exception as error:
        _say(error=described(error))
        return 1
    _say(facts=json.loads(facts.model_dump_json()))
    return 0


def _engine(name: str, moment: Callable[[str], None]) -> Engine:
    """The engine called `name`, or the mutant `mutant:name`; it tells its moments if it has any."""
    from . import load_engine
    from .mutants import MUTANTS

    built = {f"mutant:{mutant.name}": mutant.build for mutant in MUTANTS}
    engine: Any = built[name]() if name in built else load_engine(name)
    watched = getattr(engine, "watched", None)
    return watched(moment) if watched else engine  # type: ignore[no-any-return]


class _Watch:
    """Tells each moment; at the one that it was asked for it waits for the end."""

    def __init__(self, stop: str, count: int) -> None:
        self._stop, self._left = stop, count

    def __call__(self, name: str) -> None:
        _say(moment=name)
        if name == self._stop:
            self._left -= 1
            if not self._left:
                sys.stdin.read()
                os._exit(3)  # nobody is left who would kill it


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - standard output is the protocol


if __name__ == "__main__":
    sys.exit(main())
