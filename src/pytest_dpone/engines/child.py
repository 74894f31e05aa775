"""An engine in a process of its own, that can be stopped on its way: `python -m pytest_dpone.engines.child ENGINE`.

The first line of standard input is a JSON object with `job` and `stops`: pairs of a moment at which the process waits
to be killed, and how often it must have come; it goes on with the next line of its input. Each line of standard output
is a JSON object: `moment` as one is reached, and at last `facts` or `error`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from ..core.wire import Engine, Job
from ..errors import described
from . import load_engine

_MUTANT = "mutant:"
_STARTABLE = ("native",)
"""Engines that tell moments; others have a process of their own already."""


def startable(name: str) -> bool:
    """If a process of its own can start the engine that was asked for as `name`."""
    return name in _STARTABLE or name.startswith(_MUTANT)


def main(name: str) -> int:
    """Do the job; 0 if it is done, 1 if the engine failed."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what an engine prints is no part of the protocol
        engine: Any = load(name)  # before the job is there: whoever waits for it saves that time
        order = json.loads(sys.stdin.readline())
        watched = getattr(engine, "watched", None)
        if watched is not None:
            engine = watched(_Watch(order["stops"], out))
        try:
            facts = engine.run(Job.model_validate(order["job"]))
        except Exception as error:
            _say(out, error=described(error))
            return 1
        _say(out, facts=json.loads(facts.model_dump_json()))
        return 0


def load(name: str) -> Engine:
    """The engine called `name`, or the mutant `mutant:name`."""
    if not name.startswith(_MUTANT):
        return load_engine(name)
    from .mutants import MUTANTS

    return next(mutant.build() for mutant in MUTANTS if mutant.name == name.removeprefix(_MUTANT))


class _Watch:
    """Tells each moment; at those that it was asked for it waits for the end, or for a word to go on."""

    def __init__(self, stops: Iterable[tuple[str, int]], out: TextIO) -> None:
        self._stops = {(name, count) for name, count in stops}
        self._told: list[str] = []
        self._out = out

    def __call__(self, name: str) -> None:
        self._told.append(name)
        _say(self._out, moment=name)
        if (name, self._told.count(name)) in self._stops and not sys.stdin.readline():
            os._exit(3)  # nobody is left who would kill it


def _say(out: TextIO, **what: object) -> None:
    print(json.dumps(what), file=out, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
