"""What goes wrong without a kill: the sink's connection is cut, and the sink refuses a row of the last batch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
from pydantic import SecretStr

from ..core.dataset import Commit, Rejection
from ..core.dataset.columns import ROLES
from ..core.kinds import ID
from ..core.model import ActName, Strategy
from ..core.wire import Engine, Job
from ..errors import described
from ..services.catalog.protocol import Slotted
from .act import Act
from .acts import judge
from .proxy import Proxy
from .stage import Stage

_COMPLETE, _MISSING = "success, and the sink is right", "success, and the sink is not right"
_ENCRYPTED = ("sslmode", "sslrootcert")


@dataclass(frozen=True, slots=True)
class Cut:
    """When the connection ends: in which act, after which share of the bytes that it needs."""

    act: ActName
    share: float


def judged(act: Act, stage: Stage, of: ActName, *, name: str) -> None:
    """Judge the sink as after the act `of`, under names that begin with `name`."""
    inner = Act(ActName.CRASH)
    judge(inner, stage, stage.expect(of))
    act.rows, act.diff, act.error = inner.rows, inner.diff, inner.error
    for check in inner.checks:
        short = name if check.name == "rows" else f"{name}.{check.name}"
        act.checks.append(check.model_copy(update={"name": short}))
    if inner.diff is not None:
        found = (("lost", inner.diff.missing), ("doubled", inner.diff.duplicated), ("extra", inner.diff.extra))
        for word, count in found:
            observe(act, word, count)


def observe(act: Act, name: str, count: int) -> None:
    """Add `count` to what the act has observed under `name`."""
    known = act.observed.get(name)
    act.observed[name] = (known if isinstance(known, int) else 0) + count


def why_not_cut(stage: Stage) -> str:
    """Why no connection of this sink is cut; empty if one can be."""
    parts = urlsplit(stage.job(ActName.LOAD).sink.url.get_secret_value())
    if parts.scheme.startswith("kafka"):
        return "clients of Kafka go on to the address that the broker tells them"
    if parts.hostname is None or parts.port is None:
        return "the sink has no port that could be stood before"
    if parts.scheme in ("clickhouses", "s3s") or any(name in parse_qs(parts.query) for name in _ENCRYPTED):
        return "the connection is encrypted, and its certificate is not for 127.0.0.1"
    return ""


@contextmanager
def released(*stages: Stage) -> Iterator[None]:
    """A server has room for a few replication slots: those of a table go as soon as the table has served."""
    try:
        yield
    finally:
        for stage in stages:
            if stage.case.strategy is Strategy.CDC and isinstance(stage.source, Slotted):
                stage.source.release(stage.source_space, stage.table)


def cut(act: Act, measured: Stage, stage: Stage, engine: Engine, *, when: Cut) -> None:
    """Cut the line to the sink: the run must tell it, unless every row is there; a run without it mends the sink.

    `measured` and `stage` are two tables with the same rows: the first one shows how many bytes a run needs.
    """
    whole = 0
    for number, each in enumerate((measured, stage)):
        _prepare(act, each, engine, when.act)
        if not number:
            with _between(each) as proxy:
                act.run(engine, _through(each.job(when.act), proxy))
            whole = proxy.passed
    with _between(stage, limit=int(whole * when.share)) as proxy:
        told = _told(act, stage, engine, _through(stage.job(when.act), proxy))
    act.check("crash.cut.hit", expected="cut", actual="cut" if proxy.cut else f"{whole} bytes passed")
    actual = "an error" if told else _claimed(stage, when.act)
    honest = actual if actual != _MISSING else "an error"
    act.check("crash.cut.told", expected=honest, actual=actual, detail=told[:200])
    observe(act, "cuts", 1)
    act.run(engine, stage.job(when.act))
    judged(act, stage, when.act, name="crash.cut.rows")


def refused(act: Act, stage: Stage, engine: Engine) -> None:
    """The last row of a load is one that the sink must refuse: no row may be seen, or the state tells how far it came.

    As soon as the source has lost that row, the same job must do its work.
    """
    rejection = next(stage.dataset.rejections(all_values=False), None)
    if rejection is None:
        act.planned["refused"] = "not tried: the source holds no value that the sink must refuse"
        return
    schema, bad = stage.dataset.schema, _bad_row(stage, rejection)
    stage.source.create(stage.source_space, stage.table, schema)
    stage.source.load(stage.source_space, stage.table, schema, [*stage.dataset.before(), bad])
    told = _told(act, stage, engine, stage.job(ActName.LOAD))
    declared = re.search(rejection.error, told) is not None
    act.check("crash.refused.told", expected=True, actual=declared, detail=told[:200])
    left = stage.sink.fingerprint(stage.sink_space, stage.table, ID)
    none = pa.Table.from_batches([bad.slice(0, 0)])
    gone = pa.Table.from_batches([bad]).select(list(schema.key))
    stage.source.change(stage.source_space, stage.table, schema, [Commit(gone, none, none)])
    facts = act.run(engine, stage.job(ActName.LOAD))
    rows = left.rows if left else 0
    known = stage.case.strategy is Strategy.BACKFILL and bool(facts.state_before)
    detail = f"{rows} rows of the load that failed are in the sink" if rows else ""
    act.check("crash.refused.hidden", expected=True, actual=not rows or known, detail=detail)
    observe(act, "refusals", 1)
    judged(act, stage, ActName.LOAD, name="crash.refused.rows")


def seed(stage: Stage) -> None:
    """Create the source table and put S0 into it."""
    stage.source.create(stage.source_space, stage.table, stage.dataset.schema)
    stage.source.load(stage.source_space, stage.table, stage.dataset.schema, stage.dataset.before())


def change(stage: Stage) -> None:
    """Bring the source table to S1."""
    stage.source.change(stage.source_space, stage.table, stage.dataset.schema, stage.dataset.commits())


def _prepare(act: Act, stage: Stage, engine: Engine, of: ActName) -> None:
    seed(stage)
    if of is not ActName.LOAD:
        act.run(engine, stage.job(ActName.LOAD))
        change(stage)


def _told(act: Act, stage: Stage, engine: Engine, job: Job) -> str:
    """What the engine raises, without secrets; empty if it raises nothing."""
    try:
        act.run(engine, job)
    except Exception as error:
        return stage.scrub(described(error))
    return ""


def _claimed(stage: Stage, of: ActName) -> str:
    """What is true of a run that says it went well."""
    look = Act(ActName.CRASH)
    judge(look, stage, stage.expect(of))
    return _COMPLETE if look.record().passed else _MISSING


def _between(stage: Stage, *, limit: int | None = None) -> Proxy:
    parts = urlsplit(stage.job(ActName.LOAD).sink.url.get_secret_value())
    assert parts.hostname is not None  # `why_not_cut`
    assert parts.port is not None
    return Proxy(parts.hostname, parts.port, limit=limit)


def _through(job: Job, proxy: Proxy) -> Job:
    """The same job, whose sink is behind the proxy."""
    parts = urlsplit(job.sink.url.get_secret_value())
    account = parts.netloc.rpartition("@")[0]
    place = f"{account}@127.0.0.1:{proxy.port}" if account else f"127.0.0.1:{proxy.port}"
    url = SecretStr(parts._replace(netloc=place).geturl())
    return job.model_copy(update={"sink": job.sink.model_copy(update={"url": url})})


def _bad_row(stage: Stage, rejection: Rejection) -> pa.RecordBatch:
    """The last row of S0 once more, with a number and a key of its own and the value that can't be held."""
    schema = stage.dataset.schema
    *_, last = stage.dataset.before()
    row = last.slice(last.num_rows - 1)
    own = {*(f.name for f in ROLES), *schema.key}
    name = next(f.name for f in schema.fields if f.kind == rejection.kind and f.name not in own)
    number = pa.array([stage.dataset.rows_after + 1_000_000], pa.int64())
    keys = stage.dataset.keys(number).to_batches()[0]
    fresh = {ID: number, **dict(zip(keys.schema.names, keys.columns, strict=True))}
    fresh[name] = rejection.rows.column("value")
    return pa.record_batch([fresh.get(f.name, row.column(f.name)) for f in schema.fields], schema=schema.arrow())
