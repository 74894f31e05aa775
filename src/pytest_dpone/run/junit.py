"""The JUnit reports of shards as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from ..evidence.artifacts import write_text
from ..evidence.files import Unreadable, read_bytes
from .tree import JUNIT, JUNIT_PROPERTY


def merge_junit(folders: Sequence[Path], path: Path, run_id: str) -> str:
    """Write the suites of all folders to `path`; returns what is missing, or an empty text. Raises `ArtifactError`."""
    whole = ET.Element("testsuites", name="pytest tests")
    own = ET.SubElement(whole, "testsuite", name="pytest-dpone", tests="0", errors="0", failures="0", skipped="0")
    ET.SubElement(ET.SubElement(own, "properties"), "property", name=JUNIT_PROPERTY, value=run_id)
    missing = []
    for folder in folders:
        try:
            suites = ET.fromstring(read_bytes(folder / JUNIT))
        except (Unreadable, ET.ParseError) as error:
            missing.append(f"{folder / JUNIT} {error}")
        else:
            whole.extend(suites.iter("testsuite"))
    write_text(path, ET.tostring(whole, encoding="unicode", xml_declaration=True) + "\n")
    return f"{JUNIT} is not whole: {'; '.join(missing)}" if missing else ""
