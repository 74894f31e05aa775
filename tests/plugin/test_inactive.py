"""Without anybody asking, the plugin does nothing but register its names."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MARKERS = (
    "integration_postgres",
    "integration_mssql",
    "integration_clickhouse",
    "integration_kafka",
    "integration_schema_registry",
    "integration_minio",
    "integration_matrix",
    "integration_live",
)


@pytest.mark.apart
def test_an_inactive_run_writes_prints_and_imports_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    pytester.makepyfile(
        """
        import sys
        def test_nothing_was_loaded():
            heavy = {"pydantic", "pyarrow", "psycopg", "boto3", "chdb", "pytest_dpone.core", "pytest_dpone.run"}
            assert heavy.isdisjoint(sys.modules)
        """
    )
    before = sorted(path.name for path in pytester.path.iterdir())
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    after = sorted(path.name for path in pytester.path.iterdir())
    result.assert_outcomes(passed=1)
    of_pytester = {"stdout", "stderr", "runpytest-0", "runpytest-current"}
    assert set(after) - set(before) <= of_pytester
    text = result.stdout.str().replace("dpone-0.1.0", "")
    assert "dpone" not in "\n".join(line for line in text.splitlines() if not line.startswith(("plugins:", "rootdir:")))


def test_the_plugin_imports_no_third_party() -> None:
    code = (
        "import sys, json, pytest\n"
        "before = set(sys.modules)\n"
        "import pytest_dpone.plugin\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    new = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert new - {"pytest_dpone"} <= sys.stdlib_module_names | {"_pytest"}
    assert "pytest_dpone" in new


def test_markers_are_known_under_strict_markers(pytester: pytest.Pytester) -> None:
    body = "\n".join(f"@pytest.mark.{name}\ndef test_{name}(): pass\n" for name in MARKERS)
    pytester.makepyfile("import pytest\n" + body)
    result = pytester.runpytest_inprocess("--strict-markers", "-rs")
    result.assert_outcomes(skipped=8)
    for name in MARKERS:
        assert f"{name} tests are off: set DPONE_RUN_INTEGRATION" in result.stdout.str()


@pytest.mark.parametrize(
    ("variables", "running"),
    [
        ({"DPONE_RUN_INTEGRATION": "1"}, set(MARKERS[:6])),
        ({"DPONE_RUN_INTEGRATION": "yes"}, set(MARKERS[:6])),
        ({"DPONE_RUN_INTEGRATION": "0"}, set()),
        ({"DPONE_RUN_INTEGRATION": ""}, set()),
        ({"DPONE_RUN_INTEGRATION_LIVE": "1"}, {"integration_live"}),
        ({"DPONE_RUN_INTEGRATION": "1", "DPONE_RUN_INTEGRATION_LIVE": "true"}, {*MARKERS[:6], "integration_live"}),
    ],
)
def test_each_variable_switches_on_its_own_tests(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], running: set[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    body = "\n".join(f"@pytest.mark.{name}\ndef test_{name}(): pass\n" for name in MARKERS)
    pytester.makepyfile("import pytest\n" + body)
    result = pytester.runpytest_inprocess("-rA")
    passed = {line.partition("::test_")[2] for line in result.outlines if line.startswith("PASSED")}
    assert passed == running
    assert result.ret == 0
    path = pytester.path / "test_artifacts" / "live_certification" / "service_markers.json"
    if "integration_postgres" not in running:
        assert not path.parent.exists()
        return
    document = json.loads(path.read_text())
    assert (document["passed"], document["profile"]) == (True, None)
    assert {name for name, row in document["facts"]["markers"].items() if row["passed"] == 1} == running
    assert path.with_suffix(".md").exists()


def test_a_variable_that_is_neither_yes_nor_no_is_wrong_use(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPONE_RUN_INTEGRATION", "ture")
    result = pytester.runpytest_inprocess()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: DPONE_RUN_INTEGRATION: 'ture' is neither yes nor no", "hint: use*=1 or*=0*"])


def test_a_test_that_asks_for_a_case_is_skipped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_mine(dpone_case, dpone_certify): dpone_certify()")
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*dpone is not active: give --dpone-profile=local_live*"])


def test_a_test_that_asks_for_a_service_is_skipped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_mine(dpone_postgres): pass")
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*dpone is not active*"])


def test_values_without_a_wish_do_not_activate(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPONE_MATRIX_ROW_COUNT", "nonsense")
    pytester.makeini("[pytest]\ndpone_profile = real_local\ndpone_case = *__cdc")
    pytester.makepyfile("def test_mine(): pass")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1)
    assert result.ret == 0
