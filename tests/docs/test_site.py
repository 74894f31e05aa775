"""The site of the documentation is built without a warning, and a page that is wrong breaks it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.apart


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install --group docs")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False)


def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", folder)
    return folder


def test_every_page_is_on_the_site(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("")
        made = tmp_path / "site" / (name.parent if name.name == "index" else name) / "index.html"
        assert made.is_file(), made
        # What is shown is text: a page that was not rendered would have its fences in it.
        assert "```" not in made.read_text()


def test_links_to_files_of_the_repository_lead_there(tmp_path: Path) -> None:
    assert build(ROOT, tmp_path / "site").returncode == 0
    text = (tmp_path / "site/ci/index.html").read_text()
    repository = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["repo_url"]
    assert f'href="{repository}/blob/main/.github/workflows/release.yml"' in text


@pytest.mark.parametrize(
    ("page", "text"),
    [("index.md", "[gone](gone.md)"), ("ci.md", "[gone](services.md#gone)"), ("alone.md", "# A page that no list has")],
)
def test_what_is_wrong_breaks_it(tmp_path: Path, page: str, text: str) -> None:
    folder = copied(tmp_path)
    with (folder / "docs" / page).open("a") as file:
        file.write(f"\n{text}\n")
    done = build(folder, tmp_path / "site")
    assert done.returncode != 0
    assert "gone" in done.stderr or "alone.md" in done.stderr
