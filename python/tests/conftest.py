"""What the tests share: the real model, real texts, and models with each pretrained head."""

from __future__ import annotations

import csv
import os
import pathlib
import subprocess
import sys

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "tests/fixtures/goldens"


def _cache() -> pathlib.Path:
    given = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return pathlib.Path(given or pathlib.Path.home() / ".cache") / "frostbert"


MODEL = _cache() / "models/all-MiniLM-L6-v2"
REVIEWS = _cache() / "data/movie-reviews.csv"


def not_tested(what: str) -> None:
    """Skips a test, loudly and counted."""
    print(f"NOT TESTED: {what}", file=sys.stderr)
    if notes := os.environ.get("FROSTBERT_NOT_TESTED"):
        with open(notes, "a", encoding="utf-8") as file:
            file.write(f"Python: {what}\n")
    pytest.skip(what)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests keep embeddings in a cache of their own."""
    os.environ["FROSTBERT_CACHE"] = str(tmp_path_factory.mktemp("frostbert"))


@pytest.fixture(scope="session")
def model() -> str:
    assert MODEL.is_dir(), "run `cargo xtask fetch` first"
    return str(MODEL)


@pytest.fixture(scope="session")
def encoder(model: str):
    from frostbert import Encoder

    return Encoder(model, device="cpu")


@pytest.fixture(scope="session")
def golden():
    def path(name: str) -> str:
        assert (GOLDENS / name).is_dir(), name
        return str(GOLDENS / name)

    return path


@pytest.fixture(scope="session")
def reviews() -> tuple[list[str], list[str]]:
    """200 short reviews, half of each class."""
    texts: list[str] = []
    labels: list[str] = []
    with open(REVIEWS, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == "rotten_tomatoes" and labels.count(row["label"]) < 100:
                texts.append(row["text"])
                labels.append(row["label"])
    assert len(texts) == 200
    return texts, labels


@pytest.fixture(scope="session")
def cli():
    """The command line that came with the package."""

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "frostbert", *words], capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The line that `cargo xtask test` sums up."""
    counts = {name: len(terminalreporter.stats.get(name, [])) for name in ("passed", "failed", "error")}
    print(f"test result: {counts['passed']} passed; {counts['failed'] + counts['error']} failed;")
