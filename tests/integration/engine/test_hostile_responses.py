"""Thousands of responses that no server should send: the engine counts them all, keeps its memory, and never hangs."""

import asyncio
import random
from pathlib import Path

from hyperscale.v1 import progress_pb2
from tests.integration.engine.engine_process import (
    constant_vus,
    http_step,
    new_engine,
    running_engine,
    shared_iterations,
)
from tests.integration.engine.hostile_servers import hostile_server

SEED = 20_260
RESPONSES = 3_000
SEEDS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /next?a=b\r\nContent-Length: 0\r\nSet-Cookie: a=b; Path=/; Max-Age=60\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.0 200 OK\r\nSet-Cookie: c=d; Domain=localhost; Expires=Thu, 01 Jan 2099 00:00:00 GMT\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
    b"HTTP/1.1 407 Proxy\r\nContent-Length: 0\r\n\r\n",
]
SPICE = [b"\r\n", b"\n", b"\0", b"\xff" * 9, b": ", b"Content-Length: 99999999999999999999\r\n", b"HTTP/1.1 200 OK\r\n"]
SPICE += [
    b"Transfer-Encoding: chunked\r\n",
    b"Location: http://[::1\r\n",
    b"Location: //\x80\r\n",
    b"ffffffffffffffff\r\n",
]
SPICE += [
    b"Set-Cookie: " + b"x" * 5000 + b"=\r\n",
    b"Content-Length: -1\r\n",
    b"Upgrade: h2c\r\nConnection: upgrade\r\n",
]


def mangled(dice: random.Random) -> bytes:
    """A response with a few bytes changed, cut out, doubled, or put in."""
    data = bytearray(dice.choice(SEEDS))
    for _ in range(dice.randint(0, 4)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del data[at : at + dice.randint(1, 20)]
            case 2:
                data[at:at] = data[: dice.randint(1, 40)]
            case 3:
                data[at:at] = dice.choice(SPICE)
            case _:
                data += dice.choice(SEEDS)[: dice.randint(1, 60)]
    return bytes(data)


class Mangler:
    """Answers in pieces, and sometimes closes or resets when it is done."""

    def __init__(self) -> None:
        self._dice = random.Random(SEED)

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        data = mangled(self._dice)
        cut = self._dice.randrange(len(data) + 1)
        writer.write(data[:cut])
        if self._dice.random() < 0.3:
            await asyncio.sleep(0.001)
        writer.write(data[cut:])
        end = self._dice.random()
        if end < 0.4:
            writer.close()
        elif end < 0.5:
            writer.transport.abort()


def open_files_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


async def test_no_response_harms_the_engine() -> None:
    async with hostile_server(Mangler()) as server, running_engine() as engine:
        steps = [http_step(name, "/", timeout_seconds=0.15, max_redirects=3) for name in ("a", "b")]
        workflow = shared_iterations(*steps, vus=40, iterations=RESPONSES // 2)
        outcome = await engine.run(workflow, server.url)
        assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
        assert outcome.last.error == ""
        assert outcome.last.totals.iterations == RESPONSES // 2
        assert outcome.total >= RESPONSES
        unsent = outcome.total - server.requests
        assert 0 <= unsent <= outcome.failures.get("RESET", 0) + outcome.failures.get("CONNECT", 0)
        assert set(outcome.failures) <= {"STATUS", "PROTOCOL", "RESET", "TIMEOUT", "REDIRECT", "CONNECT"}
        assert outcome.failures["PROTOCOL"] > 100
        open_files = open_files_of(engine.process.pid)
        again = await engine.run(shared_iterations(*steps, vus=40, iterations=40), server.url, run_id=2)
        assert again.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert open_files < 40


async def test_memory_does_not_grow_with_hostile_responses() -> None:
    async with hostile_server(Mangler()) as server, new_engine() as engine:
        step = http_step("a", "/", timeout_seconds=0.1, max_redirects=2)

        async def memory_after(run_id: int) -> int:
            outcome = await engine.run(constant_vus(step, vus=30, seconds=1.5), server.url, run_id=run_id)
            assert outcome.last.error == ""
            return resident_kib(engine.process.pid)

        memory_kib = [await memory_after(run_id) for run_id in range(1, 6)]
    assert memory_kib[-1] - memory_kib[1] < 4_000, memory_kib


async def test_endless_headers_chunks_and_interim_responses_end() -> None:
    endless = {
        "header": b"X-Filler: " + b"x" * 1000 + b"\r\n",
        "interim": b"HTTP/1.1 100 Continue\r\n\r\n",
        "chunks": b"1\r\nx\r\n",
    }

    async def answer(writer: asyncio.StreamWriter, kind: str) -> None:
        if kind != "interim":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + (b"\r\n" if kind == "chunks" else b""))
        for _ in range(1000):
            writer.write(endless[kind] * 20)
            await writer.drain()
            await asyncio.sleep(0.001)

    for kind in endless:
        async with hostile_server(lambda writer, kind=kind: answer(writer, kind)) as server, running_engine() as engine:  # type: ignore[misc]
            step = http_step("s", "/", timeout_seconds=0.3)
            outcome = await engine.run(shared_iterations(step, vus=2, iterations=4), server.url)
        assert outcome.total == 4
        assert set(outcome.failures) <= {"PROTOCOL", "TIMEOUT"}
        assert sum(outcome.failures.values()) == 4
