"""A real engine process, talked to as its control process does."""

from __future__ import annotations

import asyncio
import contextlib
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
from hyperscale.workload.metric_catalogue import PROTOCOL_METRICS

REPORT_DEADLINE_SECONDS = 60.0
REFUSED_RUN_ID = 1_000_000


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


def unknown_metrics(stats: pb.WorkflowStats) -> list[str]:
    """What was measured of protocols, but is not in the catalogue, so that no threshold can name it."""
    return [
        metric.name
        for step in stats.steps
        for calls in step.protocols
        for metric in calls.metrics
        if metric.name not in PROTOCOL_METRICS[calls.protocol]
    ]


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
                assert unknown_metrics(report.progress.totals) == []
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
async def new_engine(environment: Mapping[str, str] | None = None) -> AsyncIterator[Engine]:
    """An engine of one's own, for tests of what a process is and has; ended by closing its socket."""
    process, ours = _launched(environment or {})
    async with _speaking(process, ours) as engine:
        try:
            await assert_ready(engine)
            yield engine
        finally:
            engine.writer.close()
            await asyncio.to_thread(_wait_for_end, process)


@asynccontextmanager
async def running_engine() -> AsyncIterator[Engine]:
    """An engine that may have run for other tests before, as those of workers run for many jobs; left idle, or it ends."""
    is_new, is_kept = not _idle, False
    process, ours = _launched({}) if is_new else _idle.pop()
    try:
        # What asyncio opens belongs to the loop of one test: a copy of the socket.
        async with _speaking(process, ours.dup()) as engine:
            if is_new:
                await assert_ready(engine)
            yield engine
            await assert_idle(engine)
        is_kept = True
    finally:
        if is_kept:
            _idle.append((process, ours))
        else:
            ours.close()
            await asyncio.to_thread(_wait_for_end, process)


_idle: list[tuple[subprocess.Popen[bytes], socket.socket]] = []
"""Engines between two tests, each with our end of its socket."""


def end_idle_engines() -> None:
    while _idle:
        process, ours = _idle.pop()
        ours.close()
        _wait_for_end(process)


async def assert_ready(engine: Engine) -> None:
    """The next thing it says is that it is there."""
    report = await engine.next_report()
    assert (report.run_id, report.ready.pid) == (0, engine.process.pid), report


async def assert_idle(engine: Engine) -> None:
    """It has nothing more to say of any run, and none is under way: that would be the reason to refuse a start."""
    engine.start(workflow_pb2.Workflow(name="none"), run_id=REFUSED_RUN_ID)
    report = await engine.next_report()
    assert (report.run_id, "no load" in report.progress.error) == (REFUSED_RUN_ID, True), report


def _launched(environment: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        return launch(theirs.fileno(), environment), ours


@asynccontextmanager
async def _speaking(process: subprocess.Popen[bytes], ours: socket.socket) -> AsyncIterator[Engine]:
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        yield Engine(process, reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
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
