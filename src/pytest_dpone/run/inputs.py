"""What the gates of a run are given beside what it measures: the release, checks, objectives, baseline, bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.gates.checklist import ReleaseType, known_type, release_type_of
from ..core.gates.metrics import (
    PACKAGED_OBJECTIVES,
    Baseline,
    Objective,
    read_baseline,
    read_bounds,
    read_objectives,
)
from ..core.gates.ruling import valid_name, valid_release
from ..core.strict import NotStrict, parse
from ..errors import UsageError
from ..evidence.files import Unreadable, read_bytes

FIDELITIES = ("engine", "emulated")
"""What may count beside `real` in a patch release."""


@dataclass(frozen=True, slots=True)
class GateInputs:
    """Checked values; an empty mapping was not given. `baseline_file` is where `update_baseline` writes."""

    release: str | None = None
    release_type: ReleaseType | None = None
    checks: Mapping[str, bool] = field(default_factory=dict)
    objectives: Mapping[str, Objective] = field(default_factory=lambda: dict(PACKAGED_OBJECTIVES))
    baseline: Mapping[str, Baseline] = field(default_factory=dict)
    baseline_file: Path | None = None
    update_baseline: bool = False
    minimum: Mapping[str, int | float] = field(default_factory=dict)
    maximum: Mapping[str, int | float] = field(default_factory=dict)
    accepted_fidelity: tuple[str, ...] = ()


def read_inputs(
    *,
    release: str = "",
    release_type: str = "",
    checks: Sequence[tuple[str, bool]] = (),
    objectives: Path | None = None,
    baseline: Path | None = None,
    update_baseline: bool = False,
    minimum: Path | None = None,
    maximum: Path | None = None,
    accepted_fidelity: Sequence[str] = (),
) -> GateInputs:
    """Check the values and read the files. Raises `UsageError` that names the culprit.

    Without a minimum and a maximum the bounds of the given objectives are those of the performance certification.
    """
    kind = _release_type(release, release_type)
    _check_fidelity(accepted_fidelity, kind)
    if update_baseline and baseline is None:
        raise UsageError("--dpone-update-baseline has no file to write", hint="name it with --dpone-baseline")
    own = read_objectives(_json(objectives, "dpone_objectives")) if objectives is not None else {}
    bounds = {
        what: read_bounds(_json(path, f"dpone_{what}"), what=what) if path is not None else {}
        for what, path in (("minimum", minimum), ("maximum", maximum))
    }
    if minimum is None and maximum is None:
        bounds["minimum"] = {name: row.min for name, row in own.items() if row.min is not None}
        bounds["maximum"] = {name: row.max for name, row in own.items() if row.max is not None}
    return GateInputs(
        release=release or None,
        release_type=kind,
        checks={valid_name(name, what="a check"): done for name, done in checks},
        objectives=own or dict(PACKAGED_OBJECTIVES),
        baseline=_baseline(baseline, update=update_baseline),
        baseline_file=baseline,
        update_baseline=update_baseline,
        minimum=bounds["minimum"],
        maximum=bounds["maximum"],
        accepted_fidelity=tuple(accepted_fidelity),
    )


def _release_type(release: str, release_type: str) -> ReleaseType | None:
    if release:
        least = release_type_of(valid_release(release))
        return known_type(release, release_type) if release_type else least
    if release_type:
        raise UsageError(
            f"the release type {release_type} is of no release", hint="name the release with --dpone-release"
        )
    return None


def _check_fidelity(accepted: Sequence[str], release_type: ReleaseType | None) -> None:
    if accepted and release_type != "patch":
        what = f"a {release_type} release" if release_type else "no release"
        raise UsageError(
            f"--dpone-accept-fidelity={','.join(accepted)} is for patch releases only, and this is {what}",
            hint="run against real services, or name a patch release with --dpone-release",
        )


def _baseline(path: Path | None, *, update: bool) -> Mapping[str, Baseline]:
    if path is None or (update and not path.exists()):
        return {}
    return read_baseline(_json(path, "dpone_baseline"))


def _json(path: Path, what: str) -> object:
    try:
        return parse(read_bytes(path))
    except Unreadable as error:
        hint = "name a file that can be read"
        if what == "dpone_baseline" and not path.exists():
            hint = "--dpone-update-baseline writes a first one after a run whose cases are green"
        raise UsageError(f"{what}: {path} {error}", hint=hint) from None
    except NotStrict as error:
        raise UsageError(f"{what}: {path} is not strict JSON: {error}", hint="correct the file") from None
