"""Every example of docs/serving.md, run against the server that it starts."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from conftest import ROOT, Server, cache, not_tested, train

PAGE = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
MODEL = cache() / "models/all-MiniLM-L6-v2"
BLOCKS = re.findall(r"^```(\w+)[^\n]*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:3000"


def blocks(language: str) -> list[str]:
    found = [text for name, text in BLOCKS if name == language]
    assert found, f"docs/serving.md has no {language}"
    return found


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page's first command, on a free port."""
    assert MODEL.is_dir(), "run `cargo xtask fetch` first"
    [command] = [line for text in blocks("sh") for line in text.splitlines() if "frostbert serve" in line]
    words = shlex.split(command)
    assert words[:2] == ["frostbert", "serve"] and words[-2:] == ["--port", "3000"], command
    head = train(tmp_path_factory.mktemp("docs"), ("bad", "good"), MODEL)
    given = {"sentence-transformers/all-MiniLM-L6-v2": str(MODEL), "reviews=head.safetensors": f"reviews={head}"}
    assert all(word in words for word in given), command
    server = Server(*(given.get(word, word) for word in words[2:-2]))
    yield server
    server.stop()


def output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_curl(started: Server) -> None:
    if not shutil.which("curl"):
        not_tested("the curl examples of docs/serving.md: curl is missing")
    commands = [line for text in blocks("sh") for line in text.splitlines() if line.startswith("curl ")]
    assert len(commands) >= 2 and all(ADDRESS in command for command in commands)
    vectors, classified = (
        json.loads(output(shlex.split(command.replace(ADDRESS, started.url)))) for command in commands[:2]
    )
    assert [len(row) for row in vectors] == [384, 384]
    assert classified["model"] == "reviews" and classified["results"][0]["explanation"]["tokens"]


def test_python(started: Server) -> None:
    [text] = blocks("python")
    assert ADDRESS in text
    numbers = json.loads(output([sys.executable, "-c", text.replace(ADDRESS, started.url)]))
    assert len(numbers) == 4 and all(isinstance(number, float) for number in numbers)


def test_javascript(started: Server, tmp_path: pathlib.Path) -> None:
    node = shutil.which("node", path=os.environ.get("FROSTBERT_NODE_PATH"))
    if not node:
        not_tested("the JavaScript example of docs/serving.md: node is missing")
    [text] = blocks("js")
    assert ADDRESS in text
    script = tmp_path / "example.mjs"
    script.write_text(text.replace(ADDRESS, started.url), encoding="utf-8")
    assert output([str(node), str(script)]).strip() == "384"
