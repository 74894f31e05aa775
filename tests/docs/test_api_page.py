"""The commands of docs/api.md, played against the server that it tells of."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from pytest_dpone.services.embedded.api import _example
from pytest_dpone.services.embedded.api_http import Front, http_server
from pytest_dpone.services.embedded.api_store import Space


def _pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dpone_pages_of_api", Path(__file__).with_name("pages.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pages = _pages()
COMMANDS = [command for command in pages.all_commands() if command.block.page == "docs/api.md"]
SKIPPED = ("pytest-dpone serve api", "export API=")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_page_is_true() -> None:
    server = http_server(Front("dpone", "canary-7f3", "1", {"demo": Space({"orders": _example()})}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        played = [command for command in COMMANDS if not command.text.startswith(SKIPPED)]
        shown = [command for command in played if command.output]
        assert len(shown) == 3
        script = "\n".join(f"{command.text}\necho; echo @@@" for command in played)
        environ = {
            "API": f"http://dpone:canary-7f3@127.0.0.1:{server.server_port}",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        }
        done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, timeout=30)
        answers = done.stdout.split("@@@\n")
        for command, answer in zip(played, answers, strict=False):
            pattern = ".*".join(re.escape(part) for part in "\n".join(command.output).split("…"))
            assert re.search(pattern, answer.replace("\r\n", "\n"), re.DOTALL), (command.text, answer)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
