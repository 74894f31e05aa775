"""The checks of events: a sound writer passes each of them, and each way to write wrongly is found by its check."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset import Dataset, DatasetSpec
from pytest_dpone.core.model import ActName, Case, KeyForm, Strategy
from pytest_dpone.core.oracle import expect, expected_counts
from pytest_dpone.run.act import Act
from pytest_dpone.run.events import _loads, expected_events, judge, seen_whole
from pytest_dpone.services.catalog import Fingerprint

SPEC = DatasetSpec(seed=3, rows=90, kind="narrow")
DATASETS = {
    form: Dataset(SPEC, source="postgres", sink="kafka", contracts=default_contracts(), key=form) for form in KeyForm
}
DATASET = DATASETS[KeyForm.INTEGER]
Event = dict[str, Any]
TYPES = {"partition": pa.int32(), "offset": pa.int64(), "id": pa.int64(), "revision": pa.int64()}
NAMES = ("partition", "offset", "key", "op", "run_id", "told_op", "told_run_id", "id", "revision")


class Topic:
    """A catalog with one topic, and a sound writer: by key into three partitions."""

    def __init__(self, dataset: Dataset = DATASET) -> None:
        self.dataset = dataset
        self.written: list[Event] = []
        self.rows: dict[int, int] = {}

    def events(self, namespace: str, table: str, columns: object) -> pa.Table:
        rows = sorted(self.written, key=lambda event: (event["partition"], event["offset"]))
        return pa.table({n: pa.array([row[n] for row in rows], TYPES.get(n, pa.string())) for n in NAMES})

    def write(self, key: int, revision: int | None) -> None:
        op = "delete" if revision is None else "update" if key in self.rows else "insert"
        partition = key % 3
        offset = sum(event["partition"] == partition for event in self.written)
        told = (None, None) if revision is None else (op, "r")
        (parts,) = self.dataset.keys(pa.array([key], pa.int64())).to_pylist()
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
        values = (partition, offset, text, op, "r", *told, None if revision is None else key, revision)
        self.written.append(dict(zip(NAMES, values, strict=True)))
        if revision is None:
            del self.rows[key]
        else:
            self.rows[key] = revision

    def becomes(self, rows: dict[int, int], *, whole: bool = False) -> None:
        for key, revision in rows.items():
            if whole or self.rows.get(key) != revision:
                self.write(key, revision)
        for key in self.rows.keys() - rows.keys():
            self.write(key, None)


def rows_after(strategy: Strategy, act: ActName) -> dict[int, int]:
    found: dict[int, int] = {}
    for batch in expect(DATASET, strategy, act, folded=True).batches():
        found.update(zip(batch["id"].to_pylist(), batch["revision"].to_pylist(), strict=True))
    return found


def stage_of(topic: Topic, strategy: Strategy) -> Any:
    return SimpleNamespace(
        sink=topic,
        sink_folds=True,
        sink_space="s",
        table="t",
        dataset=topic.dataset,
        case=Case("postgres", "kafka", strategy),
        settings=SimpleNamespace(run_id="r"),
        judged={},
        scrub=str,
    )


def red(stage: Any, name: ActName) -> set[str]:
    act = Act(name)
    judge(act, stage)
    assert {check.name for check in act.checks} >= {"events.keyed", "events.order", "events.labels"}
    assert ("events.count" in {check.name for check in act.checks}) is (name is not ActName.LOG)
    return {check.name for check in act.checks if not check.passed}


@pytest.mark.parametrize("form", list(KeyForm))
@pytest.mark.parametrize(
    "strategy", [Strategy.SNAPSHOT_DIFF, Strategy.INCREMENTAL_MERGE, Strategy.INCREMENTAL_APPEND, Strategy.FULL_REFRESH]
)
def test_a_sound_writer_passes(strategy: Strategy, form: KeyForm) -> None:
    topic = Topic(DATASETS[form])
    stage = stage_of(topic, strategy)
    for act in (ActName.LOAD, ActName.CHANGE, ActName.REPEAT):
        topic.becomes(rows_after(strategy, act), whole=strategy is Strategy.FULL_REFRESH)
        assert red(stage, act) == set()


def test_the_numbers_of_a_comparison_are_those_that_the_oracle_counts() -> None:
    for act in (ActName.LOAD, ActName.CHANGE, ActName.REPEAT):
        counts = expected_counts(DATASET, act)
        assert expected_events(DATASET, Strategy.SNAPSHOT_DIFF, act) == (
            counts.inserted + counts.updated,
            counts.deleted,
        )


def test_strategies_that_write_anew_repeat_themselves() -> None:
    after = DATASET.rows_after
    assert expected_events(DATASET, Strategy.FULL_REFRESH, ActName.CHANGE) == (after, DATASET.counts.delete)
    assert expected_events(DATASET, Strategy.FULL_REFRESH, ActName.REPEAT) == (after, 0)
    rows, gone = expected_events(DATASET, Strategy.REPLACE, ActName.CHANGE)
    assert 0 < rows < after
    assert gone > 0
    assert expected_events(DATASET, Strategy.REPLACE, ActName.REPEAT) == (rows, 0)
    assert expected_events(DATASET, Strategy.INCREMENTAL_APPEND, ActName.REPEAT) == (0, 0)


def lost(topic: Topic) -> None:
    topic.written.pop()


def twice(topic: Topic) -> None:
    last = topic.written[-1]
    topic.written.append({**last, "offset": last["offset"] + 1, "op": "update", "told_op": "update"})


def other_key(topic: Topic) -> None:
    topic.written[-1]["key"] = '{"id":12345}'


def text_key(topic: Topic) -> None:
    topic.written[-1]["key"] = json.dumps({"id": str(topic.written[-1]["id"])})


def spaced_key(topic: Topic) -> None:
    topic.written[-1]["key"] = json.dumps({"id": topic.written[-1]["id"]})


def no_key(topic: Topic) -> None:
    topic.written[-1]["key"] = None


def list_key(topic: Topic) -> None:
    topic.written[-1]["key"] = "[1]"


def elsewhere(topic: Topic) -> None:
    topic.write(1, 7)
    topic.written[-1] |= {"partition": 2, "offset": 10_000}


def backwards(topic: Topic) -> None:
    topic.write(1, 7)
    topic.write(1, 6)


def wrong_op(topic: Topic) -> None:
    topic.written[-1] |= {"op": "update"}


def wrong_body(topic: Topic) -> None:
    topic.written[-1] |= {"told_run_id": "x"}


def no_header(topic: Topic) -> None:
    topic.written[-1] |= {"run_id": None}


@pytest.mark.parametrize(
    ("harm", "check"),
    [
        (lost, "events.count"),
        (twice, "events.count"),
        (other_key, "events.keyed"),
        (text_key, "events.keyed"),
        (spaced_key, "events.keyed"),
        (no_key, "events.keyed"),
        (list_key, "events.keyed"),
        (elsewhere, "events.order"),
        (backwards, "events.order"),
        (wrong_op, "events.labels"),
        (wrong_body, "events.labels"),
        (no_header, "events.labels"),
    ],
)
def test_what_is_wrong_is_found(harm: Callable[[Topic], None], check: str) -> None:
    topic = Topic()
    topic.becomes(rows_after(Strategy.SNAPSHOT_DIFF, ActName.LOAD))
    harm(topic)
    assert check in red(stage_of(topic, Strategy.SNAPSHOT_DIFF), ActName.LOAD)


def respelled(change: Callable[[dict[str, Any]], object], **how: Any) -> Callable[[str], str]:
    return lambda key: json.dumps(change(json.loads(key)), **{"ensure_ascii": False, "separators": (",", ":"), **how})


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    ("form", "harm"),
    [
        (KeyForm.TEXT, respelled(lambda parts: parts, ensure_ascii=True)),
        (KeyForm.TEXT, respelled(lambda parts: parts, separators=None)),
        (KeyForm.TEXT, respelled(lambda parts: parts["code"])),
        (KeyForm.TEXT, respelled(lambda parts: {"code": 1})),
        (KeyForm.TEXT, respelled(lambda parts: {"id": 5})),
        (KeyForm.COMPOSITE, respelled(lambda parts: {"tenant": parts["tenant"]})),
        (KeyForm.COMPOSITE, respelled(lambda parts: {"number": parts["number"], "tenant": parts["tenant"]})),
        (KeyForm.COMPOSITE, respelled(lambda parts: {**parts, "number": str(parts["number"])})),
        (KeyForm.COMPOSITE, respelled(lambda parts: {**parts, "number": True})),
        (KeyForm.COMPOSITE, respelled(lambda parts: {**parts, "id": 1})),
        (KeyForm.COMPOSITE, respelled(lambda parts: [*parts.values()])),
    ],
)
def test_a_key_of_another_form_is_found_of_a_row_and_of_a_tombstone(
    form: KeyForm, harm: Callable[[str], str], gone: bool
) -> None:
    topic = Topic(DATASETS[form])
    topic.becomes(rows_after(Strategy.SNAPSHOT_DIFF, ActName.LOAD))
    assert red(stage_of(topic, Strategy.SNAPSHOT_DIFF), ActName.LOAD) == set()
    topic.write(6 if form is KeyForm.TEXT else 5, None if gone else 7)
    assert not topic.written[-1]["key"].isascii()
    assert red(stage_of(topic, Strategy.SNAPSHOT_DIFF), ActName.LOG) == set()
    topic.written[-1]["key"] = harm(topic.written[-1]["key"])
    assert "events.keyed" in red(stage_of(topic, Strategy.SNAPSHOT_DIFF), ActName.LOG)


def test_what_is_told_of_an_event_is_bounded() -> None:
    topic = Topic()
    topic.becomes(rows_after(Strategy.FULL_REFRESH, ActName.LOAD))
    topic.written[0]["key"] = "k" * 900_000
    topic.written[1]["run_id"] = "r" * 900_000
    act = Act(ActName.LOAD)
    judge(act, stage_of(topic, Strategy.FULL_REFRESH))
    told = {check.name: check.detail for check in act.checks if not check.passed}
    assert set(told) == {"events.keyed", "events.labels"}
    assert all("…" in detail and len(detail) < 500 for detail in told.values())


def test_only_the_events_since_the_last_act_are_counted() -> None:
    topic, stage = Topic(), stage_of(Topic(), Strategy.FULL_REFRESH)
    stage.sink = topic
    for name in (ActName.LOAD, ActName.CHANGE):
        topic.becomes(rows_after(Strategy.FULL_REFRESH, name), whole=True)
        gone = topic.rows.keys() - rows_after(Strategy.FULL_REFRESH, name).keys()
        for key in gone:
            topic.write(key, None)
        act = Act(name)
        judge(act, stage)
        assert not [check.name for check in act.checks if not check.passed]
        rows, tombstones = expected_events(DATASET, Strategy.FULL_REFRESH, name)
        assert act.observed["events"] == rows + tombstones


def test_the_key_of_another_row_is_found() -> None:
    topic = Topic(DATASETS[KeyForm.TEXT])
    topic.becomes(rows_after(Strategy.SNAPSHOT_DIFF, ActName.LOAD))
    topic.written[0]["key"], topic.written[1]["key"] = topic.written[1]["key"], topic.written[0]["key"]
    assert "events.keyed" in red(stage_of(topic, Strategy.SNAPSHOT_DIFF), ActName.LOAD)


def test_events_of_an_act_whose_number_nobody_knows_are_judged_without_it() -> None:
    topic = Topic()
    topic.write(1, 0)
    act = Act(ActName.LOG)
    judge(act, stage_of(topic, Strategy.CDC))
    assert [check.name for check in act.checks] == ["events.keyed", "events.order", "events.labels"]


def test_a_sink_without_events_is_not_asked() -> None:
    act = Act(ActName.LOAD)
    judge(act, SimpleNamespace(sink=object(), sink_folds=False))  # type: ignore[arg-type]
    assert act.checks == []


@pytest.mark.parametrize(
    ("seen", "meanwhile", "error", "told"),
    [
        ([Fingerprint(1, 1)], 3, "", ""),
        ([Fingerprint(1, 1), Fingerprint(1, 2)], 3, "", "a reader saw 1 rows with the sum 2"),
        ([None], 3, "", "a reader saw no table"),
        ([Fingerprint(1, 1)], 0, "", "did not get a look in"),
        ([Fingerprint(1, 1)], 3, "no answer", "no answer"),
    ],
)
def test_a_reader_must_see_whole_loads(seen: list[Any], meanwhile: int, error: str, told: str) -> None:
    poll: Any = SimpleNamespace(seen=seen, count=meanwhile + 2, meanwhile=meanwhile, error=error)
    act = Act(ActName.CHANGE)
    check = seen_whole("x", act, stage_of(Topic(), Strategy.CDC), poll, (Fingerprint(1, 1), Fingerprint(2, 2)))
    assert (check.passed, told in check.detail) == (not told, True)


def test_no_table_is_an_empty_load_and_no_other() -> None:
    new = Fingerprint(2, 3)
    assert _loads(Fingerprint(0, 0), new) == (None, Fingerprint(0, 0), new)
    assert _loads(Fingerprint(1, 1), new) == (Fingerprint(1, 1), new)
