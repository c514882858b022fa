"""HTTP/2 servers that do what none should: each request ends, in time and with the class of what went wrong."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from h2.errors import ErrorCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from hyperscale.v1 import progress_pb2, workflow_pb2
from tests.integration.engine.engine_process import Outcome, http_step, running_engine, shared_iterations
from tests.integration.engine.http2_servers import Http2Peer, http2_web
from tests.integration.engine.test_hostile_responses import open_files_of
from tests.integration.engine.web_servers import Asked
from tests.support.listening import Serve, listening
from tests.support.waiting import timeout_seconds

SEED = 20_261
SETTINGS = SettingsFrame(0).serialize()
HEAD = Encoder().encode([(":status", "200")], huffman=False)
POST = workflow_pb2.HTTP_METHOD_POST


def frames(*given: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in given)


def head(stream: int = 1, block: bytes = HEAD, *flags: str) -> HeadersFrame:
    return HeadersFrame(stream, block, flags=flags or ("END_HEADERS",))


def goaway(last_stream: int, code: int = 0) -> GoAwayFrame:
    return GoAwayFrame(0, last_stream_id=last_stream, error_code=code)


def says(data: bytes) -> Serve:
    """Answers whatever comes with these bytes, once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(data)
        while await reader.read(1 << 16):
            pass

    return serve


def says_and_closes(data: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(data)

    return serve


def repeats(first: bytes, data: bytes, *, reads: bool = True) -> Serve:
    """Sends the same for as long as it is listened to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SETTINGS)
        await reader.read(1 << 16)
        writer.write(first)
        if not reads:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        while not writer.is_closing():
            writer.write(data * 50)
            await writer.drain()
            await asyncio.sleep(0)

    return serve


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    async with listening(serve) as port:
        yield f"http://127.0.0.1:{port}"


def step(name: str = "s", *, timeout_seconds: float = 1.0, **fields: object) -> workflow_pb2.Step:
    version = workflow_pb2.HTTP_VERSION_HTTP_2
    return http_step(name, "/", version=version, timeout_seconds=timeout_seconds, **fields)


async def run(url: str, *steps: workflow_pb2.Step, iterations: int = 1) -> Outcome:
    async with running_engine() as engine:
        outcome = await engine.run(shared_iterations(*(steps or [step()]), vus=1, iterations=iterations), url)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED, outcome.last.error
    return outcome


BLOCK = Encoder().encode([("x-filler", "x" * 15_000)], huffman=False)
BOMB = Encoder().encode([(":status", "200"), ("x-filler", "x" * 4000)])
BOMB += Encoder().encode([("x-filler", "x" * 4000)])[-1:] * 40

CASES = {
    "closes at once": (says_and_closes(b""), "RESET"),
    "closes after its settings": (says_and_closes(SETTINGS), "RESET"),
    "closes amid a response": (says_and_closes(SETTINGS + frames(head(), DataFrame(1, b"abc"))), "RESET"),
    "says nothing": (says(b""), "TIMEOUT"),
    "says no more than its settings": (says(SETTINGS), "TIMEOUT"),
    "never ends a response": (says(SETTINGS + frames(head(), DataFrame(1, b"abc"))), "TIMEOUT"),
    "HTTP/1.1": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), "PROTOCOL"),
    "garbage": (says(b"\xff" * 100), "PROTOCOL"),
    "garbage after its settings": (says(SETTINGS + b"\xff" * 100), "PROTOCOL"),
    "no settings first": (says(frames(head())), "PROTOCOL"),
    "an impossible setting": (says(frames(SettingsFrame(0, {4: 0xFFFFFFFF}))), "PROTOCOL"),
    "GOAWAY before the request": (says(SETTINGS + frames(goaway(0))), "RESET"),
    "GOAWAY with an error": (says_and_closes(SETTINGS + frames(goaway(1, 2))), "RESET"),
    "a GOAWAY that is too short": (says(SETTINGS + b"\x00\x00\x02\x07\x00\x00\x00\x00\x00ab"), "PROTOCOL"),
    "a reset": (says(SETTINGS + frames(RstStreamFrame(1, ErrorCodes.INTERNAL_ERROR))), "RESET"),
    "a reset amid a response": (says(SETTINGS + frames(head(), RstStreamFrame(1, 8))), "RESET"),
    "wants HTTP/1.1": (says(SETTINGS + frames(RstStreamFrame(1, ErrorCodes.HTTP_1_1_REQUIRED))), "PROTOCOL"),
    "a push": (says(SETTINGS + frames(PushPromiseFrame(1, 2, HEAD, flags=["END_HEADERS"]))), "PROTOCOL"),
    "a stream that nobody opened": (says(SETTINGS + frames(head(9))), "PROTOCOL"),
    "data before the header": (says(SETTINGS + frames(DataFrame(1, b"abc"))), "PROTOCOL"),
    "no status": (says(SETTINGS + frames(head(1, Encoder().encode([("a", "b")])))), "PROTOCOL"),
    "a status that is none": (says(SETTINGS + frames(head(1, Encoder().encode([(":status", "2x0")])))), "PROTOCOL"),
    "less than it announced": (
        says(
            SETTINGS
            + frames(
                head(1, Encoder().encode([(":status", "200"), ("content-length", "9")])),
                DataFrame(1, b"abc", flags=["END_STREAM"]),
            )
        ),
        "PROTOCOL",
    ),
    "a header that is broken": (says(SETTINGS + frames(head(1, b"\xff\xff\xff\xff\xff\xff"))), "PROTOCOL"),
    "a window beyond all limits": (
        says(SETTINGS + frames(*[WindowUpdateFrame(0, window_increment=2**31 - 1)] * 2)),
        "PROTOCOL",
    ),
    "a header without end": (repeats(frames(head(1, BLOCK, "END_STREAM")), frames(ContinuationFrame(1, BLOCK))), "PROTOCOL"),
    "a header that unpacks to more": (says(SETTINGS + frames(head(1, BOMB))), "PROTOCOL"),
    "a body without end": (repeats(frames(head()), frames(DataFrame(1, b"x" * 10_000))), "TIMEOUT"),
    "empty data without end": (repeats(frames(head()), frames(DataFrame(1, b""))), "PROTOCOL"),
    "interim responses without end": (
        repeats(b"", frames(head(1, Encoder().encode([(":status", "103")])))),
        "PROTOCOL",
    ),
    "pings without reading": (repeats(b"", frames(PingFrame(0, b"12345678")), reads=False), "PROTOCOL"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_failure_is_classified(case: str) -> None:
    serve, expected = CASES[case]
    async with serving(serve) as url:
        outcome = await run(url, step(timeout_seconds=timeout_seconds(expected)))
    assert (outcome.failures, outcome.total) == ({expected: 1}, 1)
    assert outcome.elapsed_seconds < 15


async def test_a_body_that_is_not_wanted_waits_no_longer_than_its_timeout() -> None:
    async with serving(says(SETTINGS)) as url:
        outcome = await run(url, step(timeout_seconds=0.5, method=POST, binary=b"x" * 1_000_000))
    assert outcome.failures == {"TIMEOUT": 1}
    # What the peer's window took, and no more.
    assert 65_535 <= outcome.last.totals.steps[0].bytes_sent < 66_000


async def test_an_answer_before_the_end_of_the_request_is_an_answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SETTINGS)
        await reader.read(100)
        refused = head(1, Encoder().encode([(":status", "413")]), "END_HEADERS", "END_STREAM")
        writer.write(frames(refused, RstStreamFrame(1, 0), WindowUpdateFrame(0, window_increment=100_000)))
        while await reader.read(1 << 16):
            pass

    async with serving(serve) as url:
        request = step(method=POST, binary=b"x" * 1_000_000, expected_statuses=[413])
        outcome = await run(url, request, iterations=1)
    assert (outcome.failures, outcome.total) == ({}, 1)


async def test_what_a_peer_has_taken_before_its_goaway_is_answered() -> None:
    def react(peer: Http2Peer, stream: int, _: Asked) -> None:
        block = peer.library.encoder.encode([(":status", "200")])
        last = DataFrame(stream, b"ok", flags=["END_STREAM"])
        peer.transport.write(frames(goaway(2**31 - 1), goaway(stream), head(stream, block), last))

    async with http2_web(react) as server:
        outcome = await run(server.url, iterations=5)
    assert (outcome.failures, outcome.total) == ({}, 5)
    assert server.connections == 5


async def test_a_reset_stream_leaves_the_connection_as_it_is() -> None:
    def react(peer: Http2Peer, stream: int, _: Asked) -> None:
        peer.library.reset_stream(stream, ErrorCodes.REFUSED_STREAM)

    async with http2_web(react) as server:
        outcome = await run(server.url, iterations=5)
    assert (outcome.failures, server.connections) == ({"RESET": 5}, 1)


def mangled(dice: random.Random) -> Iterator[bytes]:
    """Pieces of a response with a few bytes changed, cut out, doubled, or put in."""
    end = DataFrame(1, b"ok", flags=["END_STREAM"])
    block = Encoder().encode([(":status", "200"), ("content-type", "text/plain"), ("location", "/x")])
    good = frames(head(1, block), WindowUpdateFrame(1, window_increment=99), PingFrame(0, b"abcdefgh"), end)
    data = bytearray(good)
    for _ in range(dice.randint(0, 4)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(4):
            case 0:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del data[at : at + dice.randint(1, 20)]
            case 2:
                data[at:at] = data[: dice.randint(1, 40)]
            case _:
                data[at:at] = dice.choice([frames(goaway(1)), frames(RstStreamFrame(1, 7)), bytes(9), b"\xff" * 9])
    cut = dice.randrange(len(data) + 1)
    yield SETTINGS + bytes(data[:cut])
    yield bytes(data[cut:])


async def test_no_response_harms_the_engine() -> None:
    dice = random.Random(SEED)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        for piece in mangled(dice):
            writer.write(piece)
            await asyncio.sleep(0.001 * (dice.random() < 0.3))
        if dice.random() < 0.7:
            await reader.read(1 << 16)

    async with serving(serve) as url, running_engine() as engine:
        workflow = shared_iterations(step(timeout_seconds=0.15, max_redirects=3), vus=40, iterations=1500)
        outcome = await engine.run(workflow, url)
        assert (outcome.last.error, outcome.last.totals.iterations) == ("", 1500)
        assert set(outcome.failures) <= {"STATUS", "PROTOCOL", "RESET", "TIMEOUT", "REDIRECT", "CONNECT"}
        assert outcome.failures["PROTOCOL"] > 100
        assert outcome.total - sum(outcome.failures.values()) > 100
        assert open_files_of(engine.process.pid) < 40
