"""The events that an engine has written: how many in each act, by which keys, in which order (DESIGN §4).

What is expected comes from the dataset and the oracle; what is there, the harness has read from the topic.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from ..core.dataset import Dataset, partitions
from ..core.diff import brief
from ..core.kinds import ID, TableSchema
from ..core.model import ActName, Check, Strategy
from ..core.oracle import expect
from ..core.wire import RunFacts
from ..services.catalog import Events, Fingerprint
from .act import Act
from .poll import Poll
from .stage import Stage

_BEFORE: Mapping[ActName, ActName | None] = MappingProxyType(
    {
        ActName.LOAD: None,
        ActName.CHANGE: ActName.LOAD,
        ActName.REPEAT: ActName.CHANGE,
        ActName.RECONCILE: ActName.REPEAT,
    }
)
"""Acts whose number of events is known, and the act before each."""
_AT_ONCE = 8192
"""Events that are Python objects at once: those of a million rows would take gigabytes."""


@dataclass(slots=True)
class _Seen:
    """What the events up to a place have left, by their keys."""

    revisions: dict[str, int] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    wrong: Counter[str] = field(default_factory=Counter)
    samples: dict[str, str] = field(default_factory=dict)

    def blame(self, check: str, event: Mapping[str, object], why: str) -> None:
        """Count an event that is wrong; the first one is told."""
        self.wrong[check] += 1
        self.samples.setdefault(check, f"partition {event['partition']}, offset {event['offset']}: {why}")


def expected_events(dataset: Dataset, strategy: Strategy, act: ActName) -> tuple[int, int]:
    """How many rows and how many tombstones `act` must have written.

    Strategies that write anew write each row of what they write; the others only rows that are new or changed.
    """
    last = _BEFORE[act]
    old = _revisions(dataset, strategy, last) if last is not None else {}
    new = _revisions(dataset, strategy, act)
    gone = len(old.keys() - new.keys())
    if strategy is Strategy.FULL_REFRESH:
        return len(new), gone
    if strategy is Strategy.REPLACE and last is not None:
        first, stop = map(pa.scalar, partitions.WINDOW)
        days = (batch.column(dataset.schema.partition) for batch in dataset.after())
        inside = (pc.and_(pc.greater_equal(each, first), pc.less(each, stop)) for each in days)
        return sum(int(pc.sum(each).as_py() or 0) for each in inside), gone
    return len(new.items() - old.items()), gone


def judge(act: Act, stage: Stage) -> None:
    """Check the events of `act`, if the sink keeps events: their number, keys, order, labels, and their `op`."""
    if not stage.sink_folds or not isinstance(stage.sink, Events):
        return
    found = stage.sink.events(stage.sink_space, stage.table, (ID, "revision"))
    fresh = _since(found, stage.judged)
    if act.name in _BEFORE:
        rows, gone = expected_events(stage.dataset, stage.case.strategy, act.name)
        tombstones = fresh.column(ID).null_count
        told = f"{fresh.num_rows - tombstones} rows, {tombstones} tombstones"
        act.check("events.count", expected=f"{rows} rows, {gone} tombstones", actual=told)
    _judge_each(act, stage, found)
    act.observed["events"] = fresh.num_rows
    ends = found.group_by("partition").aggregate([("offset", "max")]).to_pylist()
    stage.judged.update((each["partition"], each["offset_max"] + 1) for each in ends)


def _since(events: pa.Table, judged: Mapping[int, int]) -> pa.Table:
    """The events that were not there when the act before was judged: from the offset in `judged` of each partition."""
    old = [
        pc.and_(pc.equal(events.column("partition"), partition), pc.less(events.column("offset"), stop))
        for partition, stop in judged.items()
    ]
    return events.filter(pc.invert(reduce(pc.or_, old))) if old else events


def watched(act: Act, stage: Stage, run: Callable[[], RunFacts]) -> RunFacts:
    """Run an engine while a reader of what is committed polls: it must see the load before or this one, whole.

    It looks at the number of rows and the sum of their revisions, which each insert, update and delete changes.
    """
    old = stage.fingerprint_of(stage.expect(ActName.LOAD), "revision")
    new = stage.fingerprint_of(stage.expect(act.name), "revision")
    with Poll(stage, stage.table, column="revision") as poll:
        facts = run()
    act.checks.append(seen_whole("events.committed", act, stage, poll, _loads(old, new)))
    return facts


def _loads(old: Fingerprint, new: Fingerprint) -> tuple[Fingerprint | None, ...]:
    """What a reader may see. Where the load before had no row, nothing was ever committed: no table is that, too."""
    return (old, new) if old.rows else (None, old, new)


def seen_whole(name: str, act: Act, stage: Stage, poll: Poll, whole: tuple[object, ...]) -> Check:
    """A check that a polling reader has seen nothing but one of `whole`, and that it has looked while it mattered."""
    strange = [seen for seen in poll.seen if seen not in whole]
    act.observed["polls"] = poll.count
    if poll.error:
        told = stage.scrub(poll.error)
    elif strange:
        told = "a reader saw " + ", ".join(map(_told, strange[:3]))
    else:
        told = "" if poll.meanwhile else "the reader did not get a look in while the engine ran: take more rows"
    return Check(name=name, passed=not told, expected=0, actual=len(strange), detail=told)


def _told(seen: object) -> str:
    if isinstance(seen, Fingerprint):
        return f"{seen.rows} rows with the sum {seen.total}"
    return "no table" if seen is None else str(seen)


def _revisions(dataset: Dataset, strategy: Strategy, act: ActName) -> dict[int, int]:
    """Number → revision of the rows that the sink must hold after `act`."""
    found: dict[int, int] = {}
    for batch in expect(dataset, strategy, act, folded=True).batches():
        found.update(zip(batch.column(ID).to_pylist(), batch.column("revision").to_pylist(), strict=True))
    return found


def _judge_each(act: Act, stage: Stage, events: pa.Table) -> None:
    """Walk through all events; those of earlier acts were judged, and are needed to know what was there."""
    seen = _Seen()
    for some in events.to_batches(max_chunksize=_AT_ONCE):
        declared = _declared(stage.dataset, some.column(ID))
        for event, wanted in zip(some.to_pylist(), declared, strict=True):
            key = event["key"]
            if key != wanted and not (wanted is None and _well_formed(key, stage.dataset.schema)):
                told = f"not that of the row, {brief(wanted)}" if wanted is not None else "that of no row"
                seen.blame("keyed", event, f"the key {brief(key)} is {told}")
                continue
            _order(seen, event, key)
            _labels(seen, event, key, stage)
    for check in ("keyed", "order", "labels"):
        act.check(f"events.{check}", expected=0, actual=seen.wrong[check], detail=seen.samples.get(check, ""))


def _declared(dataset: Dataset, numbers: pa.Array) -> list[str | None]:
    """For each row, by its number, the key that its events must have; None for a tombstone, which has no row."""
    keys = iter(dataset.keys(numbers.drop_null()).to_pylist())
    return [None if number is None else _spelled(next(keys)) for number in numbers.to_pylist()]


def _well_formed(key: object, schema: TableSchema) -> bool:
    """If this is a key of some row in the declared form: its columns in their order, and nothing else."""
    try:
        parts = json.loads(str(key))
    except ValueError:
        return False
    if not isinstance(parts, dict) or list(parts) != list(schema.key) or key != _spelled(parts):
        return False
    return all(type(parts[name]) is (str if schema.field(name).kind == "text" else int) for name in schema.key)


def _spelled(parts: Mapping[str, object]) -> str:
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def _order(seen: _Seen, event: Mapping[str, object], key: str) -> None:
    partition, revision = event["partition"], event["revision"]
    assert isinstance(partition, int)
    if seen.partitions.setdefault(key, partition) != partition:
        seen.blame("order", event, f"the key {brief(key)} is in the partition {seen.partitions[key]}, too")
    if not isinstance(revision, int):
        return
    if revision < seen.revisions.get(key, 0):
        seen.blame("order", event, f"revision {revision} of the key {brief(key)} after {seen.revisions[key]}")
    seen.revisions[key] = revision


def _labels(seen: _Seen, event: Mapping[str, object], key: str, stage: Stage) -> None:
    """`op` says what the event does to its key; headers and body say the same."""
    if event["revision"] is None:
        op = "delete"
        seen.present.discard(key)
    else:
        op = "update" if key in seen.present else "insert"
        seen.present.add(key)
    wanted = (op, stage.settings.run_id)
    for where, place in (("headers say", ""), ("the body says", "told_")):
        said = event[f"{place}op"], event[f"{place}run_id"]
        if said != wanted and not (place and op == "delete"):  # a tombstone has no body
            seen.blame("labels", event, f"{where} {brief(said[0])} of {brief(said[1])}, not {wanted}")
            return
