"""What the tests share: the program itself, serving small models on this machine alone."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Nothing here may ask the hub: requests to it end at a closed port.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
for secret in ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "OPENAI_API_KEY", "CO_API_KEY", "FROSTBERT_API_KEY"):
    os.environ.pop(secret, None)
os.environ["LANGSMITH_TRACING"] = "false"
ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDENS = ROOT / "tests/fixtures/goldens"
PROGRAM = os.environ["FROSTBERT"]
MODELS = {
    "mean": "sentence-mean",
    "cross": "bert-sequence-single-label",
    "tags": "bert-token-classification",
    "words": "bert-pretraining",
}


def cache() -> pathlib.Path:
    given = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return pathlib.Path(given or pathlib.Path.home() / ".cache") / "frostbert"


def not_tested(what: str) -> None:
    """Skips a test, loudly and counted."""
    print(f"NOT TESTED: {what}", file=sys.stderr)
    if notes := os.environ.get("FROSTBERT_NOT_TESTED"):
        with open(notes, "a", encoding="utf-8") as file:
            file.write(f"clients of the server: {what}\n")
    pytest.skip(what)


def run(*words: str | pathlib.Path) -> str:
    """The command line."""
    command = [PROGRAM, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Server:
    """`frostbert serve` on a free port."""

    def __init__(self, *words: str | pathlib.Path, environment: dict[str, str] | None = None) -> None:
        command = [PROGRAM, "serve", *map(str, words), "--device", "cpu", "--port", "0"]
        self.log: list[str] = []
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"listening on (https?://\S+)", line):
                self.url = found[1]
                break
        else:
            raise AssertionError("".join(self.log))
        # What is not read would stop the server some day.
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr or []), daemon=True)
        self.reader.start()

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        context: ssl.SSLContext | None = None,
        timeout: float = 120,
    ) -> tuple[int, Any]:
        """Status and answer; a GET where there is no body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data)
        request.add_header("Content-Type", "application/json")
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def metric(self, name: str) -> float:
        _, text = self.ask("/metrics")
        values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name)]
        return sum(map(float, values))

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Waits for something that will happen."""
        for _ in range(1200):
            if holds():
                return
            time.sleep(0.05)
        raise AssertionError(f"{what} did not happen:\n{''.join(self.log[-20:])}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        code = self.process.wait(timeout=120)
        self.reader.join(timeout=10)
        return code

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()


@pytest.fixture(scope="session")
def texts() -> list[str]:
    words = ["the river", "a fox runs", "unaffable kernel, naïve", "the fox", "界 the"]
    return [" ".join(words[(at + part) % 5] for part in range(at % 6 + 1)) + f" {at}" for at in range(60)]


def train(
    folder: pathlib.Path, labels: tuple[str, str], model: pathlib.Path = GOLDENS / MODELS["mean"]
) -> pathlib.Path:
    """A head on a model, the small one unless said."""
    table, head = folder / "reviews.csv", folder / "reviews.safetensors"
    with open(table, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for row in range(60):
            words = "the fox runs" if row % 2 else "a river of kernels"
            rows.writerow([f"{words} {row}", labels[row % 2]])
    run(
        "train", table, "--model", model, "--label-column", "label", "--device", "cpu",
        "--no-cache", "--no-baselines", "--out", head,
    )  # fmt: skip
    return head


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return train(tmp_path_factory.mktemp("head"), ("bad", "good"))


@pytest.fixture(scope="session")
def server(head: pathlib.Path) -> Iterator[Server]:
    """All small models and a head, without a key."""
    models = [word for name, folder in MODELS.items() for word in ("--model", f"{name}={GOLDENS / folder}")]
    started = Server(*models, "--head", f"reviews={head}")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def guarded() -> Iterator[Server]:
    """One model, with a key."""
    started = Server("--model", f"mean={GOLDENS / MODELS['mean']}", environment={"FROSTBERT_API_KEY": "s3cret"})
    yield started
    started.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The line that `cargo xtask test` sums up."""
    counts = {name: len(terminalreporter.stats.get(name, [])) for name in ("passed", "failed", "error")}
    print(f"test result: {counts['passed']} passed; {counts['failed'] + counts['error']} failed;")
