"""Requests that are wrong in every way: each is answered or its connection closed, by no failure of the server."""

from __future__ import annotations

import collections
import json
import os
import random
import select
import socket

from conftest import Server

PIECES = [b"null", b"-1", b"1e999", b"NaN", b'"\\ud800"', b"[[[[", b"{}", b"\0", b"1.5", b"true", b'""', b"9" * 20, b"]"]

# Seconds until a client whose head may promise more than it sends closes its side. Nothing fails by it.
PATIENCE = 0.05


def mutated(chance: random.Random, data: bytes) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        match chance.randrange(5):
            case 0:
                data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 1:
                data = data[:at]
            case 2:
                data = data[:at] + chance.choice(PIECES) + data[at:]
            case 3:
                data = data[:at] + data[at + chance.randrange(20) :]
            case _:
                data = data[:at] + data[at : at + 40] + data[at:]
    return data


def test_malformed_requests_do_no_harm(server: Server) -> None:
    """`FROSTBERT_SERVE_MUTATIONS` sets how many; a campaign takes 10,000."""
    count = int(os.environ.get("FROSTBERT_SERVE_MUTATIONS", "1000"))
    _, api = server.ask("/api-doc/openapi.json")
    seeds: list[tuple[str, dict]] = []
    for path, methods in api["paths"].items():
        if body := methods.get("post", {}).get("requestBody"):
            example = body["content"]["application/json"]["example"]
            seeds += [
                (path.replace("{name}", name), {**example, "model": name})
                for name in ("mean", "cross", "tags", "words", "reviews")
            ]
    host, port = server.url.removeprefix("http://").split(":")
    statuses: collections.Counter[str] = collections.Counter()
    for number in range(count):
        chance = random.Random(number)
        path, example = chance.choice(seeds)
        body = json.dumps(example).encode()
        if in_head := chance.random() < 0.3:
            length = len(body)
        else:
            body = mutated(chance, body)
            length = len(body)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        request = (head + "Connection: close\r\n\r\n").encode()
        if in_head:
            request = mutated(chance, request)
        with socket.create_connection((host, int(port)), timeout=60) as client:
            try:
                client.sendall(request + body)
                if in_head:
                    # A head that promises more than comes, or keeps the connection, is not waited for. Others stay whole: the
                    # server gives up requests of clients that close their side.
                    select.select([client], [], [], PATIENCE)
                    client.shutdown(socket.SHUT_WR)
                answer = b""
                while part := client.recv(65536):
                    answer += part
            except ConnectionError:
                answer = b""
        status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.") else "closed"
        statuses[status] += 1
        assert not status.startswith("5"), (number, path, request, body, answer[:500])
    print(dict(statuses))
    assert len(statuses) > 4, statuses
    # Many arrive whole and are computed; whoever is right in spite of the mutation gets an answer.
    assert statuses["200"] > count / 100, statuses
    assert server.metric("frostbert_panics_total") == 0
    assert server.process.poll() is None and server.ask("/health")[0] == 200
