"""Every command that the documentation shows is run, from the top of a page to its end, and prints what is shown."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .baselines import patient

pytestmark = pytest.mark.real


def _load(name: str, path: Path):  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


DOCS = Path(__file__).parents[1] / "docs"
pages = _load("dpone_pages_of_stories", DOCS / "pages.py")
NOT_RUN = _load("dpone_test_pages_of_stories", DOCS / "test_pages.py").NOT_RUN

SERVED = "export DPONE_POSTGRES_URL="
"""What follows needs the server of `pytest-dpone serve postgres`."""
START = {
    "docs/read-a-failure.md": pages.EXAMPLE,
    "examples/command_engine/README.md": pages.EXAMPLE.with_name("command_engine"),
    "examples/dlt_pipeline/README.md": pages.EXAMPLE.with_name("dlt_pipeline"),
    "examples/own_engine/README.md": pages.EXAMPLE,
    "examples/own_family/README.md": pages.EXAMPLE.with_name("own_family"),
}
"""Pages that are read in the folder of the example."""
STORIES = [
    page
    for page in pages.page_names()
    if any(command.block.page == page and command.text not in NOT_RUN for command in pages.all_commands())
]
MARK = "@@@status "


@pytest.mark.parametrize("page", STORIES)
def test_a_page_is_true_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    if "command_engine" in page and shutil.which("node") is None:
        pytest.skip("the example needs Node, which is not installed")
    if ("--dpone-engine=dlt" in pages.read(page) or "dlt_pipeline" in page) and importlib.util.find_spec("dlt") is None:
        pytest.skip("the page needs dlt: pip install 'pytest-dpone[dlt]'")
    if page in START:
        shutil.copytree(
            START[page], tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "test_artifacts")
        )
    environ = _environ()
    if page != "README.md":
        environ["DPONE_CRASH"] = "off"  # the README shows the kills; they take most of the time
    with _server(page, environ) as served:
        environ.update(served)
        for block in pages.blocks(page):
            if block.title:
                (tmp_path / block.title).write_text(block.text)
            elif block.language == "console":
                _play([c for c in pages.commands(block) if _is_run(c.text)], tmp_path, environ)
                patient(tmp_path / "baseline.json")


def _is_run(text: str) -> bool:
    # The address that a page shows has gaps; the real one is in the environment.
    return text not in NOT_RUN and not text.startswith(SERVED)


def _play(commands, folder: Path, environ: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    """Run the commands of one block in one shell, so that `$?` is what it says."""
    if not commands:
        return
    script = "".join(f"{_alone(c.text)}\nstatus=$?; echo; echo '{MARK}'$status; (exit $status)\n" for c in commands)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    parts = done.stdout.split(MARK)
    assert len(parts) == len(commands) + 1, done.stdout
    for number, command in enumerate(commands):
        shown = parts[number] if number == 0 else parts[number].partition("\n")[2]
        status = int(parts[number + 1].partition("\n")[0])
        told = f"{command.block.page}:{command.block.line}: $ {command.text}\n{shown}"
        assert status == command.status, told
        if command.output:
            # The test names the providers, so that Docker plays no part, and leaves kills out; the pages do not.
            assert pages.shows(command.output, re.sub(r" --dpone-(services=\S+|crash=off)", "", shown)), told


def _alone(text: str) -> str:
    """A vendor's systems are never beside services of ours, so the choice of providers is left out."""
    return f"env -u DPONE_SERVICES {text}" if "vendor_live" in text else text


def _environ() -> dict[str, str]:
    """The plain environment of a user, with this interpreter's scripts first, and no Docker images that decide."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_", "COV_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    services = "postgres=embedded,clickhouse=embedded,minio=embedded"
    # A user's git knows who he is.
    person = {f"GIT_{role}_{what}": what for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {**kept, **person, "PATH": path, "COLUMNS": "80", "DPONE_SERVICES": services, "LC_ALL": "C.UTF-8"}


@contextmanager
def _server(page: str, environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """Serve what the page serves in its other terminal, and see that the run leaves nothing in it."""
    if SERVED not in pages.read(page):
        yield {}
        return
    server = subprocess.Popen(
        ["pytest-dpone", "serve", "postgres"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        executable=shutil.which("pytest-dpone", path=environ["PATH"]),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert server.stdout is not None
        url, note = server.stdout.readline(), server.stdout.readline()
        (shown,) = [c for c in pages.all_commands() if c.text == "pytest-dpone serve postgres"]
        assert pages.shows(shown.output, url + note), (url, note)
        yield {"DPONE_POSTGRES_URL": url.strip(), "DPONE_SERVICES": ""}
        assert _schemas(url.strip()) == []
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
        if server.stdout is not None:
            server.stdout.close()


def _schemas(url: str) -> list[str]:
    import psycopg

    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dpone%'").fetchall()
    return [str(row[0]) for row in rows]
