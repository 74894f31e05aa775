"""The commands `keygen`, `seal` and `verify`: arguments to values, and what was found to lines."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from ..core.gates.policy import PACKAGED, VerificationPolicy, read_policy
from ..core.gates.ruling import Ruling, known_profile, valid_release
from ..errors import UsageError
from ..evidence.files import Unreadable, read_bytes
from ..evidence.keys import generate, public_path, read_signer, read_verifier
from ..evidence.leaks import needles
from ..evidence.note import origin_of, verifier_key
from ..evidence.sums import CHECKPOINT, SEAL
from ..evidence.tlog import read_pin
from ..report.escape import visible
from .ops_values import path_of
from .told import GREEN, RED, told


def run(arguments: argparse.Namespace) -> int:
    """Run one of the commands; returns the exit status. What goes wrong is one line and a hint on stderr."""
    return told(_COMMANDS[arguments.command], arguments, folder="another folder")


def _keygen(arguments: argparse.Namespace) -> int:
    path = path_of(arguments.file, "FILE")
    verifier = generate(path)
    rows = {
        "private key": f"{path} (keep it secret; whoever has it can seal)",
        "public key": f"{public_path(path)} (give it to whoever verifies, on another way than the evidence)",
        "keyid": verifier.keyid,
        "log": verifier_key(origin_of(verifier), verifier),
    }
    _print(f"{name}: {visible(value)}" for name, value in rows.items())
    return GREEN


def _seal(arguments: argparse.Namespace) -> int:
    from ..run.sealing import seal

    root = path_of(arguments.dir, "DIR")
    signer = read_signer(path_of(arguments.key, "--key"))
    pin = path_of(arguments.pin, "--pin") if arguments.pin is not None else None
    found = seal(
        root,
        signer=signer,
        policy=_policy(arguments.policy),
        needles=needles(os.environ),
        time=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        version=version("pytest-dpone"),
        log_folder=path_of(arguments.log, "--log") if arguments.log is not None else None,
        pin=read_pin(pin, signer.verifier) if pin is not None else None,
    )
    rulings = found.judgement.rulings
    word = "FAILED" if rulings else "PASSED"
    kept = root / SEAL / CHECKPOINT
    notes = (
        f"{len(found.judgement.sums)} files; entry {found.size - 1} of the log",
        f"keep a copy of {kept} elsewhere: only with it an older or another log shows",
        *found.notes,
    )
    return _show("seal", word, rulings, notes, arguments.format)


def _verify(arguments: argparse.Namespace) -> int:
    from ..run.verification import Wanted, verify

    root = path_of(arguments.dir, "DIR")
    verifier = read_verifier(path_of(arguments.key, "--key"))
    wanted = Wanted(
        commit=_commit(arguments.commit),
        release=valid_release(arguments.release) if arguments.release is not None else None,
        profile=known_profile(arguments.profile) if arguments.profile is not None else None,
        pin=read_pin(path_of(arguments.pin, "--pin"), verifier) if arguments.pin is not None else None,
        policy=_policy(arguments.policy),
    )
    found = verify(root, verifier, wanted)
    notes = [f"{len(found.actual)} files; {found.log.size} {_many('entry', 'entries', found.log.size)} in the log"]
    word = "PASSED"
    if found.certification is not None:
        told = found.certification
        word = told.decision
        notes.append(f"release {told.release}, profile {told.profile.name}, commit {told.source.commit}")
        counts = sum(outcome == "passed" for outcome in told.scope.outcomes.values())
        notes.append(f"{counts} of {told.scope.planned} planned cases passed")
        elsewhere = [gate.id for gate in told.gates if gate.measured != "run"]
        notes += [f"not measured by the run: {', '.join(elsewhere)}"] if elsewhere else []
        notes += [f"not asked for, so not compared: {', '.join(left)}"] if (left := _left_out(arguments)) else []
    return _show("verify", "FAILED" if found.rulings else word, found.rulings, notes, arguments.format)


def _left_out(arguments: argparse.Namespace) -> list[str]:
    return [f"--{name}" for name in ("commit", "release", "profile", "pin") if getattr(arguments, name) is None]


def _policy(text: str | None) -> VerificationPolicy:
    if text is None:
        return PACKAGED
    path = path_of(text, "--policy")
    try:
        return read_policy(read_bytes(path), what=f"--policy {path}")
    except Unreadable as error:
        raise UsageError(f"--policy: {path} {error}", hint="name a file that can be read") from None


def _commit(text: str | None) -> str | None:
    if text is None or (len(text) in (40, 64) and not set(text) - set("0123456789abcdef")):
        return text
    raise UsageError(
        f"--commit {text[:80]!r} is no commit", hint="give all 40 (or 64) hexadecimal digits, as git rev-parse prints"
    )


def _many(one: str, more: str, count: int) -> str:
    return one if count == 1 else more


def _show(command: str, word: str, rulings: Sequence[Ruling], notes: Sequence[str], form: str) -> int:
    if form == "json":
        findings = [{"file": r.subject, "code": r.code, "text": r.text} for r in rulings]
        text = {"command": command, "passed": not rulings, "word": word, "findings": findings, "notes": list(notes)}
        print(json.dumps(text, indent=2))
    else:
        many = f", {len(rulings)} {_many('finding', 'findings', len(rulings))}" if rulings else ""
        lines = [f"{command}: {word}{many}"]
        lines += [f"  {r.subject}: {r.code}: {r.text}" for r in rulings]
        _print(visible(line) for line in (*lines, *(f"  {note}" for note in notes)))
    return RED if rulings else GREEN


def _print(lines: Iterable[str]) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    for line in lines:
        print(line.encode(encoding, "backslashreplace").decode(encoding))


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {"keygen": _keygen, "seal": _seal, "verify": _verify}
