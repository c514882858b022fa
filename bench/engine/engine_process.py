"""One engine process, driven over its control socket as a worker drives it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.engine.machine import cpu_seconds
from hyperscale.v1 import engine_pb2, progress_pb2, statistics_pb2, workflow_pb2
from hyperscale.v1.job_pb2 import SourceBundle
from hyperscale.worker.engine.frames import HEADER_BYTES, encode_frame

ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended, and the CPU time that it took."""

    progress: engine_pb2.EngineProgress
    cpu_seconds: float

    @property
    def steps(self) -> list[statistics_pb2.StepStats]:
        """Totals by step."""
        return list(self.progress.totals.steps)

    @property
    def requests(self) -> int:
        """Requests reported, whatever became of them."""
        return sum(step.total_count for step in self.steps)

    @property
    def elapsed_seconds(self) -> float:
        """From the first iteration's start to the last one's end."""
        return self.progress.elapsed.ToTimedelta().total_seconds()


class EngineProcess:
    """An engine that is ready for a run."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self._control = control
        self._reports = control.makefile("rb")
        self._next_report()

    def run(
        self,
        workflow: workflow_pb2.Workflow,
        target: str,
        *,
        bundle: SourceBundle | None = None,
        on_second: Callable[[], None] = lambda: None,
    ) -> Run:
        """Make the load to its end; `on_second` is called with every report on the way. Failed requests are an error."""
        before = cpu_seconds(self.pid)
        start = engine_pb2.EngineStart(run_id=1, workflow=workflow, target=target, bundle=bundle)
        self._control.sendall(encode_frame(engine_pb2.EngineCommand(start=start)))
        while (progress := self._next_report().progress).status == progress_pb2.SHARD_STATUS_RUNNING:
            on_second()
        run = Run(progress, cpu_seconds(self.pid) - before)
        failures = [failure for step in run.steps for failure in step.failures]
        if progress.status != progress_pb2.SHARD_STATUS_COMPLETED or failures:
            raise RuntimeError(f"the run failed: {progress.error or failures}")
        return run

    def _next_report(self) -> engine_pb2.EngineReport:
        size = int.from_bytes(self._reports.read(HEADER_BYTES), "big")
        if not size:
            raise RuntimeError("the engine has ended without a last report")
        return engine_pb2.EngineReport.FromString(self._reports.read(size))


@contextmanager
def engine_process(core: int) -> Iterator[EngineProcess]:
    """An engine on a core for the length of the block."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "hyperscale.worker.engine", "--core", str(core), "--fd", str(theirs.fileno())]
    with ours:
        ours.settimeout(ANSWER_SECONDS)
        with theirs:
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        try:
            yield EngineProcess(process.pid, ours)
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            process.wait(timeout=10)


def steady_load(
    users: int, seconds: float, paths: tuple[str, ...] = ("/first", "/second", "/third")
) -> workflow_pb2.Workflow:
    """Users that send GET to one path after the other, as fast as they are answered."""
    workflow = workflow_pb2.Workflow(name="bench", constant_vus=workflow_pb2.ConstantVus(vus=users))
    workflow.constant_vus.duration.FromMilliseconds(round(seconds * 1000))
    for path in paths:
        workflow.steps.add(name=path.strip("/")).http.url = path
    return workflow
