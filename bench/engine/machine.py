"""What processes cost: cores, CPU time and memory, as the kernel accounts for them."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

TARGET_CORE = 0
GENERATOR_CORE = 1
_QUIET_SECONDS = 0.5
_QUIET_CORES = 0.2
_MOST_ATTEMPTS = 3
_MOST_WAIT_SECONDS = 5.0

OutcomeT = TypeVar("OutcomeT")


def pin(pid: int, core: int) -> None:
    """Keep a process on one core."""
    os.sched_setaffinity(pid, {core})


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited_for_core_seconds(pid: int) -> float:
    """Time that a process's first thread was ready to run, and had to wait because others ran on its cores."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def children_cpu_seconds() -> float:
    """User and system time of the processes waited for so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def machine_busy_seconds() -> float:
    """Time that the cores have spent on anything but waiting, summed over the cores."""
    user, nice, system, _, _, irq, softirq, *_ = (
        int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def least_disturbed(attempt: Callable[[], tuple[float, OutcomeT]], tolerable: float) -> OutcomeT:
    """Outcome of the attempt of several that others have disturbed least; the first one will do that they hardly disturb.

    An attempt gives how much it was disturbed, and its outcome.
    """
    attempts: list[tuple[float, OutcomeT]] = []
    while len(attempts) < _MOST_ATTEMPTS:
        _wait_until_quiet(_MOST_WAIT_SECONDS)
        attempts.append(attempt())
        if attempts[-1][0] < tolerable:
            break
    return min(attempts, key=itemgetter(0))[1]


def _wait_until_quiet(longest_seconds: float) -> None:
    """Wait for half a second in which the cores had next to nothing to do, but no longer than asked."""
    deadline = time.monotonic() + longest_seconds
    while time.monotonic() < deadline:
        before = machine_busy_seconds()
        time.sleep(_QUIET_SECONDS)
        if machine_busy_seconds() - before < _QUIET_SECONDS * _QUIET_CORES:
            return


def resident_bytes(pid: int) -> int:
    """Memory that a process has in RAM."""
    return _status_bytes(pid, "VmRSS")


def most_resident_bytes(pid: int) -> int:
    """The most memory that a process has had in RAM."""
    return _status_bytes(pid, "VmHWM")


def children_of(pids: Iterable[int]) -> list[int]:
    """Processes whose parent is one of these."""
    parents = set(pids)
    return [
        int(directory.name)
        for directory in Path("/proc").iterdir()
        if directory.name.isdigit() and _parent(directory) in parents
    ]


def _parent(directory: Path) -> int:
    try:
        return int((directory / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        # Ended in the meantime.
        return 0


def _status_bytes(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
