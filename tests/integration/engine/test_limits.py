"""Each phase of a request has its limit and its measurement, and what the generator lacks is not the target's fault."""

import asyncio
import resource
import socket
import time

import pytest
from google.protobuf.duration_pb2 import Duration

from hyperscale.v1 import workflow_pb2
from tests.integration.engine.engine_process import (
    constant_vus,
    http_step,
    new_engine,
    running_engine,
    shared_iterations,
)
from tests.integration.engine.hostile_servers import hostile_server, sends, sends_pieces, waits_for
from tests.integration.engine.web_servers import step_of, values
from tests.support.listening import listening

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SHORT = Duration(nanos=200_000_000)
POST = workflow_pb2.HTTP_METHOD_POST


async def test_first_byte_has_its_own_limit() -> None:
    step = http_step("s", "/", timeout_seconds=20, first_byte_timeout=SHORT)
    async with hostile_server(waits_for(30, OK)) as server, running_engine() as engine:
        outcome = await engine.run(shared_iterations(step, vus=1, iterations=2), server.url)
    assert outcome.failures == {"TIMEOUT": 2}
    assert outcome.elapsed_seconds < 15


async def test_limit_of_the_first_byte_does_not_hold_for_the_rest() -> None:
    step = http_step("s", "/", timeout_seconds=20, first_byte_timeout=Duration(seconds=1))
    padded = OK.replace(b"\r\n\r\n", b"\r\nX-Padding: " + b"x" * 80 + b"\r\n\r\n")
    slow = sends_pieces(*(padded[at : at + 1] for at in range(len(padded))))
    async with hostile_server(slow) as server, running_engine() as engine:
        outcome = await engine.run(shared_iterations(step, vus=1, iterations=2), server.url)
    assert (outcome.failures, outcome.total) == ({}, 2)
    measured = step_of(outcome, "s")
    assert measured.waiting_ms.max < 1000 < measured.receiving_ms.min


async def test_connecting_has_its_own_limit() -> None:
    """Nobody answers there: the address is reserved for documentation, or not routed at all."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        blocked = [socket.socket() for _ in range(3)]
        for waiting in blocked:
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        step = http_step("s", "/", timeout_seconds=20, connect_timeout=SHORT)
        async with running_engine() as engine:
            url = f"http://127.0.0.1:{full.getsockname()[1]}"
            outcome = await engine.run(shared_iterations(step, vus=1, iterations=2), url)
        for waiting in blocked:
            waiting.close()
    assert outcome.failures == {"TIMEOUT": 2}
    assert outcome.elapsed_seconds < 15
    assert step_of(outcome, "s").blocked_ms.min >= 190


async def test_tls_handshake_has_its_own_limit() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port, running_engine() as engine:
        url = f"https://127.0.0.1:{port}"
        step = http_step("s", "/", timeout_seconds=20, tls_timeout=SHORT)
        outcome = await engine.run(shared_iterations(step, vus=1, iterations=2), url)
    assert outcome.failures == {"TIMEOUT": 2}
    assert outcome.elapsed_seconds < 15


async def test_phases_of_usual_requests_are_measured() -> None:
    async with hostile_server(waits_for(0.05, OK)) as server, running_engine() as engine:
        outcome = await engine.run(shared_iterations(http_step("s", "/"), vus=2, iterations=10), server.url)
    step = step_of(outcome, "s")
    phases = (step.blocked_ms, step.connecting_ms, step.sending_ms, step.waiting_ms, step.receiving_ms)
    assert [values(phase) for phase in phases] == [10] * 5
    assert step.waiting_ms == step.duration_ms
    assert step.blocked_ms.zero_count == step.connecting_ms.zero_count == 8
    assert values(step.tls_handshaking_ms) == 0


async def test_sending_lasts_until_the_target_takes_the_request() -> None:
    async def slow_reader(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await reader.readexactly(12_000_000)
        writer.write(OK)
        await reader.read()

    async with listening(slow_reader) as port, running_engine() as engine:
        url = f"http://127.0.0.1:{port}"
        step = http_step("s", "/", method=POST, binary=b"x" * 12_000_000)
        outcome = await engine.run(shared_iterations(step, vus=1, iterations=1), url)
    measured = step_of(outcome, "s")
    assert (outcome.failures, outcome.total) == ({}, 1)
    assert measured.sending_ms.min >= 250
    total = measured.sending_ms.sum + measured.waiting_ms.sum + measured.receiving_ms.sum
    assert total == pytest.approx(measured.duration_ms.sum, abs=0.01)


async def test_running_out_of_descriptors_is_the_generators_fault() -> None:
    async with hostile_server(sends(OK)) as server, new_engine() as engine:
        limit = resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, (40, limit[1]))
        outcome = await engine.run(constant_vus(http_step("s", "/"), vus=100, seconds=1), server.url)
    assert set(outcome.failures) == {"LOCAL"}
    assert outcome.total > outcome.failures["LOCAL"] > 0


async def test_a_target_that_dies_and_comes_back_is_used_again() -> None:
    async with running_engine() as engine:
        async with hostile_server(sends(OK)) as server:
            port = int(server.url.rpartition(":")[2])
            engine.start(constant_vus(http_step("s", "/"), vus=3, seconds=4), server.url)
            deadline = time.monotonic() + 5
            while server.requests < 10 and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
        back = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal back
            while await reader.read(65536):
                back += 1
                writer.write(OK)

        async with listening(serve, port=port):
            outcome = await engine.outcome()
    assert back > 10
    assert set(outcome.failures) <= {"CONNECT", "RESET"}
