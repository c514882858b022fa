"""Noticing that the machine stood still: its host took a core away, or froze all of it."""

from __future__ import annotations

import os
import threading
import time

BEAT_SECONDS = 0.05
TOLERATED_LATENESS_SECONDS = 0.15
"""A thread that mostly sleeps is woken within a tenth of a second, also when processes outnumber the cores by far."""


class Metronome:
    """A thread on each core that wakes on a beat and remembers how late it was at worst."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._worst_seconds = 0.0
        self._threads = [
            threading.Thread(target=self._beat, args=(core,), name=f"metronome-{core}", daemon=True)
            for core in sorted(os.sched_getaffinity(0))
        ]

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

    def stood_still(self) -> bool:
        """Whether a core was gone for longer than other work on it explains."""
        return self._worst_seconds > TOLERATED_LATENESS_SECONDS

    def _beat(self, core: int) -> None:
        os.sched_setaffinity(0, {core})
        before = time.monotonic()
        while not self._stopped.wait(BEAT_SECONDS):
            now = time.monotonic()
            self._worst_seconds = max(self._worst_seconds, now - before - BEAT_SECONDS)
            before = now
