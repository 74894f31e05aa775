"""The area where an engine stages rows on their way: that it is used, and that nothing stays in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import SecretStr

from ..core.kinds import ID
from ..core.model import ActName
from ..core.wire import Endpoint, Engine, ServiceInfo
from ..errors import described
from ..services.catalog import Catalog
from .act import Act

if TYPE_CHECKING:
    from .stage import Stage

CONTAINED = ("docker", "compose")
"""Providers whose servers run in containers, where 127.0.0.1 is the container itself."""


@dataclass(frozen=True, slots=True)
class Staging:
    """The harness's hands on the staging area, and what belongs to the case in there.

    `inside` is where the sink's server finds it, if that is not where an engine does.
    """

    catalog: Catalog
    space: str
    inside: str = ""

    def endpoint(self, table: str) -> Endpoint:
        """What an engine gets to stage the rows of `table`."""
        endpoint = self.catalog.endpoint(self.space, table)
        if not self.inside:
            return endpoint
        parts = urlsplit(endpoint.url.get_secret_value())
        query = urlencode([*parse_qsl(parts.query), ("inside", self.inside)])
        return endpoint.model_copy(update={"url": SecretStr(parts._replace(query=query).geturl())})

    def contents(self) -> Mapping[str, int]:
        """What lies there, by name with its bytes; but for the empty objects that mark folders."""
        found = self.catalog.contents(self.space).items()
        return {f"staged {name}": size for name, size in found if size or not name.endswith("/")}


def out_of_reach(via: str, sink: ServiceInfo, staging: ServiceInfo) -> str:
    """Why the server of the sink can't read what is staged; empty if it can."""
    host = urlsplit(staging.url.get_secret_value()).hostname or ""
    local = host == "localhost" or host.startswith("127.") or host == "::1"
    if sink.record.provider not in CONTAINED or staging.inside or not local:
        return ""
    return (
        f"{sink.record.name} runs in a container and can't reach {via} at {host}: "
        f"take --dpone-services={via}={sink.record.provider}"
    )


def judge_use(act: Act, stage: Stage, engine: Engine) -> None:
    """An engine that is sent to a staging area that is not there must fail, and leave the sink alone.

    Whoever succeeds has not staged, whatever it says.
    """
    if stage.staging is None:
        return
    job = stage.job(ActName.LOAD)
    assert job.staging is not None
    url = urlsplit(job.staging.url.get_secret_value())
    nowhere = SecretStr(url._replace(path=f"{url.path}-is-not-there").geturl())
    try:
        engine.run(job.model_copy(update={"staging": job.staging.model_copy(update={"url": nowhere})}))
    except Exception as error:
        told, raised = stage.scrub(described(error))[:200], True
    else:
        told, raised = "the load needed no staging area", False
    left = stage.sink.fingerprint(stage.sink_space, stage.table, ID)
    rows = left.rows if left else 0
    act.check(
        "staging.used",
        expected="an error, and no row",
        actual=("an error" if raised else "no error") + (f", and {rows} rows" if rows else ", and no row"),
        detail=told,
    )


def judge_rest(act: Act, stage: Stage) -> None:
    """A run that has ended leaves nothing in the staging area."""
    if stage.staging is None:
        return
    left = sorted(stage.staging.contents())
    act.check("staging.empty", expected=0, actual=len(left), detail=", ".join(left[:3]))
