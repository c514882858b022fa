"""Each way a target can fail has its class, is counted once, and stops nobody."""

import socket
import time

import pytest

from hyperscale.v1 import progress_pb2, statistics_pb2
from tests.integration.engine.engine_process import constant_vus, http_step, running_engine, shared_iterations
from tests.integration.engine.hostile_servers import (
    Answer,
    hostile_server,
    resets_after,
    sends,
    sends_and_closes,
    sends_pieces,
    waits_for,
)
from tests.support.waiting import timeout_seconds

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_refused_connections_are_paced_and_reported_in_time() -> None:
    address = f"127.0.0.1:{closed_port()}"
    async with running_engine() as engine:
        cpu_before = cpu_seconds(engine.process.pid)
        outcome = await engine.run(constant_vus(http_step("a", "/"), vus=100, seconds=3), f"http://{address}")
        cpu_used = cpu_seconds(engine.process.pid) - cpu_before
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert outcome.failures == {"CONNECT": outcome.total}
    (refused,) = outcome.last.totals.unreachable
    assert (refused.address, refused.error_class) == (address, statistics_pb2.ERROR_CLASS_CONNECT)
    assert refused.count == outcome.total
    assert 100 < outcome.total < 100 * 20
    assert outcome.last.totals.iterations == outcome.total
    assert cpu_used < 1.5
    assert len(outcome.progress) >= 3


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def test_unknown_host_is_a_dns_failure() -> None:
    async with running_engine() as engine:
        outcome = await engine.run(
            shared_iterations(http_step("a", "http://no-such-host.invalid/"), vus=2, iterations=4)
        )
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert outcome.failures == {"DNS": 4}


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        pytest.param(resets_after(b""), "RESET", id="reset before the response"),
        pytest.param(resets_after(OK[:10]), "RESET", id="reset within the status line"),
        pytest.param(resets_after(OK[:-1]), "RESET", id="reset within the body"),
        pytest.param(sends_and_closes(b""), "RESET", id="closed without a response"),
        pytest.param(sends_and_closes(OK[:-1]), "RESET", id="closed within the body"),
        pytest.param(
            sends_and_closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
            "RESET",
            id="closed between chunks",
        ),
        pytest.param(sends(b"SSH-2.0-OpenSSH_9.6\r\n"), "PROTOCOL", id="another protocol"),
        pytest.param(sends(b"\x00\xff" * 50), "PROTOCOL", id="garbage"),
        pytest.param(sends(OK + OK), "PROTOCOL", id="two responses"),
        pytest.param(sends(OK + b"HTTP/1.1"), "PROTOCOL", id="the beginning of another response"),
        pytest.param(sends(OK.replace(b": 2", b": 1")), "PROTOCOL", id="a body longer than it says"),
        pytest.param(sends(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), "PROTOCOL", id="an upgrade nobody asked for"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), "PROTOCOL", id="an endless header"),
        pytest.param(
            sends_pieces(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n"),
            "PROTOCOL",
            id="a chunk without length",
        ),
        pytest.param(sends(OK.replace(b"200 OK", b"503 Busy")), "STATUS", id="unexpected status"),
        pytest.param(waits_for(5, OK), "TIMEOUT", id="too slow"),
        pytest.param(sends(OK[:-1]), "TIMEOUT", id="never whole"),
    ],
)
async def test_failure_has_its_class(answer: Answer, error_class: str) -> None:
    """The iteration goes on: the second step is tried as often as the first."""
    async with hostile_server(answer) as server, running_engine() as engine:
        steps = [http_step(name, "/", timeout_seconds=timeout_seconds(error_class)) for name in ("a", "b")]
        outcome = await engine.run(shared_iterations(*steps, vus=3, iterations=5), server.url)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert outcome.failures == {error_class: 10}
    assert outcome.last.totals.iterations == 5
    assert server.requests == outcome.total == 10
    with_duration = sum(sum(step.duration_ms.counts) for step in outcome.last.totals.steps)
    assert with_duration == (10 if error_class == "STATUS" else 0)


async def test_timeout_takes_its_time_and_no_more() -> None:
    async with hostile_server(waits_for(30, OK)) as server, running_engine() as engine:
        step = http_step("a", "/", timeout_seconds=0.5)
        outcome = await engine.run(shared_iterations(step, vus=2, iterations=4), server.url)
    assert outcome.failures == {"TIMEOUT": 4}
    assert 1.0 <= outcome.elapsed_seconds < 15
    assert outcome.last.totals.iteration_duration_ms.min >= 500


async def test_timeout_bounds_connecting() -> None:
    """A listener whose queue is full swallows further connections."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address), running_blocked(address):
            async with running_engine() as engine:
                step = http_step("a", f"http://127.0.0.1:{address[1]}/", timeout_seconds=0.4)
                started = time.monotonic()
                outcome = await engine.run(shared_iterations(step, vus=4, iterations=4))
    assert outcome.failures == {"TIMEOUT": 4}
    assert time.monotonic() - started < 15


def running_blocked(address: tuple[str, int]) -> socket.socket:
    """A connection attempt that fills what is left of the queue."""
    blocked = socket.socket()
    blocked.setblocking(False)
    blocked.connect_ex(address)
    return blocked


async def test_expected_statuses_replace_the_default() -> None:
    answer = sends(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    async with hostile_server(answer) as server, running_engine() as engine:
        step = http_step("a", "/", expected_statuses=[404])
        outcome = await engine.run(shared_iterations(step, vus=1, iterations=3), server.url)
    assert outcome.failures == {}
    assert outcome.total == 3
