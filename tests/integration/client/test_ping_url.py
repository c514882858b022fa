"""One request to a URL, against real servers: what it came to, in which part it failed, and the exit code."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from hyperscale.client.cli import run_command_line
from hyperscale.client.exit_codes import ExitCode
from hyperscale.client.probing import probe_url
from hyperscale.v1 import statistics_pb2 as pb
from tests.support.target import bundled_target

PATIENCE_SECONDS = 30.0


@asynccontextmanager
async def answering(*answers: bytes, secured_by: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers each connection with these parts, and closes it; its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in answers:
            writer.write(part)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=secured_by)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_each_request_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with bundled_target() as target:
        assert run_command_line(["ping", f"{target.url}/delay/100?x=1", "--count", "3", "--json"]) == ExitCode.PASSED
        requests: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["requests"]
        assert target.requests() == 3
    assert [(request["status"], request["size_bytes"]) for request in requests] == [(200, 19)] * 3
    for request in requests:
        # The target's loop counts time in whole milliseconds, from when it last looked.
        assert request["first_byte_ms"] >= 90
        assert request["tls_ms"] is None
        parts = request["dns_ms"] + request["connect_ms"] + request["first_byte_ms"]
        assert parts <= request["total_ms"]


def test_a_failure_has_its_class_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with bundled_target() as target:
        assert run_command_line(["ping", f"{target.url}/status/503"]) == ExitCode.ERROR
    assert "status: status 503" in capsys.readouterr().out
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert run_command_line(["ping", f"http://127.0.0.1:{closed.getsockname()[1]}"]) == ExitCode.ERROR
    assert "connect: " in capsys.readouterr().out


@pytest.mark.parametrize("url", ["/path", "ftp://example.com/", "example.com", "http://a b/"])
def test_what_is_no_url(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["ping", url]) == ExitCode.BAD_CONFIGURATION
    assert "URL: must" in capsys.readouterr().err


def test_options_of_the_other_kind_are_refused() -> None:
    assert run_command_line(["ping", "http://127.0.0.1:9", "--manager", "127.0.0.1:1"]) == ExitCode.USAGE
    assert run_command_line(["ping", "--count", "2"]) == ExitCode.USAGE


@pytest.mark.parametrize(
    ("answers", "error_class"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello"], None),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"], None),
        ([b"HTTP/1.1 200 OK\r\n\r\nhello"], None),
        ([b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"], None),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"], pb.ERROR_CLASS_RESET),
        ([], pb.ERROR_CLASS_RESET),
        ([b"SSH-2.0-hello\r\n"], pb.ERROR_CLASS_PROTOCOL),
    ],
)
async def test_ends_of_responses(answers: list[bytes], error_class: pb.ErrorClass.ValueType | None) -> None:
    async with answering(*answers) as address:
        probe = await probe_url(f"http://{address}/", PATIENCE_SECONDS)
    assert probe.error_class == error_class
    if error_class is None:
        assert (probe.status, probe.size_bytes) == (200, 5)


async def test_a_silent_server_is_not_waited_for() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        probe = await probe_url(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.2)
    assert probe.error_class == pb.ERROR_CLASS_TIMEOUT
    assert probe.connect_ms is not None
    assert probe.first_byte_ms is None


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'a' * 64}.invalid"])
async def test_an_unknown_name(host: str) -> None:
    probe = await probe_url(f"http://{host}/", PATIENCE_SECONDS)
    assert probe.error_class == pb.ERROR_CLASS_DNS


async def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", secured_by=context) as address:
        unknown = await probe_url(f"https://{address}/", PATIENCE_SECONDS)
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        trusted = await probe_url(f"https://{address}/", PATIENCE_SECONDS)
    assert unknown.error_class == pb.ERROR_CLASS_TLS
    assert "certificate" in unknown.error.lower()
    assert (trusted.error, trusted.status) == ("", 200)
    assert trusted.tls_ms is not None
    assert trusted.tls_ms > 0
