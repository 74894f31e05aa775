from __future__ import annotations

import pickle

import pytest
from pydantic import SecretStr, ValidationError

from pytest_dpone.core.model import ActName, ActRecord, Case, CaseRecord, Check, DiffReport, NotRun, Strategy, Verdict
from pytest_dpone.core.secrets import Scrubber, redact
from pytest_dpone.core.wire import Endpoint, Job, RunFacts, ServiceInfo, scrub
from pytest_dpone.errors import MissingExtra, UsageError, require

CASE = Case("postgres", "clickhouse", Strategy.INCREMENTAL_MERGE)
ROWS = DiffReport(expected_rows=1, actual_rows=1)
GREEN = ActRecord(name=ActName.LOAD, passed=True, checks=(Check(name="rows", passed=True),), diff=ROWS)
VACUOUS = ActRecord(name=ActName.LOAD, passed=True, checks=(Check(name="rows", passed=True),))
RED = ActRecord(name=ActName.CHANGE, passed=False, checks=(Check(name="rows", passed=False),))


def test_the_case_id() -> None:
    assert CASE.case_id == "postgres_to_clickhouse__incremental_merge"
    assert CASE.pair == "postgres_to_clickhouse"


def test_a_record_round_trips_as_json() -> None:
    record = CaseRecord.of(CASE, Verdict.PASSED, acts=(GREEN,), rows=3)
    text = record.model_dump_json()
    assert '"schema":"pytest-dpone/case-behavior/v1"' in text
    assert CaseRecord.model_validate_json(text) == record


@pytest.mark.parametrize(
    ("verdict", "facts", "message"),
    [
        (Verdict.PASSED, {}, "passed without a single check"),
        (Verdict.PASSED, {"acts": (ActRecord(name=ActName.LOAD, passed=True),)}, "passed without a single check"),
        (Verdict.PASSED, {"acts": (VACUOUS,)}, "passed without comparing a single row"),
        (Verdict.PASSED, {"acts": (GREEN, RED)}, "passed beside red checks: change.rows, change"),
        (Verdict.NOT_RUN, {}, "a reason belongs to not_run"),
        (Verdict.FAILED, {"reason": NotRun.CRASHED}, "a reason belongs to not_run"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(verdict: Verdict, facts: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CaseRecord.of(CASE, verdict, **facts)


@pytest.mark.parametrize(
    "change", ['"rows":-1', '"seconds":NaN', '"seconds":1e999', '"surprise":1', '"verdict":"green"']
)
def test_a_record_with_wrong_values_is_refused(change: str) -> None:
    text = CaseRecord.of(CASE, Verdict.FAILED).model_dump_json()
    name = change.split(":")[0]
    broken = (
        text[:-1] + f",{change}}}" if name not in text else text.replace(text[text.index(name) :].split(",")[0], change)
    )
    with pytest.raises(ValidationError):
        CaseRecord.model_validate_json(broken)


def test_a_diff_is_equal_only_if_nothing_differs() -> None:
    assert DiffReport(expected_rows=1, actual_rows=1).equal
    for name in ("missing", "extra", "changed", "duplicated"):
        assert not DiffReport.model_validate({"expected_rows": 1, "actual_rows": 1, name: 1}).equal


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("postgresql://u:canary@h:5432/db?password=canary", "postgresql://h:5432/db"),
        ("clickhouse://u:canary@[::1]:8123", "clickhouse://[::1]:8123"),
        ("s3://key:canary@host", "s3://host"),
    ],
)
def test_redact_leaves_no_credential(url: str, safe: str) -> None:
    assert redact(url) == safe


def test_scrub_masks_each_spelling_of_a_secret() -> None:
    urls = [
        SecretStr("postgresql://user:ca%40na%2Fry@h/db"),
        SecretStr("s3://AKIAKEYID:sec@h"),
        SecretStr("clickhouse://h:1"),
    ]
    assert scrub("ca%40na%2Fry ca@na/ry user AKIAKEYID sec", urls) == "*** *** user *** ***"
    # A short access key is a plain name: taking it out would tear other words apart.
    assert scrub("dpone_minio sec", [SecretStr("s3://dpone:sec@h")]) == "dpone_minio ***"


def job() -> Job:
    end = Endpoint(family="postgres", url=SecretStr("postgresql://u:canary@h/d"), namespace="n", table="t")
    return Job(
        case_id=CASE.case_id, run_id="r", strategy=Strategy.CDC, source=end, sink=end, key=("id",), cursor="c",
        partition="p", state_table="s", batch_rows=1,
    )  # fmt: skip


def test_a_job_shows_its_secrets_to_the_engine_only() -> None:
    assert "canary" not in repr(job()) + job().model_dump_json() + str(job().source)
    assert Job.model_validate_json(job().to_json()).source.url.get_secret_value() == "postgresql://u:canary@h/d"


def test_a_service_info_shows_no_secret() -> None:
    record = {"name": "postgres", "provider": "external", "product": "PostgreSQL", "version": "18", "fidelity": "real"}
    info = ServiceInfo.model_validate({"record": record, "url": "postgresql://u:canary@h/d"})
    assert "canary" not in repr(info) + str(info) + info.model_dump_json()


def test_secrets_in_parameters_and_broken_addresses_are_masked() -> None:
    scrub_all = Scrubber(["postgresql://h/d?user=u&password=canary-1&sslmode=require", "http://[broken:canary-2@h"])
    assert scrub_all("canary-1 u require") == "*** u require"
    assert scrub_all("at http://[broken:canary-2@h") == "at ***"
    assert Scrubber(["postgresql://u:ab@h/d"])("about") == "about", "two letters are no secret worth tearing words for"


def test_facts_are_never_negative() -> None:
    with pytest.raises(ValidationError):
        RunFacts(read=-1, written=0)


def test_an_error_is_a_fact_and_a_hint_also_after_pickling() -> None:
    error = UsageError("the row count is 0", hint="give --dpone-rows at least 1")
    assert str(error) == "the row count is 0\nhint: give --dpone-rows at least 1"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (UsageError, str(error))


def test_a_missing_extra_names_the_install_line() -> None:
    with pytest.raises(MissingExtra) as caught:
        require("no_such_module_anywhere", extra="clickhouse")
    assert str(caught.value) == (
        "the module 'no_such_module_anywhere' is needed and not installed\nhint: pip install 'pytest-dpone[clickhouse]'"
    )
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_a_broken_module_is_not_a_missing_extra(tmp_path, monkeypatch) -> None:
    (tmp_path / "needs_more.py").write_text("import surely_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_there"):
        require("needs_more", extra="x")
    assert require("json", extra="x").dumps(1) == "1"


def test_half_a_character_is_spelled_out() -> None:
    record = CaseRecord.of(CASE, Verdict.FAILED, detail="é \ud800", engine="\udcff")
    assert (record.detail, record.engine) == ("é \\ud800", "\\udcff")
    assert CaseRecord.model_validate_json(record.model_dump_json()) == record
