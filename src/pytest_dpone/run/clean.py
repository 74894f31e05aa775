"""Removing what a dead run made on servers that it did not start: by its recorded names, never by a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.model import ServiceRecord
from ..core.wire import ServiceInfo, scrub
from ..errors import UsageError, described
from ..services import journal, lease
from ..services.addresses import external_from_environ
from ..services.catalog import CATALOGS, open_catalog, with_registry
from ..services.clients import clients_of
from .keeping import kept_run, stop_kept


@dataclass(frozen=True, slots=True)
class Cleaned:
    """One namespace, and what became of it."""

    where: str
    what: str
    became: str


def clean_run(run_id: str, environ: Mapping[str, str]) -> list[Cleaned]:
    """Remove the namespaces of the run, at the addresses that the environment names.

    Raises `UsageError` for a run that is alive, or that is not known here.
    """
    if not lease.RUN_ID.fullmatch(run_id):
        raise UsageError(f"{run_id[:64]!r} is no run id", hint="the header of a run prints it")
    stopped = []
    if (kept := kept_run(run_id)) is not None:
        stop_kept(kept)
        stopped = [Cleaned(f"run {run_id}", "the services that were kept", "removed")]
    if lease.is_alive(run_id, base=lease.base_directory()):
        raise UsageError(f"the run {run_id} is alive", hint="wait for its end, or stop it")
    made = _on_servers(run_id)
    if not made and not stopped:
        raise UsageError(
            f"nothing is recorded of a run {run_id}", hint="`pytest-dpone clean` lists the runs that left something"
        )
    services = {
        name: ServiceInfo(record=_external(name), url=url) for name, url in external_from_environ(environ).items()
    }
    reached = with_registry(services)
    return stopped + [_remove(run_id, each, reached.get(each.service)) for each in made]


def remains() -> list[Cleaned]:
    """What dead runs have left on servers, what was kept for a look, and how both are removed."""
    base = lease.base_directory()
    rows = []
    for run_id in journal.runs_with_remains():
        if kept_run(run_id) is not None:
            found, word = journal.left(run_id), "kept"
        elif not lease.is_alive(run_id, base=base):
            found, word = _on_servers(run_id), "left"
        else:
            continue
        rows += [Cleaned(each.service, each.namespace, f"{word}; remove it with --run-id {run_id}") for each in found]
    return rows


def _on_servers(run_id: str) -> list[journal.Made]:
    """What a dead run left on servers of others; what was in its own services went with them."""
    for made in journal.left(run_id):
        if made.ours:
            journal.forget(run_id, made)
    return journal.left(run_id)


def _external(name: str) -> ServiceRecord:
    return ServiceRecord(name=name, provider="external", product="", version="", fidelity="real")


def _remove(run_id: str, made: journal.Made, info: ServiceInfo | None) -> Cleaned:
    if info is None:
        variable = f"DPONE_{made.service.upper()}_URL"
        return Cleaned(made.service, made.namespace, f"could not be removed: {variable} is not set")
    try:
        _drop(made, info)
    except Exception as error:
        text = scrub(described(error), [info.url]).partition("\n")[0]
        return Cleaned(made.service, made.namespace, f"could not be removed: {text}")
    journal.forget(run_id, made)
    return Cleaned(made.service, made.namespace, "removed")


def _drop(made: journal.Made, info: ServiceInfo) -> None:
    if made.service not in CATALOGS:
        clients = clients_of(made.service)
        client = clients.connect(info.url.get_secret_value())
        try:
            clients.drop(client, made.namespace)
        finally:
            clients.close(client)
        return
    catalog = open_catalog(info, bucket=made.bucket)
    try:
        catalog.close(made.namespace)
    finally:
        catalog.disconnect()
