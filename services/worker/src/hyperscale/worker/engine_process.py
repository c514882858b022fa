"""One engine process: started with a socket, spoken to in frames, ended by closing the socket or by a signal."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import BinaryIO

from hyperscale.v1.engine_pb2 import EngineCommand, EngineReport
from hyperscale.worker.engine.frames import FrameDecoder, encode_frame
from hyperscale.worker.models.engines import EngineExit
from hyperscale.worker.traces import place_in_code

_READ_BYTES = 256 * 1024
_MOST_TRACE_BYTES = 256 * 1024
_INHERITED = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONPATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
)
# An engine is one thread on one core; the pools of numeric libraries would only compete with it.
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def engine_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What an engine gets to see of the environment: nothing that configures the node or is secret."""
    inherited = {name: environment[name] for name in _INHERITED if name in environment}
    return inherited | dict.fromkeys(_THREAD_LIMITS, "1")


class EngineProcess:
    """A running engine and the control process's end of its socket."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        trace: BinaryIO,
        scratch: tempfile.TemporaryDirectory[str],
    ) -> None:
        """`trace`: file in which the engine says where it hangs; `scratch`: where its temporary files are."""
        self._process = process
        self._trace = trace
        self._scratch = scratch
        self._reader = reader
        self._writer = writer

    @classmethod
    async def spawn(cls, cpu: int | None, trace_seconds: float) -> EngineProcess:
        """Start an engine, on one CPU when given. It is of use once its first report says that it is ready.

        `trace_seconds`: once it has hung for so long, `whereabouts` tells where.
        """
        trace = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the engine lives
        scratch = tempfile.TemporaryDirectory(prefix="hyperscale-engine-", ignore_cleanup_errors=True)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            with theirs:
                options = ["--trace-fd", str(trace.fileno()), "--trace-seconds", str(trace_seconds)]
                options += [] if cpu is None else ["--core", str(cpu)]
                options += ["--scratch", scratch.name]
                process = await _start_interpreter(theirs.fileno(), trace.fileno(), options)
        except BaseException:
            writer.close()
            trace.close()
            scratch.cleanup()
            raise
        return cls(process, reader, writer, trace, scratch)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, command: EngineCommand) -> None:
        """Send a command; lost when the engine is dying, which `ended` then tells."""
        if not self._writer.is_closing():
            self._writer.write(encode_frame(command))

    async def reports(self) -> AsyncGenerator[EngineReport, None]:
        """What the engine sends, until it closes its end. Raises ValueError when it breaks the framing."""
        decoder = FrameDecoder()
        while data := await self._receive():
            for payload in decoder.feed(data):
                yield EngineReport.FromString(payload)

    def whereabouts(self) -> str:
        """The line of a workflow's code where the engine hangs; empty when it does not, or hangs elsewhere."""
        return place_in_code(os.pread(self._trace.fileno(), _MOST_TRACE_BYTES, 0).decode(errors="replace"))

    def kill(self) -> None:
        """End the process at once."""
        if self._process.returncode is None:
            self._process.kill()

    async def ended(self, patience_seconds: float) -> EngineExit:
        """Close our end, which makes an engine exit, and wait for that; kill it when it takes too long.

        One that is killed runs no further, though the system may never let go of it: then it counts as ended.
        """
        self._writer.close()
        if not await self._has_exited(patience_seconds):
            self.kill()
            _ = await self._has_exited(patience_seconds)
        ended = EngineExit(self.pid, self._process.returncode)
        self._trace.close()
        # One that was killed has left the code it ran, and whatever that wrote.
        await asyncio.to_thread(self._scratch.cleanup)
        return ended

    async def _has_exited(self, patience_seconds: float) -> bool:
        try:
            async with asyncio.timeout(patience_seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    async def _receive(self) -> bytes:
        try:
            return await self._reader.read(_READ_BYTES)
        except ConnectionError:
            return b""


async def _start_interpreter(control_fd: int, trace_fd: int, options: Sequence[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hyperscale.worker.engine",
        "--fd",
        str(control_fd),
        *options,
        pass_fds=[control_fd, trace_fd],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        env=engine_environment(os.environ),
        # Ctrl-C in a terminal reaches the control process only, which then ends its engines in order.
        start_new_session=True,
    )
