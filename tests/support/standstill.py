"""Noticing that processes did not get the cores they needed: the host took one away, or there is more work than cores."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

BEAT_SECONDS = 0.05
TOLERATED_LATENESS_SECONDS = 0.1
"""A thread that mostly sleeps is woken within some tens of milliseconds, also when processes outnumber the cores by far."""
TOLERATED_THEFT = 0.05
"""Share of the cores' time that the host may give to others."""


def stolen_seconds(statistics: Path = Path("/proc/stat")) -> float:
    """Time of all cores, since the machine started, in which they had work and the host ran others instead."""
    _, _user, _nice, _system, _idle, _iowait, _irq, _softirq, steal, *_ = statistics.read_text().split()
    return int(steal) / os.sysconf("SC_CLK_TCK")


class Metronome:
    """A thread on each core that wakes on a beat and remembers how late it was at worst."""

    def __init__(
        self,
        stolen: Callable[[], float] = stolen_seconds,
        loads: Callable[[], tuple[float, float, float]] = os.getloadavg,
    ) -> None:
        self._stolen = stolen
        self._loads = loads
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._beat, args=(core,), name=f"metronome-{core}", daemon=True)
            for core in sorted(os.sched_getaffinity(0))
        ]
        self.forget()

    def start(self) -> None:
        """Begin to watch."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def forget(self) -> None:
        """Let only what happens from now on count."""
        self._worst_seconds = 0.0
        self._began, self._stolen_before = time.monotonic(), self._stolen()

    def was_short_of_cores(self) -> bool:
        """Whether a core was gone for long, the host took much of their time, or in the last minute more had work than there are cores."""
        cores = len(self._threads)
        is_robbed = self._stolen() - self._stolen_before > TOLERATED_THEFT * cores * (time.monotonic() - self._began)
        is_crowded = self._loads()[0] > cores
        return is_robbed or is_crowded or self._worst_seconds > TOLERATED_LATENESS_SECONDS

    def _beat(self, core: int) -> None:
        os.sched_setaffinity(0, {core})
        before = time.monotonic()
        while not self._stopped.wait(BEAT_SECONDS):
            now = time.monotonic()
            self._worst_seconds = max(self._worst_seconds, now - before - BEAT_SECONDS)
            before = now
