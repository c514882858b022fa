"""Responses of every lawful kind are taken as they are meant, and connections are used as the server allows."""

import ssl
import subprocess
from pathlib import Path

import pytest

from hyperscale.v1 import workflow_pb2
from tests.integration.engine.engine_process import Outcome, http_step, new_engine, running_engine, shared_iterations
from tests.integration.engine.hostile_servers import (
    Answer,
    closes_idle_after,
    hostile_server,
    sends,
    sends_and_closes,
    sends_pieces,
    waits_for,
)
from tests.support.tools import require_tool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: x\r\n\r\n"
HEAD = workflow_pb2.HTTP_METHOD_HEAD


def assert_all_succeeded(outcome: Outcome, requests: int) -> None:
    assert outcome.failures == {}
    assert outcome.total == requests
    assert sum(sum(step.duration_ms.counts) for step in outcome.last.totals.steps) == requests


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        pytest.param(sends(OK), 1, id="length"),
        pytest.param(sends(CHUNKED), 1, id="chunked"),
        pytest.param(sends_pieces(*(bytes([byte]) for byte in OK)), 1, id="byte by byte"),
        pytest.param(sends_pieces(CHUNKED[:50], CHUNKED[50:]), 1, id="chunked in pieces"),
        pytest.param(sends(b"HTTP/1.1 204 No Content\r\n\r\n"), 1, id="204"),
        pytest.param(sends(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"), 1, id="304 with length"),
        pytest.param(sends(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), 1, id="interim response"),
        pytest.param(sends_pieces(b"HTTP/1.1 103 Early Hints\r\n\r\n", OK), 1, id="interim response apart"),
        pytest.param(sends(OK.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")), 1, id="keep-alive"),
        pytest.param(
            sends_and_closes(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")), 6, id="connection: close"
        ),
        pytest.param(sends(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")), 6, id="says close, does not"),
        pytest.param(sends_and_closes(OK.replace(b"1.1", b"1.0")), 6, id="HTTP/1.0"),
        pytest.param(sends_and_closes(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), 6, id="until close"),
        pytest.param(sends_and_closes(b"HTTP/1.1 200 OK\r\n\r\n"), 6, id="empty until close"),
        pytest.param(sends_and_closes(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 500_000), 6, id="much until close"),
    ],
)
async def test_response_is_understood(answer: Answer, connections: int) -> None:
    async with hostile_server(answer) as server, running_engine() as engine:
        steps = [http_step("a", "/"), http_step("b", "/b")]
        outcome = await engine.run(shared_iterations(*steps, vus=1, iterations=3), server.url)
    assert_all_succeeded(outcome, 6)
    assert (server.requests, server.connections) == (6, connections)


async def test_bytes_are_counted_per_step() -> None:
    async with hostile_server(sends(OK)) as server, running_engine() as engine:
        workflow = shared_iterations(http_step("a", "/x", text="ä"), vus=1, iterations=10)
        outcome = await engine.run(workflow, server.url)
    (step,) = outcome.last.totals.steps
    authority = server.url.removeprefix("http://")
    request = f"GET /x HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: hyperscale\r\nContent-Length: 2\r\n\r\nä"
    assert step.bytes_sent == 10 * len(request.encode())
    assert step.bytes_received == 10 * len(OK)


async def test_head_has_no_body() -> None:
    answer = sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    async with hostile_server(answer) as server, running_engine() as engine:
        workflow = shared_iterations(http_step("a", "/", method=HEAD), vus=1, iterations=4)
        outcome = await engine.run(workflow, server.url)
    assert_all_succeeded(outcome, 4)
    assert server.connections == 1


async def test_large_bodies_in_both_directions() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000
    async with hostile_server(sends(body)) as server, running_engine() as engine:
        step = http_step("a", "/", method=workflow_pb2.HTTP_METHOD_POST, binary=b"y" * 3_000_000)
        outcome = await engine.run(shared_iterations(step, vus=2, iterations=6), server.url)
    assert_all_succeeded(outcome, 6)
    assert outcome.last.totals.steps[0].bytes_received == 6 * len(body)
    assert server.connections == 2


async def test_connection_closed_while_idle_is_no_failure() -> None:
    async with (
        hostile_server(closes_idle_after(0.05, OK)) as fickle,
        hostile_server(waits_for(0.3, OK)) as slow,
        running_engine() as engine,
    ):
        steps = [http_step("a", f"{fickle.url}/"), http_step("b", f"{slow.url}/")]
        outcome = await engine.run(shared_iterations(*steps, vus=1, iterations=3))
    assert_all_succeeded(outcome, 6)
    assert (fickle.connections, slow.connections) == (3, 1)


async def test_name_with_several_addresses_falls_back() -> None:
    """`localhost` may mean ::1 first, where nobody listens."""
    async with hostile_server(sends(OK), name="localhost") as server, running_engine() as engine:
        outcome = await engine.run(shared_iterations(http_step("a", "/"), vus=2, iterations=4), server.url)
    assert_all_succeeded(outcome, 4)


async def test_ipv6_address() -> None:
    async with hostile_server(sends(OK), host="::1") as server, running_engine() as engine:
        outcome = await engine.run(shared_iterations(http_step("a", "/"), vus=2, iterations=4), server.url)
    assert_all_succeeded(outcome, 4)


def certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that only who is told to trusts, and the server's side of it."""
    openssl = require_tool("openssl")
    key, trusted = directory / "key.pem", directory / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, *names, "-keyout", key, "-out", trusted], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trusted, key)
    return trusted, context


async def test_tls_is_verified(tmp_path: Path) -> None:
    trusted, context = certificate(tmp_path)
    workflow = shared_iterations(http_step("a", "/"), http_step("b", "/"), vus=2, iterations=5)
    async with hostile_server(sends(OK), name="localhost", tls=context) as server:
        async with running_engine() as stranger:
            refused = await stranger.run(workflow, server.url)
        assert refused.failures == {"TLS": 10}
        assert server.requests == 0
        async with new_engine({"SSL_CERT_FILE": str(trusted)}) as engine:
            outcome = await engine.run(workflow, server.url)
            by_address = await engine.run(workflow, server.url.replace("localhost", "127.0.0.1"), run_id=2)
    assert_all_succeeded(outcome, 10)
    assert by_address.failures == {"TLS": 10}


async def test_tls_to_a_plain_port_is_a_tls_failure() -> None:
    async with hostile_server(sends(OK)) as server, running_engine() as engine:
        url = server.url.replace("http:", "https:")
        outcome = await engine.run(shared_iterations(http_step("a", "/", timeout_seconds=2), vus=1, iterations=2), url)
    assert set(outcome.failures) <= {"TLS", "TIMEOUT"}
    assert outcome.total == 2
