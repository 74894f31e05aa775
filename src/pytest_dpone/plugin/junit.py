"""`junit.xml` beside the artifacts of a run, written by pytest itself."""

from __future__ import annotations

from pathlib import Path

import pytest


def write_junit(config: pytest.Config, path: Path, *, prop: tuple[str, str]) -> None:
    """Let pytest write its JUnit report to `path`, with a property; not if the user wants one elsewhere, or none."""
    if not config.pluginmanager.hasplugin("junitxml"):
        return
    from _pytest.junitxml import LogXML, xml_key

    if config.stash.get(xml_key, None) is not None:
        return
    xml = LogXML(
        str(path),
        config.option.junitprefix,
        config.getini("junit_suite_name"),
        config.getini("junit_logging"),
        config.getini("junit_duration_report"),
        config.getini("junit_family"),
        config.getini("junit_log_passing_tests"),
    )
    config.stash[xml_key] = xml
    config.pluginmanager.register(xml, "dpone-junit")
    # The session has started already.
    xml.pytest_sessionstart()
    xml.add_global_property(*prop)
