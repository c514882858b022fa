"""The conversation with the control process: commands in, reports out, one run at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any, Final, NoReturn

from google.protobuf.message import DecodeError

from hyperscale.v1 import engine_pb2, progress_pb2
from hyperscale.worker.engine.casting import casting_of
from hyperscale.worker.engine.errors import FrameError, PlanError
from hyperscale.worker.engine.frames import FrameDecoder, encode_frame
from hyperscale.worker.engine.network import network_options
from hyperscale.worker.engine.plan import compile_plan
from hyperscale.worker.engine.run import EngineRun
from hyperscale.workload.timestamps import seconds_of

_READ_BYTES: Final = 64 * 1024
_MAX_UNREAD_BYTES: Final = 4 * 1024 * 1024
"""Running reports are left out while the control process has not read this much: totals are cumulative, load goes first."""

_LONGEST_FAREWELL_SECONDS: Final = 5.0

_NO_RUN: Final = 0
"""Run id of reports about no run."""

_logger = logging.getLogger(__name__)


class Session:
    """Serves one control process until it closes its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._run_id = 0
        self._run: EngineRun | None = None
        self._running: asyncio.Task[None] | None = None
        self._is_stuck = False

    async def serve(self) -> None:
        """Introduce the engine, then do as told; returns at the end of the stream, with the run dropped."""
        asyncio.get_running_loop().set_exception_handler(self._on_fault)
        self._introduce()
        async with asyncio.TaskGroup() as tasks:
            try:
                await self._obey_all(tasks)
            except FrameError as error:
                self._fail(_NO_RUN, str(error))
            if self._is_stuck:
                await self._leave()
            if self._running is not None:
                self._running.cancel()
        self._writer.close()

    def _introduce(self) -> None:
        self._send(engine_pb2.EngineReport(ready=engine_pb2.EngineReady(pid=os.getpid())))

    async def _obey_all(self, tasks: asyncio.TaskGroup) -> None:
        decoder = FrameDecoder()
        while data := await self._reader.read(_READ_BYTES):
            for frame in decoder.feed(data):
                self._obey(frame, tasks)

    def _obey(self, frame: bytes, tasks: asyncio.TaskGroup) -> None:
        command = engine_pb2.EngineCommand()
        try:
            command.ParseFromString(frame)
        except DecodeError:
            self._fail(_NO_RUN, "a frame is not an EngineCommand")
            return
        match command.WhichOneof("command"):
            case "start":
                self._start(command.start, tasks)
            case "stop":
                self._stop(command.stop)
            case "ping":
                self._introduce()
            case None:
                self._fail(_NO_RUN, "an EngineCommand without content")

    def _start(self, start: engine_pb2.EngineStart, tasks: asyncio.TaskGroup) -> None:
        if self._run is not None:
            if start.run_id != self._run_id:
                self._fail(start.run_id, f"run {self._run_id} is under way")
            return
        try:
            plan = compile_plan(start.workflow, start.target)
            run = EngineRun(plan, network_options(start.http_options), casting_of(start), self._report, self._abandon)
        except (PlanError, OSError) as error:
            self._fail(start.run_id, str(error))
            return
        self._run_id, self._run = start.run_id, run
        self._running = tasks.create_task(self._execute(run, seconds_of(start.start_at)), name=f"run {start.run_id}")

    def _stop(self, stop: engine_pb2.EngineStop) -> None:
        """A run that has ended by itself in the meantime has reported so: there is nothing to stop."""
        if self._run is None or stop.run_id != self._run_id:
            return
        if stop.graceful:
            self._run.stop()
        else:
            self._run.halt()

    async def _execute(self, run: EngineRun, start_at_seconds: float) -> None:
        try:
            await run.execute(start_at_seconds)
        except Exception as error:
            self._report_crash(run, error)
        progress = run.conclude()
        run_id, self._run, self._running = self._run_id, None, None
        self._send(engine_pb2.EngineReport(run_id=run_id, progress=progress))

    def _abandon(self) -> None:
        """The users of the run cannot be ended, so that this process can be of no use any more: report, and leave."""
        if self._run is None or self._is_stuck:
            return
        self._is_stuck = True
        self._send(engine_pb2.EngineReport(run_id=self._run_id, progress=self._run.conclude()))
        self._reader.feed_eof()

    async def _leave(self) -> NoReturn:
        """Hand over what was sent, and end the process, whatever still runs in it."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LONGEST_FAREWELL_SECONDS):
                await self._writer.wait_closed()
        os._exit(0)

    def _report_crash(self, run: EngineRun, error: Exception) -> None:
        _logger.error("run %d failed", self._run_id, exc_info=error)
        run.crash(_text_of(error))

    def _on_fault(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback raised: the user behind it is stuck, so that the run's numbers would be wrong without a word."""
        error = context.get("exception")
        _logger.error("%s", context["message"], exc_info=error)
        if self._run is not None:
            self._run.crash(_text_of(error) if error else context["message"])

    def _report(self, progress: Callable[[], engine_pb2.EngineProgress]) -> None:
        if self._writer.transport.get_write_buffer_size() < _MAX_UNREAD_BYTES:
            self._send(engine_pb2.EngineReport(run_id=self._run_id, progress=progress()))

    def _fail(self, run_id: int, error: str) -> None:
        progress = engine_pb2.EngineProgress(status=progress_pb2.SHARD_STATUS_FAILED, error=error)
        self._send(engine_pb2.EngineReport(run_id=run_id, progress=progress))

    def _send(self, report: engine_pb2.EngineReport) -> None:
        self._writer.write(encode_frame(report))


def _text_of(error: BaseException) -> str:
    """What ended a run, for people; a task group wraps whatever ends it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, PlanError) else repr(error)
