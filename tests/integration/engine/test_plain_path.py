"""The path of a plain request stays short: what is called for each one is counted, which no load on the machine changes."""

import asyncio
import contextlib
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from types import FrameType
from typing import Any

import uvloop

from hyperscale.v1 import engine_pb2, progress_pb2, workflow_pb2
from hyperscale.worker.engine.frames import HEADER_BYTES, encode_frame
from hyperscale.worker.engine.session import Session

ITERATIONS = 1000
DEADLINE_SECONDS = 30
MOST_CALLS_PER_REQUEST = 14
"""Of Python functions and of C functions from them; each costs about 1 % of the rate."""
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class OneAnswer(asyncio.Protocol):
    """Answers whatever arrives with the same bytes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(RESPONSE)


class CallCounter:
    """Calls of and from the engine's functions, by name."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def count(self, frame: FrameType, event: str, called: Any) -> None:
        if event in {"call", "c_call"} and "/worker/engine/" in frame.f_code.co_filename:
            self.calls[called.__qualname__ if event == "c_call" else frame.f_code.co_qualname] += 1

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        sys.setprofile(self.count)
        try:
            yield
        finally:
            sys.setprofile(None)


async def run_plain_workflow(counter: CallCounter) -> engine_pb2.EngineProgress:
    server = await asyncio.get_running_loop().create_server(OneAnswer, "127.0.0.1", 0)
    workflow = workflow_pb2.Workflow(name="plain")
    workflow.shared_iterations.vus, workflow.shared_iterations.iterations = 2, ITERATIONS
    for name in ("first", "second", "third"):
        workflow.steps.add(name=name).http.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{name}"
    ours, theirs = socket.socketpair()
    streams = await asyncio.open_connection(sock=theirs)
    session = asyncio.create_task(Session(*streams).serve())
    reader, writer = await asyncio.open_connection(sock=ours)
    with counter.counting():
        writer.write(encode_frame(engine_pb2.EngineCommand(start=engine_pb2.EngineStart(run_id=1, workflow=workflow))))
        report = engine_pb2.EngineReport()
        while report.progress.status in {progress_pb2.SHARD_STATUS_UNSPECIFIED, progress_pb2.SHARD_STATUS_RUNNING}:
            size = int.from_bytes(await reader.readexactly(HEADER_BYTES), "big")
            report.ParseFromString(await reader.readexactly(size))
    writer.close()
    await session
    streams[1].close()
    server.close()
    return report.progress


def test_plain_request_takes_few_calls() -> None:
    counter = CallCounter()
    progress = uvloop.run(asyncio.wait_for(run_plain_workflow(counter), DEADLINE_SECONDS))
    assert progress.status == progress_pb2.SHARD_STATUS_COMPLETED, progress.error
    requests = sum(step.total_count for step in progress.totals.steps)
    assert requests == 3 * ITERATIONS
    often = {name: count / requests for name, count in counter.calls.items() if count >= ITERATIONS / 2}
    assert sum(often.values()) <= MOST_CALLS_PER_REQUEST, often
