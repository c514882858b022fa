"""A real worker process between a manager that the test plays and a real target."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_manager import FakeManager
from tests.support.processes import children_of, eventually, is_alive
from tests.support.target import BundledTarget, bundled_target
from tests.support.waiting import PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker process."""

    process: asyncio.subprocess.Process
    ready: dict[str, Any]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def engines(self) -> list[int]:
        """Process ids of its engines; none once it has ended."""
        try:
            return children_of(self.pid)
        except FileNotFoundError:
            return []

    async def terminate(self) -> int:
        """Ask it to end; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.process.wait()


async def start_worker(manager_address: str, directory: Path, *options: str) -> asyncio.subprocess.Process:
    """A worker process that has just begun."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hyperscale.worker",
        *("--node-id", "worker-1", "--datacenter", "dc-1", "--managers", manager_address),
        *("--ready-file", str(directory / "worker.json"), "--log-format", "console"),
        *options,
    )


@asynccontextmanager
async def running_worker(manager: FakeManager, directory: Path, *options: str) -> AsyncIterator[RunningWorker]:
    """A worker that is ready, for the length of the block; none of its processes outlives it."""
    ready_file = directory / "worker.json"
    process = await start_worker(manager.address, directory, *options)
    engines: list[int] = []
    try:
        await _until_ready(process, ready_file)
        worker = RunningWorker(process, json.loads(ready_file.read_text()))
        engines = worker.engines
        yield worker
        engines = [*engines, *worker.engines]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        eventually(lambda: not any(map(is_alive, engines)), what="the end of the engines")


async def _until_ready(process: asyncio.subprocess.Process, ready_file: Path) -> None:
    def has_come_up() -> bool:
        assert process.returncode is None, f"the worker exited with {process.returncode}"
        return ready_file.exists()

    await asyncio.to_thread(eventually, has_come_up, what="the worker's readiness")


@pytest.fixture
async def manager() -> AsyncIterator[FakeManager]:
    fake = FakeManager()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture(scope="session")
def target() -> Iterator[BundledTarget]:
    with bundled_target() as running:
        yield running


def stop(pid: int) -> None:
    """Make a process hang."""
    os.kill(pid, signal.SIGSTOP)


def kill(pid: int) -> None:
    """Kill a process with -9."""
    os.kill(pid, signal.SIGKILL)
