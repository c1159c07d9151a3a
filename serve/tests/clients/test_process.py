"""The program as a service: its end, its reloading, its keys and certificates, and what it does when it is killed."""

from __future__ import annotations

import json
import pathlib
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import GOLDENS, MODELS, PROGRAM, ROOT, Server, not_tested, run, train

TLS = ROOT / "serve/tests/tls"
MEAN = f"mean={GOLDENS / MODELS['mean']}"
unix = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")


def bits(rows: list[list[float]]) -> list[bytes]:
    return [struct.pack(f"<{len(row)}f", *row) for row in rows]


def test_vectors_of_the_busy_server_are_those_of_embed_bit_for_bit(
    server: Server, texts: list[str], tmp_path: pathlib.Path
) -> None:
    lines, out = tmp_path / "texts.txt", tmp_path / "vectors.jsonl"
    lines.write_text("\n".join(texts) + "\n", encoding="utf-8")
    run("embed", lines, "--model", GOLDENS / MODELS["mean"], "--device", "cpu", "--out", out)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    expected = dict(zip(texts, bits([row["embedding"] for row in rows]), strict=True))

    def ask(number: int) -> None:
        # Other texts and sizes at every moment.
        some = [texts[(number * 7 + at * (number % 3 + 1)) % len(texts)] for at in range(number % 17 + 1)]
        status, answer = server.ask("/embed", {"inputs": some, "model": "mean"})
        assert status == 200, answer
        assert bits(answer) == [expected[text] for text in some]

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(ask, range(200)))


class Clients:
    """Clients that ask without a pause; every answer must be one of those expected."""

    def __init__(self, ask: Callable[[], tuple[int, Any]], count: int = 4) -> None:
        self.ask = ask
        self.over = threading.Event()
        self.answers: list[tuple[int, Any]] = []
        self.failures: list[Exception] = []
        self.threads = [threading.Thread(target=self._work) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _work(self) -> None:
        while not self.over.is_set():
            try:
                self.answers.append(self.ask())
            except Exception as error:  # Looked at by the test.
                self.failures.append(error)
                return

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(timeout=120)


@unix
def test_sigterm_answers_what_is_in_progress(texts: list[str]) -> None:
    server = Server("--model", MEAN, "--drain-timeout", "100")
    try:
        many = texts * 100
        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(server.ask, "/embed", {"inputs": many}) for _ in range(3)]
            server.until(lambda: server.metric("te_embed_count") == 3 * len(many), "requests in progress")
            server.send(signal.SIGTERM)
            server.until(lambda: any("stopping" in line for line in server.log), "the end begun")
            # There is nothing to be read anew any more, and nothing to be dropped for it.
            server.send(signal.SIGHUP)
            for one in asked:
                status, answer = one.result()
                assert (status, len(answer)) == (200, len(many)), answer
        assert server.wait() == 0
        assert any("stopped" in line for line in server.log), server.log
    finally:
        server.stop()


@unix
def test_sighup_reads_heads_models_and_keys_again_and_drops_no_request(tmp_path: pathlib.Path) -> None:
    model, keys = tmp_path / "model", tmp_path / "keys"
    shutil.copytree(GOLDENS / MODELS["mean"], model)
    keys.write_text("alice first\n", encoding="utf-8")
    head = train(tmp_path, ("bad", "good"))
    server = Server("--model", f"mean={model}", "--head", f"reviews={head}", "--api-keys-file", keys)
    try:
        body = {"inputs": "the fox runs", "model": "reviews"}
        assert server.ask("/v1/classify", body)[0] == 401
        assert server.ask("/v1/classify", body, key="first")[0] == 200
        keys.write_text("alice first\nbob second\n", encoding="utf-8")
        clients = Clients(lambda: server.ask("/v1/classify", body, key="first"))
        assert server.ask("/embed", {"inputs": "a"}, key="second")[0] == 401
        train(tmp_path, ("no", "yes"))
        server.send(signal.SIGHUP)

        def renamed() -> bool:
            _, answer = server.ask("/v1/classify", body, key="first")
            return "yes" in answer["results"][0]["probabilities"]

        server.until(renamed, "the new head's answer")
        assert server.ask("/embed", {"inputs": "a"}, key="second")[0] == 200
        clients.end()
        assert not clients.failures and {status for status, _ in clients.answers} == {200}
        labels = {tuple(answer["results"][0]["probabilities"]) for _, answer in clients.answers}
        assert labels <= {("bad", "good"), ("no", "yes")} and labels
        # Another pooling is another model.
        before = server.ask("/embed", {"inputs": "a river"}, key="first")[1]
        pooling = next(model.glob("*_Pooling")) / "config.json"
        changed = json.loads(pooling.read_text(encoding="utf-8"))
        assert changed["pooling_mode"] == "mean"
        pooling.write_text(json.dumps({**changed, "pooling_mode": "cls"}), encoding="utf-8")
        server.send(signal.SIGHUP)
        server.until(
            lambda: server.ask("/embed", {"inputs": "a river"}, key="first")[1] != before, "the new model's answer"
        )
        # What cannot be read leaves what is there.
        head.write_text("damaged", encoding="utf-8")
        keys.write_text("a b c\n", encoding="utf-8")
        server.send(signal.SIGHUP)
        server.until(lambda: any("API keys stay" in line for line in server.log), "the log of the wrong keys")
        server.until(lambda: any("the head reviews stays" in line for line in server.log), "that of the head")
        assert server.ask("/embed", {"inputs": "a"}, key="second")[0] == 200
    finally:
        server.stop()


def certificate(server: Server) -> str:
    """The certificate that new connections are shown."""
    host, port = server.url.removeprefix("https://").split(":")
    context = ssl._create_unverified_context()  # It is looked at, not trusted.
    with socket.create_connection((host, int(port)), timeout=60) as raw, context.wrap_socket(raw) as secured:
        shown = secured.getpeercert(binary_form=True)
    assert shown
    return ssl.DER_cert_to_PEM_cert(shown)


def pem(name: str) -> str:
    return (TLS / name).read_text(encoding="ascii")


@unix
def test_https_and_its_certificate_read_again(tmp_path: pathlib.Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(TLS / "first.pem", cert)
    shutil.copy(TLS / "first.key.pem", key)
    server = Server("--model", MEAN, "--tls-cert", cert, "--tls-key", key)
    try:
        assert server.url.startswith("https://")
        first = ssl.create_default_context(cafile=str(TLS / "first.pem"))
        status, answer = server.ask("/embed", {"inputs": "a fox"}, context=first)
        assert (status, len(answer)) == (200, 1)
        assert certificate(server).split() == pem("first.pem").split()
        # Who speaks no TLS hears nothing, and the server goes on.
        host, port = server.url.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert not plain.recv(1000).startswith(b"HTTP/1.1 200")
        clients = Clients(lambda: server.ask("/embed", {"inputs": "a fox"}, context=first), 2)
        key.write_text("damaged", encoding="ascii")
        server.send(signal.SIGHUP)
        server.until(lambda: any("the certificate stays" in line for line in server.log), "the log of a wrong key")
        assert server.ask("/embed", {"inputs": "a fox"}, context=first)[0] == 200
        clients.end()
        assert not clients.failures and {status for status, _ in clients.answers} == {200}
        shutil.copy(TLS / "second.pem", cert)
        shutil.copy(TLS / "second.key.pem", key)
        server.send(signal.SIGHUP)
        server.until(lambda: certificate(server).split() == pem("second.pem").split(), "the new certificate")
        second = ssl.create_default_context(cafile=str(TLS / "second.pem"))
        assert server.ask("/embed", {"inputs": "a fox"}, context=second)[0] == 200
    finally:
        server.stop()


def test_killed_and_started_again_it_answers_as_before(texts: list[str]) -> None:
    server = Server("--model", MEAN)
    port = server.url.rsplit(":", 1)[1]
    try:
        before = server.ask("/embed", {"inputs": texts[:8]})
        clients = Clients(lambda: server.ask("/embed", {"inputs": texts}))
        server.until(lambda: len(clients.answers) > 5, "answers")
        server.process.kill()
        server.wait()
        clients.end()
        # Only who was waiting then has no answer.
        assert len(clients.failures) == 4 and {status for status, _ in clients.answers} == {200}
    finally:
        server.stop()
    again = Server("--model", MEAN, environment={"FROSTBERT_PORT": port})
    try:
        assert again.ask("/embed", {"inputs": texts[:8]}) == before
    finally:
        again.stop()


def test_what_cannot_start_says_why(server: Server, tmp_path: pathlib.Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    (tmp_path / "empty").write_text("", encoding="utf-8")
    for words, said in [
        (["--port", port], "cannot listen"),
        (["--port", "0", "--tls-cert", TLS / "first.pem", "--tls-key", TLS / "second.key.pem"], "do not make"),
        (["--port", "0", "--tls-cert", tmp_path / "none", "--tls-key", tmp_path / "none"], "cannot read"),
        (["--port", "0", "--api-keys-file", tmp_path / "empty"], "no API key"),
        (["--port", "0", "--head", tmp_path / "none.safetensors"], "none.safetensors"),
    ]:
        command = [PROGRAM, "serve", "--model", MEAN, "--device", "cpu", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode != 0 and said in done.stderr, (words, done.stderr)
        assert "panicked" not in done.stderr


def test_memory_does_not_grow_with_requests(texts: list[str]) -> None:
    """A short form of the soak that `cargo xtask bench-serve` runs."""
    server = Server("--model", MEAN, "--no-access-log")
    try:
        status = pathlib.Path(f"/proc/{server.process.pid}/status")
        if not status.exists():
            not_tested("memory of the server: there is no /proc here")

        def resident() -> int:
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
            return int(line.split()[1])

        def load(number: int) -> None:
            assert server.ask("/embed", {"inputs": texts[: number % 40 + 1]})[0] == 200
            assert server.ask("/embed", {"inputs": None})[0] == 422

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(load, range(500)))
            middle = resident()
            list(pool.map(load, range(1500)))
        # A leak of one request's vectors a request would be 30 MB and more.
        assert resident() < middle + 16_000, (middle, resident())
    finally:
        server.stop()
