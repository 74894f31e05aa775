"""Engines that are broken in one way each: a harness that lets one of them pass is not to be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from ..core.wire import Engine
from . import broken, broken_api, broken_events, broken_log
from .native import NativeEngine, Seams
from .native.api import ApiSource

_HOUR_US = 3_600_000_000
_YEAR_2200_US = 7_258_118_400_000_000


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken engine: what it breaks, the case that shows it, and the checks of which at least one must be red."""

    name: str
    breaks: str
    case_id: str
    killed_by: tuple[str, ...]
    build: Callable[[], Engine]


def _shift_hour(array: pa.Array) -> pa.Array:
    # not the last years, which every service would refuse to hold an hour later
    micros = array.cast(pa.int64())
    return pc.if_else(pc.less(micros, _YEAR_2200_US), pc.add(micros, _HOUR_US), micros)


def _milliseconds(array: pa.Array) -> pa.Array:
    return pc.floor_temporal(array, unit="millisecond")


def _round(array: pa.Array) -> pa.Array:
    # through text, since rounding the largest decimals up would need one more digit
    cut = pc.replace_substring_regex(array.cast(pa.string()), r"(\.\d\d)\d*$", r"\1")
    return cut.cast(array.type)


def _empty_to_null(array: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)


def _null_to_zero(array: pa.Array) -> pa.Array:
    return pc.fill_null(array, 0)


def _through_float32(array: pa.Array) -> pa.Array:
    return array.cast(pa.float32())


def _through_float64(array: pa.Array) -> pa.Array:
    return array.cast(pa.float64(), safe=False).cast(pa.int64(), safe=False)


def _without_negative_zero(array: pa.Array) -> pa.Array:
    return pc.add(array, pa.scalar(0.0, array.type))


def _is_instant(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.tz is not None


def _values(
    name: str, breaks: str, *, case_id: str, applies: Callable[[pa.DataType], bool], change: broken.Change
) -> Mutant:
    """A mutant that changes values of one type: the comparison of rows must see it."""
    return Mutant(name, breaks, case_id, ("rows",), partial(broken.changing, applies, change))


_PG_FULL = "postgres_to_postgres__full_refresh"
_PG_APPEND = "postgres_to_postgres__incremental_append"
_PG_MERGE = "postgres_to_postgres__incremental_merge"
_PG_DIFF = "postgres_to_postgres__snapshot_diff"
_PG_XMIN = "postgres_to_postgres__xmin"
_PG_CDC = "postgres_to_postgres__cdc"
_PG_CH_FULL = "postgres_to_clickhouse__full_refresh"
_CH_FULL = "clickhouse_to_clickhouse__full_refresh"
_CH_APPEND = "clickhouse_to_clickhouse__incremental_append"
_CH_MERGE = "clickhouse_to_clickhouse__incremental_merge"
_CH_PG_FULL = "clickhouse_to_postgres__full_refresh"
_API_FULL = "api_to_postgres__full_refresh"
_S3_FULL = "minio_to_minio__full_refresh"
_KAFKA_FULL = "postgres_to_kafka__full_refresh"
_KAFKA_MERGE = "postgres_to_kafka__incremental_merge"
_KAFKA_DIFF = "postgres_to_kafka__snapshot_diff"
_KAFKA_PG_FULL = "kafka_to_postgres__full_refresh"
_S3_APPEND = "postgres_to_minio__incremental_append"

_text = pa.types.is_string

_VALUES = (
    _values("shift_time_zone", "instants are an hour late", case_id=_PG_FULL, applies=_is_instant, change=_shift_hour),
    _values(
        "strip_microseconds",
        "timestamps keep milliseconds only",
        case_id=_PG_FULL,
        applies=pa.types.is_timestamp,
        change=_milliseconds,
    ),
    _values(
        "round_decimals",
        "decimals keep two digits behind the point",
        case_id=_CH_FULL,
        applies=pa.types.is_decimal,
        change=_round,
    ),
    _values("empty_text_to_null", "'' becomes NULL", case_id=_PG_FULL, applies=_text, change=_empty_to_null),
    _values(
        "truncate_text",
        "text ends after 255 characters",
        case_id=_CH_FULL,
        applies=_text,
        change=partial(pc.utf8_slice_codeunits, start=0, stop=255),
    ),
    _values(
        "trim_text", "spaces at the end are lost", case_id=_S3_FULL, applies=_text, change=pc.utf8_rtrim_whitespace
    ),
    _values("case_fold_text", "text becomes lower case", case_id=_S3_FULL, applies=_text, change=pc.utf8_lower),
    _values(
        "normalize_unicode",
        "combining marks are composed",
        case_id=_PG_FULL,
        applies=_text,
        change=partial(pc.utf8_normalize, form="NFC"),
    ),
    _values(
        "float32_downcast",
        "doubles lose half of their bits",
        case_id=_CH_FULL,
        applies=pa.types.is_float64,
        change=_through_float32,
    ),
    _values(
        "lose_negative_zero",
        "-0.0 becomes 0.0",
        case_id=_PG_FULL,
        applies=pa.types.is_floating,
        change=_without_negative_zero,
    ),
    _values(
        "integers_through_double",
        "integers above 2^53 are rounded",
        case_id=_S3_FULL,
        applies=pa.types.is_int64,
        change=_through_float64,
    ),
    _values("null_to_zero", "NULL becomes 0", case_id=_CH_FULL, applies=pa.types.is_integer, change=_null_to_zero),
)

_REJECTS = (
    Mutant(
        "clamp_dates",
        "dates that ClickHouse can't hold are bent silently",
        _PG_CH_FULL,
        ("rejects.date.before_1900", "rejects.date.after_2299"),
        partial(broken.changing, pa.types.is_date32, broken.clamped, required=True),
    ),
    Mutant(
        "strip_nul",
        "the NUL that Postgres can't hold vanishes silently",
        _CH_PG_FULL,
        ("rejects.text.nul",),
        partial(broken.changing, _text, broken.without_nul, required=True),
    ),
)

_ROWS = (
    Mutant(
        "drop_last_batch",
        "the last batch is lost",
        _PG_FULL,
        ("rows",),
        partial(broken.tapped, broken.without_last_batch),
    ),
    Mutant(
        "lose_last_row", "the last row is lost", _S3_FULL, ("rows",), partial(broken.tapped, broken.without_last_row)
    ),
    Mutant(
        "duplicate_batch",
        "the first batch comes twice",
        _CH_FULL,
        ("rows",),
        partial(broken.tapped, broken.first_batch_twice),
    ),
    Mutant(
        "swap_columns",
        "two text columns have each other's values",
        _PG_FULL,
        ("rows",),
        partial(broken.tapped, broken.swapped_texts),
    ),
)

_STRATEGIES = (
    Mutant(
        "lose_deletes",
        "reconciliation deletes nothing",
        _CH_MERGE,
        ("rows", "deletes_reconciled"),
        partial(NativeEngine, Seams(sink=broken.KeepsDeleted)),
    ),
    Mutant("stale_update", "updated rows keep their old content", _PG_MERGE, ("rows",), broken.stale),
    Mutant("resurrect_deleted", "a deleted row comes back", _PG_DIFF, ("rows", "facts.deleted"), broken.reviving),
    Mutant(
        "drop_late_ties",
        "rows that came late to the watermark are missed",
        _PG_APPEND,
        ("rows",),
        partial(NativeEngine, Seams(source=broken.StrictlyAfter)),
    ),
    Mutant(
        "ignore_tie_hashes",
        "rows at the watermark are loaded twice",
        _CH_APPEND,
        ("rows", "repeat_writes_nothing"),
        partial(NativeEngine, Seams(sink=broken.ForgetsTies)),
    ),
    Mutant(
        "full_reload_on_repeat",
        "each run appends everything again",
        _S3_APPEND,
        ("rows", "repeat_writes_nothing"),
        partial(NativeEngine, Seams(source=broken.FromTheStart)),
    ),
    Mutant(
        "lose_state",
        "the state that is committed knows nothing",
        _PG_APPEND,
        ("rows", "state_continues"),
        partial(NativeEngine, Seams(sink=broken.LosesState)),
    ),
    Mutant("swallow_error", "a failed load is reported as done", _PG_FULL, ("rows", "schema"), broken.Swallowing),
    Mutant(
        "non_atomic_swap",
        "readers see an empty table",
        _PG_FULL,
        ("swap",),
        partial(NativeEngine, Seams(sink=broken.EmptiesFirst)),
    ),
    Mutant(
        "rewrite_unchanged",
        "rows that did not change are written again",
        _PG_DIFF,
        ("unchanged_not_rewritten",),
        partial(NativeEngine, Seams(sink=broken.RewritesAll)),
    ),
    Mutant(
        "xmin_of_the_table",
        "rows of a transaction that was open during the load are missed",
        _PG_XMIN,
        ("rows",),
        partial(NativeEngine, Seams(source=broken.MaxXmin)),
    ),
    Mutant(
        "log_begins_late",
        "what was committed between the snapshot and the begin of the log is lost",
        _PG_CDC,
        ("rows",),
        partial(NativeEngine, Seams(source=broken_log.BeginsLate)),
    ),
    Mutant(
        "kept_value_to_null",
        "a TOASTed value that an update did not touch becomes NULL",
        _PG_CDC,
        ("rows",),
        partial(NativeEngine, Seams(source=broken_log.LosesKept)),
    ),
    Mutant(
        "ignore_truncate",
        "a table that was emptied keeps its rows",
        _PG_CDC,
        ("rows",),
        partial(NativeEngine, Seams(source=broken_log.IgnoresTruncate)),
    ),
    Mutant(
        "keep_old_key",
        "a row whose key changed is there twice",
        _PG_CDC,
        ("rows",),
        partial(NativeEngine, Seams(source=broken_log.KeepsOldKey)),
    ),
    Mutant("lie_in_facts", "a changed row is counted as unchanged", _PG_DIFF, ("facts.updated",), broken.Lying),
)

_EVENTS = (
    Mutant(
        "lose_tombstones",
        "rows that are gone get no tombstone",
        _KAFKA_DIFF,
        ("rows", "events.count"),
        partial(broken_events.sending, broken_events.without_tombstones),
    ),
    Mutant(
        "duplicate_event",
        "the last event comes again after the commit",
        _KAFKA_MERGE,
        ("events.count", "events.labels"),
        partial(NativeEngine, Seams(sink=broken_events.SendsTwice)),
    ),
    Mutant(
        "half_a_load",
        "readers see the first half of a load before the other",
        _KAFKA_FULL,
        ("events.committed",),
        partial(broken_events.sending, broken_events.half_first),
    ),
    Mutant(
        "wrong_event_key",
        "numbers in keys become text",
        _KAFKA_FULL,
        ("events.keyed",),
        partial(broken_events.sending, broken_events.text_keys),
    ),
    Mutant(
        "read_aborted",
        "events of an aborted transaction are read",
        _KAFKA_PG_FULL,
        ("rows",),
        partial(broken_events.reading, past_stable=False),
    ),
    Mutant(
        "read_past_stable",
        "events of a transaction that is open are read",
        _KAFKA_PG_FULL,
        ("rows",),
        partial(broken_events.reading, past_stable=True),
    ),
)

_REWRITES = (
    Mutant(
        "replace_everything",
        "rows outside of the window are lost",
        "clickhouse_to_postgres__replace",
        ("rows",),
        partial(NativeEngine, Seams(sink=broken.RewritesEverything)),
    ),
    Mutant(
        "replace_nothing",
        "the window's old rows stay beside the new ones",
        "postgres_to_minio__replace",
        ("rows",),
        partial(NativeEngine, Seams(sink=broken.KeepsWhatWasThere)),
    ),
    Mutant(
        "wrong_partition_policy",
        "a partition that the source has lost is kept where it should go, and goes where it should be kept",
        "postgres_to_clickhouse__partition_replace",
        ("empty_partition_kept", "rows"),
        partial(broken.Misreading, broken.other_policy),
    ),
    Mutant(
        "backfill_from_the_start",
        "a backfill that is done loads its chunks again",
        "postgres_to_postgres__backfill",
        ("repeat_writes_nothing",),
        partial(NativeEngine, Seams(sink=broken.ForgetsState)),
    ),
    Mutant(
        "backfill_once_for_all",
        "a new backfill takes the old one's chunks for its own",
        "clickhouse_to_clickhouse__backfill",
        ("rows",),
        partial(NativeEngine, Seams(sink=broken.NeverBackfillsAgain)),
    ),
)

_HISTORIES = tuple(
    Mutant(name, breaks, "postgres_to_postgres__scd2", killed_by, partial(broken.history_then, statement))
    for name, breaks, killed_by, statement in (
        (
            "history_with_gaps",
            "a version ends before the next one begins",
            ("history.gaps",),
            "UPDATE {table} SET <t> = <t> - interval '1 ms' WHERE <t> IS NOT NULL",
        ),
        (
            "history_that_overlaps",
            "a version ends after the next one begins",
            ("history.overlaps",),
            "UPDATE {table} SET <t> = <t> + interval '1 ms' WHERE <t> IS NOT NULL",
        ),
        ("history_in_place", "a changed row keeps no old version", ("rows",), "DELETE FROM {table} WHERE NOT <c>"),
        (
            "history_that_moves",
            "versions that did not change begin anew",
            ("history.kept",),
            "UPDATE {table} SET <f> = now() WHERE <c>",
        ),
        (
            "history_without_ends",
            "a version that is over has no end",
            ("history.open",),
            "UPDATE {table} SET <t> = NULL",
        ),
        (
            "history_revives_gone",
            "a key that the source has lost stays current",
            ("rows",),
            (
                "UPDATE {table} AS a SET <c> = true, <t> = NULL"
                " WHERE NOT EXISTS (SELECT FROM {table} AS b WHERE b.{key} = a.{key} AND b.<c>)"
            ),
        ),
        ("history_with_one_hash", "all versions have one hash", ("history.hash",), "UPDATE {table} SET <h> = 'x'"),
    )
)

_CRASHES = (
    Mutant(
        "state_before_data",
        "a kill between state and data loses rows",
        _PG_APPEND,
        ("crash.committing.rows",),
        partial(NativeEngine, Seams(sink=broken.StateFirst)),
    ),
    Mutant(
        "data_before_state",
        "a kill between data and state doubles rows",
        _PG_APPEND,
        ("crash.committing.rows",),
        partial(NativeEngine, Seams(sink=broken.DataFirst)),
    ),
    Mutant(
        "reload_if_state_is_damaged",
        "a state that can't be read is taken for none",
        _PG_MERGE,
        ("state_damaged",),
        partial(NativeEngine, Seams(sink=broken.MindsNoDamage)),
    ),
)

_EVOLUTIONS = (
    Mutant(
        "ignore_new_columns",
        "a column that the source gained is left out, though the engine follows",
        _PG_MERGE,
        ("evolve.add.columns",),
        partial(NativeEngine, Seams(source=broken.KnowsTheOldColumns)),
    ),
    Mutant(
        "follow_what_it_refuses",
        "a column that the source dropped is dropped, though the engine says that it refuses",
        _PG_MERGE,
        ("evolve.drop",),
        partial(NativeEngine, Seams(sink=broken.DropsColumns)),
    ),
)


def _reads(name: str, breaks: str, kind: type[ApiSource], *killed_by: str) -> Mutant:
    """A mutant that reads the API by `kind`."""
    return Mutant(name, breaks, _API_FULL, killed_by, partial(broken_api.reading, kind))


_CLIENTS = (
    _reads("lose_last_page", "the last page is lost", broken_api.LosesLastPage, "rows"),
    _reads("double_page_after_retry", "a page that failed at first comes twice", broken_api.DoublesRepeated, "rows"),
    _reads("give_up_when_limited", "a 429 is taken for the end", broken_api.GivesUpWhenLimited, "rows"),
    _reads("read_across_changes", "pages by offset are of two versions", broken_api.ReadsAcrossChanges, "rows"),
    _reads("ignore_retry_after", "a 429 is not waited for", broken_api.IgnoresRetryAfter, "api.patience"),
)

MUTANTS: tuple[Mutant, ...] = (
    *_VALUES,
    *_REJECTS,
    *_ROWS,
    *_STRATEGIES,
    *_REWRITES,
    *_HISTORIES,
    *_CRASHES,
    *_EVOLUTIONS,
    *_CLIENTS,
    *_EVENTS,
)
"""Every mutant, with a name of its own."""
