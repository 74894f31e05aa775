"""What a run does with the plugin: which suites are collected, which marked tests may run, under which profile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from .active import SERVICE_MARKERS
from .chosen import RELEASES, Options, parse
from .options import SELECTION, VARIABLES, Raw
from .values import switch

_FOR_GATES = (
    *("release", "release_type", "check", "objectives", "baseline", "update_baseline"),
    *("minimum", "maximum", "accept_fidelity"),
)

_NO_GATE = "leave it out, or leave out --dpone-run-mode=mock_local: no gate takes a simulated run"


@dataclass(frozen=True, slots=True)
class Activity:
    """Everything that is decided before the first test is collected; the same value in every process of a run."""

    raw: Raw
    options: Options
    profile: str
    suites: tuple[str, ...]
    """Which packaged suites are collected: `services`, `matrix`, `selfcheck`."""
    unlocked: frozenset[str]
    """The integration markers whose tests may run."""
    whole: bool
    """If the run judges itself by all gates. With the documentation's variables alone it does one step of them."""

    @property
    def only_selected(self) -> bool:
        """If everything but the selected cases, or but the mutants, is deselected."""
        return self.options.selfcheck or (self.certifies and _one_case(self.options))

    @property
    def decides(self) -> bool:
        """If the run decides about a release."""
        return self.whole and self.profile in RELEASES

    @property
    def certifies(self) -> bool:
        """If the packaged matrix is part of the run, so that every planned case must leave a record."""
        return "matrix" in self.suites

    def without_matrix(self) -> Activity:
        """The same run with the service tests alone: `-m` leaves the matrix out, so no case is asked for."""
        if self.options.shard is not None:
            raise pytest.UsageError("--dpone-shard has no cases to part\nhint: let -m choose integration_matrix too")
        given = {name for name in _FOR_GATES if self.options.origins[name] == "option"}
        _check_gates(self.options, given, whole=False, hint="leave it out, or let -m choose integration_matrix too")
        return replace(self, suites=tuple(suite for suite in self.suites if suite != "matrix"), whole=False)

    def to_json(self) -> str:
        """For the workers; no setting of the table holds a secret."""
        facts = {"raw": self.raw, "suites": self.suites, "unlocked": sorted(self.unlocked), "whole": self.whole}
        return json.dumps(facts)

    @classmethod
    def from_json(cls, text: str) -> Activity:
        """The controller's activity, in a worker."""
        data = json.loads(text)
        raw = {name: (value, origin) for name, (value, origin) in data["raw"].items()}
        options = parse(raw)
        unlocked = frozenset(data["unlocked"])
        return cls(raw, options, _profile(options), tuple(data["suites"]), unlocked, data["whole"])


def find_activity(raw: Raw, environ: Mapping[str, str]) -> Activity | None:
    """What the options and the environment ask for, or None: then the plugin does nothing.

    Raises `pytest.UsageError` for values that are wrong and for wishes that contradict each other.
    """
    given = {name for name, (_, origin) in raw.items() if origin == "option"}
    if raw.get("profile", ("", ""))[1] == "environment":
        given.add("profile")
    wishes = {name: _variable(name, environ) for name in VARIABLES}
    if not given and not any(wishes.values()):
        return None
    options = parse(raw)
    _check_known(options, given)
    suites = _suites(options, given, wishes)
    _check_wishes(options, given, suites, wishes)
    _check_vendor(options, wishes)
    _check_shard(options, suites)
    whole = "matrix" in suites and not options.simulated and bool(given.intersection(("profile", *SELECTION)))
    _check_gates(options, given, whole=whole)
    unlocked = _unlocked(given, suites, wishes)
    if options.simulated:
        unlocked &= {"integration_matrix"}
    return Activity(raw, options, _profile(options), suites, unlocked, whole)


def _variable(name: str, environ: Mapping[str, str]) -> bool | None:
    if name not in environ or environ[name] == "":
        return None
    try:
        return switch(environ[name], hint="")
    except ValueError as error:
        raise pytest.UsageError(f"{name}: {error}\nhint: use {name}=1 or {name}=0, or unset it") from None


def _profile(options: Options) -> str:
    if options.profile:
        return options.profile
    if options.simulated:
        return "local_live"
    # The documentation's release gate is the matrix in the mode real_local.
    return "real_local" if options.origins["run_mode"] in ("environment", "option") else "local_live"


def _suites(options: Options, given: set[str], wishes: Mapping[str, bool | None]) -> tuple[str, ...]:
    if options.selfcheck:
        return ("selfcheck",)
    if options.profile == "vendor_live" and not _one_case(options):
        return ("vendor", "services", "matrix")
    asked = given.intersection(("profile", *SELECTION, *(("run_mode",) if options.simulated else ())))
    if not asked and not wishes["DPONE_RUN_INTEGRATION_MATRIX"]:
        return ()
    return ("services", "matrix") if asked and not options.simulated and not _one_case(options) else ("matrix",)


def _one_case(options: Options) -> bool:
    """If cases were asked for by name. An ini file only declares what there is to certify."""
    return bool(options.case) and options.origins["case"] != "ini"


def _check_gates(options: Options, given: set[str], *, whole: bool, hint: str = "") -> None:
    """What only the gates of a whole run read would be ignored without one."""
    lonely = [name for name in _FOR_GATES if name in given and not whole and not options.plan]
    if lonely:
        raise pytest.UsageError(
            f"--dpone-{lonely[0].replace('_', '-')} has no run that it is for\nhint: "
            + (hint or (_NO_GATE if options.simulated else "give a profile too, such as --dpone-profile=real_local"))
        )


def _check_wishes(
    options: Options, given: set[str], suites: tuple[str, ...], wishes: Mapping[str, bool | None]
) -> None:
    asked = f"--dpone-{min(given).replace('_', '-')}" if given else "DPONE_RUN_INTEGRATION_MATRIX=1"
    if wishes["DPONE_RUN_INTEGRATION"] is False:
        raise _contradiction("DPONE_RUN_INTEGRATION=0", asked)
    if wishes["DPONE_RUN_INTEGRATION_MATRIX"] is False and "matrix" in suites:
        raise _contradiction("DPONE_RUN_INTEGRATION_MATRIX=0", asked)
    if wishes["DPONE_RUN_INTEGRATION_LIVE"] and "profile" in given and options.profile != "vendor_live":
        raise _contradiction("DPONE_RUN_INTEGRATION_LIVE=1", f"the profile {options.profile}")


def _check_known(options: Options, given: set[str]) -> None:
    if "known_failures" in given and (options.simulated or _profile(options) != "local_live"):
        what = "a simulated run" if options.simulated else f"the profile {_profile(options)}"
        raise pytest.UsageError(
            f"--dpone-known-failures contradicts {what}, which knows of no excuse\nhint: leave it out"
        )


def _check_vendor(options: Options, wishes: Mapping[str, bool | None]) -> None:
    asked = options.include_vendor_live or wishes["DPONE_RUN_INTEGRATION_LIVE"]
    if options.profile == "vendor_live" and not asked:
        raise pytest.UsageError(
            "the profile vendor_live runs on systems that cost money\n"
            "hint: give --dpone-include-vendor-live, or set DPONE_RUN_INTEGRATION_LIVE=1, if you mean it"
        )
    if options.include_vendor_live and options.profile != "vendor_live":
        raise pytest.UsageError(
            f"--dpone-include-vendor-live contradicts the profile {_profile(options)}\n"
            "hint: give --dpone-profile=vendor_live, or leave it out"
        )
    others = [name for name, provider in options.services if provider not in ("auto", "external")]
    if options.profile == "vendor_live" and others:
        raise pytest.UsageError(
            f"the profile vendor_live takes external services only, and {others[0]} is asked for otherwise\n"
            "hint: leave --dpone-services out"
        )


def _check_shard(options: Options, suites: tuple[str, ...]) -> None:
    if options.durations and options.shard is None and options.origins["durations"] == "option":
        raise pytest.UsageError("--dpone-durations is for shards\nhint: add --dpone-shard, or leave it out")
    if options.shard is None:
        return
    if "matrix" not in suites and options.origins["shard"] == "option":
        raise pytest.UsageError(
            "--dpone-shard has no cases to part\nhint: give a profile too, such as --dpone-profile=real_local"
        )
    if options.update_baseline:
        raise pytest.UsageError(
            "--dpone-update-baseline contradicts --dpone-shard: a baseline is of a whole run\n"
            "hint: leave one of them out"
        )


def _contradiction(variable: str, other: str) -> pytest.UsageError:
    return pytest.UsageError(f"{variable} contradicts {other}\nhint: unset the variable, or leave the other out")


def _unlocked(given: set[str], suites: tuple[str, ...], wishes: Mapping[str, bool | None]) -> frozenset[str]:
    unlocked: set[str] = set()
    if given or wishes["DPONE_RUN_INTEGRATION"]:
        unlocked.update(SERVICE_MARKERS)
    if suites or wishes["DPONE_RUN_INTEGRATION_MATRIX"]:
        unlocked.add("integration_matrix")
    if wishes["DPONE_RUN_INTEGRATION_LIVE"] or "vendor" in suites:
        unlocked.add("integration_live")
    return frozenset(unlocked)
