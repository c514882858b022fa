"""Processes by pid, told from others that got the same pid later: asked whether they run, and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from hyperscale.client.models.cluster import NodeProcess

_PROC: Final = Path("/proc")
_POLL_SECONDS: Final = 0.02
_KILL_WAIT_SECONDS: Final = 5.0
_STATE_FIELD, _START_FIELD = 0, 19
"""Positions in /proc/PID/stat, counted after the name of the program."""


def start_mark(pid: int) -> str | None:
    """When the process started, as the system says it; None when it has ended (a zombie has)."""
    if _PROC.joinpath("self").exists():
        return _start_mark_from_proc(pid)
    answer = subprocess.run(["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def _start_mark_from_proc(pid: int) -> str | None:
    try:
        stat = _PROC.joinpath(str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[_STATE_FIELD] in {"Z", "X"} else fields[_START_FIELD]


def is_running(process: NodeProcess) -> bool:
    """Whether this very process still runs."""
    return start_mark(process.pid) == process.start_mark


async def stop_processes(processes: Sequence[NodeProcess], grace_seconds: float) -> tuple[NodeProcess, ...]:
    """Ask processes to end, and kill those that have not after ``grace_seconds``; returns those that still run."""
    if grace_seconds > 0:
        for process in running(processes):
            _send(os.kill, process.pid, signal.SIGTERM)
        await _wait_for_end(processes, grace_seconds)
    for process in running(processes):
        # The whole group: what a node started has lost its parent.
        _send(os.killpg, process.pid, signal.SIGKILL)
    return await _wait_for_end(processes, _KILL_WAIT_SECONDS)


def running(processes: Iterable[NodeProcess]) -> tuple[NodeProcess, ...]:
    """Those that still run."""
    return tuple(process for process in processes if is_running(process))


def _send(send: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    try:
        send(pid, number)
    except ProcessLookupError:
        # It ended between the check and the signal.
        return


async def _wait_for_end(processes: Sequence[NodeProcess], timeout_seconds: float) -> tuple[NodeProcess, ...]:
    deadline = time.monotonic() + timeout_seconds
    left = running(processes)
    while left and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        left = running(left)
    return left
