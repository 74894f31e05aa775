"""An engine that is a program in any language: a job on its standard input, the facts on its standard output."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr, ValidationError

from ..core import strict
from ..core.model import Case, Frozen
from ..core.wire import SUPPORTED, Job, RunFacts, Support, scrub
from ..errors import EngineFailed, UsageError
from .process import Ended, play

ASK = '{"ask": "supports"}\n'
ASK_SECONDS = 60.0
_LINES, _WIDTH, _LAST = 12, 200, 500
"""What is shown of a program's standard error: its last lines, cut to this width, and the very last one to that."""
_LONGEST_SECRET = 1 << 10
_HINT = "the job is JSON on standard input, the facts are JSON on standard output; status 0 means done"

Model = TypeVar("Model", bound=Frozen)


class Rule(Support):
    """What a program says of the cases that match a glob."""

    case: str


class Answer(Frozen):
    """A program's answer to `ASK`; of the rules the first one that matches a case counts."""

    supports: tuple[Rule, ...]


class CommandEngine:
    """One process per run; implements `core.wire.Engine`.

    The address of a service reaches the program by standard input alone: never by an argument or the environment.
    """

    name = "command"

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path | None = None,
        scratch: str = "",
        called: str = "the command",
        hint: str = _HINT,
    ) -> None:
        self._command = tuple(command)
        self._folder = folder
        self._scratch = scratch
        self._called = called
        self._hint = hint

    @classmethod
    def parse(cls, text: str, *, folder: Path | None = None) -> CommandEngine:
        """The engine of a command line, which no shell reads. Raises `UsageError`."""
        if not text:
            raise UsageError(
                "the engine command needs to know the command",
                hint='give it: --dpone-engine-command="node mover.js"',
            )
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise UsageError(
                f"the engine's command can't be read: {error}", hint="quote it as in a shell: 'node \"my mover.js\"'"
            ) from None
        if not words or shutil.which(str((folder or Path()) / words[0]) if "/" in words[0] else words[0]) is None:
            raise UsageError(
                f"the engine's command {(words or [text])[0]!r} is not there, or is no program",
                hint="install it, or give its path: --dpone-engine-command; no shell reads the line",
            )
        return cls(words, folder=folder)

    def supports(self, case: Case) -> Support:
        """What the program answered when it was asked, once; all cases if it gave no answer."""
        rules = self._rules
        if rules is None:
            return SUPPORTED
        for rule in rules:
            if fnmatchcase(case.case_id, rule.case):
                return Support.model_validate(rule.model_dump(exclude={"case"}))
        return Support(status="unsupported", reason="the command's answer names no such case")

    def run(self, job: Job) -> RunFacts:
        """Start the program for one job. Raises `EngineFailed` for whatever is no plain success."""
        ended = play(self._command, text=job.to_json() + "\n", folder=self._folder, scratch=self._scratch)
        said = _said(ended, [end.url for end in (job.source, job.sink, job.staging) if end is not None])
        return _read(RunFacts, ended, called=self._called, what="facts", said=said, hint=self._hint)

    @cached_property
    def _rules(self) -> tuple[Rule, ...] | None:
        """The rules of the answer, or None if there is none: a program need not know the question."""
        ended = play(self._command, text=ASK, folder=self._folder, seconds=ASK_SECONDS)
        if not ended.output.strip():
            return None
        told = {"called": self._called, "what": "an answer to supports", "said": _said(ended), "hint": self._hint}
        return _read(Answer, ended, **told).supports


def _read(kind: type[Model], ended: Ended, *, called: str, what: str, said: str, hint: str) -> Model:
    """Standard output as a `kind`. Raises `EngineFailed` unless the program ended well and wrote nothing else."""
    if ended.status:
        how = f"ended with status {ended.status}" if ended.status > 0 else f"was ended by signal {-ended.status}"
        raise EngineFailed(f"{called} {how}{said}", hint=hint)
    if ended.left:
        names = ", ".join(ended.left)
        raise EngineFailed(
            f"{called} left processes running, which were ended: {names}{said}",
            hint="wait for each process that you start, before you end",
        )
    if not ended.output.strip():
        raise EngineFailed(f"{called} wrote nothing to standard output{said}", hint=_HINT)
    try:
        # Facts are numbers and texts, and are taken as such only: no "5", no true.
        return kind.model_validate(strict.parse_object(ended.output), strict=kind is RunFacts)
    except strict.NotStrict as error:
        raise EngineFailed(
            f"{called} wrote no JSON object to standard output: {error}{said}",
            hint=f"standard output is for {what} alone; everything else belongs to standard error",
        ) from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or what}: {e['msg']}" for e in error.errors())
        raise EngineFailed(
            f"{called} wrote {what} that can't be: {wrong}{said}",
            hint="see docs/plug-in-your-engine.md for the fields",
        ) from None


def _said(ended: Ended, urls: Sequence[SecretStr] = ()) -> str:
    """The last lines of standard error without secrets, also without half of one at the place of a cut."""
    text = scrub(ended.errors, urls)
    if ended.cut:
        text = text[_LONGEST_SECRET:]
    lines = [line for line in text.splitlines() if line.strip()][-_LINES:]
    plain = ["".join(c if c.isprintable() else "\ufffd" for c in line) for line in lines]
    plain = [line[:_WIDTH] for line in plain[:-1]] + [line[:_LAST] for line in plain[-1:]]
    if not plain:
        return "; it wrote nothing to standard error"
    *before, last = plain
    return f"; its standard error ends with: {last}" + "".join(
        f"\n  {line}" for line in ("before that:", *before) if before
    )
