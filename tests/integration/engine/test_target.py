"""The bundled target: what it answers, what it counts, and how it ends."""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import eventually, is_alive, process
from tests.support.target import BundledTarget, bundled_target

COMMAND = [sys.executable, "-m", "hyperscale.client.target", "--port", "0"]


@pytest.fixture(scope="module")
def target() -> Iterator[BundledTarget]:
    with bundled_target() as running:
        yield running


def address(target: BundledTarget) -> tuple[str, int]:
    host, _, port = target.url.removeprefix("http://").rpartition(":")
    return host, int(port)


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/", 200, "hyperscale"),
        ("GET", "/items/7?x=1", 200, "item 7"),
        ("POST", "/login", 200, "token-4"),
        ("POST", "/echo", 200, "body"),
        ("GET", "/login", 405, "Not Allowed"),
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/status/503", 503, "503"),
        ("GET", "/status/204", 204, ""),
        ("HEAD", "/", 200, ""),
        ("GET", "/delay/20", 200, "20"),
        ("GET", "/delay/99999999", 400, "Bad Request"),
    ],
)
def test_routes(target: BundledTarget, method: str, path: str, status: int, words: str) -> None:
    before = target.requests()
    connection = http.client.HTTPConnection(*address(target), timeout=30)
    connection.request(method, path, body="body" if method == "POST" else None)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    assert response.status == status
    assert words in text
    assert target.requests() == before + 1


def test_the_token_of_a_login_opens_what_is_the_users(target: BundledTarget) -> None:
    connection = http.client.HTTPConnection(*address(target), timeout=30)
    connection.request("POST", "/login", body=json.dumps({"user": "alice"}))
    token = json.load(connection.getresponse())["token"]
    connection.request("GET", "/me", headers={"Authorization": f"Bearer {token}"})
    assert json.load(connection.getresponse()) == {"user": "alice"}
    connection.request("GET", "/me", headers={"Authorization": "Bearer nonsense"})
    refused = connection.getresponse()
    refused.read()
    connection.close()
    assert refused.status == 401


def test_pipelined_requests_are_answered_in_order(target: BundledTarget) -> None:
    with socket.create_connection(address(target), timeout=30) as connection:
        paths = ["/delay/50", "/items/1", "/delay/10", "/items/2"]
        head = "Host: x\r\n\r\n"
        connection.sendall("".join(f"GET {path} HTTP/1.1\r\n{head}" for path in paths).encode())
        received = b""
        while b"item 2" not in received:
            received += connection.recv(4096)
    places = [received.index(words) for words in (b'"delayed_ms": 50', b"item 1", b'"delayed_ms": 10', b"item 2")]
    assert places == sorted(places)


def test_what_is_not_http_is_refused(target: BundledTarget) -> None:
    with socket.create_connection(address(target), timeout=30) as connection:
        connection.sendall(b"\x00garbage\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        assert connection.recv(4096) == b""


def test_ready_file_says_what_the_ready_line_says(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    with process([*COMMAND, "--ready-file", str(ready_file)], stdout=subprocess.PIPE) as target:
        assert target.stdout is not None
        line = json.loads(target.stdout.readline())
        target.terminate()
        target.communicate(timeout=60)
    assert json.loads(ready_file.read_text()) == line
    assert line["pid"] == target.pid
    assert target.returncode == 0


def test_target_ends_with_its_parent() -> None:
    script = f"import os, subprocess; subprocess.run([*{[*COMMAND]!r}, '--parent-pid', str(os.getpid())])"
    with process([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = json.loads(parent.stdout.readline())["pid"]
        parent.kill()
    eventually(lambda: not is_alive(pid), what="the end of the target")
