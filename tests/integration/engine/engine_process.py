"""A real engine process, talked to as its control process does."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from google.protobuf.message import Message

from hyperscale.v1 import engine_pb2, progress_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.frames import FrameDecoder, encode_frame

REPORT_DEADLINE_SECONDS = 20.0


@dataclass(slots=True)
class Outcome:
    """Everything that was reported about one run."""

    progress: list[engine_pb2.EngineProgress]
    received_at: list[float]

    @property
    def last(self) -> engine_pb2.EngineProgress:
        return self.progress[-1]

    @property
    def total(self) -> int:
        """Requests of all steps."""
        return sum(step.total_count for step in self.last.totals.steps)

    @property
    def failures(self) -> dict[str, int]:
        """Failures of all steps by the short name of their class."""
        return failures_of(self.last.totals)

    @property
    def windows(self) -> list[pb.StatsWindow]:
        return [window for progress in self.progress for window in progress.windows]

    @property
    def elapsed_seconds(self) -> float:
        return self.last.elapsed.ToTimedelta().total_seconds()


def failures_of(stats: pb.WorkflowStats) -> dict[str, int]:
    found: dict[str, int] = {}
    for step in stats.steps:
        for failure in step.failures:
            name = pb.ErrorClass.Name(failure.error_class).removeprefix("ERROR_CLASS_")
            found[name] = found.get(name, 0) + failure.count
    return found


@dataclass(slots=True)
class Engine:
    """One process and our end of its socket."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    decoder: FrameDecoder = field(default_factory=FrameDecoder)
    waiting: list[engine_pb2.EngineReport] = field(default_factory=list)

    def send(self, command: Message) -> None:
        self.writer.write(encode_frame(command))

    def start(
        self,
        workflow: workflow_pb2.Workflow,
        target: str = "",
        run_id: int = 1,
        options: workflow_pb2.HttpOptions | None = None,
    ) -> None:
        start = engine_pb2.EngineStart(run_id=run_id, workflow=workflow, target=target, http_options=options)
        self.send(engine_pb2.EngineCommand(start=start))

    def stop(self, *, graceful: bool, run_id: int = 1) -> None:
        self.send(engine_pb2.EngineCommand(stop=engine_pb2.EngineStop(run_id=run_id, graceful=graceful)))

    async def next_report(self) -> engine_pb2.EngineReport:
        async with asyncio.timeout(REPORT_DEADLINE_SECONDS):
            while not self.waiting:
                data = await self.reader.read(1 << 16)
                assert data, "the engine has closed its end"
                self.waiting += [engine_pb2.EngineReport.FromString(frame) for frame in self.decoder.feed(data)]
        return self.waiting.pop(0)

    async def outcome(self, run_id: int = 1) -> Outcome:
        """What is reported about a run, until it has ended."""
        outcome = Outcome([], [])
        while True:
            report = await self.next_report()
            assert report.run_id == run_id, report
            outcome.progress.append(report.progress)
            outcome.received_at.append(asyncio.get_running_loop().time())
            if report.progress.status != progress_pb2.SHARD_STATUS_RUNNING:
                return outcome

    async def run(
        self,
        workflow: workflow_pb2.Workflow,
        target: str = "",
        run_id: int = 1,
        options: workflow_pb2.HttpOptions | None = None,
    ) -> Outcome:
        self.start(workflow, target, run_id, options)
        return await self.outcome(run_id)


def launch(descriptor: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hyperscale.worker.engine", "--fd", str(descriptor)]
    return subprocess.Popen(command, pass_fds=[descriptor], env={**os.environ, **environment})


@asynccontextmanager
async def running_engine(environment: Mapping[str, str] | None = None) -> AsyncIterator[Engine]:
    """An engine that is ready, ended by closing its socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = launch(theirs.fileno(), environment or {})
    reader, writer = await asyncio.open_connection(sock=ours)
    engine = Engine(process, reader, writer)
    try:
        ready = await engine.next_report()
        assert ready.run_id == 0
        assert ready.ready.pid == process.pid
        yield engine
    finally:
        writer.close()
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def http_step(name: str, url: str, *, timeout_seconds: float = 0.0, **fields: object) -> workflow_pb2.Step:
    step = workflow_pb2.Step(name=name, http=workflow_pb2.HttpRequest(url=url, **fields))  # type: ignore[arg-type]
    if timeout_seconds:
        step.http.timeout.FromNanoseconds(round(timeout_seconds * 1e9))
    return step


def constant_vus(*steps: workflow_pb2.Step, vus: int, seconds: float, graceful: float = 5.0) -> workflow_pb2.Workflow:
    workflow = workflow_pb2.Workflow(name="flow", steps=steps, constant_vus=workflow_pb2.ConstantVus(vus=vus))
    workflow.constant_vus.duration.FromNanoseconds(round(seconds * 1e9))
    workflow.graceful_stop.FromNanoseconds(round(graceful * 1e9))
    return workflow


def shared_iterations(*steps: workflow_pb2.Step, vus: int, iterations: int) -> workflow_pb2.Workflow:
    load = workflow_pb2.SharedIterations(vus=vus, iterations=iterations)
    workflow = workflow_pb2.Workflow(name="flow", steps=steps, shared_iterations=load)
    workflow.shared_iterations.max_duration.FromSeconds(30)
    return workflow
