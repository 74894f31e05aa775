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

from . import fresh
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
START = {"docs/read-a-failure.md": pages.EXAMPLE}
"""Pages that are read in the folder of the example, beside those that lie there."""
NEWCOMER = "docs/plug-in-your-engine.md"
"""A page that makes an environment of its own, and goes on in it."""
FRESH = (NEWCOMER, *(page for page in pages.page_names() if page.startswith("examples/")))
"""Pages that are played in an environment in which nothing is installed but what they say."""
STORIES = [
    page
    for page in pages.page_names()
    if page not in FRESH
    and any(command.block.page == page and command.text not in NOT_RUN for command in pages.all_commands())
]
MARK = "@@@status "
BEYOND = "\n## What a job holds"
"""With this the page goes beyond the walk of a newcomer."""
MAKES = ("mkdir ", "python3 -m venv ", ". ")
MOST_SECONDS = 600
"""In which somebody new has certified a mover of his own, and found a bug in it."""


@pytest.mark.parametrize("page", STORIES)
def test_a_page_is_true_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    if "--dpone-engine=dlt" in pages.read(page) and importlib.util.find_spec("dlt") is None:
        pytest.skip("the page needs dlt: pip install 'pytest-dpone[dlt]'")
    if page in START:
        _copy(START[page], tmp_path)
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


def test_every_example_is_played_in_a_fresh_environment() -> None:
    readmes = {f"examples/{path.name}/README.md" for path in (pages.ROOT / "examples").iterdir() if path.is_dir()}
    assert readmes == set(FRESH) - {NEWCOMER}
    for page in FRESH:
        first = next(c.text for c in pages.all_commands() if c.block.page == page and not c.text.startswith(MAKES))
        assert first.startswith("pip install 'pytest-dpone["), page


def test_a_fresh_environment_has_nothing_of_ours(tmp_path: Path) -> None:
    if not fresh.UV.exists():
        pytest.skip("a fresh environment needs uv: pip install --group dev")
    before = fresh.prelude(tmp_path / "none.whl", makes_one=False, haste=True)
    script = f"{before}command -v python; python -c 'import pytest_dpone'"
    environ = fresh.environ_of(_environ())
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path}/.venv/bin/python\n", done.stderr
    assert "No module named 'pytest_dpone'" in done.stderr
    assert str(Path(sys.executable).parent) not in environ["PATH"].split(os.pathsep)


@pytest.mark.nightly("uv installs what a page says that pip installs, and no engine is killed")
@pytest.mark.parametrize("page", FRESH)
def test_a_page_is_true_in_a_fresh_environment(
    page: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, nightly: bool
) -> None:
    if "command_engine" in page and shutil.which("node") is None:
        pytest.skip("the example needs Node, which is not installed")
    base = tmp_path_factory.getbasetemp()
    wheel = fresh.wheel_of(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)
    folder = tmp_path / "new"
    if page == NEWCOMER:
        folder.mkdir()
    else:
        _copy((pages.ROOT / page).parent, folder)
    environ = fresh.environ_of(_environ() | ({} if nightly else {"DPONE_CRASH": "off"}))
    before = fresh.prelude(wheel, makes_one=page == NEWCOMER, haste=not nightly)
    items = [item for b in pages.blocks(page) for item in _typed(b)]
    try:
        seconds = _play(items, folder, environ, before=before, haste=not nightly)
    finally:
        for made in (*folder.glob(".venv"), *folder.glob("*/.venv")):
            shutil.rmtree(made)
    if page == NEWCOMER:
        beyond = pages.read(page).partition(BEYOND)[0].count("\n")
        commands = [item for item in items if not getattr(item, "title", "")]
        walked = [s for c, s in zip(commands, seconds, strict=True) if c.block.line < beyond]
        print(f"{len(walked)} commands in {walked[-1]} s")
        assert 0 < walked[-1] < MOST_SECONDS


def _typed(block):  # type: ignore[no-untyped-def]
    """What somebody types or saves who reads the block."""
    if block.title:
        return () if block.language == "json" else (block,)
    return pages.commands(block) if block.language == "console" else ()


def _copy(example: Path, folder: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__", "test_artifacts", ".*")
    shutil.copytree(example, folder, dirs_exist_ok=True, ignore=ignore)


def _is_run(text: str) -> bool:
    # The address that a page shows has gaps; the real one is in the environment.
    return text not in NOT_RUN and not text.startswith(SERVED)


def _play(commands, folder: Path, environ: dict[str, str], *, before: str = "", haste: bool = True) -> list[int]:  # type: ignore[no-untyped-def]
    """Run the commands in one shell, so that `$?` is what it says; returns the seconds since its start after each.

    A block with a title, a file, is written between them.
    """
    played = [c for c in commands if not getattr(c, "title", "")]
    if not played:
        return []
    done = subprocess.run(
        ["bash", "-c", before + "SECONDS=0\n" + "".join(map(_lines, commands))],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    parts = done.stdout.split(MARK)
    assert len(parts) == len(played) + 1, done.stdout
    ended = [tuple(map(int, part.partition("\n")[0].split())) for part in parts[1:]]
    for number, (command, (status, _)) in enumerate(zip(played, ended, strict=True)):
        shown = parts[number] if number == 0 else parts[number].partition("\n")[2]
        told = f"{command.block.page}:{command.block.line}: $ {command.text}\n{shown}"
        installs = command.text.startswith("pip install")
        if installs:
            fresh.skip_if_offline(status, shown)
        assert status == command.status, told
        if command.output and not (installs and haste):
            # The test names the providers, so that Docker plays no part, and leaves kills out; the pages do not.
            assert pages.shows(command.output, re.sub(r" --dpone-(services=\S+|crash=off)", "", shown)), told
    return [seconds for _, seconds in ended]


def _lines(item) -> str:  # type: ignore[no-untyped-def]
    """What is typed for a command, or for a file that is to be saved."""
    if getattr(item, "title", ""):
        return f"cat > '{item.title}' <<'@@@'\n{item.text}@@@\n"
    return f"{_alone(item.text)}\nstatus=$?; echo; echo '{MARK}'$status $SECONDS; (exit $status)\n"


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
