"""What every process of an active run has: the plan, the settings, the engine, a way to the services."""

from __future__ import annotations

import datetime as dt
import json
import os
import time
import traceback
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import DponeError, described
from . import markers, records
from .active import SESSION, case_param, skip_locked
from .collection import SuiteModule, keep_selected, keep_shard, suite_items

if TYPE_CHECKING:
    from pydantic import SecretStr

    from ..core.known import KnownFailures
    from ..core.model import Case, CaseRecord
    from ..core.wire import Engine
    from ..run.plan import Plan
    from ..run.settings import RunSettings
    from ..services.memory import MemoryStack
    from ..services.stack import Stack, StackSettings
    from .activity import Activity
    from .chosen import Options

_PLURAL = {"case": "cases", "source": "sources", "sink": "sinks", "strategy": "strategies"}


class DponeSession:
    """Owns the run's state in this process; registered as a plugin in an active run only.

    The controller, or the only process, launches the supervisor of the services; workers get its address.
    """

    def __init__(
        self,
        config: pytest.Config,
        activity: Activity,
        *,
        run_id: str,
        address: str | None = None,
        started: float | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        self.config = config
        self.activity = activity
        self.run_id = run_id
        self._address = address
        self._seconds = seconds
        self.started = time.time() if started is None else started
        """When the run started, for its budget; the same moment in every process."""
        self.suite_engine: Engine | None = None
        """What the fixture `dpone_engine` gave to the packaged suite, once it has been asked."""
        self._stack: Stack | MemoryStack | None = None
        self._collected: dict[str, int] = {}
        self._seen: dict[type, bool] = {}
        """Classes of engines that have certified in this process, and if the controller knows."""
        config.stash[SESSION] = self

    @cached_property
    def plan(self) -> Plan:
        """Registry, matrix and scope; raises `pytest.UsageError` for a selection that means nothing."""
        from ..core.registry import default_registry
        from ..run.plan import make_plan

        options = self.activity.options
        registry = default_registry()
        if options.staging != "none" and not options.simulated:
            registry.staging = options.staging
        with usage_errors(), hook_errors("pytest_dpone_register"):
            self.config.hook.pytest_dpone_register(registry=registry)
        with usage_errors():
            plan = make_plan(
                registry,
                cases=options.case,
                sources=options.source,
                sinks=options.sink,
                strategies=options.strategy,
                declared={_PLURAL[name]: globs for name, globs in options.declared.items()},
            )
            if registry.staging and options.origins["staging"] == "option":
                _check_staged(plan)
            if options.shard is None or not self.activity.certifies:
                return plan
            return plan.shard(*options.shard, seconds=self.durations[0])

    @cached_property
    def durations(self) -> tuple[dict[str, float], str | None]:
        """Seconds by case that shards are balanced by, and the digest of their file; workers get the controller's."""
        from ..run.durations import read_durations
        from .folders import base_of

        if self._seconds is not None:
            return dict(self._seconds), None
        name = self.activity.options.durations
        with usage_errors():
            return read_durations(base_of(self.config, self.activity, "durations") / name) if name else ({}, None)

    @cached_property
    def settings(self) -> RunSettings:
        """What every case of the run is played with."""
        from ..run.settings import RunSettings, several_batches

        options = self.activity.options
        with usage_errors():
            return RunSettings(
                run_id=self.run_id,
                seed=options.seed,
                rows=options.rows,
                change_ratio=options.change_ratio,
                delete_ratio=options.delete_ratio,
                dataset=options.dataset,
                batch_rows=options.batch_rows or several_batches(options.rows, options.dataset),
                keep=options.keep,
                allow_slots=options.allow_slots,
                crash=options.crash,
                engine=options.engine,
                case_timeout=options.case_timeout,
                rerun_options=_rerun_options(options),
            )

    @cached_property
    def engine(self) -> Engine:
        """The engine that the options name, or the one of simulated runs; raises `pytest.UsageError` if unknown."""
        from ..engines import SIMULATOR, load_engine
        from ..run.foreign import check_engine
        from .folders import base_of

        options = self.activity.options
        name = SIMULATOR if options.simulated else options.engine
        with hook_errors("pytest_dpone_engine"):
            engine: Engine | None = self.config.hook.pytest_dpone_engine(name=name)
        with usage_errors():
            if engine is None and name == SIMULATOR and not options.simulated:
                raise pytest.UsageError(
                    f"the engine {name} moves rows in memory\nhint: add --dpone-run-mode=mock_local"
                )
            if engine is None:
                folder = base_of(self.config, self.activity, "engine_command")
                return load_engine(name, command=options.engine_command, folder=folder)
            check_engine(engine)
            return engine

    @cached_property
    def stack_settings(self) -> StackSettings:
        """Providers, images and addresses; raises `pytest.UsageError` for addresses that can't be read."""
        from ..services.addresses import external_from_environ
        from ..services.project import chosen_file
        from ..services.stack import StackSettings
        from .folders import base_of

        options = self.activity.options
        given = options.compose_file and str(base_of(self.config, self.activity, "compose_file") / options.compose_file)
        with usage_errors():
            external = external_from_environ(os.environ)
        vendor = self.activity.profile == "vendor_live"
        if vendor:
            _check_addresses(self.plan.services, external)
        with usage_errors():
            return StackSettings(
                run_id=self.run_id,
                providers=dict.fromkeys(self.plan.services, "external") if vendor else dict(options.services),
                images=dict(options.image),
                external=external,
                compose_file=str(chosen_file(given, self.config.rootpath)),
                planned=tuple(self.plan.services),
            )

    def saw(self, engine: Engine) -> None:
        """Note who certifies, for the binding of the source: a test may bring an engine of its own."""
        self._seen.setdefault(type(engine), False)

    @cached_property
    def known(self) -> KnownFailures:
        """The failures that the project knows; only `local_live` looks for them. Raises `pytest.UsageError`."""
        from ..core.known import KnownFailures
        from ..run.known import load_known
        from .folders import base_of

        options = self.activity.options
        if self.activity.profile != "local_live" or options.simulated:
            return KnownFailures()
        name = options.known_failures
        file = base_of(self.config, self.activity, "known_failures") / name if name else None
        with usage_errors():
            return load_known(self.config.rootpath, self.plan.matrix.planned, file=file)

    @property
    def today(self) -> dt.date:
        """The day on which the run started, in UTC."""
        return dt.datetime.fromtimestamp(self.started, dt.UTC).date()

    def as_known(self, record: CaseRecord) -> CaseRecord:
        """The record of a case that was played, with what the project knows of it."""
        known = self.known.of(record.case_id, engine=record.engine, today=self.today) if not record.reason else None
        return record.model_copy(update={"known": known}) if known is not None else record

    def expired(self) -> list[str]:
        """What to tell of known failures that count no more, and speak of cases of this run."""
        if not self.known.failure:
            return []
        return [
            f"the known failure {entry.case} expired on {entry.expires} ({entry.owner}): {entry.reason}\n"
            "hint: mend it, or agree on another date"
            for entry in self.known.expired(self.plan.scope, engine=self.engine.name, today=self.today)
        ]

    def over_budget(self, case: Case, *, engine: str) -> CaseRecord | None:
        """The record of a case that may not begin any more, or None."""
        from ..core.model import NotRun
        from ..run.budget import Budget
        from ..run.case import not_run

        options = self.activity.options
        budget = Budget(options.max_rows, options.max_seconds, self.started)
        detail = budget.refusal(case, self.plan, rows=options.rows, now=time.time())
        return not_run(case, NotRun.BUDGET, detail=detail, settings=self.settings, engine=engine) if detail else None

    def services(self) -> Stack | MemoryStack:
        """The run's services, none of them started yet; launches the supervisor at the first call in the controller.

        A simulated run has a folder instead, and no supervisor.
        """
        if self._stack is None:
            self._stack = self._memory() if self.activity.options.simulated else self._supervised()
        return self._stack

    def _memory(self) -> MemoryStack:
        from ..services.memory import MemoryStack

        return MemoryStack.connect(self._address) if self._address else MemoryStack.launch(self.run_id)

    def _supervised(self) -> Stack:
        from ..services.stack import Stack

        return Stack.connect(self._address) if self._address else Stack.launch(self.stack_settings)

    def invitation(self) -> str:
        """What a worker needs to take part, as JSON."""
        address = self.services().address
        facts = {
            "activity": self.activity.to_json(),
            "run_id": self.run_id,
            "address": address,
            "started": self.started,
        }
        return json.dumps({**facts, "seconds": self.durations[0] if self.plan.shards else None})

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Add the packaged suite before -k, -m and --deselect choose."""
        items.extend(suite_items(session, self._suites()))
        markers.keep_ids(items)
        if self.activity.only_selected:
            keep_selected(config, items)
        if self.plan.shards and self.activity.options.shard is not None:
            keep_shard(config, items, self.plan, self.activity.options.shard[0])
        self._collected = markers.count_marked(items, self.activity.unlocked)
        skip_locked(items, unlocked=self.activity.unlocked, simulated=self.activity.options.simulated)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip a packaged case that the engine can't move before its fixtures cost anything.

        A matrix may have thousands of them. The first case of a process goes the long way and finds the engine.
        """
        if self.suite_engine is None or not isinstance(item.parent, SuiteModule):
            return
        case: Any = case_param(item)
        if case is None:
            return
        from ..run.attempt import refusal
        from .fixtures import judge

        record = refusal(case, engine=self.suite_engine, settings=self.settings)
        record = record or self.over_budget(case, engine=self.suite_engine.name)
        if record is not None:
            records.keep(item, record)
            judge(record)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the records and the markers of the test on its report, and take the secrets off it."""
        report = yield
        markers.mark_report(item, call, report, self.activity.unlocked)
        if self._collected:
            setattr(report, markers.COLLECTED, self._collected)
            self._collected = {}
        if not all(self._seen.values()):
            from ..evidence.code import place_of

            setattr(report, records.ENGINES, [list(place_of(kind)) for kind, known in self._seen.items() if not known])
            self._seen = dict.fromkeys(self._seen, True)
        if self._stack is not None:
            records.conceal(report, self._stack.scrub)
            records.tell_deaths(item, report, self._stack.died)
        records.attach(item, report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Take the secrets out of a warning."""
        if self._stack is not None:
            records.conceal_warning(warning_message, self._stack.scrub)

    def _suites(self) -> list[str]:
        from .suite.scratch import SUITES

        planned = set(self.plan.services)
        tests = [suite for suite, services in SUITES.items() if planned.intersection(services)]
        return [part for suite in self.activity.suites for part in (tests if suite == "services" else [suite])]

    def pytest_unconfigure(self) -> None:
        """Stop what this process started."""
        stack, self._stack = self._stack, None
        if stack is not None and not self._address:
            stack.close()


def join(config: pytest.Config, invitation: str) -> None:
    """Take part in a run as a worker."""
    from .activity import Activity

    facts = json.loads(invitation)
    activity = Activity.from_json(facts["activity"])
    session = DponeSession(
        config,
        activity,
        run_id=facts["run_id"],
        address=facts["address"],
        started=facts["started"],
        seconds=facts["seconds"],
    )
    config.pluginmanager.register(session, "dpone-session")


@contextmanager
def hook_errors(hook: str) -> Iterator[None]:
    """What a user's hook raises as pytest's `UsageError` that names the place; our own errors go through."""
    try:
        yield
    except (DponeError, pytest.UsageError):
        raise
    except Exception as error:
        *_, place = traceback.extract_tb(error.__traceback__)
        raise pytest.UsageError(
            f"the hook {hook} failed: {described(error)}\nhint: see line {place.lineno} of {place.filename}"
        ) from None


@contextmanager
def usage_errors() -> Iterator[None]:
    """Our errors as pytest's `UsageError`: exit status 4, and no traceback."""
    try:
        yield
    except DponeError as error:
        raise pytest.UsageError(str(error)) from None


def _check_addresses(names: Sequence[str], external: Mapping[str, SecretStr]) -> None:
    """Everything that is missing is told at once, before the first connection."""
    from ..services.vendor import missing_addresses

    if missing := missing_addresses(names, external):
        raise pytest.UsageError(
            f"the profile vendor_live can't start: {'; '.join(missing)}\n"
            "hint: set them to scheme://user:password@host:port, or let dpone_source and dpone_sink name less"
        )


def _check_staged(plan: Plan) -> None:
    """A wish that changes nothing is an error."""
    from ..core.registry import STAGED

    if not any(case.via for case in plan.matrix.planned):
        raise pytest.UsageError(
            f"--dpone-staging={plan.registry.staging} stages nothing: there is no family of that name, or no case into "
            f"{' or '.join(STAGED)}\nhint: leave it out"
        )


def _rerun_options(options: Options) -> tuple[str, ...]:
    """Providers and images, if they don't stand in a file that a rerun reads as well, and that a run is simulated."""
    mode: tuple[str, ...] = (f"--dpone-run-mode={options.run_mode}",) if options.simulated else ()
    if options.origins["compose_file"] in ("option", "environment"):
        mode += (f"--dpone-compose-file={options.compose_file}",)
    if options.origins["engine_command"] in ("option", "environment"):
        mode += (f"--dpone-engine-command={options.engine_command}",)
    if options.origins["case_timeout"] in ("option", "environment"):
        mode += (f"--dpone-case-timeout={options.case_timeout}",)
    if options.allow_slots and options.origins["allow_slots"] in ("option", "environment"):
        mode += ("--dpone-allow-slots",)
    return mode + tuple(
        f"--dpone-{name}={service}={value}"
        for name, pairs in (("services", options.services), ("image", options.image))
        if options.origins[name] in ("option", "environment")
        for service, value in pairs
    )
